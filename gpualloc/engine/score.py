"""How forecasts turned out: what was forecast beside what came, and beside the naive row that was kept with it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from gpualloc.engine.context import Context
from gpualloc.engine.demand_series import demand_at
from gpualloc.engine.foresee import kind_of
from gpualloc.model.forecast import QUANTILES, Band
from gpualloc.model.foresight import CHOSEN, By, KeptForecast, Score, Scored, Steps, Subject
from gpualloc.model.sample import METRICS

_T = TypeVar("_T")
_K = TypeVar("_K")
Came = Callable[[KeptForecast], float | None]
"""What came of a forecast; None where that is not known."""
Pair = tuple[KeptForecast, float]
"""A forecast, and what came."""


def score(ctx: Context, what: str | None = None) -> Scored:
    """Compare the forecasts that are kept (of one kind, or all) with what came. Reads only what is remembered."""
    kept = ctx.history.kept(what)
    pairs, unknown = _compared(ctx, kept)
    return Scored(scores_of(pairs), len(kept), len(kept) - len(pairs) - unknown, unknown)


def scores_by_series(ctx: Context, subject: Subject) -> Mapping[str, tuple[Score, ...]]:
    """The scores of each series of a subject by itself, by its name in the grid; those never compared are left out."""
    kept = [one for one in ctx.history.kept(subject.what) if one.subject == subject]
    groups = _grouped(_compared(ctx, kept)[0], lambda pair: pair[0].series)
    return {series: scores_of(pairs) for series, pairs in groups.items()}


def _compared(ctx: Context, kept: Sequence[KeptForecast]) -> tuple[list[Pair], int]:
    """What came of forecasts whose time has come, and of how many nobody will ever know."""
    span = ctx.history.span()
    seen_s = -math.inf if span is None else span[1]
    due = [one for one in kept if one.due_s <= seen_s]
    pairs: list[Pair] = []
    unknown = 0
    for (subject, step_s), group in _grouped(due, lambda one: (one.subject, one.step_s)).items():
        came = _came(ctx, subject, step_s, group)
        found = [(one, value) for one in group if (value := came(one)) is not None]
        pairs += found
        # The books may tell later what the samples never will.
        unknown += len(group) - len(found) if subject.by is By.SERIES else 0
    return pairs, unknown


def scores_of(pairs: Iterable[Pair]) -> tuple[Score, ...]:
    """The scores of forecasts with what came of each, by subject, horizon and model. Pure.

    Where there are several models at a horizon, all of them together stand first, as `CHOSEN`.
    """
    groups: defaultdict[tuple[Subject, int], defaultdict[str, list[Pair]]] = defaultdict(lambda: defaultdict(list))
    for one, value in pairs:
        groups[one.subject, one.horizon_s][one.model].append((one, value))
    scores = []
    for (subject, horizon_s), by_model in sorted(groups.items(), key=lambda item: item[0]):
        if len(by_model) > 1:
            scores.append(_score(subject, horizon_s, CHOSEN, [pair for found in by_model.values() for pair in found]))
        scores += [_score(subject, horizon_s, model, found) for model, found in sorted(by_model.items())]
    return tuple(scores)


def pinball(band: Band, value: float) -> float:
    """Mean pinball loss of the three quantiles of a band."""
    edges = zip(QUANTILES, (band.low, band.median, band.high), strict=True)
    return sum(max(part * (value - edge), (part - 1) * (value - edge)) for part, edge in edges) / len(QUANTILES)


def _score(subject: Subject, horizon_s: int, model: str, pairs: Sequence[Pair]) -> Score:
    beside = [(abs(one.band.median - value), abs(one.last - value)) for one, value in pairs if one.last is not None]
    own, last = (sum(column) for column in zip(*beside, strict=True)) if beside else (0.0, 0.0)
    return Score(
        subject,
        horizon_s,
        model,
        len(pairs),
        len({one.series for one, _ in pairs}),
        _mean(abs(one.band.median - value) for one, value in pairs),
        last / len(beside) if beside else None,
        own / last if last > 0 else None,
        _mean(pinball(one.band, value) for one, value in pairs),
        _mean(float(one.band.low <= value <= one.band.high) for one, value in pairs),
    )


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def _came(ctx: Context, subject: Subject, step_s: int, forecasts: Sequence[KeptForecast]) -> Came:
    times = sorted({one.due_s for one in forecasts})
    if subject.by is By.SERIES:
        return _sampled(ctx, subject, step_s, times)
    places = {at_s: place for place, at_s in enumerate(times)}
    series = demand_at(ctx, subject, times, step_s)
    # A series that nothing was asked of then is at 0: the books are complete.
    nothing = [0.0] * len(times)
    return lambda one: _known(series.get(one.series, nothing)[places[one.due_s]])


def _sampled(ctx: Context, subject: Subject, step_s: int, times: Sequence[int]) -> Came:
    metric, since_s = METRICS.get(subject.what), times[0] // step_s * step_s - step_s
    if metric is None:
        return lambda _one: None
    ticks = (times[-1] - since_s) // step_s
    grid = ctx.history.grid(metric, kind_of(metric), Steps(since_s, step_s, ticks))
    rows: Mapping[str, int] = {name: row * ticks for row, name in enumerate(grid.names)}

    def came(one: KeptForecast) -> float | None:
        tick, beside = divmod(one.due_s - since_s, step_s)
        row = rows.get(one.series)
        if row is None or beside:
            return None
        return _known(grid.values[row + tick - 1])

    return came


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _grouped(found: Iterable[_T], key: Callable[[_T], _K]) -> dict[_K, list[_T]]:
    groups: dict[_K, list[_T]] = {}
    for one in found:
        groups.setdefault(key(one), []).append(one)
    return groups
