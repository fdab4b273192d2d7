"""Which model forecasts a series at a horizon: by a back-test, and away from the last value on clear evidence only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

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
MOST_PARTS = 12
FEWEST_PARTS = 4
"""Parts of the time in which both models were tried; with fewer there is no evidence."""
CLEAR = (2.0, 0.0)
"""By how many standard errors of the difference between parts of the time, and by what part of itself, the loss must be
less, to choose another model around the same point."""
VERY_CLEAR = (3.0, 0.05)
"""The same to choose another point: in its error as in its band."""


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
    """The model of each series, by its bands at the first `known` origins; empty where none tells anything.

    Args:
        raw: bands of each model by series, origin and quantile; the naive one among them.
        became: the outcomes, by series and origin.
        scale: what series are measured by, by series and origin, so that they count alike.
        known: origins whose outcome may be looked at.
        overlap: origins that one outcome overlaps with; parts of the time are no shorter.
    """
    seen = slice(0, known)
    unit = np.where(scale[:, seen] > 0, scale[:, seen], 1.0)
    losses = {name: pinball(bands[:, seen], became[:, seen]) / unit for name, bands in raw.items()}
    points = {name: errors(bands[:, seen], became[:, seen]) / unit for name, bands in raw.items()}
    parts = _parts(losses[NAIVE], overlap)
    tells = {name: ~np.isnan(bands[:, -1, 1]) for name, bands in raw.items()}
    answers = np.full(len(became), _usual(losses), dtype=object)
    for other in SAME_POINT:
        clearly = _better(losses, other, answers, parts, CLEAR)
        answers[clearly & tells[other]] = other
    for other in raw:
        if other not in SAME_POINT:
            naive = np.full(len(became), NAIVE, dtype=object)
            clearly = _better(losses, other, answers, parts, VERY_CLEAR)
            clearly &= _better(points, other, naive, parts, VERY_CLEAR)
            answers[clearly & tells[other]] = other
    for series, answer in enumerate(answers):
        if not tells[answer][series]:
            answers[series] = NAIVE if tells[NAIVE][series] else ""
    return tuple(answers)


def _usual(losses: Mapping[str, Matrix]) -> str:
    """Of the models around the last value the one with the least loss over all series, where all of them tell."""
    both = ~np.isnan(sum(losses[name] for name in SAME_POINT))
    if not both.any():
        return NAIVE
    return min(SAME_POINT, key=lambda name: float(losses[name][both].mean()))


def _parts(told: Matrix, overlap: int) -> list[slice]:
    """The time in which something was told, in equal parts, none shorter than two outcomes overlap."""
    places = np.flatnonzero(~np.isnan(told).all(axis=0))
    count = min(MOST_PARTS, len(places) // max(1, overlap))
    if count < FEWEST_PARTS:
        return []
    ends = np.linspace(places[0], places[-1] + 1, count + 1).astype(int)
    return [slice(first, last) for first, last in pairwise(ends)]


def _better(
    losses: Mapping[str, Matrix],
    other: str,
    than: NDArray[np.object_],
    parts: Sequence[slice],
    evidence: tuple[float, float],
) -> NDArray[np.bool_]:
    """Of which series the loss of `other` is clearly below that of the model named, part by part of the time."""
    if not parts:
        return np.zeros(len(than), np.bool_)
    theirs = np.stack([mean_known(losses[other][:, part]) for part in parts], axis=1)
    mine = np.empty_like(theirs)
    for name in set(than):
        rows = than == name
        mine[rows] = np.stack([mean_known(losses[name][rows, part]) for part in parts], axis=1)
    apart = mine - theirs
    mean = apart.mean(axis=1)
    error = apart.std(axis=1, ddof=1) / np.sqrt(len(parts))
    sigmas, gain = evidence
    # A part without a value makes all of it NaN, and nothing is better than that.
    found: NDArray[np.bool_] = (mean > sigmas * error) & (mean > gain * mine.mean(axis=1))
    return found
