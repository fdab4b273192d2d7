"""Which model forecasts a series at a horizon: by a back-test, and away from the last value on clear evidence only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gpualloc.forecast.conformal import correct
from gpualloc.forecast.grid import Matrix
from gpualloc.forecast.models import Bands
from gpualloc.forecast.past import Past
from gpualloc.forecast.scores import errors, mean_known, pinball

NAIVE = "last"
SAME_POINT = ("last", "spread")
"""Models whose median is the last value: between these a choice risks nothing on the point."""
MOST_BLOCKS = 12
FEWEST_BLOCKS = 4
"""Parts of the time in which both models were tried; with fewer there is no evidence."""
LEAST_GAIN = 0.05
"""Part by which another point must be better, in its error and in its band."""
SIGMAS = 3.0
"""And by so many standard errors of the difference between parts of the time."""
SIGMAS_SAME_POINT = 2.0


def settle(raw: Mapping[str, Bands], past: Past, horizon: int, until: int) -> tuple[tuple[str, ...], Bands]:
    """The model of each series at a horizon, and its corrected bands at all origins.

    Args:
        raw: bands of each model.
        past: the series.
        horizon: in ticks.
        until: the choice is made on outcomes known before that tick; the correction goes on learning after it.

    Returns:
        Names by series, empty where no model tells anything, and bands, NaN there.
    """
    became = past.became(horizon)
    delay = -(-horizon // past.stride)
    names = chosen(raw, became, past.seen.scale, past.known_by(until, horizon), delay)
    picked: Bands = np.full_like(raw[NAIVE], np.nan)
    for series, name in enumerate(names):
        if name:
            picked[series] = raw[name][series]
    return names, correct(picked, became, past.seen.scale, delay, past.stride)


def chosen(raw: Mapping[str, Bands], became: Matrix, scale: Matrix, known: int, overlap: int) -> tuple[str, ...]:
    """The model of each series, by its bands at the first `known` origins.

    Args:
        raw: bands of each model by series, origin and quantile; the naive one among them.
        became: the outcomes, by series and origin.
        scale: what series are measured by, by series and origin, so that they count alike.
        known: origins whose outcome may be looked at.
        overlap: origins that one outcome overlaps with; parts of the time are no shorter.
    """
    seen = slice(0, known)
    unit = np.where(scale[:, seen] > 0, scale[:, seen], 1.0)
    told = [name for name in raw if not np.isnan(raw[name][:, -1]).all() or name == NAIVE]
    losses = {name: pinball(raw[name][:, seen], became[:, seen]) / unit for name in told}
    points = {name: errors(raw[name][:, seen], became[:, seen]) / unit for name in told}
    both = ~np.isnan(losses[NAIVE])
    usual = _usual(losses, both)
    answers = []
    for series in range(len(became)):
        name = usual if usual in told else NAIVE
        blocks = _blocks(both[series], overlap)
        for other in told:
            mine, theirs = losses[name][series], losses[other][series]
            if other == name or not _tells(raw[other], series):
                continue
            if not _tells(raw[name], series):
                name = other
            elif other in SAME_POINT and name in SAME_POINT:
                if _better(theirs, mine, blocks, SIGMAS_SAME_POINT, 0.0):
                    name = other
            elif other not in SAME_POINT and (
                _better(theirs, mine, blocks, SIGMAS, LEAST_GAIN)
                and _better(points[other][series], points[NAIVE][series], blocks, SIGMAS, LEAST_GAIN)
            ):
                name = other
        answers.append(name if _tells(raw[name], series) else "")
    return tuple(answers)


def _usual(losses: Mapping[str, Matrix], both: NDArray[np.bool_]) -> str:
    """Of the models around the last value the one with the least loss over all series together."""
    totals = {}
    for name in SAME_POINT:
        if name in losses:
            of_all = losses[name][both & ~np.isnan(losses[name])]
            totals[name] = of_all.mean() if len(of_all) else np.inf
    return min(totals, key=lambda name: totals[name])


def _tells(bands: Bands, series: int) -> bool:
    return not bool(np.isnan(bands[series, :, 1]).all())


def _blocks(told: NDArray[np.bool_], overlap: int) -> Sequence[NDArray[np.int64]]:
    """The origins with an outcome in equal parts, none shorter than two outcomes overlap."""
    places = np.flatnonzero(told)
    count = min(MOST_BLOCKS, len(places) // max(1, overlap))
    return np.array_split(places, count) if count >= FEWEST_BLOCKS else []


def _better(theirs: Matrix, mine: Matrix, blocks: Sequence[NDArray[np.int64]], sigmas: float, gain: float) -> bool:
    """Whether the loss of the one is clearly below that of the other, part by part of the time."""
    if not blocks:
        return False
    one = np.array([mean_known(theirs[block]) for block in blocks])
    other = np.array([mean_known(mine[block]) for block in blocks])
    apart = other - one
    if np.isnan(apart).any():
        return False
    error = apart.std(ddof=1) / np.sqrt(len(apart))
    return bool(apart.mean() > sigmas * error and apart.mean() > gain * other.mean())
