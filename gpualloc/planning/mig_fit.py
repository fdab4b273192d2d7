"""The layout that makes room on a GPU for instances that waiting work needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from operator import itemgetter

from gpualloc.model.mig import Layout, MigProfile, Room, layout_of, room_of
from gpualloc.planning.mig import Held

_Rank = tuple[int, int, tuple[tuple[int, str], ...]]
Worth = Callable[[Layout], float | None]
"""What a GPU is worth to work to come with these instances in use; None when not known."""


def layout_for(
    profiles: Sequence[MigProfile], current: Sequence[Held], wanted: Sequence[str], worth: Worth = lambda _: None
) -> Layout | None:
    """The layout that has one more instance for each wanted profile beside every instance in use.

    A free instance of a wanted profile does not count for it: one that work is meant for is given as in use. Of the
    free instances the fewest are given up, then those of the fewest units. Then what is new is placed so that what is
    used is worth most, as far as that is known, and so that the most places stay open beside it: first with the free
    instances gone, as a later repartition may have them, then beside them, as the GPU is. The open places of all
    profiles count alike; to leave the most of them is also how drivers seem to choose when not told, and it keeps
    small instances from cutting large places. At last the lowest starts decide, so that equal input gives an equal
    answer.

    Args:
        profiles: what the driver tells of the GPU.
        current: its instances.
        wanted: names of profiles, each as often as it is wanted.
        worth: what the instances in use leave for work to come.

    Returns:
        None when there is no such layout: no room, a profile the GPU lacks, or an instance whose place is not known.
    """
    room = room_of(tuple(profiles))
    there = [held.place for held in current if held.place is not None and held.place in room.needs]
    if len(there) < len(current) or not room.sizes.keys() >= set(wanted):
        return None
    # Several on one place share a GPU instance that someone else divided: it stays as it is.
    shared = {place for place, count in Counter(there).items() if count > 1}
    used = layout_of({held.place for held in current if held.in_use and held.place is not None} | shared)
    free = layout_of(set(there) - set(used))
    choices = [
        tuple(place for place in room.needs if place.profile == name)
        for name in sorted(wanted, key=lambda name: (-room.sizes[name], name))
    ]
    for count in range(len(free) + 1):
        found = [
            (
                room.units(given_up),
                -(worth((*used, *added)) or 0.0),
                _rank(room, used, kept, added),
                (*used, *kept, *added),
            )
            for given_up in combinations(free, count)
            for kept in [tuple(place for place in free if place not in given_up)]
            for added in _placings(room, room.taken((*used, *kept)), choices)
        ]
        if found:
            return layout_of(min(found, key=itemgetter(0, 1, 2))[-1])
    return None


def _rank(room: Room, used: Layout, kept: Layout, added: Layout) -> _Rank:
    """Smaller is better."""
    taken = room.taken((*used, *added))
    beside_used = len(room.open_places(taken))
    beside_all = len(room.open_places(taken + room.taken(kept) - room.empty))
    starts = tuple((place.start, place.profile) for place in layout_of(added))
    return -beside_used, -beside_all, starts


def _placings(room: Room, taken: int, choices: Sequence[Layout], lowest: int = 0) -> Iterator[Layout]:
    """Every way to take one place of each choice, like ones in ascending order and the first not below that unit."""
    if not choices:
        yield ()
        return
    first, rest = choices[0], choices[1:]
    for place in first:
        if place.start >= lowest and room.fits(taken, place):
            again = place.start if rest and rest[0] == first else 0
            for others in _placings(room, taken + room.needs[place], rest, again):
                yield (place, *others)
