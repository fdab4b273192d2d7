"""Empty nodes and devices: no new work, and what runs there goes, by its own end or made to give way."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.engine.apply import apply_locked, failure
from gpualloc.engine.chain import OnStep, Report
from gpualloc.engine.context import Context
from gpualloc.engine.cordon import THERE, Place, checked_reason, places_of, put, state_of, work_at
from gpualloc.engine.hooks import NOTIFY, tell
from gpualloc.engine.observe import look
from gpualloc.engine.plan import plan_of
from gpualloc.engine.recover import recover
from gpualloc.engine.settle import catch_up_locked
from gpualloc.errors import GpuallocError, InfeasibleError
from gpualloc.model.desired import Cordon, CordonState
from gpualloc.model.inventory import NodeState, Process, Snapshot
from gpualloc.model.plan import Plan, StepKind
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.planning.giving_way import Concerned, Way, WayOut, eviction_steps, way_out
from gpualloc.ports import HookEvent, JournalWriter

Rounds = tuple[tuple[Plan, Report], ...]
"""Plans that were applied, and what became of them."""


class Drain(Struct, frozen=True):
    """What a drain found and did."""

    snapshot: Snapshot
    """The nodes as they were seen."""
    concerned: tuple[Concerned, ...]
    states: tuple[tuple[Cordon, CordonState], ...]
    """Each cordon that was made, and how its place stands now."""
    rounds: Rounds = ()
    """What was applied; a second one when a node refused to suspend."""
    staying: tuple[str, ...] = ()
    """Ids of work that runs there still although it was to give way now."""

    @property
    def strangers(self) -> tuple[tuple[str, Process], ...]:
        """Processes at the drained places that gpualloc did not start, each with its node: a drain leaves them."""
        places = {(each.node, each.device) for each, _ in self.states}
        return tuple(
            (node.name, process)
            for node in self.snapshot.reached
            for process in node.processes
            if process.workload is None and places & {(node.name, None), (node.name, process.device)}
        )

    @property
    def error(self) -> GpuallocError | None:
        """What the command exits with; None when everything that was to go went."""
        if self.rounds and (error := failure(self.rounds[-1][1])) is not None:
            return error
        if not self.staying:
            return None
        return InfeasibleError(
            f"{len(self.staying)} of {len(self.concerned)} workloads stay: {', '.join(self.staying[:8])}",
            hint="those that never give way end by themselves, or by: gpualloc release ID",
        )


def drain(
    ctx: Context,
    nodes: Sequence[str],
    device: str | None,
    reason: str | None,
    *,
    evict: bool = False,
    wait_s: float = 0.0,
    on_step: OnStep | None = None,
) -> Drain:
    """Let nodes, or one device of one node, take no new work, and find who is concerned.

    Args:
        ctx: the ports.
        nodes: their names.
        device: index or UUID of a device of the only node named; None is the nodes as a whole.
        reason: as in `cordon`.
        evict: make the work there give way now, each by its own rule; otherwise it runs to its end.
        wait_s: how long to wait for the apply lock.
        on_step: told of each step as it moves.

    Raises:
        As `cordon`; the cordon stands when something fails after it.
    """
    checked_reason(reason)
    places = places_of(ctx, nodes, device)
    with ctx.journal.write("drain", wait_s) as writer:
        recover(ctx, writer, on_step)
        made = put(ctx, writer, places, reason, drain=True)
        snapshot = look(ctx, _with_gangs(places, nodes, ctx.journal.workloads(THERE)))
        catch_up_locked(ctx, writer, snapshot)
        there = work_at(places, ctx.journal.workloads(THERE))
        ways = {workload.id: _way_of(workload, snapshot) for workload in there}
        _tell_users(ctx, writer, there)
        rounds = _evict(ctx, writer, there, snapshot, on_step) if evict else ()
        ways.update(_next_ways(there, snapshot, rounds))
        left = work_at(places, ctx.journal.workloads(THERE))
    states = tuple((each, state_of(each, left)) for each in made)
    staying = tuple(work.id for work in left if work.state is WorkloadState.RUNNING) if evict else ()
    concerned = tuple(Concerned(ctx.journal.find(identity), way) for identity, way in ways.items())
    return Drain(snapshot, concerned, states, rounds, staying)


def _with_gangs(places: Sequence[Place], nodes: Sequence[str], workloads: Sequence[Workload]) -> list[str]:
    """The nodes, and all others of the gangs that have a member at one of the places: a gang goes as a whole."""
    there = (work.allocation.nodes for work in work_at(places, workloads) if work.allocation)
    return sorted({*nodes, *(node for others in there for node in others)})


def _tell_users(ctx: Context, writer: JournalWriter, there: Sequence[Workload]) -> None:
    """Let the operator's hook tell those whose work is there, node by node."""
    by_node: dict[str, list[Workload]] = {}
    for workload in there:
        for node in workload.allocation.nodes if workload.allocation is not None else ():
            by_node.setdefault(node, []).append(workload)
    for node, work in sorted(by_node.items()):
        users = tuple(sorted({workload.owner for workload in work}))
        tell(ctx, writer, NOTIFY, HookEvent(node=node, users=users, workloads=tuple(each.id for each in work)))


def _way_of(workload: Workload, snapshot: Snapshot) -> WayOut | None:
    nodes = [snapshot.node(name) for name in workload.allocation.nodes] if workload.allocation else []
    reached = [node for node in nodes if node is not None and node.state is NodeState.OK]
    if not reached or len(reached) < len(nodes) or workload.state is not WorkloadState.RUNNING:
        return None
    return way_out(workload, reached[0])[0]


def _evict(
    ctx: Context, writer: JournalWriter, there: Sequence[Workload], snapshot: Snapshot, on_step: OnStep | None
) -> Rounds:
    """Make the work give way; what a node refuses to suspend goes by its next way."""
    reached = {node.name for node in snapshot.reached}
    going = [work.id for work in there if work.allocation and reached.issuperset(work.allocation.nodes)]
    rounds: list[tuple[Plan, Report]] = []
    for not_by in ((), (Way.SUSPEND,)):
        found = (ctx.journal.find(identity) for identity in going)
        running = [work for work in found if work.state is WorkloadState.RUNNING]
        steps = eviction_steps(running, snapshot, f"drained by {ctx.actor}", not_by=not_by)
        if not steps:
            break
        plan = plan_of(ctx, steps, running, snapshot)
        report = apply_locked(ctx, writer, plan, on_step)
        rounds.append((plan, report))
        going = _refused(report)
        if going:
            snapshot = look(ctx, sorted(reached))
    return tuple(rounds)


def _refused(report: Report) -> list[str]:
    """Ids of the workloads that their node refused to suspend."""
    return [step.workload for step, _ in report.failed if step.kind is StepKind.SUSPEND and step.workload]


def _next_ways(there: Sequence[Workload], snapshot: Snapshot, rounds: Rounds) -> dict[str, WayOut]:
    """By which way the work went that could not be suspended after all."""
    if len(rounds) < 2:
        return {}
    refused = _refused(rounds[0][1])
    found = {}
    for workload in there:
        node = snapshot.node(workload.allocation.node) if workload.allocation else None
        if workload.id in refused and node is not None:
            found[workload.id] = replace(way_out(workload, node)[1], why="its node could not suspend it")
    return found
