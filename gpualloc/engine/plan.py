"""Make a plan: observe, settle, decide, and bind the steps to the facts they rest on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from gpualloc.engine.context import Context
from gpualloc.engine.decide import decide
from gpualloc.engine.doubt import doubtful
from gpualloc.engine.idle_work import Back, first_in_line
from gpualloc.engine.improve import Foreseen, Improvement, improve
from gpualloc.engine.observe import observe, wanted_paths
from gpualloc.engine.past import past_of
from gpualloc.engine.repartition import repartition
from gpualloc.engine.settle import catch_up, catch_up_locked
from gpualloc.errors import UsageError
from gpualloc.model.allocation import Allocation, Grant
from gpualloc.model.cpus import NEAR, near_all
from gpualloc.model.decision import Decision, Problem
from gpualloc.model.gang import with_members
from gpualloc.model.inventory import Node, Snapshot
from gpualloc.model.plan import Plan, Step
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.planning.budget import Cap, cap_steps, lifted, within_budgets
from gpualloc.planning.gangs import with_meeting_points
from gpualloc.planning.moving import move_steps
from gpualloc.planning.order import joined
from gpualloc.planning.partition import Partition
from gpualloc.planning.plan import build
from gpualloc.planning.steps import cleanup_steps, gang_end_steps, release_steps
from gpualloc.planning.suspension import still_held
from gpualloc.policies.survey import survey
from gpualloc.ports import JournalWriter

LIVE = (WorkloadState.PENDING, WorkloadState.RUNNING, WorkloadState.SUSPENDED)
"""States of work that has not ended."""


def make_plan(
    ctx: Context,
    only: Sequence[str] | None = None,
    progress: Callable[[Node], None] | None = None,
    *,
    writer: JournalWriter | None = None,
    snapshot: Snapshot | None = None,
) -> Plan:
    """Plan places for waiting work; what runs stays where it is.

    Args:
        ctx: the ports.
        only: ids of the workloads to plan for; None is all that wait.
        progress: called with each node as it is seen.
        writer: given by a command that holds the apply lock.
        snapshot: what was seen a moment ago, with `wanted_paths`, to save looking twice; None looks now.
    """
    snapshot = snapshot or observe(ctx, progress=progress, near=wanted_paths(ctx))
    _catch_up(ctx, writer, snapshot)
    return plan_on(ctx, snapshot, ctx.journal.workloads(LIVE), only)


def plan_on(ctx: Context, snapshot: Snapshot, workloads: Sequence[Workload], only: Sequence[str] | None = None) -> Plan:
    """Plan places for waiting work on what was seen and is known; nothing is stored.

    Args:
        ctx: the ports.
        snapshot: what was seen.
        workloads: all work that has not ended.
        only: ids of the workloads to plan for; None is all that wait.
    """
    problem = problem_of(ctx, workloads, snapshot, only)
    decision, partitions = repartition(
        problem, decide(problem, ctx.policy), ctx.journal.desired(), ctx.settings.repartition
    )
    return _planned(ctx, problem, workloads, decision, partitions=partitions, tidy=only is None)


def make_better_plan(
    ctx: Context,
    foresee: Callable[[Problem, Sequence[Workload]], Foreseen],
    *,
    writer: JournalWriter | None = None,
    snapshot: Snapshot | None = None,
    late: Callable[[], bool] = lambda: False,
) -> tuple[Plan, Improvement]:
    """Plan places for waiting work, and the moves that make room for it or for what is expected.

    Args:
        ctx: the ports.
        foresee: tells what moves may rest on.
        writer: given by a command that holds the apply lock.
        snapshot: what was seen a moment ago, with `wanted_paths`; None looks now.
        late: whether there is no more time: what was not decided then waits, and nothing more is improved.
    """
    snapshot = snapshot or observe(ctx, near=wanted_paths(ctx))
    _catch_up(ctx, writer, snapshot)
    workloads = ctx.journal.workloads(LIVE)
    problem, back = _with_overdue(ctx, problem_of(ctx, workloads, snapshot), workloads)
    desired = ctx.journal.desired()
    decision = decide(problem, ctx.policy, late)
    decision, partitions = repartition(problem, decision, desired, ctx.settings.repartition)
    if late():
        better = Improvement(decision, cut=True)
    else:
        foreseen = foresee(problem, workloads)
        better = improve(problem, decision, workloads, foreseen, reshaped=bool(partitions), back=back)
    moves = move_steps(better.moves, {workload.id: workload for workload in workloads}, snapshot)
    layouts = (*partitions, *better.partitions)
    return _planned(ctx, problem, workloads, better.decision, partitions=layouts, moves=moves, tidy=True), better


def _with_overdue(ctx: Context, problem: Problem, workloads: Sequence[Workload]) -> tuple[Problem, Sequence[Back]]:
    """The problem with places for work that has stood still for others long enough, and who has them."""
    standing = [work for work in workloads if work.state is WorkloadState.SUSPENDED]
    if not standing:
        return problem, ()
    rules = ctx.settings.rebalance
    back = first_in_line(standing, survey(problem), past_of(ctx, rules, standing, {}), rules.cool_down_s)
    ids = {work.id for work, _, _ in back}
    others = tuple(part for part in problem.running if part.workload not in ids)
    return replace(problem, running=(*others, *(place for _, place, _ in back))), back


def _catch_up(ctx: Context, writer: JournalWriter | None, snapshot: Snapshot) -> None:
    if writer is None:
        catch_up(ctx, snapshot)
    else:
        catch_up_locked(ctx, writer, snapshot)


def _planned(
    ctx: Context,
    problem: Problem,
    workloads: Sequence[Workload],
    decision: Decision,
    *,
    partitions: Sequence[Partition],
    moves: Sequence[Step] = (),
    tidy: bool,
) -> Plan:
    """The plan of a decision, with what is left over of work that ended tidied up when everything is planned for."""
    snapshot, desired = problem.snapshot, ctx.journal.desired()
    decision, caps = within_limits(ctx, problem, decision, workloads)
    extra: tuple[Step, ...] = ()
    if tidy:
        over = gang_end_steps(workloads, snapshot)
        extra = joined(over, cleanup_steps(snapshot, workloads, ctx.journal.controller))
        busy = {grant.device for item in (*problem.running, *decision.allocations) for grant in item.grants}
        caps += lifted(snapshot, desired, busy)
    extra = joined(extra, moves)
    return _bound(ctx, decision, snapshot, workloads, extra, partitions=partitions, caps=caps)


def problem_of(
    ctx: Context, workloads: Sequence[Workload], snapshot: Snapshot, only: Sequence[str] | None = None
) -> Problem:
    """What is to be decided: work that waits and is not in doubt, beside what runs.

    Args:
        ctx: the ports.
        workloads: all work that has not ended.
        snapshot: what was seen.
        only: ids of the workloads to decide on; None is all that wait.
    """
    held_back = doubtful(ctx)
    pending = [
        workload
        for workload in workloads
        if workload.state is WorkloadState.PENDING
        and not workload.adopted
        and workload.id not in held_back
        and (only is None or workload.id in only)
    ]
    return Problem(
        snapshot=snapshot,
        requests=tuple(pending),
        running=tuple(part for work in workloads for part in still_held(work)),
        objective=ctx.settings.objective,
    )


def decided(
    ctx: Context, problem: Problem, workloads: Sequence[Workload]
) -> tuple[Decision, tuple[Partition, ...], tuple[Cap, ...]]:
    """What becomes of each request, with the MIG layouts and the power limits that this rests on.

    Args:
        ctx: the ports.
        problem: what is to be decided.
        workloads: all work that has not ended.
    """
    decision, partitions = repartition(
        problem, decide(problem, ctx.policy), ctx.journal.desired(), ctx.settings.repartition
    )
    decision, caps = within_limits(ctx, problem, decision, workloads)
    return decision, partitions, caps


def within_limits(
    ctx: Context, problem: Problem, decision: Decision, workloads: Sequence[Workload]
) -> tuple[Decision, tuple[Cap, ...]]:
    """The decision with CPUs, meeting points and power as the nodes have them, and the power limits to set first."""
    snapshot = problem.snapshot
    decision = with_meeting_points(_near(decision, snapshot), workloads, snapshot, ctx.settings.gang_ports)
    return within_budgets(decision, snapshot, problem.running, ctx.journal.desired(), ctx.settings.power_budgets)


def release_plan(ctx: Context, workloads: Sequence[Workload], snapshot: Snapshot) -> Plan:
    """Plan the end of running or suspended workloads, on the nodes that answer.

    Raises:
        UsageError: one of them does not run.
    """
    for workload in workloads:
        if workload.state not in (WorkloadState.RUNNING, WorkloadState.SUSPENDED) or workload.allocation is None:
            raise UsageError(f"workload {workload.id} does not run; it is {workload.state.value}")
    steps = release_steps(workloads, nodes={node.name for node in snapshot.reached})
    caps = lifted(snapshot, ctx.journal.desired(), (), {workload.id for workload in workloads})
    after = tuple(step.seq for step in steps)
    lifts = (replace(step, seq=step.seq + len(steps), needs=after) for step in cap_steps(caps))
    return plan_of(ctx, (*steps, *lifts), workloads, snapshot)


def plan_of(ctx: Context, steps: Sequence[Step], workloads: Sequence[Workload], snapshot: Snapshot) -> Plan:
    """The plan of steps that an operator asked for: nothing was decided, and nobody else gets a place."""
    nothing = Decision(ctx.policy.name, ctx.policy.version, 0, (), (), ctx.settings.objective)
    return _bound(ctx, nothing, snapshot, tuple(workloads), steps)


def _near(decision: Decision, snapshot: Snapshot) -> Decision:
    """The decision with the CPUs that `near` stands for on the node that was chosen."""
    cpus = {device.uuid: device.cpus for node in snapshot.nodes for device in node.devices}

    def near(grants: Sequence[Grant]) -> str | None:
        return near_all(cpus.get(grant.device) for grant in grants)

    def placed(item: Allocation) -> Allocation:
        if item.cpuset != NEAR:
            return item
        if item.gang is None:
            return replace(item, cpuset=near(item.grants))
        return with_members(item, [replace(each, cpuset=near(each.grants)) for each in item.gang.members])

    return replace(decision, allocations=tuple(placed(item) for item in decision.allocations))


def _bound(
    ctx: Context,
    decision: Decision,
    snapshot: Snapshot,
    workloads: Sequence[Workload],
    extra: Sequence[Step],
    *,
    partitions: Sequence[Partition] = (),
    caps: Sequence[Cap] = (),
) -> Plan:
    return build(
        decision,
        snapshot,
        {workload.id: workload for workload in workloads},
        plan_id=ctx.fresh_id("p"),
        created_at_s=ctx.clock.now_s(),
        simulated=ctx.simulated,
        extra_steps=tuple(extra),
        partitions=partitions,
        caps=caps,
    )
