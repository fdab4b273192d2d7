"""Where MIG instances may lie on the placement axis of a GPU."""

from __future__ import annotations

from collections.abc import Sequence

from gpualloc.sim.catalog import MigProfile, MigTable

Held = tuple[MigProfile, int]
"""A profile and the unit where its instance starts."""


def legal_starts(table: MigTable, held: Sequence[Held], profile: MigProfile) -> tuple[int, ...]:
    """Units where one more instance of the profile could be made, ascending; empty when none is left."""
    if not _allowed(table, held, profile):
        return ()
    return tuple(start for start in profile.starts if not any(_overlap(profile, start, *other) for other in held))


def default_start(table: MigTable, held: Sequence[Held], profile: MigProfile) -> int | None:
    """Where the driver puts an instance when no place is asked for; None when it fits nowhere.

    The start that leaves the most (profile, start) pairs legal, the lowest of several. Inferred from published
    listings, not documented: good as a default of the simulation, nothing to rely on.
    """
    starts = legal_starts(table, held, profile)
    return max(starts, key=lambda start: (_choices(table, [*held, (profile, start)]), -start), default=None)


def free_count(table: MigTable, held: Sequence[Held], profile: MigProfile) -> int:
    """How many more instances of the profile could be made beside those held."""
    made: list[Held] = list(held)
    for start in profile.starts:
        if start in legal_starts(table, made, profile):
            made.append((profile, start))
    return len(made) - len(held)


def _choices(table: MigTable, held: Sequence[Held]) -> int:
    return sum(len(legal_starts(table, held, profile)) for profile in table.profiles)


def _overlap(profile: MigProfile, start: int, other: MigProfile, other_start: int) -> bool:
    return start < other_start + other.size and other_start < start + profile.size


def _allowed(table: MigTable, held: Sequence[Held], profile: MigProfile) -> bool:
    """Whether counts and shared engines leave room, wherever it would lie."""
    others = [other for other, _ in held]
    if len(others) >= table.max_instances or others.count(profile) >= profile.max_instances:
        return False
    if profile.holds_media_extension and any(other.holds_media_extension for other in others):
        return False
    return all(
        sum(member.engines[engine] or 0 for member in (*others, profile)) <= total
        for engine, total in table.engine_totals.items()
    )
