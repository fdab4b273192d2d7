"""MIG as data: the profiles of a GPU, places on its axis, layouts and their text, and what makes a layout legal.

The placement axis of a GPU has a number of units that is neither its count of compute slices nor that of its SMs;
sizes, starts and limits of a profile are those that the driver of that GPU tells, and its name is only a label.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import combinations

from msgspec import Struct

from gpualloc.errors import UsageError

OFF = "off"
"""The word that stands for a GPU out of MIG mode where a layout could stand."""

_PLACE = re.compile(r"\s*([A-Za-z0-9.+-]+)\s*@\s*([0-9]{1,3})\s*")
_FIELD_BITS = 16
"""Width of a field of `Room`: twice what it may hold, and far more than any GPU has of anything."""


class MigProfile(Struct, frozen=True):
    """One kind of GPU instance, as the driver of one GPU tells it.

    Sizes, starts and counts are small; who takes them from a wire refuses any above 999.
    """

    name: str
    """Such as `2g.10gb`; a label, never a source of bytes."""
    id: int
    """Number the driver creates by; differs between GPU models, so nothing is decided by it."""
    size: int
    """Width in units of the placement axis, at least 1."""
    starts: tuple[int, ...]
    """Units of the axis where an instance may begin, ascending."""
    memory_mib: int
    sm_count: int | None
    """Streaming multiprocessors of one instance; None when not told."""
    max_count: int
    """How many instances of it the GPU can have at once."""
    engines: tuple[tuple[str, int | None], ...] = ()
    """Engines of one instance by name (copy, nvdec, nvenc, nvjpg, ofa); one that is None, or left out, is not told."""
    media_extension: bool = False
    """Whether it takes the one media extension of the GPU (`+me`), which excludes others of its kind."""


class Place(Struct, frozen=True):
    """An instance of a profile beginning at a unit of the axis, written `3g.40gb@0`."""

    profile: str
    start: int

    def __str__(self) -> str:
        return f"{self.profile}@{self.start}"


Layout = tuple[Place, ...]
"""The instances of a GPU, by ascending start; empty when it has none."""


def layout_of(places: Iterable[Place]) -> Layout:
    """The places as a layout: by start, then by profile."""
    return tuple(sorted(places, key=lambda place: (place.start, place.profile)))


def parse_layout(text: str) -> Layout:
    """Turn `3g.40gb@0, 2g.20gb@4` into a layout; an empty text is a layout without instances.

    Whether a GPU can have it is for `check_layout` to say.

    Raises:
        UsageError: a piece is not a profile, `@` and a start.
    """
    if not text.strip():
        return ()
    return layout_of(_parse_place(piece) for piece in text.split(","))


def parse_target(text: str) -> Layout | None:
    """What a GPU is to become: a layout as `parse_layout` reads it, or None for `off`, which is MIG mode off.

    Raises:
        UsageError: as `parse_layout`.
    """
    return None if text.strip() == OFF else parse_layout(text)


def layout_text(layout: Layout | None) -> str:
    """The layout as `parse_target` reads it; None is MIG mode off."""
    return OFF if layout is None else ",".join(map(str, layout))


def check_layout(profiles: Sequence[MigProfile], layout: Layout) -> None:
    """Refuse a layout that no GPU with these profiles can have.

    Raises:
        UsageError: a profile the GPU lacks, an illegal start, an overlap, or more instances, media extensions or
            engines than there are.
    """
    known = {profile.name: profile for profile in profiles}
    for place in layout:
        _check_place(known, place)
    for one, other in combinations(layout, 2):
        shared = _units(known, one) & _units(known, other)
        if shared:
            raise UsageError(f"{one} and {other} overlap: both take {_units_text(shared)} of the placement axis")
    _check_counts(known, layout)
    for engine, total in engine_totals(profiles).items():
        taken = sum(_engine(known[place.profile], engine) or 0 for place in layout)
        if taken > total:
            raise UsageError(f"{layout_text(layout)} takes {taken} {engine} engines, and the GPU has {total}")


def engine_totals(profiles: Sequence[MigProfile]) -> Mapping[str, int]:
    """How many engines of each name the GPU has: those of a profile that takes the whole axis.

    An engine is left out when no such profile tells of it. No call of the driver tells these totals by themselves.
    """
    units = axis_units(profiles)
    totals: dict[str, int] = {}
    for profile in profiles:
        if profile.size == units:
            for engine, count in profile.engines:
                if count is not None:
                    totals[engine] = max(count, totals.get(engine, 0))
    return totals


def free_places(profiles: Sequence[MigProfile], layout: Layout) -> tuple[Place, ...]:
    """Every place that one more instance could take beside a legal layout, by start, then by profile."""
    room = room_of(tuple(profiles))
    return layout_of(room.open_places(room.taken(layout)))


def profiles_for(
    profiles: Sequence[MigProfile], memory_mib: int | None = None, sm_count: int | None = None
) -> tuple[MigProfile, ...]:
    """The profiles that have at least so much memory and so many SMs, the smallest first; empty when none has.

    By size, then SMs, then memory, then name. Those with a media extension, of which a GPU has one, are offered only
    when no other would do. A profile that does not tell its SMs serves no need for SMs.

    Args:
        profiles: what the driver tells of the GPU.
        memory_mib: what an instance must have in all, MiB; a margin is for the caller to add. None is no need.
        sm_count: streaming multiprocessors an instance must have; None is no need.
    """
    sufficient = [
        profile
        for profile in profiles
        if (memory_mib is None or profile.memory_mib >= memory_mib)
        and (sm_count is None or (profile.sm_count is not None and profile.sm_count >= sm_count))
    ]
    offered = [profile for profile in sufficient if not profile.media_extension] or sufficient
    return tuple(
        sorted(offered, key=lambda profile: (profile.size, profile.sm_count or 0, profile.memory_mib, profile.name))
    )


class Room(Struct, frozen=True):
    """What instances take of a GPU, packed into one number, for searches that look at many layouts.

    Everything that instances share out is a field of that number: each unit of the axis, the count of each profile, the
    media extension, each engine. A field begins so that its top bit is set once more is taken than there is. To take
    a place is to add its need, and a layout is legal when no top bit is set.
    """

    empty: int
    """What a GPU without instances has taken."""
    exceeded: int
    """The top bits of all fields."""
    needs: Mapping[Place, int]
    """What each legal place takes, in the order of profiles and starts."""
    sizes: Mapping[str, int]
    """Width of each profile in units."""

    def taken(self, layout: Iterable[Place]) -> int:
        """What the instances of the layout take together; raises KeyError for a place the GPU does not have."""
        return sum((self.needs[place] for place in layout), self.empty)

    def units(self, layout: Iterable[Place]) -> int:
        """How many units of the axis the instances of the layout take together."""
        return sum(self.sizes[place.profile] for place in layout)

    def fits(self, taken: int, place: Place) -> bool:
        """Whether one more instance could take that place beside what is taken."""
        return not (taken + self.needs[place]) & self.exceeded

    def together(self, one: Place, other: Place) -> bool:
        """Whether both places could be taken on a GPU that has nothing else."""
        return self.fits(self.empty + self.needs[one], other)

    def open_places(self, taken: int) -> list[Place]:
        """The places that one more instance could take beside what is taken."""
        return [place for place, need in self.needs.items() if not (taken + need) & self.exceeded]


@lru_cache(maxsize=64)
def room_of(profiles: tuple[MigProfile, ...]) -> Room:
    """The room of a GPU with these profiles."""
    totals = engine_totals(profiles)
    capacities: dict[object, int] = {
        **dict.fromkeys(range(axis_units(profiles)), 1),
        "media extension": 1,
        **{("count", profile.name): profile.max_count for profile in profiles},
        **{("engine", engine): total for engine, total in totals.items()},
    }
    field = {resource: _FIELD_BITS * number for number, resource in enumerate(capacities)}
    top = 1 << (_FIELD_BITS - 1)
    needs: dict[Place, int] = {}
    for profile in profiles:
        fixed = 1 << field["count", profile.name]
        fixed += profile.media_extension << field["media extension"]
        fixed += sum((_engine(profile, engine) or 0) << field["engine", engine] for engine in totals)
        for start in profile.starts:
            units = sum(1 << field[unit] for unit in range(start, start + profile.size))
            needs[Place(profile.name, start)] = fixed + units
    return Room(
        empty=sum((top - 1 - capacity) << field[resource] for resource, capacity in capacities.items()),
        exceeded=sum(top << shift for shift in field.values()),
        needs=needs,
        sizes={profile.name: profile.size for profile in profiles},
    )


def _parse_place(piece: str) -> Place:
    match = _PLACE.fullmatch(piece)
    if match is None:
        raise UsageError(
            f"{piece.strip()!r} is not a place of a MIG instance",
            hint="write profile@start, such as 3g.40gb@0,2g.20gb@4",
        )
    return Place(match[1], int(match[2]))


def _check_place(known: Mapping[str, MigProfile], place: Place) -> None:
    profile = known.get(place.profile)
    if profile is None:
        names = ", ".join(known)
        raise UsageError(
            f"the GPU has no MIG profile {place.profile!r}",
            hint=f"it has {names}" if names else "its driver tells of no MIG profile",
        )
    if place.start not in profile.starts:
        starts = ", ".join(map(str, profile.starts))
        raise UsageError(f"{place.profile} cannot start at {place.start}", hint=f"it can start at {starts}")


def _check_counts(known: Mapping[str, MigProfile], layout: Layout) -> None:
    for name, count in Counter(place.profile for place in layout).items():
        most = known[name].max_count
        if count > most:
            raise UsageError(f"{layout_text(layout)} has {count} of {name}, and the GPU can have {most}")
    extended = [place for place in layout if known[place.profile].media_extension]
    if len(extended) > 1:
        raise UsageError(f"{layout_text(tuple(extended))} each take the media extension, and the GPU has one")


def axis_units(profiles: Sequence[MigProfile]) -> int:
    """How many units the placement axis of a GPU with these profiles has; 0 without any."""
    return max((start + profile.size for profile in profiles for start in profile.starts), default=0)


def _units(known: Mapping[str, MigProfile], place: Place) -> set[int]:
    return set(range(place.start, place.start + known[place.profile].size))


def _units_text(units: set[int]) -> str:
    first, last = min(units), max(units)
    return f"unit {first}" if first == last else f"units {first} to {last}"


def _engine(profile: MigProfile, engine: str) -> int | None:
    return dict(profile.engines).get(engine)
