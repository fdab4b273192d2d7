"""From the MIG instances a GPU has to those it is to have: what is destroyed and created, where, in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import combinations, pairwise

from msgspec import Struct

from gpualloc.errors import InfeasibleError
from gpualloc.model.mig import Layout, MigProfile, Place, Room, check_layout, layout_of, room_of


class Held(Struct, frozen=True):
    """A MIG instance that a GPU has."""

    uuid: str
    profile: str
    start: int | None
    """Unit of the axis where it begins; None when the driver would not say."""
    in_use: bool
    """Whether it must stay as it is: claimed, used by a process, or meant for work that is being placed."""

    @property
    def place(self) -> Place | None:
        """Where it lies; None when the driver would not say."""
        return None if self.start is None else Place(self.profile, self.start)

    def __str__(self) -> str:
        return f"{self.uuid} ({self.place or self.profile})"


class Act(StrEnum):
    """What is done to one instance."""

    DESTROY = "destroy"
    CREATE = "create"


class Operation(Struct, frozen=True):
    """One change of a GPU's instances."""

    act: Act
    place: Place | None
    """Where; None for a destroyed instance whose place the driver would not say."""
    uuid: str | None
    """The instance destroyed; None when one is created."""


class Transition(Struct, frozen=True):
    """The way from the instances a GPU has to a target layout."""

    operations: tuple[Operation, ...]
    """In order; each create finds its place, and everything else it takes, free at its turn. Empty when nothing is to
    be done."""
    kept: tuple[Held, ...]
    """The instances that are not touched."""


def transition(profiles: Sequence[MigProfile], current: Sequence[Held], target: Layout) -> Transition:
    """What makes the target of the current instances.

    An instance whose place and profile the target has stays untouched. Creates come in ascending order of start. An
    instance is destroyed as late as that allows: right before the first create that it stands in the way of, and at
    the end when it stands in no way. Where a choice is left, the fewest instances go first, then those of the fewest
    units, then the lowest starts.

    Such an order always exists: a part of a legal layout is legal, so when everything that must go has gone, what is
    kept and what was created are a part of the target.

    Raises:
        UsageError: the target is no layout of this GPU.
        InfeasibleError: an instance in use is not in the target; or the driver does not tell enough of an instance
            that might be in the way, or it is one of several that share a GPU instance.
    """
    check_layout(profiles, target)
    room = room_of(tuple(profiles))
    standing = {held.place: held.uuid for held in current if held.place is not None}
    going = sorted((held for held in current if held.place not in target), key=_by_start)
    wanted = layout_of(place for place in target if place not in standing)
    if wanted:
        _refuse_unplaced(room, current)
    _refuse_in_use(room, in_the_way(going, target), target)
    _refuse_shared(going)
    return Transition(
        operations=_interleaved(room, standing, going, wanted) if wanted else tuple(map(_destroy, going)),
        kept=tuple(held for held in current if held.place in target),
    )


def in_the_way(current: Sequence[Held], target: Layout) -> tuple[Held, ...]:
    """The instances in use that the target does not have: they must be drained before it can come about."""
    return tuple(held for held in current if held.in_use and held.place not in target)


def _interleaved(
    room: Room, standing: Mapping[Place, str], going: Sequence[Held], wanted: Layout
) -> tuple[Operation, ...]:
    operations: list[Operation] = []
    taken = room.taken(standing)
    left = [held.place for held in going if held.place is not None]
    for place in wanted:
        for obstacle in _obstacles(room, taken, left, place):
            taken -= room.needs[obstacle]
            left.remove(obstacle)
            operations.append(Operation(Act.DESTROY, obstacle, standing[obstacle]))
        taken += room.needs[place]
        operations.append(Operation(Act.CREATE, place, None))
    operations += [Operation(Act.DESTROY, place, standing[place]) for place in left]
    return tuple(operations)


def _obstacles(room: Room, taken: int, left: Sequence[Place], place: Place) -> tuple[Place, ...]:
    """Those of `left` that must go before the place can be taken: the fewest, of the fewest units, of lowest starts."""
    if room.fits(taken, place):
        return ()
    certain = tuple(other for other in left if not room.together(other, place))
    others = [other for other in left if other not in certain]
    taken -= sum(room.needs[other] for other in certain)
    for count in range(len(others)):
        choices = [
            chosen
            for chosen in combinations(others, count)
            if room.fits(taken - sum(room.needs[other] for other in chosen), place)
        ]
        if choices:
            return (*certain, *min(choices, key=room.units))
    # Always enough: what is left then, with the place, is a part of the target.
    return (*certain, *others)


def _refuse_unplaced(room: Room, current: Sequence[Held]) -> None:
    """Nothing can be created around an instance that may lie anywhere."""
    for held in current:
        if held.place not in room.needs:
            raise InfeasibleError(
                f"the driver does not tell which units MIG instance {held} takes, so it may be in the way",
                hint="look again with the right to see MIG instances (root, or gpualloc node install)",
            )


def _refuse_in_use(room: Room, stuck: Sequence[Held], target: Layout) -> None:
    if not stuck:
        return
    raise InfeasibleError(
        f"MIG instances in use would have to go: {'; '.join(_exclusion(room, held, target) for held in stuck)}",
        hint="keep them in the layout, or let gpualloc's own work on them give way: --drain",
    )


def _exclusion(room: Room, held: Held, target: Layout) -> str:
    if held.place not in room.needs or held.place is None:
        return f"{held} is not in the layout"
    excluded = [str(place) for place in target if not room.together(held.place, place)]
    return f"{held} leaves no room for {', '.join(excluded)}" if excluded else f"{held} is not in the layout"


def _refuse_shared(going: Sequence[Held]) -> None:
    """A GPU instance that someone divided into several compute instances is his."""
    for one, other in pairwise(going):
        if one.place is not None and one.place == other.place:
            raise InfeasibleError(
                f"{one} and {other} share one GPU instance, which gpualloc does not take apart",
                hint="keep it in the layout, or remove it by hand",
            )


def _destroy(held: Held) -> Operation:
    return Operation(Act.DESTROY, held.place, held.uuid)


def _by_start(held: Held) -> tuple[bool, int, str, str]:
    return held.start is None, held.start or 0, held.profile, held.uuid
