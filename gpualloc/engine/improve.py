"""What `rebalance` does beyond giving places: room for work that waits or is expected, instances and caps ahead. Pure.

Everything here is added to a decision that stands by itself: when the time is over, what was added so far is valid.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from gpualloc.engine.ahead import made_ahead
from gpualloc.engine.decide import in_turn
from gpualloc.engine.growing import Elastic, given_back, grown, oldest_first
from gpualloc.engine.idle_work import Back, for_whom, giving_way, going_on
from gpualloc.engine.making_room import Going, Room, Rooms, room_for
from gpualloc.engine.moving import Movable, movable
from gpualloc.engine.outlook import DEMAND, HISTORY, RUN_TIMES, SNAPSHOT, Outlook
from gpualloc.engine.troughs import trough_moves
from gpualloc.engine.worth import wait_s, waiting_worth
from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Decision, Problem, RejectionReason
from gpualloc.model.desired import DesiredDevice
from gpualloc.model.rebalancing import HeldBack, Move, MoveKind, RebalanceRules
from gpualloc.model.workload import Workload
from gpualloc.planning.guards import Guards, Past
from gpualloc.planning.partition import Partition
from gpualloc.policies.survey import survey

_SHORT = (RejectionReason.NO_CAPACITY, RejectionReason.FRAGMENTED)
"""Why waiting work waits that room would help."""


class Foreseen(Struct, frozen=True):
    """All that improvements rest on beside the problem itself."""

    outlook: Outlook
    rules: RebalanceRules
    past: Past
    desired: Sequence[DesiredDevice] = ()
    budgeted: Collection[str] = ()
    """Pools with a power budget."""
    late: Callable[[], bool] = field(default=lambda: False)
    """Whether there is no more time: what was found so far is what is done."""


class Improvement(Struct, frozen=True):
    """A decision with what was added to it."""

    decision: Decision
    """Places also for the work that room is made for, and for work that starts again elsewhere."""
    moves: tuple[Move, ...] = ()
    held_back: tuple[HeldBack, ...] = ()
    partitions: tuple[Partition, ...] = ()
    """Layouts beyond those that the decision rests on."""
    cut: bool = False
    """Whether the time was over before everything was looked at."""


def improve(
    problem: Problem,
    decision: Decision,
    workloads: Iterable[Workload],
    foreseen: Foreseen,
    *,
    reshaped: bool,
    back: Sequence[Back] = (),
) -> Improvement:
    """The decision with the moves that gain more than they cost and that no guard holds back.

    Args:
        problem: what was decided on.
        decision: what waiting work gets without any move.
        workloads: all work that has not ended.
        foreseen: what is expected, and what is allowed.
        reshaped: whether the decision rests on layouts that are changed for it.
        back: work that stood still and goes on; its places are taken in the problem.
    """
    course = _Course(problem, decision, workloads, foreseen)
    course.go_on_first(back)
    course.make_room()
    course.go_on()
    course.empty_devices()
    course.look_ahead(reshaped=reshaped)
    course.change_numbers()
    return course.result()


class _Course:
    """The decision and what is left everywhere, while moves are added."""

    def __init__(self, problem: Problem, decision: Decision, workloads: Iterable[Workload], foreseen: Foreseen) -> None:
        self._problem = problem
        self._decision = decision
        self._workloads = sorted(workloads, key=lambda work: work.id)
        self._foreseen = foreseen
        self._guards = Guards(foreseen.rules, foreseen.past)
        self._rooms: Rooms = _rooms(problem, decision)
        self._moves: list[Move] = []
        self._held: list[HeldBack] = []
        self._partitions: tuple[Partition, ...] = ()
        self._bundle = 0
        self._cut = False

    def result(self) -> Improvement:
        """The decision and what was added."""
        return Improvement(self._decision, tuple(self._moves), tuple(self._held), self._partitions, self._cut)

    def make_room(self) -> None:
        """Move work for that which waits, in the order in which it waits."""
        short = {rejection.workload for rejection in self._decision.rejections if rejection.reason in _SHORT}
        if not short or self._foreseen.rules.moves == 0:
            return
        movables = self._movables()
        for workload in in_turn(self._problem):
            if workload.id not in short:
                continue
            if self._late():
                return
            room = room_for(workload, self._rooms, for_whom(movables, workload), self._foreseen.late)
            if room is not None and self._admitted(workload, room):
                self._take(workload, room)
                moved = {each.movable.workload.id for each in room.going}
                movables = {identity: each for identity, each in movables.items() if identity not in moved}

    def go_on_first(self, back: Sequence[Back]) -> None:
        """Let work go on that has stood still for long enough."""
        for workload, place, _ in back:
            self._add([self._resume(workload, place, "it has stood still for others for longer than the cool-down")])

    def go_on(self) -> None:
        """Let work go on that stood still for others, where nobody needs its place now."""
        moved = {move.workload for move in self._moves}
        waiting = [work for work in self._workloads if work.id not in moved]
        for workload, place, rooms in going_on(waiting, self._rooms):
            if not self._add([self._resume(workload, place, "nobody needs its devices now")]):
                return
            self._rooms = rooms

    def empty_devices(self) -> None:
        """Put work together that shares devices, so that whole ones are free for what is expected."""
        known, rules = self._foreseen, self._foreseen.rules
        if self._late() or rules.moves == 0 or not (known.outlook.demand or rules.idle_worth):
            return
        from gpualloc.engine.emptying import Prospect, emptied  # It brings numpy and the solver.

        moved = {move.workload for move in self._moves}
        movables = {identity: each for identity, each in self._movables().items() if identity not in moved}
        skipped: set[str] = set()
        while (
            found := emptied(Prospect(self._rooms, movables, known.outlook, rules), skipped, known.late)
        ) is not None:
            why = f"empties GPU {found.device.device.index}: {found.why}"
            rests_on = (SNAPSHOT, DEMAND) if known.outlook.demand else (SNAPSHOT,)
            if self._add([self._move(each, why, rests_on, found.worth_gpu_s) for each in found.going]):
                self._rooms = found.rooms
                gone = {each.movable.workload.id for each in found.going}
                movables = {identity: each for identity, each in movables.items() if identity not in gone}
            skipped.add(found.device.device.uuid)

    def look_ahead(self, *, reshaped: bool) -> None:
        """Make instances before they are asked for, and cap devices while little is."""
        known, rules = self._foreseen, self._foreseen.rules
        if rules.ahead and not reshaped and not self._late():
            ahead = made_ahead(self._problem, self._decision, known.desired, known.outlook)
            kept = [
                partition
                for partition, move in zip(ahead.partitions, ahead.moves, strict=True)
                if self._add([replace(move, bundle=self._bundle)])
            ]
            self._partitions = tuple(kept)
        if self._late():
            return
        # What starts in this plan counts, so that the next one has nothing to add.
        ours = (*self._problem.running, *self._decision.allocations)
        snapshot = self._problem.snapshot
        for move in trough_moves(snapshot, known.desired, ours, known.outlook, rules, budgeted=known.budgeted):
            self._add([replace(move, bundle=self._bundle)])

    def change_numbers(self) -> None:
        """Take idle devices back from work that can do with fewer, and give free ones to work that can use more."""
        known = self._foreseen
        elastic = Elastic(self._workloads, known.outlook, known.rules, known.budgeted)
        allowed = [work for work in self._workloads if self._guards.may_move(work)]
        moved = {move.workload for move in self._moves}
        short = any(rejection.reason in _SHORT for rejection in self._decision.rejections)
        for resize in (given_back,) if short else (given_back, grown):
            for identity in oldest_first(allowed):
                if self._late():
                    return
                found = resize(elastic, self._rooms, identity) if identity not in moved else None
                if found is not None and self._add([replace(found.move, bundle=self._bundle)]):
                    self._rooms = found.rooms
                    moved.add(identity)

    # ---- inside

    def _resume(self, workload: Workload, place: Allocation, why: str) -> Move:
        return Move(
            MoveKind.RESUME, place.node, why, (SNAPSHOT,),
            gain_gpu_s=float(len(place.grants)), cost_gpu_s=0.0, bundle=self._bundle, workload=workload.id,
            owner=workload.owner, since_s=workload.started_at_s, to=place,
        )  # fmt: skip

    def _movables(self) -> Mapping[str, Movable]:
        allowed = [work for work in self._workloads if self._guards.may_move(work)]
        return giving_way(movable(allowed, self._problem.snapshot), self._foreseen.outlook, self._foreseen.rules)

    def _admitted(self, workload: Workload, room: Room) -> bool:
        known = self._foreseen
        worth = waiting_worth(workload, self._rooms, known.outlook, known.past.now_s, known.rules.horizon_s)
        expected = wait_s(workload.request, self._rooms, known.outlook)
        wait = (
            "has waited"
            if expected is None
            else f"would wait {expected:.0f} s more by the run times of others, has waited"
        )
        waited = max(0.0, known.past.now_s - workload.submitted_at_s)
        why = f"room for {workload.id}, which {wait} {waited:.0f} s for {workload.request.gpus} GPUs"
        rests_on = (SNAPSHOT,) if expected is None else (SNAPSHOT, RUN_TIMES)
        return self._add([self._move(each, why, rests_on, worth) for each in room.going])

    def _move(self, going: Going, why: str, rests_on: tuple[str, ...], gain: float) -> Move:
        workload = going.movable.workload
        assert workload.allocation is not None  # only work with devices is moved
        idle = going.kind is MoveKind.SUSPEND
        if idle:
            why = f"idle for {self._foreseen.outlook.idle_s[workload.id]:.0f} s and expected to stay so; {why}"
        return Move(
            going.kind,
            workload.allocation.node,
            why,
            (*rests_on, HISTORY) if idle else rests_on,
            gain_gpu_s=gain,
            cost_gpu_s=going.cost_gpu_s,
            bundle=self._bundle,
            workload=workload.id,
            owner=workload.owner,
            since_s=workload.started_at_s,
            to=going.to,
        )

    def _add(self, bundle: Sequence[Move]) -> bool:
        """Whether the guards let the bundle through."""
        self._bundle += 1
        held = self._guards.held_back(bundle)
        self._held += held
        if not held:
            self._moves += bundle
        return not held

    def _take(self, workload: Workload, room: Room) -> None:
        again = [each.to for each in room.going if each.kind is MoveKind.REQUEUE and each.to is not None]
        self._rooms = room.rooms
        self._decision = _with(self._decision, workload.id, [room.allocation, *again])

    def _late(self) -> bool:
        self._cut = self._cut or self._foreseen.late()
        return self._cut


def _rooms(problem: Problem, decision: Decision) -> Rooms:
    """What is left everywhere after the decision."""
    rooms = survey(problem)
    for allocation in decision.allocations:
        for part in allocation.parts:
            rooms[part.node] = rooms[part.node].book(part)
    return rooms


def _with(decision: Decision, served: str, allocations: Sequence[Allocation]) -> Decision:
    return replace(
        decision,
        allocations=(*decision.allocations, *allocations),
        rejections=tuple(rejection for rejection in decision.rejections if rejection.workload != served),
    )
