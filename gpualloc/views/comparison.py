"""Policies side by side: a table, figures as JSON and CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gpualloc.sim.traces.comparison import LOADS, Entry, RunFigures, Spread
from gpualloc.views.csv import Value, csv_header, csv_rows
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import UNKNOWN, plural

SHOWN_LOADS = ("95", "100", "130")
"""Loads of the table for people; JSON and CSV have all."""
_DIGITS = 6
_COUNTS = ("cpu_only", "fractional", "single", "multi")


def comparison_data(entries: Sequence[Entry], orders: Sequence[str]) -> dict[str, object]:
    """`data` of `simulate compare --json`; `orders` are the labels of the orders of arrival."""
    return {"simulated": True, "orders": list(orders), "entries": [_entry_data(entry) for entry in entries]}


def comparison_text(entries: Sequence[Entry], orders: Sequence[str], look: Look) -> str:
    """One line for each entry, mean ± standard deviation over the orders."""
    head = f"unallocated GPU % over {plural(len(orders), 'order')} of arrival, {look.paint('simulated', Role.WARN)}"
    columns = [
        Column("policy", least=16),
        *(Column(f"load {load}", right=True) for load in SHOWN_LOADS),
        Column("frag", right=True),
        Column("per s", right=True),
        Column("wrong", right=True),
        Column("no place", below=True),
    ]
    return "\n".join([head, table(columns, [_row(entry) for entry in entries], look), _legend(entries)])


def comparison_csv(entries: Sequence[Entry]) -> str:
    """One row for each entry and order, and one for its mean; an unknown figure is an empty field."""
    told = ("fragmentation_pct", *_COUNTS, "power_kw", "decisions_per_s", "violations", "refusals_that_fitted")
    loads = (f"unallocated_pct_{load}" for load in LOADS)
    header = csv_header(("simulated", "policy", "profile", "kind", "order", *loads, *told))
    return header + csv_rows(row for entry in entries for row in _csv_rows(entry, len(told)))


def _csv_rows(entry: Entry, told: int) -> Iterator[Sequence[Value]]:
    who = (entry.kind != "published", entry.name, entry.profile, entry.kind)
    untold = [None] * told
    for label, values in entry.each:
        yield (*who, label, *(_rounded(values[load]) for load in LOADS), *untold)
    means = (_rounded(_mean(entry.unallocated_pct[load])) for load in LOADS)
    yield (*who, "mean", *means, *_figures_row(entry.figures, told))
    sds = (_rounded(spread.sd if (spread := entry.unallocated_pct[load]) else None) for load in LOADS)
    yield (*who, "sd", *sds, *untold)


def shown(spread: Spread | None) -> str:
    """A mean with its standard deviation, where there is one."""
    if spread is None:
        return UNKNOWN
    return f"{spread.mean:.2f}" if spread.sd is None else f"{spread.mean:.2f} ±{spread.sd:.2f}"


def no_place(figures: RunFigures) -> str:
    """Mean numbers of tasks without a place, by kind."""
    kinds = zip(("CPU-only", "fractional", "single", "multi"), _failed(figures), strict=True)
    return ", ".join(f"{count:.4g} {kind}" for kind, count in kinds)


def _row(entry: Entry) -> list[str | Cell]:
    loads = [shown(entry.unallocated_pct[load]) for load in SHOWN_LOADS]
    role = Role.STRONG if entry.kind == "run" else Role.QUIET
    figures = entry.figures
    if figures is None:
        return [Cell(entry.label, role), *(Cell(load, role) for load in loads), "", "", "", ""]
    wrong = figures.violations + figures.refusals_that_fitted
    return [
        Cell(entry.label, role),
        *loads,
        UNKNOWN if figures.fragmentation_pct is None else f"{figures.fragmentation_pct.mean:.2f}",
        UNKNOWN if figures.decisions_per_s is None else f"{figures.decisions_per_s:.0f}",
        Cell(str(wrong), Role.BAD if wrong else Role.GOOD),
        no_place(figures),
    ]


def _legend(entries: Sequence[Entry]) -> str:
    lines = ["frag: idle and of no use at load 100. wrong: limits broken, and refusals of what fitted"]
    if any(entry.kind == "bound" for entry in entries):
        lines.append("LP bound: no policy can leave less at that load, with migration, refusals and foresight")
    return "\n".join(lines)


def _entry_data(entry: Entry) -> dict[str, object]:
    return {
        "name": entry.name,
        "profile": entry.profile,
        "kind": entry.kind,
        "runs": entry.runs,
        "unallocated_pct": {load: _spread_data(entry.unallocated_pct[load]) for load in LOADS},
        "each": [
            {"order": label, "unallocated_pct": {load: _rounded(values[load]) for load in LOADS}}
            for label, values in entry.each
        ],
        "figures": None if entry.figures is None else _figures_data(entry.figures),
    }


def _figures_data(figures: RunFigures) -> dict[str, object]:
    return {
        "fragmentation_pct": _spread_data(figures.fragmentation_pct),
        "failed": dict(zip(_COUNTS, _failed(figures), strict=True)),
        "power_kw": _spread_data(figures.power_kw),
        "decisions_per_s": _rounded(figures.decisions_per_s),
        "violations": figures.violations,
        "refusals_that_fitted": figures.refusals_that_fitted,
    }


def _figures_row(figures: RunFigures | None, width: int) -> tuple[Value, ...]:
    if figures is None:
        return (None,) * width
    return (
        _rounded(_mean(figures.fragmentation_pct)),
        *_failed(figures),
        _rounded(_mean(figures.power_kw)),
        _rounded(figures.decisions_per_s),
        figures.violations,
        figures.refusals_that_fitted,
    )


def _failed(figures: RunFigures) -> tuple[float, ...]:
    return figures.cpu_only, figures.fractional, figures.single, figures.multi


def _mean(spread: Spread | None) -> float | None:
    return None if spread is None else spread.mean


def _spread_data(spread: Spread | None) -> dict[str, float | None] | None:
    return None if spread is None else {"mean": _rounded(spread.mean), "sd": _rounded(spread.sd)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
