"""What our own past says will be: series of samples and of the books, given to the forecaster that is configured."""

from __future__ import annotations

import difflib
import math
from array import array
from collections.abc import Sequence
from typing import TypeGuard

from msgspec.structs import replace

from gpualloc.engine.context import Context
from gpualloc.engine.demand_series import demand_at
from gpualloc.engine.serial import NoForecaster
from gpualloc.errors import NotFoundError, UsageError
from gpualloc.forecast.gridding import joined, ticks_of
from gpualloc.model.forecast import QUANTILES, Band, Forecasts, Grid
from gpualloc.model.foresight import ARRIVALS, DEMAND, By, Foresight, KeptForecast, Steps, Subject
from gpualloc.model.sample import METRICS, Metric, SeriesKind
from gpualloc.ports import Forecaster

STEP_S = 300
"""Usual step of the grid; shorter when a shorter horizon is asked for."""
PAST_S = 14 * 86_400
"""How much of the past a forecaster is given, at most."""
KEPT_PER_HORIZON = 4
"""How many forecasts are kept while one horizon passes: those made closer together say nearly the same."""
_UNITS = {DEMAND: "GPUs", ARRIVALS: "requests"}


def foresee(
    ctx: Context,
    what: str,
    horizons_s: Sequence[float],
    *,
    by: By | None = None,
    pool: str | None = None,
    node: str | None = None,
    device: str | None = None,
    forecaster: Forecaster | None = None,
) -> Foresight:
    """Look ahead at series of one kind, from what is remembered alone: no node is looked at, and no lock is taken.

    Args:
        ctx: the ports.
        what: a metric that is kept, `DEMAND` or `ARRIVALS`.
        horizons_s: how far ahead, in seconds above 0; rounded up to steps of the grid.
        by: what demand and arrivals are told apart by; None is by pool.
        pool: only what belongs to it.
        node: readings of this node only.
        device: readings of this device only.
        forecaster: in place of the one that is configured.

    Raises:
        NotFoundError: no such metric or pool.
        UsageError: an option that does not go with this kind of series.
    """
    subject = _subject(what, by, pool)
    check_pool(ctx, pool)
    step_s = _step_s(ctx, horizons_s)
    if what not in _UNITS:
        grid = _of_samples(ctx, subject, step_s, node, device)
    elif node is None and device is None:
        grid = _of_books(ctx, subject, step_s)
    else:
        raise UsageError(f"{what} is not of nodes or devices", hint="--pool chooses a pool")
    by_whom = forecaster or ctx.forecaster
    steps = sorted({max(1, math.ceil(horizon_s / step_s - 1e-9)) for horizon_s in horizons_s})
    teller = by_whom if grid.names and grid.ticks else NoForecaster()
    forecasts = within_bounds(teller.forecast(grid, steps), grid)
    span = ctx.history.span()
    age_s = None if span is None else max(0.0, ctx.clock.now_s() - span[1])
    least = tuple(None if (ticks := least_ticks(by_whom, step)) is None else ticks * grid.step_s for step in steps)
    return Foresight(subject, unit_of(what), grid, forecasts, age_s, f"{by_whom.name} {by_whom.version}", least)


def remember(ctx: Context, foresight: Foresight) -> int:
    """Keep the forecasts to be scored when their time has come; returns how many.

    Raises:
        StateError: the history cannot be written.
    """
    grid, subject = foresight.grid, foresight.subject
    made_at_s, step_s = round(grid.end_s), round(grid.step_s)
    horizons_s = [round(horizon_s) for horizon_s in foresight.horizons_s]
    last = ctx.history.last_kept(subject, made_at_s - max(horizons_s))
    kept = []
    for series, name in enumerate(grid.names):
        for place, horizon_s in enumerate(horizons_s):
            band, model = foresight.forecasts.band(series, place), foresight.forecasts.models[series][place]
            if _finite(band) and _due(made_at_s, last.get((name, horizon_s)), horizon_s, step_s):
                was = foresight.latest(series)
                kept.append(KeptForecast(subject, name, made_at_s, step_s, horizon_s, model, band, was))
    return ctx.history.keep(kept) if kept else 0


def least_ticks(forecaster: Forecaster, horizon: int) -> int | None:
    """How many known ticks the forecaster needs to tell of so many ticks ahead; None when it does not say.

    A forecaster says so with a method `least_ticks(horizon)`, beside what `ports.Forecaster` asks of it.
    """
    says = getattr(forecaster, "least_ticks", None)
    ticks = says(horizon) if callable(says) else None
    return ticks if isinstance(ticks, int) else None


def within_bounds(forecasts: Forecasts, grid: Grid) -> Forecasts:
    """The forecasts with no edge below 0 or above the capacity: nothing that is looked ahead at can be there."""
    width = len(forecasts.horizons) * len(QUANTILES)
    values = array("d")
    for row in range(len(grid.names)):
        most = (grid.capacity[row] if grid.capacity else None) or math.inf
        # NaN passes: it is not below, and not above.
        told = forecasts.values[row * width : (row + 1) * width]
        values.extend(0.0 if value < 0.0 else most if value > most else value for value in told)
    return replace(forecasts, values=values)


def unit_of(what: str) -> str:
    """The unit of what is looked ahead at."""
    return _UNITS.get(what) or METRICS[what].unit


def kind_of(metric: Metric) -> SeriesKind:
    """Of what its series are that are looked ahead at."""
    return SeriesKind.DEVICE if SeriesKind.DEVICE in metric.kinds else SeriesKind.NODE


def check_pool(ctx: Context, pool: str | None) -> None:
    """Refuse a pool that no node is in; raises NotFoundError with the nearest."""
    pools = sorted({spec.pool for spec in ctx.fleet.specs()})
    if pool is not None and pool not in pools:
        near = difflib.get_close_matches(pool, pools, n=1)
        raise NotFoundError(
            f"there is no pool {pool!r}",
            hint=f"did you mean {near[0]}?" if near else f"the pools are: {', '.join(pools)}",
        )


def _subject(what: str, by: By | None, pool: str | None) -> Subject:
    if what in _UNITS:
        if by is By.SERIES:
            raise UsageError(f"{what} is told by pool, tenant, profile or all")
        return Subject(what, by or By.POOL, pool or "")
    known = [*_UNITS, *METRICS]
    if what not in METRICS:
        near = difflib.get_close_matches(what, known, n=1)
        raise NotFoundError(
            f"there is no metric {what!r}",
            hint=f"did you mean {near[0]}?" if near else "there are: " + ", ".join(known),
        )
    if by not in (None, By.SERIES):
        raise UsageError(f"{what} is a reading of each device or node; only demand and arrivals are told by {by}")
    return Subject(what, By.SERIES, pool or "")


def _step_s(ctx: Context, horizons_s: Sequence[float]) -> int:
    if not horizons_s or min(horizons_s) <= 0:
        raise UsageError("a horizon is more than 0 seconds")
    return max(1, math.ceil(ctx.settings.sample_every_s), min(STEP_S, math.floor(min(horizons_s))))


def _of_books(ctx: Context, subject: Subject, step_s: int) -> Grid:
    """Up to now: a submission counts at once. Without any tick when nothing was ever asked of this state."""
    now_s, begun_s = int(ctx.clock.now_s()), ctx.journal.begun_at_s()
    ticks = 0 if begun_s is None else int(min(PAST_S, max(0.0, now_s - begun_s)) // step_s) + 1
    times = ticks_of(now_s - (ticks - 1) * step_s, step_s, ticks)
    return joined(demand_at(ctx, subject, times, step_s), times, step_s)


def _of_samples(ctx: Context, subject: Subject, step_s: int, node: str | None, device: str | None) -> Grid:
    """Up to the end of the last whole step."""
    metric, span = METRICS[subject.what], ctx.history.span()
    end_s = int(ctx.clock.now_s()) // step_s * step_s
    oldest_s = end_s if span is None else max(span[0], end_s - PAST_S)
    since_s = min(end_s, oldest_s // step_s * step_s)
    steps = Steps(since_s, step_s, (end_s - since_s) // step_s)
    grid = ctx.history.grid(metric, kind_of(metric), steps, _nodes(ctx, subject.pool, node), device)
    return replace(grid, capacity=_capacity(ctx, metric, grid))


def _nodes(ctx: Context, pool: str, node: str | None) -> list[str] | None:
    """The nodes that are wanted; None is any that was ever sampled."""
    if not pool:
        return None if node is None else [node]
    return [spec.name for spec in ctx.fleet.specs() if spec.pool == pool and node in (None, spec.name)]


def _capacity(ctx: Context, metric: Metric, grid: Grid) -> tuple[float | None, ...]:
    """The most that readings can be: 1 of a ratio, all of a device's memory; empty where that is not known."""
    if metric.unit == "ratio":
        return (1.0,) * len(grid.names)
    if metric.name != "gpu_memory_used_mib" or not grid.ticks:
        return ()
    step_s = round(grid.step_s)
    last = Steps(round(grid.end_s) - step_s, step_s, 1)
    total = ctx.history.grid(METRICS["gpu_memory_total_mib"], SeriesKind.DEVICE, last)
    of = {name: value for name, value in zip(total.names, total.values, strict=True) if not math.isnan(value)}
    return tuple(of.get(name) for name in grid.names)


def _due(made_at_s: int, last_s: int | None, horizon_s: int, step_s: int) -> bool:
    """Whether enough time passed since the last one that was kept; also when the clock was set back."""
    return last_s is None or abs(made_at_s - last_s) >= max(step_s, horizon_s // KEPT_PER_HORIZON)


def _finite(band: Band | None) -> TypeGuard[Band]:
    return band is not None and all(map(math.isfinite, (band.low, band.median, band.high)))
