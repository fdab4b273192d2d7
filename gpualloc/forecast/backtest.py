"""A rolling back-test: fit on the first part of a past, choose on the middle one, score on the last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from msgspec import Struct

from gpualloc.errors import UsageError
from gpualloc.forecast.choose import settle
from gpualloc.forecast.grid import Matrix
from gpualloc.forecast.models import Bands, Model, candidates
from gpualloc.forecast.past import Past, past_of
from gpualloc.forecast.recent import DAY_S
from gpualloc.forecast.scores import errors, mean_known, misses, pinball
from gpualloc.model.forecast import Grid

CHOSEN = "chosen"
MOST_TEST_S = 10 * DAY_S
"""Longest last part; else it is a third."""
REFIT_S = 5 * DAY_S
"""Longest time from one fit to the next; and a sixth of the past at most."""
FEWEST_TICKS = 24
"""Origins that each part has beside those whose outcome is not known in time."""


class Score(Struct, frozen=True):
    """How good a model was at one horizon; arrays by series, NaN where nothing could be scored."""

    pinball: Matrix
    """Mean loss over the quantiles, in the unit of the series."""
    error: Matrix
    """Mean distance of the median from what came, in the unit of the series."""
    missed: Matrix
    """Part of the values outside the band."""
    scored: Matrix
    """How many values that is."""


class BackTest(Struct, frozen=True):
    """What a back-test found."""

    names: tuple[str, ...]
    """Of the series."""
    horizons: tuple[int, ...]
    """In ticks."""
    scores: Mapping[str, tuple[Score, ...]]
    """By model and horizon; the naive model and `chosen` among them."""
    chosen: tuple[tuple[str, ...], ...]
    """The chosen model by horizon and series; empty where nothing could be told."""
    naive_error: Matrix
    """What MASE is measured by: the error before the test of the value one day earlier; NaN where it cannot be."""
    seasonal: bool
    """Whether it is that, or the error of the value one tick earlier, for want of two days."""
    capacity: Matrix
    """Of each series; NaN where unknown."""
    step_s: float
    """Seconds between ticks."""
    test_ticks: int
    """How long the last part was."""
    stride: int
    """Ticks from one origin to the next."""

    def mase(self, model: str, horizon: int) -> float | None:
        """The error of the median in parts of the naive one, mean over series; None when of none it is known."""
        return _mean(self.scores[model][horizon].error / self.naive_error)

    def pinball(self, model: str, horizon: int) -> float | None:
        """The loss, mean over series: in percent of capacity where all are known, else in the unit of the series."""
        loss = self.scores[model][horizon].pinball
        return _mean(100 * loss / self.capacity if self.relative else loss)

    def coverage90(self, model: str, horizon: int) -> float | None:
        """Percent of all values that lay in the band; every series that could be scored counts alike."""
        inside = _mean(1 - self.scores[model][horizon].missed)
        return None if inside is None else 100 * inside

    @property
    def relative(self) -> bool:
        """Whether the pinball loss is in percent of capacity."""
        return not bool(np.isnan(self.capacity).any())


def backtest(
    grid: Grid,
    horizons: Sequence[int],
    others: Sequence[Model] = (),
    progress: Callable[[int], None] | None = None,
) -> BackTest:
    """Score the models, and the choice among them, on the last part of a grid.

    Every forecast is made from what was known at its origin: a fit sees outcomes before its cut, the choice those
    before the last part, the correction of bands those before the origin.

    Args:
        grid: the series.
        horizons: in ticks, ascending.
        others: models to score beside the candidates; they are never chosen.
        progress: told how many horizons are done.

    Raises:
        UsageError: the past is too short for the longest horizon; the hint says how long it must be.
    """
    check_length(grid, horizons)
    past = past_of(grid)
    test, cuts = parts(grid)
    scores: dict[str, list[Score]] = {}
    names = []
    for done, horizon in enumerate(horizons, 1):
        raw = candidates(past, horizon, cuts)
        picked, bands = settle(raw, past, horizon, test)
        names.append(picked)
        became = past.became(horizon)
        beside = {model.name: model.bands(past, horizon, cuts) for model in others}
        for name, told in {**raw, **beside, CHOSEN: bands}.items():
            scores.setdefault(name, []).append(_score(told, became, past.origin(test)))
        if progress is not None:
            progress(done)
    naive_error, seasonal = _naive_error(past, test)
    return BackTest(
        names=grid.names,
        horizons=tuple(horizons),
        scores={name: tuple(found) for name, found in scores.items()},
        chosen=tuple(names),
        naive_error=naive_error,
        seasonal=seasonal,
        capacity=past.capacity,
        step_s=grid.step_s,
        test_ticks=grid.ticks - test,
        stride=past.stride,
    )


def parts(grid: Grid) -> tuple[int, list[int]]:
    """The tick at which the last part begins, and those at which models are fitted anew, from the middle part on."""
    test = grid.ticks - min(grid.ticks // 3, int(MOST_TEST_S / grid.step_s))
    return test, cuts_of(grid.ticks, grid.step_s)


def cuts_of(ticks: int, step_s: float) -> list[int]:
    """Ticks at which models are fitted anew: from the end of the first third on."""
    every = max(1, min(ticks // 6, int(REFIT_S / step_s)))
    return list(range(ticks // 3, ticks, every))


def shortest(horizon: int) -> int:
    """How many ticks a past needs for a horizon of so many."""
    return 3 * (2 * horizon + FEWEST_TICKS)


def check_length(grid: Grid, horizons: Sequence[int]) -> None:
    """Refuse a past that is too short.

    Raises:
        UsageError: it is; the hint says how long it must be.
    """
    least = shortest(max(horizons))
    if grid.ticks < least:
        raise UsageError(
            f"the series cover {grid.ticks} steps of {grid.step_s:g} s, and a back-test at a horizon of"
            f" {max(horizons)} steps needs {least}",
            hint=f"series of at least {least * grid.step_s / 3600:.3g} h, or a shorter --horizon",
        )


def _score(bands: Bands, became: Matrix, first: int) -> Score:
    bands, became = bands[:, first:], became[:, first:]
    loss = pinball(bands, became)
    return Score(
        mean_known(loss),
        mean_known(errors(bands, became)),
        mean_known(misses(bands, became)),
        (~np.isnan(loss)).sum(axis=1).astype(np.float64),
    )


def _naive_error(past: Past, test: int) -> tuple[Matrix, bool]:
    before = past.rows[:, :test]
    seasonal = test >= 2 * past.period
    back = past.period if seasonal else 1
    found = mean_known(np.abs(before[:, back:] - before[:, :-back]))
    return np.where(found > 0, found, np.nan), seasonal


def _mean(values: Matrix) -> float | None:
    found = float(mean_known(values))
    return None if np.isnan(found) else found
