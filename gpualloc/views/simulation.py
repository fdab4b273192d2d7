"""Results of a simulated run: figures, a curve over the load, placements."""

from __future__ import annotations

from collections.abc import Mapping

from gpualloc.model.shapes import GPU_MILLI
from gpualloc.sim.traces.power import Power
from gpualloc.sim.traces.result import KINDS, DecisionTimes, Failures, PackingResult
from gpualloc.views.chart import chart
from gpualloc.views.csv import csv_header, csv_rows
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import UNKNOWN, escape, plural

FROM_PCT = 80
"""Curves are drawn from this load on, when there is any: below it hardly anything is refused."""
_HEIGHT = 6
_DIGITS = 6
"""Digits after the point in JSON."""


def packing_data(result: PackingResult) -> dict[str, object]:
    """`data` of `simulate packing --json`."""
    times, failed = result.times, result.failed
    return {
        "simulated": True,
        "policy": result.policy,
        "profile": result.profile,
        "seed": result.seed,
        "arrivals": result.arrivals,
        "unallocated_pct": _rounded_all(result.unallocated_pct),
        "fragmentation_pct": rounded(result.fragmentation_pct),
        "failed": failed_data(failed),
        "violations": result.violations,
        "violations_told": list(result.violations_told),
        "refusals_that_fitted": result.refusals_that_fitted,
        "decision_us": times_data(times),
        "decisions_per_s": rounded(times.per_s),
        "models": _rounded_all(result.model_use),
        "energy": {
            "power_model": "PWR",
            "at_100": None if result.power is None else _power_data(result.power),
            "at_end": _power_data(result.power_at_end),
            "models_without_figures": list(result.without_figures),
        },
    }


def packing_text(result: PackingResult, label: str, look: Look) -> str:
    """The figures as a compact table, and the curve.

    Args:
        result: what came of the run.
        label: which order of arrival it was.
        look: the terminal.
    """
    figures = [Column("load %"), *(Column(load, right=True) for load in result.unallocated_pct)]
    row = ["unallocated GPU %", *map(_number, result.unallocated_pct.values())]
    drawn = _drawn(result)
    parts = [
        _head(result, label, look),
        table(figures, [row], look),
        table([Column(""), Column("")], _facts(result), look).partition("\n")[2],
        f"{look.paint('unallocated GPU %', Role.STRONG)} over load, {drawn[0][0]} to {drawn[-1][0]}",
        *chart(drawn, look.width, _HEIGHT, lambda value: f"{value:.0f} %"),
    ]
    return "\n".join([*parts, *(f"violation: {escape(told)}" for told in result.violations_told)])


def packing_added_text(before: PackingResult, after: PackingResult, label: str, look: Look) -> str:
    """What added nodes change for the same arrivals, side by side.

    Args:
        before: the cluster as it is.
        after: with the added nodes.
        label: which order of arrival it was.
        look: the terminal.
    """
    columns = [Column(""), Column("as it is", right=True), Column("with added", right=True)]
    both = before, after
    rows: list[tuple[str | Cell, ...]] = [
        ("GPUs", *(str(one.capacity_milli // GPU_MILLI) for one in both)),
        ("GPUs unallocated at the end", *map(_unallocated_at_end, both)),
        ("tasks without a place", *(str(one.failed.total) for one in both)),
        *((f"  {kind.replace('_', '-')}", *(str(getattr(one.failed, kind)) for one in both)) for kind in KINDS),
        ("power at the end, kW", *(_number(one.power_at_end.all_kw) for one in both)),
        ("violations", *(str(one.violations) for one in both)),
        ("refusals of what fitted", *(str(one.refusals_that_fitted) for one in both)),
    ]
    return "\n".join([_head(before, label, look), table(columns, rows, look)])


def placements_csv(result: PackingResult) -> str:
    """One row for each arrival in its order; an empty node is a task that got no place."""
    rows = ((row, node, ";".join(map(str, gpus))) for row, node, gpus in result.placements)
    return csv_header(("task", "node", "gpus")) + csv_rows(rows)


def failed_data(failed: Failures) -> dict[str, int]:
    """Tasks without a place as JSON has them."""
    return {
        "total": failed.total,
        "cpu_only": failed.cpu_only,
        "fractional": failed.fractional,
        "single": failed.single,
        "multi": failed.multi,
    }


def times_data(times: DecisionTimes) -> dict[str, float]:
    """Decision times as JSON has them."""
    return {"mean": round(times.mean_us, 3), "p50": round(times.p50_us, 3), "p99": round(times.p99_us, 3)}


def checked(violations: int, refused: int) -> Cell:
    """What the referee found.

    Args:
        violations: answers that broke the limits.
        refused: refusals of what fitted.
    """
    said = f"{plural(violations, 'violation')}, {plural(refused, 'refusal')} of what fitted"
    return Cell(said, Role.BAD if violations + refused else Role.GOOD)


def rounded(value: float | None) -> float | None:
    """A figure as JSON has it; None stays None."""
    return None if value is None else round(value, _DIGITS)


def _head(result: PackingResult, label: str, look: Look) -> str:
    using = f" with profile {result.profile}" if result.profile else ""
    return f"{result.policy}{using}, {look.paint('simulated', Role.WARN)}: {label}, {plural(result.arrivals, 'task')}"


def _unallocated_at_end(result: PackingResult) -> str:
    return f"{result.curve[-1][1]:.2f} %" if result.curve else UNKNOWN


def _facts(result: PackingResult) -> list[tuple[str, Cell]]:
    times, failed = result.times, result.failed
    kinds = f"{failed.cpu_only} CPU-only, {failed.fractional} fractional, {failed.single} single, {failed.multi} multi"
    per_s = UNKNOWN if times.per_s is None else f"{times.per_s:,.0f}"
    used = ", ".join(f"{escape(model)} {100 * part:.1f} %" for model, part in result.model_use.items())
    return [
        ("fragmented", Cell(f"{_number(result.fragmentation_pct)} % of all GPUs at load 100")),
        ("no place", Cell(f"{plural(failed.total, 'task')}: {kinds}")),
        ("checked", checked(result.violations, result.refusals_that_fitted)),
        ("decisions", Cell(f"{per_s} in a second; mean {times.mean_us:.0f} µs, 99 % within {times.p99_us:.0f} µs")),
        ("power", Cell(_power(result))),
        ("in use", Cell(used)),
    ]


def _power(result: PackingResult) -> str:
    if result.without_figures:
        return f"{UNKNOWN}: nothing is known of {escape(', '.join(result.without_figures))}"
    full = None if result.power is None else result.power.all_kw
    return f"{_number(full)} kW at load 100, {_number(result.power_at_end.all_kw)} kW at the end (model: PWR)"


def _drawn(result: PackingResult) -> tuple[tuple[int, float], ...]:
    """The part of the curve where policies differ, when the run came that far."""
    return tuple(point for point in result.curve if point[0] >= FROM_PCT) or result.curve


def _power_data(power: Power) -> dict[str, object]:
    return {
        "gpus_kw": rounded(power.gpus_kw),
        "cpus_kw": rounded(power.cpus_kw),
        "all_kw": rounded(power.all_kw),
    }


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f}"


def _rounded_all(values: Mapping[str, float | None]) -> dict[str, float | None]:
    return {key: rounded(value) for key, value in values.items()}
