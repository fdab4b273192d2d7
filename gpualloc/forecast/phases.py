"""Names for the parts of a workload's series, from nothing but what was measured: no framework or physics is assumed.

A part counts as low when the GPU is used much less than in most of the time; what low parts are called follows from
where they lie, how long they are, and whether they come at even intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import numpy as np
from msgspec import Struct

from gpualloc.forecast.change_points import LEAST_TICKS, Array, Partition, partition
from gpualloc.model.forecast import Grid

USE, MEMORY, POWER = "gpu_utilization_ratio", "gpu_memory_used_mib", "power_w"
IDLE_USE = 0.05
"""Use up to which a GPU does as good as nothing."""
_STALL_USE = 0.1
_LOW = 0.75
"""Low is less than this part of what is used for most of the time, and at least `_LOW_BY` less."""
_LOW_BY = 0.1
_BUSY_QUANTILE = 0.75
_DIP_S = 900.0
"""A low part is a dip up to this length, or up to half of the shorter of the parts beside it."""
_KEPT_MEMORY = 0.95
"""Memory stays when it is at least this part of what it was before."""
_EVEN = 0.15
"""Intervals are even when they differ from the usual one, or from two or three of it, by at most this part of it."""
_EVEN_PART = 0.7
_LEAST_DIPS = 3
_USE_FLOOR = 0.03
_MEMORY_FLOOR_MIB, _MEMORY_FLOOR = 64.0, 0.01
_POWER_FLOOR_W, _POWER_FLOOR = 5.0, 0.02


class PhaseName(StrEnum):
    """What a phase is called; the words are part of the JSON contract."""

    WARM_UP = "warm-up"
    """Low from the start of the work until it first reaches what it uses for most of the time."""
    STEADY = "steady"
    EPOCH = "epoch boundary"
    """A dip of those that come at even intervals: an evaluation, a checkpoint, the end of an epoch."""
    STALL = "data stall"
    """An uneven dip to near nothing while the GPU memory stays."""
    DIP = "dip"
    """Another dip: nothing more is known of it."""
    IDLE = "idle"
    """Near nothing, for longer than a dip."""
    TAIL = "tail"
    """Low up to now, for longer than any dip before."""
    UNKNOWN = "unknown"
    """The use was not measured."""


class Phase(Struct, frozen=True):
    """A part of a workload's time in which it behaves alike. Levels are medians; None is unknown."""

    name: PhaseName
    start_s: float
    """Epoch seconds; it lasts to the start of the next one."""
    end_s: float
    use: float | None
    """GPU use, 0..1."""
    memory_mib: float | None
    power_w: float | None
    effect: float | None
    """How far it is from the phase before, in standard deviations of the noise; None for the first."""


class Phases(Struct, frozen=True):
    """The phases of a workload, oldest first."""

    phases: tuple[Phase, ...]
    period_s: float | None
    """Usual time from one epoch boundary to the next; None when there are no such."""
    unexplained: float
    """Part of the spread of the series that the phases leave, 0..1."""


class _Part(Struct, frozen=True):
    """Neighbouring parts of the partition that are low together, or one that is not."""

    first: int
    end: int
    use: float | None
    memory_mib: float | None
    low: bool


def find_phases(grid: Grid, *, from_start: bool, least: int = LEAST_TICKS) -> Phases:
    """Cut a workload's time into phases and name them. Deterministic.

    Args:
        grid: series of the workload, named by metric: `gpu_utilization_ratio`, `gpu_memory_used_mib`, `power_w`;
            others are not looked at, and none of them is needed.
        from_start: whether the grid begins when the work began; without that nothing is called a warm-up.
        least: ticks of the shortest part; what is shorter is noise.
    """
    columns = {
        name: np.asarray(grid.values[at * grid.ticks : (at + 1) * grid.ticks], dtype=np.float64)
        for at, name in enumerate(grid.names)
        if name in (USE, MEMORY, POWER)
    }
    if not columns or not grid.ticks:
        return Phases((), None, 0.0)
    found = partition(np.stack(list(columns.values()), axis=1), [_floor(*one) for one in columns.items()], least)
    parts = _joined(found, columns)
    names, period = _named(parts, grid.step_s, from_start=from_start)
    effects = dict(zip(found.bounds[1:-1], found.effects, strict=True))
    phases = tuple(
        Phase(
            name,
            grid.start_s + part.first * grid.step_s,
            grid.start_s + part.end * grid.step_s,
            part.use,
            part.memory_mib,
            _level(columns, POWER, part.first, part.end),
            effects.get(part.first),
        )
        for name, part in zip(names, parts, strict=True)
    )
    return Phases(phases, None if period is None else period * grid.step_s, found.unexplained)


def _floor(name: str, column: Array) -> float:
    """The least noise of a reading, in its unit."""
    known = column[~np.isnan(column)]
    highest = float(known.max()) if len(known) else 0.0
    if name == USE:
        return _USE_FLOOR
    if name == MEMORY:
        return max(_MEMORY_FLOOR_MIB, _MEMORY_FLOOR * highest)
    return max(_POWER_FLOOR_W, _POWER_FLOOR * highest)


def _level(columns: Mapping[str, Array], name: str, first: int, end: int) -> float | None:
    """The median of the known readings; None when none is."""
    column = columns.get(name)
    known = np.empty(0) if column is None else column[first:end]
    known = known[~np.isnan(known)]
    return float(np.median(known)) if len(known) else None


def _joined(found: Partition, columns: Mapping[str, Array]) -> list[_Part]:
    """The parts, with those that are low one after the other as one."""
    cut = [
        (first, end, _level(columns, USE, first, end))
        for first, end in zip(found.bounds, found.bounds[1:], strict=False)
    ]
    busy = _busy([(end - first, use) for first, end, use in cut if use is not None])
    parts: list[_Part] = []
    for first, end, use in cut:
        low = use is not None and use < busy * _LOW and busy - use > _LOW_BY
        start = parts.pop().first if low and parts and parts[-1].low else first
        parts.append(_Part(start, end, _level(columns, USE, start, end), _level(columns, MEMORY, start, end), low))
    return parts


def _busy(parts: Sequence[tuple[int, float]]) -> float:
    """The use that is reached or passed for a quarter of the time."""
    passed, whole = 0, sum(ticks for ticks, _ in parts)
    for ticks, use in sorted(parts, key=lambda part: part[1]):
        passed += ticks
        if passed >= _BUSY_QUANTILE * whole:
            return use
    return 0.0


def _named(parts: Sequence[_Part], step_s: float, *, from_start: bool) -> tuple[list[PhaseName], float | None]:
    """A name for each part, and the ticks from one epoch boundary to the next."""
    dips = [at for at, part in enumerate(parts) if part.low and at and _is_dip(parts, at, step_s)]
    even, period = _even([parts[at].first for at in dips])
    names = []
    for at, part in enumerate(parts):
        if part.use is None:
            names.append(PhaseName.UNKNOWN)
        elif at == 0 and part.low and from_start and len(parts) > 1:
            names.append(PhaseName.WARM_UP)
        elif at in dips:
            names.append(PhaseName.EPOCH if part.first in even else _dip_name(parts[at - 1], part))
        elif part.use <= IDLE_USE:
            names.append(PhaseName.IDLE)
        else:
            names.append(PhaseName.TAIL if part.low and at == len(parts) - 1 and at else PhaseName.STEADY)
    return names, period


def _is_dip(parts: Sequence[_Part], at: int, step_s: float) -> bool:
    """Whether a low part is short."""
    part, beside = parts[at], [parts[near] for near in (at - 1, at + 1) if near < len(parts)]
    length = part.end - part.first
    return length * step_s <= _DIP_S or (
        len(beside) > 1 and length <= min(each.end - each.first for each in beside) / 2
    )


def _dip_name(before: _Part, part: _Part) -> PhaseName:
    """What a dip is called that belongs to no even row."""
    stays = None not in (before.memory_mib, part.memory_mib) and (part.memory_mib or 0.0) >= _KEPT_MEMORY * (
        before.memory_mib or 0.0
    )
    return PhaseName.STALL if stays and (part.use or 0.0) <= _STALL_USE else PhaseName.DIP


def _even(starts: Sequence[int]) -> tuple[set[int], float | None]:
    """The starts that lie at even intervals, and the interval; one or two missing between them are no matter."""
    if len(starts) < _LEAST_DIPS:
        return set(), None
    gaps = np.diff(np.array(starts, dtype=np.float64))
    usual = float(np.median(gaps))
    fits = [bool(abs(gap - usual * max(1, min(3, round(gap / usual)))) <= _EVEN * usual) for gap in gaps.tolist()]
    if sum(fits) < _EVEN_PART * len(fits):
        return set(), None
    members = {starts[at + side] for at, fit in enumerate(fits) if fit for side in (0, 1)}
    return members, usual
