"""How good forecasts of GPU demand are, and how fast; the tables of docs/foresight-forecast.md.

    python bench/forecast.py [table] [split] [speed] [ml] [peers]     # the first three when none is named

`table` is the back-test that `gpualloc forecast --series bench/data/helios-earth/demand_5min.csv.gz --horizon 24h
--backtest` makes, with the spread over series. `split` repeats it on parts of the series and of the month. `ml` adds
LightGBM and an LSTM (extra `ml`), `peers` the models of statsforecast where it is installed, on every 24th origin.
"""

from __future__ import annotations

import gzip
import sys
import time
from collections.abc import Sequence
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np

from gpualloc.forecast import registry
from gpualloc.forecast.backtest import BackTest, backtest, parts
from gpualloc.forecast.grid import doubles, matrix
from gpualloc.forecast.horizons import Horizon, up_to
from gpualloc.forecast.live import Tracker
from gpualloc.forecast.models import Bands, Model
from gpualloc.forecast.past import Past
from gpualloc.forecast.series_file import read
from gpualloc.model.forecast import QUANTILES, Grid

FILE = Path(__file__).parent / "data" / "helios-earth" / "demand_5min.csv.gz"
DAY = 288
SHORT = 5
"""Horizons up to 2 h come first."""
MANY = 8000


@cache
def earth() -> Grid:
    with gzip.open(FILE, "rt") as lines:
        return read(lines, FILE.name)


def horizons(longest_s: float = 86400.0) -> tuple[Horizon, ...]:
    return up_to(longest_s, earth().step_s)


def part(grid: Grid, series: Sequence[int], days: tuple[int, int]) -> Grid:
    rows = matrix(grid)[list(series), days[0] * DAY : days[1] * DAY]
    capacity = tuple(grid.capacity[one] for one in series)
    start_s = grid.start_s + days[0] * DAY * grid.step_s
    return Grid(tuple(grid.names[one] for one in series), start_s, grid.step_s, rows.shape[1], doubles(rows), capacity)


def ratios(found: BackTest, model: str = "chosen") -> np.ndarray:
    """Pinball loss in parts of that of the last value, by horizon."""
    return np.array([found.pinball(model, at) / found.pinball("last", at) for at in range(len(found.horizons))])


def line(name: str, values: Sequence[float], digits: int) -> str:
    return f"{name:<22}" + " ".join(f"{value:>7.{digits}f}" for value in values)


def show(found: BackTest, ahead: Sequence[Horizon]) -> None:
    places = range(len(ahead))
    for title, measure, digits in (
        ("MASE", found.mase, 3),
        ("pinball, % of capacity", found.pinball, 3),
        ("values in the 90 % band, %", found.coverage90, 1),
    ):
        print(f"\n{title:<22}" + " ".join(f"{one.name:>7}" for one in ahead))
        for model in found.scores:
            print(line(model, [measure(model, at) for at in places], digits))
    print()
    for model in found.scores:
        told = ratios(found, model)
        later = f", 6 to 24 h {told[SHORT:].mean():.3f}" if len(ahead) > SHORT else ""
        print(f"pinball of {model} / last: to 2 h {told[:SHORT].mean():.3f}{later}")
    print("\nchosen / last, by series")
    for series, name in enumerate(found.names):
        own = [found.scores["chosen"][at].pinball[series] / found.scores["last"][at].pinball[series] for at in places]
        print(line(name, own, 3))


def table() -> None:
    ahead = horizons()
    began = time.perf_counter()
    found = backtest(earth(), [one.ticks for one in ahead])
    print(f"the whole month, {len(ahead)} horizons: {time.perf_counter() - began:.1f} s")
    show(found, ahead)


def split() -> None:
    """On fewer series and other days: what was tuned on them is not told by these."""
    ahead = horizons()
    ticks = [one.ticks for one in ahead]
    for days in ((0, 31), (0, 21)):
        rows, covered = [], []
        for series in combinations(range(len(earth().names)), 4):
            if sum(series) % 5 == 0:
                found = backtest(part(earth(), series, days), ticks)
                rows.append(ratios(found))
                covered.append([found.coverage90("chosen", at) for at in range(len(ahead))])
        print(
            f"\ndays 1 to {days[1]}, {len(rows)} sets of 4 series" + " " * 10 + " ".join(f"{h.name:>5}" for h in ahead)
        )
        print(line("pinball / last, mean", np.mean(rows, axis=0), 3))
        print(line("standard deviation", np.std(rows, axis=0), 3))
        print(line("worst", np.max(rows, axis=0), 3))
        print(line("in the band, mean", np.mean(covered, axis=0), 1))
        print(line("standard deviation", np.std(covered, axis=0), 1))


def speed() -> None:
    """The tracker on made-up demand of many series: three days, five horizons."""
    draw = np.random.default_rng(0)
    jumps = draw.normal(0, 4, (MANY, 3 * DAY)) * (draw.random((MANY, 3 * DAY)) < 0.1)
    rows = np.clip(40 + np.cumsum(jumps, axis=1), 0, 100)
    grid = Grid(tuple(map(str, range(MANY))), 0.0, 300.0, 3 * DAY, doubles(rows), (100.0,) * MANY)
    began = time.perf_counter()
    tracker = Tracker(grid, [one.ticks for one in horizons(7200.0)])
    print(f"{MANY} series, {grid.ticks} ticks: learned in {time.perf_counter() - began:.1f} s")
    now = rows[:, -1].copy()
    seen, told = [], []
    for _ in range(200):
        now = np.clip(now + draw.normal(0, 1, MANY), 0, 100)
        began = time.perf_counter()
        tracker.see(now)
        middle = time.perf_counter()
        tracker.bands()
        seen.append(middle - began)
        told.append(time.perf_counter() - middle)
    for name, times in (("a tick", seen), ("3 quantiles at 5 horizons", told)):
        print(f"{name}: median {1000 * np.median(times):.2f} ms, 95 of 100 below {1000 * np.quantile(times, 0.95):.2f}")


def ml() -> None:
    ahead = horizons(7200.0)
    models = [Timed(registry.load(name).model) for name in ("lightgbm", "lstm")]
    found = backtest(earth(), [one.ticks for one in ahead], models)
    show(found, ahead)
    for model in models:
        print(f"{model.name}: {model.seconds:.0f} s")


class Timed:
    """A model with a clock."""

    def __init__(self, model: Model) -> None:
        self._model, self.name, self.seconds = model, model.name, 0.0

    def bands(self, past: Past, horizon: int, cuts: Sequence[int]) -> Bands:
        began = time.perf_counter()
        told = self._model.bands(past, horizon, cuts)
        self.seconds += time.perf_counter() - began
        return told


def peers() -> None:
    """AutoETS and AutoTheta on two days before each origin: their point and band, on every 24th origin."""
    from statsforecast.models import AutoETS, AutoTheta

    ahead = horizons(7200.0)
    rows, grid = matrix(earth()), earth()
    test, _ = parts(grid)
    longest = ahead[-1].ticks
    origins = range(test, grid.ticks - longest, 24)
    capacity = np.array(grid.capacity)
    for model in (AutoETS(), AutoTheta()):
        loss = {one.name: [] for one in ahead}
        inside = {one.name: [] for one in ahead}
        began = time.perf_counter()
        for origin in origins:
            for series, row in enumerate(rows):
                past = row[origin - 2 * DAY + 1 : origin + 1]
                told = model.forecast(past, h=longest, level=[90])
                for one in ahead:
                    at, came = one.ticks - 1, row[origin + one.ticks]
                    bands = (told["lo-90"][at], told["mean"][at], told["hi-90"][at])
                    loss[one.name].append(pinball(bands, came) / capacity[series] * 100)
                    inside[one.name].append(bands[0] <= came <= bands[2])
        fits = len(origins) * len(rows)
        print(f"{type(model).__name__}: {1000 * (time.perf_counter() - began) / fits:.0f} ms a fit, {fits} fits")
        print(line("pinball, % of capacity", [np.mean(loss[one.name]) for one in ahead], 3))
        print(line("in the 90 % band, %", [100 * np.mean(inside[one.name]) for one in ahead], 1))


def pinball(bands: Sequence[float], came: float) -> float:
    pairs = zip(QUANTILES, bands, strict=True)
    return float(np.mean([max(part * (came - band), (part - 1) * (came - band)) for part, band in pairs]))


if __name__ == "__main__":
    for name in sys.argv[1:] or ("table", "split", "speed"):
        {"table": table, "split": split, "speed": speed, "ml": ml, "peers": peers}[name]()
