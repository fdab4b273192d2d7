"""What is expected of our own series: charts with notes on what is unknown and why, and JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from gpualloc.model.foresight import ANY_POOL, ARRIVALS, By, Foresight, Subject
from gpualloc.views.forecast import Panel, forecast_data, forecast_text, panels_of, span
from gpualloc.views.look import Look, Role
from gpualloc.views.text import ago, duration, escape

_STALE_STEPS = 3
"""Samples older than that many steps of the grid are worth a word."""
_NAMED = 2
"""So many series are named where several lack the same."""
_SHORT = "is known"
_NOW_UNKNOWN = "the latest value is not known"


def foresight_data(seen: Foresight, *, simulated: bool) -> dict[str, object]:
    """`data` of `forecast --json` of series of our own: as of a file, with what is known of the past beside it."""
    panels = _panels(seen)
    told = forecast_data(panels, [span(horizon_s) for horizon_s in seen.horizons_s])
    series = told["series"]
    assert isinstance(series, dict)
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
        "series": {
            name: {
                **series[name],
                "latest": seen.latest(row),
                "known_s": seen.known_s(row),
                "points": None if seen.subject.by is By.SERIES else panel.history,
            }
            for row, (name, panel) in enumerate(zip(seen.grid.names, panels, strict=True))
        },
    }


def foresight_text(seen: Foresight, look: Look, *, simulated: bool) -> str:
    """A chart of each series with its band, and what is not known."""
    head = look.paint(_head(seen), Role.STRONG)
    told = [head + (", " + look.paint("simulated", Role.WARN) if simulated else "")]
    if not seen.grid.names or not seen.grid.ticks:
        return "\n".join([*told, _line(_empty(seen.subject), look)])
    told.append(forecast_text(_panels(seen), look))
    return "\n".join([*told, *(_line(note, look) for note in notes(seen))])


def _line(note: str, look: Look) -> str:
    lines = textwrap.wrap(note, look.width, subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join(look.paint(line, Role.QUIET) for line in lines)


def notes(seen: Foresight) -> list[str]:
    """What is not in the picture, one sentence each."""
    said = _unknown(seen)
    if ANY_POOL in seen.grid.names and seen.subject.by is By.POOL:
        said.append(f"{ANY_POOL} is work that several pools could hold, or that was in one that is gone")
    if seen.age_s is None:
        said.append("nothing was ever sampled: `gpualloc sample` or `gpualloc rebalance` do")
    elif seen.age_s > _STALE_STEPS * seen.grid.step_s and seen.subject.what != ARRIVALS:
        what = "nothing" if seen.subject.by is By.SERIES else "nothing of running work"
        said.append(f"the fleet was last sampled {ago(seen.age_s)}: {what} is known since")
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
    """For which series nothing is told from which horizon on, in groups, the shortest horizon first."""
    groups: dict[tuple[float, str], list[int]] = {}
    for row in range(len(seen.grid.names)):
        missing = [s for place, s in enumerate(seen.horizons_s) if seen.forecasts.band(row, place) is None]
        if missing:
            groups.setdefault((missing[0], _why(seen, row)), []).append(row)
    return [_missing(seen, rows, horizon_s, why) for (horizon_s, why), rows in sorted(groups.items())]


def _why(seen: Foresight, row: int) -> str:
    if not seen.known_s(row):
        return "nothing is known of the past"
    return _NOW_UNKNOWN if seen.latest(row) is None else _SHORT


def _missing(seen: Foresight, rows: Sequence[int], horizon_s: float, why: str) -> str:
    names = [seen.grid.names[row] for row in rows]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    whose = f"{', '.join(map(escape, names[:_NAMED]))}{more}"
    if why == _SHORT:
        known = sorted(seen.known_s(row) for row in rows)
        shortest, longest = duration(known[0]), duration(known[-1])
        why = f"only {shortest if shortest == longest else f'{shortest} to {longest}'} of the past {_SHORT}"
        least_s = seen.least_s[seen.horizons_s.index(horizon_s)] if seen.least_s else None
        why += f", {duration(least_s)} are needed" if least_s is not None and least_s > known[0] else ""
    return f"nothing is told {span(horizon_s)} ahead of {whose}: {why}"


def _panels(seen: Foresight) -> tuple[Panel, ...]:
    return panels_of(seen.grid, seen.forecasts, seen.unit)
