"""How forecasts turned out, as a table and as JSON."""

from __future__ import annotations

import textwrap

from gpualloc.model.foresight import CHOSEN, RUN_TIME, By, Score, Scored, Subject
from gpualloc.views.forecast import span
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import UNKNOWN, escape, percent, plural

_COLUMNS = (
    Column("in"),
    Column("model", least=6),
    Column("forecasts", right=True),
    Column("error", right=True),
    Column("last", right=True),
    Column("ratio", right=True),
    Column("pinball", right=True),
    Column("in band", right=True),
)


def score_data(scored: Scored, *, simulated: bool) -> dict[str, object]:
    """`data` of `forecast --score --json`."""
    return {
        "simulated": simulated,
        "kept": scored.kept,
        "early": scored.early,
        "unknown": scored.unknown,
        "scores": [
            {
                "metric": one.subject.what,
                "by": one.subject.by.value,
                "pool": one.subject.pool or None,
                "horizon_s": one.horizon_s or None,
                "model": one.model,
                "count": one.count,
                "series": one.series,
                "mae": one.error,
                "mae_last": one.last_error,
                "ratio": one.ratio,
                "pinball": one.pinball,
                "coverage90": one.covered,
            }
            for one in scored.scores
        ],
    }


def score_text(scored: Scored, look: Look, *, simulated: bool) -> str:
    """A table for each subject, and what could not be compared."""
    head = look.paint("forecasts beside what came", Role.STRONG)
    told = [head + (", " + look.paint("simulated", Role.WARN) if simulated else "")]
    for subject in dict.fromkeys(one.subject for one in scored.scores):
        rows = [_row(one) for one in scored.scores if one.subject == subject]
        told += [_title(subject), table(_COLUMNS, rows, look, indent=2)]
    if scored.scores:
        told.append("ratio: error over that of the last value, below 1 is better; band: 90 % is right")
    return "\n".join([*told, *(line for said in _left_out(scored) for line in textwrap.wrap(said, look.width))])


def _title(subject: Subject) -> str:
    if subject.what == RUN_TIME:
        return "run-time, as it would have been told when each run began, s"
    by = "" if subject.by is By.SERIES else f" by {subject.by.value}"
    return f"{subject.what}{by}" + (f", pool {escape(subject.pool)}" if subject.pool else "")


def _row(one: Score) -> list[str | Cell]:
    last = UNKNOWN if one.last_error is None else f"{one.last_error:.3g}"
    ratio = UNKNOWN if one.ratio is None else f"{one.ratio:.2f}"
    figures: list[str | Cell] = [
        f"{one.error:.3g}",
        last,
        Cell(ratio, Role.STRONG),
        f"{one.pinball:.3g}",
        percent(one.covered),
    ]
    model: str | Cell = Cell(CHOSEN, Role.STRONG) if one.model == CHOSEN else escape(one.model)
    return [span(one.horizon_s) if one.horizon_s else "-", model, str(one.count), *figures]


def _left_out(scored: Scored) -> list[str]:
    if not scored.kept and not scored.scores:
        return [
            "nothing to score yet: `gpualloc forecast` and `gpualloc rebalance` keep the forecasts they make, and of "
            "run times something can be said once work has ended"
        ]
    said = []
    if not scored.scores:
        said.append("too young to score: nothing that was forecast could be compared with what came yet")
    if scored.early:
        said.append(f"not compared yet: {plural(scored.early, 'forecast')}, too early or nothing sampled since")
    if scored.unknown:
        said.append(f"never to be compared: {plural(scored.unknown, 'forecast')}, nothing was sampled at the time")
    return said
