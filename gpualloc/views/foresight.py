"""What is expected of our own series: charts with notes on what is unknown and why, and JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gpualloc.model.forecast import Grid
from gpualloc.model.foresight import ANY_POOL, ARRIVALS, By, Foresight, Subject
from gpualloc.views.forecast import Panel, forecast_text, span
from gpualloc.views.look import Look, Role
from gpualloc.views.text import ago, duration, escape

_STALE_STEPS = 3
"""Samples older than that many steps of the grid are worth a word."""
_NAMED = 3


def foresight_data(seen: Foresight, *, simulated: bool) -> dict[str, object]:
    """`data` of `forecast --json`, of series of our own."""
    return {
        "metric": seen.subject.what,
        "by": seen.subject.by.value,
        "pool": seen.subject.pool or None,
        "unit": seen.unit,
        "simulated": simulated,
        "at_s": seen.grid.end_s,
        "step_s": seen.grid.step_s,
        "age_s": seen.age_s,
        "forecaster": seen.forecaster,
        "series": [
            {
                "name": name,
                "latest": seen.latest(row),
                "known_s": seen.known_s(row),
                "capacity": _capacity(seen.grid, row),
                "points": None if seen.subject.by is By.SERIES else _points(seen, row),
                "forecasts": _bands_data(seen, row),
            }
            for row, name in enumerate(seen.grid.names)
        ],
    }


def foresight_text(seen: Foresight, look: Look, *, simulated: bool) -> str:
    """A chart of each series with its band, and what is not known."""
    head = look.paint(_head(seen), Role.STRONG)
    told = [head + (", " + look.paint("simulated", Role.WARN) if simulated else "")]
    if not seen.grid.names or not seen.grid.ticks:
        return "\n".join([*told, _empty(seen.subject)])
    told.append(forecast_text([_panel(seen, row) for row in range(len(seen.grid.names))], look))
    return "\n".join([*told, *(look.paint(note, Role.QUIET) for note in notes(seen))])


def notes(seen: Foresight) -> list[str]:
    """What is not in the picture, one sentence each."""
    said = _unknown(seen)
    if ANY_POOL in seen.grid.names and seen.subject.by is By.POOL:
        said.append(f"{ANY_POOL} is work that several pools could hold, or that was in one that is gone")
    if seen.age_s is None:
        said.append("nothing was ever sampled: `gpualloc sample` or `gpualloc rebalance` do")
    elif seen.age_s > _STALE_STEPS * seen.grid.step_s:
        said.append(f"the fleet was last sampled {ago(seen.age_s)}: what ended since then is not known")
    return said


def _head(seen: Foresight) -> str:
    subject = seen.subject
    by = "" if subject.by is By.SERIES else " of everything" if subject.by is By.ALL else f" by {subject.by.value}"
    each = f" in {span(seen.grid.step_s)}" if subject.what == ARRIVALS else ""
    return f"{subject.what}{each}{by}" + (f", pool {escape(subject.pool)}" if subject.pool else "")


def _empty(subject: Subject) -> str:
    if subject.by is By.SERIES:
        return f"no whole step of {subject.what} was sampled yet; `gpualloc sample --every 10s` does, or a cron line"
    return "nothing was ever asked for: `gpualloc submit` is where demand begins"


def _unknown(seen: Foresight) -> list[str]:
    """For which series nothing is told how far ahead, in groups with the same reason."""
    groups: dict[tuple[float, float], list[str]] = {}
    for row, name in enumerate(seen.grid.names):
        missing = [s for place, s in enumerate(seen.horizons_s) if seen.forecasts.band(row, place) is None]
        if missing:
            groups.setdefault((missing[0], seen.known_s(row)), []).append(name)
    return [_missing(names, horizon_s, known_s) for (horizon_s, known_s), names in sorted(groups.items())]


def _missing(names: Sequence[str], horizon_s: float, known_s: float) -> str:
    shown = ", ".join(map(escape, names[:_NAMED]))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    why = f"only {duration(known_s)} of its past are known" if known_s else "nothing is known of its past"
    return f"{shown}{more}: nothing is told {span(horizon_s)} ahead, {why}"


def _panel(seen: Foresight, row: int) -> Panel:
    now_s, name = seen.grid.end_s, seen.grid.names[row]
    return Panel(
        name,
        seen.unit,
        _points(seen, row),
        [(now_s + horizon_s, seen.forecasts.band(row, place)) for place, horizon_s in enumerate(seen.horizons_s)],
        seen.forecasts.models[row],
        _capacity(seen.grid, row),
    )


def _points(seen: Foresight, row: int) -> list[tuple[float, float | None]]:
    grid = seen.grid
    values = grid.values[row * grid.ticks : (row + 1) * grid.ticks]
    return [
        (grid.start_s + tick * grid.step_s, None if math.isnan(value) else value) for tick, value in enumerate(values)
    ]


def _bands_data(seen: Foresight, row: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for place, horizon_s in enumerate(seen.horizons_s):
        band = seen.forecasts.band(row, place)
        told = (None, None, None) if band is None else (band.low, band.median, band.high)
        edges = dict(zip(("low", "median", "high"), told, strict=True))
        model = seen.forecasts.models[row][place] or None
        found.append({"horizon_s": horizon_s, "at_s": seen.grid.end_s + horizon_s, **edges, "model": model})
    return found


def _capacity(grid: Grid, row: int) -> float | None:
    return grid.capacity[row] if grid.capacity else None
