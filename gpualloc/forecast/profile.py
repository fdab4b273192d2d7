"""What a workload will use over the next hours: from its own past, earlier runs like it, and what was declared.

Nothing is assumed of a job but that it goes on as it is for as long as it has been so. Beyond that, earlier runs speak
at the same age, then what was declared, then still itself. What nobody knows is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from msgspec import Struct

from gpualloc.forecast.change_points import Array
from gpualloc.forecast.phases import MEMORY, USE
from gpualloc.forecast.regime import Past, Regime, band_of, column_of
from gpualloc.model.declared import DeclaredPhase
from gpualloc.model.forecast import QUANTILES, Band


class Source(StrEnum):
    """Who says what will be used; the words are part of the JSON contract."""

    OWN = "own past"
    OTHERS = "earlier runs"
    DECLARED = "declared"


class Demand(Struct, frozen=True):
    """What is expected of one interval of time ahead."""

    start_s: float
    """Seconds from now."""
    end_s: float
    use: Band | None
    """Mean use of its devices in the interval, 0..1; None is unknown."""
    use_source: Source | None
    memory_mib: Band | None
    """Most GPU memory in the interval, on all its devices together. The upper edge is careful: it is what any source
    has ever seen or said, never less than the own peak."""
    memory_sources: tuple[Source, ...]


def demand_profile(
    own: Past | None,
    others: Sequence[Past],
    declared: Sequence[DeclaredPhase],
    horizons: Sequence[float],
    *,
    gpus: int = 1,
) -> tuple[Demand, ...]:
    """What a workload will use in each interval ahead, if it runs on. Deterministic.

    Args:
        own: what was measured of it; None before it starts.
        others: earlier runs like it, of its label or name, each from its start.
        declared: its declared profile; memory in it is that of each device.
        horizons: ends of the intervals in seconds from now, ascending; the first begins now.
        gpus: its devices.
    """
    age_s = 0.0 if own is None else own.age_s
    regime = None if own is None else Regime.of(own)
    found, start_s = [], 0.0
    for end_s in horizons:
        interval = _Interval(start_s, end_s, age_s)
        said = _declared(declared, interval.middle_s)
        alike = _declared_at(declared, interval.middle_s) == _declared_at(declared, age_s)
        uses = {
            Source.OWN: regime.use(start_s, end_s) if regime is not None and alike else None,
            Source.OTHERS: interval.use_of(others),
            Source.DECLARED: _said(said.gpu),
        }
        near = regime is not None and start_s < regime.length_s
        order = [Source.OWN, Source.OTHERS, Source.DECLARED] if near else [Source.OTHERS, Source.DECLARED, Source.OWN]
        source = next((one for one in order if uses[one] is not None), None)
        memory = _memory(own, regime, interval.memory_of(others), said, gpus)
        found.append(Demand(start_s, end_s, uses[source] if source else None, source, _widest(memory), tuple(memory)))
        start_s = end_s
    return tuple(found)


class _Interval(Struct, frozen=True):
    """An interval ahead of work that has lasted `age_s`."""

    start_s: float
    end_s: float
    age_s: float

    @property
    def middle_s(self) -> float:
        """The age of the work in its middle."""
        return self.age_s + (self.start_s + self.end_s) / 2

    def use_of(self, others: Sequence[Past]) -> Band | None:
        """The mean use that earlier runs had at the same age."""
        return band_of([float(known.mean()) for known in self._known(others, USE)])

    def memory_of(self, others: Sequence[Past]) -> Band | None:
        """The most memory that earlier runs had at the same age."""
        return band_of([float(known.max()) for known in self._known(others, MEMORY)])

    def _known(self, others: Sequence[Past], name: str) -> list[Array]:
        cut = [self._cut(past, name) for past in others]
        return [known for known in cut if len(known)]

    def _cut(self, past: Past, name: str) -> Array:
        first, end = (
            max(0, round((self.age_s + edge_s - past.from_age_s) / past.grid.step_s))
            for edge_s in (self.start_s, self.end_s)
        )
        column = column_of(past.grid, name)[first : max(end, first + 1)]
        return column[~np.isnan(column)]


def _memory(
    own: Past | None, regime: Regime | None, others: Band | None, said: DeclaredPhase, gpus: int
) -> dict[Source, Band]:
    """What each source says of the memory; those that know nothing are left out."""
    bands = {
        Source.OWN: None if own is None else _own_memory(own, regime),
        Source.OTHERS: others,
        Source.DECLARED: None if said.memory_mib is None else _said(float(said.memory_mib * gpus)),
    }
    return {source: band for source, band in bands.items() if band is not None}


def _own_memory(own: Past, regime: Regime | None) -> Band | None:
    """From what it has now to the most it ever had."""
    past = column_of(own.grid, MEMORY)
    past = past[~np.isnan(past)]
    if not len(past):
        return None
    lately = past if regime is None else regime.memory[~np.isnan(regime.memory)]
    usual = float(np.median(lately if len(lately) else past))
    return Band(float(np.quantile(lately if len(lately) else past, QUANTILES[0])), usual, float(past.max()))


def _widest(bands: dict[Source, Band]) -> Band | None:
    """The first source's band, with the highest upper edge of all."""
    if not bands:
        return None
    first = next(iter(bands.values()))
    return Band(first.low, first.median, max(band.high for band in bands.values()))


def _declared(declared: Sequence[DeclaredPhase], age_s: float) -> DeclaredPhase:
    at = _declared_at(declared, age_s)
    return DeclaredPhase() if at is None else declared[at]


def _declared_at(declared: Sequence[DeclaredPhase], age_s: float) -> int | None:
    """The place of the phase that is declared for that age; None when none is, or it is over."""
    end_s = 0.0
    for at, phase in enumerate(declared):
        end_s = np.inf if phase.for_s is None else end_s + phase.for_s
        if age_s < end_s:
            return at
    return None


def _said(value: float | None) -> Band | None:
    return None if value is None else Band(value, value, value)
