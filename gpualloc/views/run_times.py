"""How long work of each class runs, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from gpualloc.forecast.run_times import ClassRunTime
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import duration, escape

_COLUMNS = (
    Column("owner", least=6),
    Column("name", least=8),
    Column("GPUs", right=True),
    Column("ended", right=True),
    Column("open", right=True),
    Column("5 %", right=True),
    Column("median", right=True),
    Column("95 %", right=True),
)


def run_times_data(classes: Sequence[ClassRunTime], *, simulated: bool) -> dict[str, object]:
    """`data` of `forecast --metric run-time --json`; null where it is longer than can be told."""
    return {
        "metric": "run-time",
        "unit": "s",
        "simulated": simulated,
        "classes": [
            {
                "owner": one.user,
                "label": one.label,
                "gpus": one.gpus,
                "ended": one.run_time.ended,
                "open": one.run_time.open,
                "alike": one.run_time.alike,
                "low": one.run_time.low,
                "median": one.run_time.median,
                "high": one.run_time.high,
            }
            for one in classes
        ],
    }


def run_times_text(classes: Sequence[ClassRunTime], look: Look, *, simulated: bool) -> str:
    """One row for each class."""
    head = look.paint("run time", Role.STRONG) + (", " + look.paint("simulated", Role.WARN) if simulated else "")
    if not classes:
        return f"{head}\nno work came to its end yet: nothing can be told of how long it runs"
    few = "classes with few runs of their own lean on coarser ones: user and GPUs, GPUs, all work"
    return "\n".join([head, table(_COLUMNS, [_row(one) for one in classes], look), look.paint(few, Role.QUIET)])


def _row(one: ClassRunTime) -> list[str | Cell]:
    told = one.run_time
    low, median, high = (
        f"> {duration(told.longest_s)}" if value is None else duration(value)
        for value in (told.low, told.median, told.high)
    )
    counts = [str(one.gpus), str(told.ended), str(told.open)]
    return [escape(one.user), escape(one.label), *counts, low, Cell(median, Role.STRONG), high]
