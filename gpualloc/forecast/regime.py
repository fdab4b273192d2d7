"""What a run does now: the newest stretch in which it goes on as it is, and what that says of the time ahead."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gpualloc.forecast.change_points import Array
from gpualloc.forecast.phases import MEMORY, USE, Phase, PhaseName, Phases, find_phases
from gpualloc.model.forecast import QUANTILES, Band, Grid

_LEAST_TICKS = 12
"""Known readings from which a stretch speaks."""
_LEAST_PERIODS = 3
"""Whole periods from which epochs are expected to go on."""
_LEAST_WINDOWS = 3
"""A band is taken from at least that many stretches of time side by side."""
_SAME_LEVEL = 0.05
"""Steady phases whose use differs by less are alike."""
_LIKELY_CHANGES = 0.1
"""From so many expected changes on a band reaches over all that was seen."""
_GOES_ON = frozenset({PhaseName.STEADY, PhaseName.EPOCH, PhaseName.STALL, PhaseName.DIP})


class Past(Struct, frozen=True):
    """What was measured of one run."""

    grid: Grid
    """Series named by metric, as for `find_phases`; of all its devices together."""
    from_age_s: float = 0.0
    """How long the run had lasted when the grid begins."""

    @property
    def age_s(self) -> float:
        """How long it had lasted when the grid ends."""
        return self.from_age_s + self.grid.ticks * self.grid.step_s


class Regime(Struct, frozen=True):
    """The newest stretch of a run in which it goes on as it is."""

    values: Array
    """Use, tick by tick."""
    memory: Array
    step_s: float
    period: int | None
    """Ticks from one epoch boundary to the next; None when there are no even ones."""
    before: Array
    """Use since it first reached what it uses for most of the time, this stretch included."""
    changes: int
    """How often it took another lasting level in that time."""

    @property
    def length_s(self) -> float:
        """How long it has been so."""
        return len(self.values) * self.step_s

    @staticmethod
    def of(past: Past) -> Regime | None:
        """None when the run only warms up, or too little is known of what it does now."""
        found = find_phases(past.grid, from_start=past.from_age_s == 0.0)
        first_s = _goes_on_since(found)
        if first_s is None:
            return None
        first, warm = (_tick(past.grid, at_s) for at_s in (first_s, _warm_s(found)))
        use = column_of(past.grid, USE)
        if np.count_nonzero(~np.isnan(use[first:])) < _LEAST_TICKS:
            return None
        period = None if found.period_s is None else round(found.period_s / past.grid.step_s)
        whole = period is not None and len(use) - first >= _LEAST_PERIODS * period
        return Regime(
            use[first:],
            column_of(past.grid, MEMORY)[first:],
            past.grid.step_s,
            period if whole else None,
            use[min(first, warm) :],
            _changes(found),
        )

    def use(self, start_s: float, end_s: float) -> Band | None:
        """The mean use of intervals of that length: of those at the same place of the epoch, else of all.

        Where it changed so often that it may well do so again by then, the band reaches over all that it did.
        """
        # Of a time as long as all that was seen it tells little: shorter ones spread wider.
        length = max(1, min(round((end_s - start_s) / self.step_s), len(self.values) // _LEAST_WINDOWS))
        starts = np.arange(len(self.values) - length + 1)
        if self.period is not None and length < self.period * _LEAST_PERIODS:
            late = (starts - len(self.values) - round(start_s / self.step_s)) % self.period
            # A tick earlier or later is the same place: a period is told in whole ticks.
            starts = starts[np.minimum(late, self.period - late) <= 1]
        band = band_of(_means(self.values, starts, length), alone=len(self.values) // length)
        if band is None or self.changes * end_s <= _LIKELY_CHANGES * len(self.before) * self.step_s:
            return band
        seen = _means(self.before, np.arange(len(self.before) - length + 1), length)
        return Band(min(band.low, *seen), band.median, max(band.high, *seen))


def band_of(values: Sequence[float], *, alone: int | None = None) -> Band | None:
    """The quantiles of what was seen; of few values the lowest and the highest.

    `alone` says how many of the values say something that no other one does; None is all.
    """
    if not len(values):
        return None
    low, median, high = np.quantile(np.asarray(values, dtype=np.float64), QUANTILES).tolist()
    few = (len(values) if alone is None else alone) < round(1 / QUANTILES[0])
    return Band(min(values) if few else low, median, max(values) if few else high)


def column_of(grid: Grid, name: str) -> Array:
    """A series of the grid; unknown throughout when it is not in it."""
    if name not in grid.names:
        return np.full(grid.ticks, np.nan)
    at = grid.names.index(name)
    return np.asarray(grid.values[at * grid.ticks : (at + 1) * grid.ticks], dtype=np.float64)


def _means(values: Array, starts: NDArray[np.intp], length: int) -> list[float]:
    """The mean of what is known in each stretch; those of which nothing is known are left out."""
    known = ~np.isnan(values)
    sums = np.concatenate(([0.0], np.where(known, values, 0.0).cumsum()))
    counts = np.concatenate(([0], known.cumsum()))
    seen = counts[starts + length] - counts[starts]
    means: list[float] = ((sums[starts + length] - sums[starts])[seen > 0] / seen[seen > 0]).tolist()
    return means


def _tick(grid: Grid, at_s: float) -> int:
    return round((at_s - grid.start_s) / grid.step_s)


def _warm_s(found: Phases) -> float:
    first = found.phases[0]
    return first.end_s if first.name is PhaseName.WARM_UP else first.start_s


def _goes_on_since(found: Phases) -> float | None:
    """Since when it goes on as it is; None while it warms up, or when its use is not known."""
    since_s, steady = None, None
    for phase in reversed(found.phases):
        if phase.name not in _GOES_ON:
            if since_s is None and phase.name in (PhaseName.IDLE, PhaseName.TAIL):
                return phase.start_s
            break
        if phase.name is PhaseName.STEADY:
            if steady is not None and not _alike(steady, phase):
                break
            steady = steady or phase
        since_s = phase.start_s
    return since_s


def _changes(found: Phases) -> int:
    """How often a steady phase was followed by one of another level, or by none."""
    lasting = [phase for phase in found.phases if phase.name in (PhaseName.STEADY, PhaseName.IDLE, PhaseName.TAIL)]
    return sum(not _alike(one, later) for one, later in pairwise(lasting))


def _alike(one: Phase, other: Phase) -> bool:
    return one.use is not None and other.use is not None and abs(one.use - other.use) < _SAME_LEVEL
