"""The candidates: each tells a band for every series at every origin, from what was known before and at that origin.

A band is three numbers, those of `QUANTILES`, in the unit of the series; NaN where the model has nothing to say. A
model is fitted on outcomes that were known at some tick and then used for origins from that tick on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from gpualloc.forecast import linear
from gpualloc.forecast.grid import Matrix, known_quantiles
from gpualloc.forecast.past import Past
from gpualloc.forecast.recent import HOUR_S
from gpualloc.model.forecast import QUANTILES

FEWEST_RESIDUALS = 20
"""Residuals of a series from which the edges of its band are taken; with fewer there is none."""

_PART = 4_000_000
"""Values of windows that are looked at together."""

Bands = Matrix
"""By series, origin and quantile."""


class Model(Protocol):
    """A way to tell bands."""

    @property
    def name(self) -> str:
        """What tables and the configuration call it."""
        ...

    def bands(self, past: Past, horizon: int, cuts: Sequence[int]) -> Bands:
        """Bands at all origins from the first cut on, NaN before.

        Args:
            past: the series.
            horizon: in ticks.
            cuts: ticks at which the model is fitted anew, ascending; a fit sees only outcomes before its cut, and is
                used from there to the next cut.
        """
        ...


class Around:
    """A point, with edges from how far it was off before: of each series by itself, at that horizon."""

    def __init__(self, name: str, points: Callable[[Past, int], Matrix]) -> None:
        self.name = name
        self._points = points

    def bands(self, past: Past, horizon: int, cuts: Sequence[int]) -> Bands:
        """As `Model.bands`."""
        points = self._points(past, horizon)
        off = past.became(horizon) - points
        out = np.full((*points.shape, len(QUANTILES)), np.nan)
        for cut, here in spans(past, cuts):
            low, high = edges(off[:, : past.known_by(cut, horizon)])
            out[:, here, 0] = points[:, here] + low[:, None]
            out[:, here, 1] = np.where(np.isnan(low)[:, None], np.nan, points[:, here])
            out[:, here, 2] = points[:, here] + high[:, None]
        return ordered(out, past)


class Empirical:
    """The quantiles of the last four hours themselves, at every horizon."""

    name = "quantiles"

    def bands(self, past: Past, horizon: int, cuts: Sequence[int]) -> Bands:  # noqa: ARG002  the same at every horizon
        """As `Model.bands`."""
        out = np.full((len(past.rows), len(past.ticks), len(QUANTILES)), np.nan)
        if cuts:
            first = past.origin(cuts[0])
            out[:, first:] = _over_windows(past, 4 * HOUR_S, QUANTILES, first)
        out[np.isnan(past.seen.latest)] = np.nan
        return ordered(out, past)


class Linear:
    """Quantiles of the change to come, linear in what is remembered of a series, with one fit for all series."""

    name = "linear"

    def bands(self, past: Past, horizon: int, cuts: Sequence[int]) -> Bands:
        """As `Model.bands`."""
        seen = past.seen
        scale = np.where(seen.scale > 0, seen.scale, 1.0)
        change = (past.became(horizon) - seen.latest) / scale
        out = np.full((*change.shape, len(QUANTILES)), np.nan)
        weights: list[Matrix | None] = [None] * len(QUANTILES)
        for cut, here in spans(past, cuts):
            known = past.known_by(cut, horizon)
            told = ~np.isnan(change[:, :known])
            features, targets = seen.features[:, :known][told], change[:, :known][told]
            for place, quantile in enumerate(QUANTILES):
                weights[place] = linear.fit(features, targets, quantile, weights[place])
                found = weights[place]
                if found is not None:
                    out[:, here, place] = seen.latest[:, here] + (seen.features[:, here] @ found) * seen.scale[:, here]
        return ordered(out, past)


def spread(last: Bands, pooled: Bands) -> Bands:
    """The candidate `spread`: the last value, its edges half way between those of `last` and of `linear`.

    The one knows the series, the other how it has been lately; their mean is better than either.
    """
    out = (last + pooled) / 2
    middle = last[..., 1]
    out[..., 1] = np.where(np.isnan(out[..., 1]), np.nan, middle)
    out[..., 0] = np.minimum(out[..., 0], middle)
    out[..., 2] = np.maximum(out[..., 2], middle)
    return out


def spans(past: Past, cuts: Sequence[int]) -> list[tuple[int, slice]]:
    """Each cut with the origins from there to the next one."""
    places = [*(past.origin(cut) for cut in cuts), len(past.ticks)]
    return [(cut, slice(places[at], places[at + 1])) for at, cut in enumerate(cuts)]


def edges(residuals: Matrix) -> tuple[Matrix, Matrix]:
    """The outer quantiles of the known residuals of each row; NaN for a row with too few."""
    found = known_quantiles(residuals, (QUANTILES[0], QUANTILES[-1]))
    found[(~np.isnan(residuals)).sum(axis=1) < FEWEST_RESIDUALS] = np.nan
    return found[:, 0], found[:, 1]


def ordered(bands: Bands, past: Past) -> Bands:
    """The bands with low ≤ median ≤ high, and none below 0 of a series that never was."""
    low, middle, high = bands[..., 0], bands[..., 1], bands[..., 2]
    never_below = ~(np.fmin.accumulate(past.rows, axis=1)[:, past.ticks] < 0)
    np.copyto(bands, np.maximum(bands, 0.0), where=never_below[..., None] & ~np.isnan(bands))
    bands[..., 0] = np.minimum(low, middle)
    bands[..., 2] = np.maximum(high, middle)
    bands[np.isnan(bands).any(axis=-1)] = np.nan
    return bands


def _last(past: Past, _: int) -> Matrix:
    return past.seen.latest


def _level(past: Past, _: int) -> Matrix:
    return np.where(np.isnan(past.seen.latest), np.nan, past.seen.level)


def _half_day(past: Past, horizon: int) -> Matrix:
    """Half the last value, half the value one day (or more, for longer horizons) before the moment in question."""
    back = past.period * -(-horizon // past.period)
    places = past.ticks + horizon - back
    before = np.where(places >= 0, past.carried[:, np.maximum(places, 0)], np.nan)
    return (past.seen.latest + before) / 2


def _median(past: Past, _: int) -> Matrix:
    middle = _over_windows(past, HOUR_S, (0.5,), 0)[..., 0]
    return np.where(np.isnan(past.seen.latest), np.nan, middle)


def _over_windows(past: Past, seconds: float, quantiles: Sequence[float], first: int) -> Matrix:
    """Quantiles over so long before each origin from place `first` on; in parts, so that memory stays bounded."""
    part = max(1, _PART // max(1, len(past.rows) * round(seconds / past.step_s)))
    starts = range(first, len(past.ticks), part)
    ends = [min(start + part, len(past.ticks)) for start in starts]
    found = [
        known_quantiles(past.windows(seconds, start, end), quantiles) for start, end in zip(starts, ends, strict=True)
    ]
    return np.concatenate(found, axis=1)


BASIC: tuple[Model, ...] = (
    Around("last", _last),
    Around("ewma", _level),
    Around("half-day", _half_day),
    Around("median", _median),
    Empirical(),
    Linear(),
)


class Spread:
    """The last value; its edges half way between those of `last` and of `linear`."""

    name = "spread"

    def bands(self, past: Past, horizon: int, cuts: Sequence[int]) -> Bands:
        """As `Model.bands`."""
        return candidates(past, horizon, cuts)[self.name]


NAMES = (*(model.name for model in BASIC), "spread")
"""The candidates in the order of tables, the naive one first."""


def candidates(past: Past, horizon: int, cuts: Sequence[int]) -> dict[str, Bands]:
    """The bands of all candidates, as `Model.bands` tells them."""
    told = {model.name: model.bands(past, horizon, cuts) for model in BASIC}
    return {**told, "spread": spread(told["last"], told["linear"])}
