"""What the levers would have saved, as the report tells it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gpualloc.engine.assess_days import a_week
from gpualloc.engine.assess_levers import Found
from gpualloc.engine.assess_rows import UNKNOWN, Row, Ticks
from gpualloc.model.assessment import Saving, Span


def savings(levers: Iterable[Found], rows: Sequence[Row], ticks: Ticks) -> tuple[tuple[Saving, ...], float]:
    """As the report tells them: none is more than was not computed; with what a week like it would come to.

    Returns:
        the savings, and what all of them together give back at most: their sum, or what was not computed if that is
        less, in GPU-hours.
    """
    known_h, spare_h = _by_day(rows, ticks)
    week_h = len(rows) * 7 * 24.0
    priced = any(row.price is not None for row in rows)
    told = []
    for found in levers:
        if found.gpu_h is not None:
            found.gpu_h.within(spare_h)
        main = found.gpu_h if found.gpu_h is not None else found.kwh
        told.append(
            Saving(
                lever=found.lever,
                gpu_h=None if found.gpu_h is None else found.gpu_h.span,
                kwh=None if found.kwh is None else found.kwh.span,
                cost=_cost(found, priced=priced),
                a_week=None if main is None else a_week(main, known_h, week_h, seed=0),
                assumes=found.assumes,
            )
        )
    total_h = sum(one.gpu_h.high for one in told if one.gpu_h is not None)
    return tuple(told), min(total_h, sum(spare_h))


def _by_day(rows: Sequence[Row], ticks: Ticks) -> tuple[list[float], list[float]]:
    """GPU-hours that are known, and those of them that were not computed in, by day."""
    known, spare = [0.0] * ticks.days, [0.0] * ticks.days
    for row in rows:
        for tick, state in enumerate(row.states):
            if state != UNKNOWN:
                day = ticks.day(tick)
                known[day] += ticks.step_h
                spare[day] += (1.0 - row.mean[tick]) * ticks.step_h
    return known, spare


def _cost(found: Found, *, priced: bool) -> Span | None:
    """What the GPU-hours of a lever cost; None where nothing is known of their price."""
    if found.gpu_h is None or not priced:
        return None
    span = found.price.span
    return None if span.high == 0 < found.gpu_h.span.high else span
