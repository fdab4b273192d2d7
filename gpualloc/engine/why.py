"""Why a workload waits, where it would go, and why it is where it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.engine.context import Context
from gpualloc.engine.decide import in_turn
from gpualloc.engine.doubt import doubtful_nodes
from gpualloc.engine.observe import observe, wanted_paths
from gpualloc.engine.plan import LIVE, decided, make_plan, problem_of
from gpualloc.engine.settle import catch_up
from gpualloc.engine.submit import Starter, starter_of
from gpualloc.engine.wait import refresh
from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Decision, Placed, Problem, Ranked, Rejection
from gpualloc.model.inventory import Node, Snapshot
from gpualloc.model.plan import Plan, StepKind
from gpualloc.model.workload import Preemption, Request, Workload, WorkloadState
from gpualloc.planning.partition import Partition
from gpualloc.policies.explanation import Explanation
from gpualloc.policies.market import kind_of
from gpualloc.policies.remedies import Occupant, Remedy, RemedyKind, remedies
from gpualloc.policies.room import NodeRoom
from gpualloc.policies.survey import survey
from gpualloc.policies.why import Obstacle, obstacles
from gpualloc.ports import Ranking

MOST_RANKED = 5
"""Places that are told with their scores."""
_BEGINS = (StepKind.START, StepKind.ADOPT)
_LOOKED_BACK_S = 86_400.0
"""How long before a start the apply that made it may have begun."""


class Why(Struct, frozen=True):
    """The answer of `gpualloc why`."""

    workload: Workload
    at_s: float
    snapshot: Snapshot | None = None
    """What was seen, when the nodes were asked."""
    explanation: Explanation | None = None
    """Of work that waits; None when it does not, or nothing is planned for it."""
    starter: Starter | None = None
    """Who would start it, when it waits."""
    placed: Placed | None = None
    """Of work that has begun; None when the audit trail does not tell."""


def why(ctx: Context, reference: str, progress: Callable[[Node], None] | None = None) -> Why:
    """Explain how one workload stands.

    Args:
        ctx: the ports.
        reference: id, unique start of an id, or name.
        progress: called with each node as it is seen.

    Raises:
        NotFoundError: no such workload, or several.
        UnreachableError: it waits, and no node at all answers.
    """
    workload = ctx.journal.find(reference)
    if workload.state is not WorkloadState.PENDING:
        workload = refresh(ctx, workload)
    now_s = ctx.clock.now_s()
    if workload.state is not WorkloadState.PENDING:
        return Why(workload, now_s, placed=_placed(ctx, workload))
    snapshot = observe(ctx, progress=progress, near=wanted_paths(ctx))
    catch_up(ctx, snapshot)
    found = explanations(ctx, snapshot, (workload.id,))
    return Why(workload, now_s, snapshot, found[0] if found else None, starter_of(ctx.journal, now_s))


def explained_plan(
    ctx: Context, progress: Callable[[Node], None] | None = None
) -> tuple[Plan, tuple[Explanation, ...], Snapshot]:
    """A plan as `make_plan` makes it, an explanation for each workload that waits, in turn, and what was seen.

    Raises:
        UnreachableError: no node at all answers.
    """
    snapshot = observe(ctx, progress=progress, near=wanted_paths(ctx))
    plan = make_plan(ctx, snapshot=snapshot)
    return plan, explanations(ctx, snapshot, None), snapshot


def explanations(ctx: Context, snapshot: Snapshot, wanted: Collection[str] | None) -> tuple[Explanation, ...]:
    """An explanation for each workload that waits, in turn, as a plan made now on that snapshot would have it.

    Args:
        ctx: the ports.
        snapshot: what was seen, with `wanted_paths`.
        wanted: ids of those that are asked about; None: all. One that does not wait gets none.
    """
    workloads = ctx.journal.workloads(LIVE)
    problem = problem_of(ctx, workloads, snapshot)
    decision, partitions, _ = decided(ctx, problem, workloads)
    teller = _Teller(ctx, problem, {workload.id: workload for workload in workloads})
    found = teller.tell(wanted)
    answers = _answers(decision)
    return tuple(_finally(one, answers[one.workload.id], partitions) for one in found)


def _finally(found: Explanation, answer: Allocation | Rejection, partitions: Sequence[Partition]) -> Explanation:
    """The explanation with what became of it after the policy: a place on another layout, or no power for it."""
    if isinstance(answer, Rejection):
        return replace(found, answer=answer)
    given = {grant.device for grant in answer.grants}
    layouts = tuple(f"GPU {each.device.index}: {each.detail}" for each in partitions if each.device.uuid in given)
    return replace(found, answer=answer, layouts=layouts, remedies=())


class _Teller:
    """Decides the problem once more, and looks at each workload that is asked about when it has its turn."""

    def __init__(self, ctx: Context, problem: Problem, workloads: Mapping[str, Workload]) -> None:
        self._problem = problem
        # How a rejection is told is known from the decision.
        self._session = ctx.policy.begin(replace(problem, explain=False))
        self._rooms: dict[str, NodeRoom] = survey(problem)
        self._running = [_occupant(allocation, workloads) for allocation in problem.running]
        self._first: list[Occupant] = []
        self._doubtful = doubtful_nodes(ctx)
        self._known: dict[Request, tuple[tuple[Obstacle, ...], tuple[Remedy, ...]]] = {}
        """What was found since a place was last given, by kind of request."""

    def tell(self, wanted: Collection[str] | None) -> tuple[Explanation, ...]:
        """An explanation for each of the workloads, all when None, in turn."""
        found: list[Explanation] = []
        ahead: list[str] = []
        for workload in in_turn(self._problem):
            if wanted is not None and len(found) == len(wanted):
                break
            asked = wanted is None or workload.id in wanted
            ranked: tuple[Ranked, ...] = ()
            if asked and isinstance(self._session, Ranking):
                ranked = self._session.ranking(workload, MOST_RANKED)
            answer = self._session.place(workload)
            if asked:
                kept_out, helps = self._looked_at(workload.request, answer)
                nodes = len(self._problem.snapshot.nodes)
                objective = self._problem.objective
                first = tuple(ahead)
                found.append(Explanation(workload, answer, first, nodes, ranked, kept_out, helps, objective=objective))
            ahead.append(workload.id)
            if isinstance(answer, Allocation):
                self._book(answer, workload.request)
        return tuple(found)

    def _looked_at(
        self, request: Request, answer: Allocation | Rejection
    ) -> tuple[tuple[Obstacle, ...], tuple[Remedy, ...]]:
        kind = replace(kind_of(request), nodes=request.nodes, labels=request.labels, near=request.near)
        if kind not in self._known:
            kept_out = obstacles(self._problem.snapshot, self._rooms, kind)
            found: tuple[Remedy, ...] = ()
            if isinstance(answer, Rejection):
                found = remedies(self._rooms, self._running, self._first, kind)
            self._known[kind] = kept_out, tuple(self._certain(each) for each in found)
        return self._known[kind]

    def _certain(self, remedy: Remedy) -> Remedy:
        """The cordon of a node that is doubtful ends when somebody looks, not by an operator's word."""
        if remedy.kind is RemedyKind.UNCORDON and remedy.whole_node and remedy.node in self._doubtful:
            return replace(remedy, kind=RemedyKind.RECONCILE, detail="once it is no longer doubtful")
        return remedy

    def _book(self, allocation: Allocation, request: Request) -> None:
        for part in allocation.parts:
            self._rooms[part.node] = self._rooms[part.node].book(part)
            self._first.append(Occupant(part, None if request.gang else request))
        self._known.clear()


def _occupant(allocation: Allocation, workloads: Mapping[str, Workload]) -> Occupant:
    workload = workloads[allocation.workload]
    movable = (
        workload.state is WorkloadState.RUNNING
        and not workload.adopted
        and not workload.request.gang
        and workload.request.preempt is not Preemption.NEVER
    )
    return Occupant(allocation, workload.request if movable else None)


def _answers(decision: Decision) -> dict[str, Allocation | Rejection]:
    answers: tuple[Allocation | Rejection, ...] = (*decision.allocations, *decision.rejections)
    return {each.workload: each for each in answers}


def _placed(ctx: Context, workload: Workload) -> Placed | None:
    """The last start or adoption in the audit trail, with the plan that was being applied then."""
    begun = [entry for entry in ctx.journal.audit(workload=workload.id) if entry.kind in _BEGINS]
    if not begun:
        return None
    start = begun[-1]
    for entry in reversed(ctx.journal.audit(since_s=start.at_s - _LOOKED_BACK_S)):
        if entry.kind != "apply" or entry.seq > start.seq:
            continue
        run = ctx.journal.applied(str(entry.detail.get("plan")))
        steps = run.plan.steps if run is not None else ()
        step = next((each for each in steps if each.workload == workload.id and each.kind in _BEGINS), None)
        if run is not None and step is not None:
            chosen = f"{run.plan.policy} {run.plan.policy_version}" if step.kind is StepKind.START else None
            return Placed(start.at_s, run.actor, run.plan.id, chosen, run.plan.objective)
    return Placed(start.at_s, start.actor)
