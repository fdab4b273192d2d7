"""Files of demand over time: several series as the forecasts take them, or one (docs/scaling.md)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from gpualloc.cli.trace_files import opened
from gpualloc.errors import BrokenInputError
from gpualloc.forecast.grid import doubles, matrix
from gpualloc.forecast.series_file import read
from gpualloc.model.forecast import Grid
from gpualloc.sim.traces.lines import text_lines

ALONE = "demand"
"""Name of the series of a file that has only one and does not name it."""
_OTHER_NAMES = ("demand", "gpus")
"""What the column with the values may be called beside `value`."""


def read_demand(path: str, *, summed: bool = False) -> Grid:
    """The series of a file, gzip or not.

    Args:
        path: where it lies.
        summed: make one series of all; a tick at which one is unknown is unknown.

    Raises:
        BrokenInputError: names file and line, and what was expected.
    """
    with opened(path) as stream:
        grid = read(_in_full(text_lines(stream, path)), path)
    if grid.ticks < 2:
        raise BrokenInputError(f"{path}: all rows are of one time", hint="at least two times are needed")
    return _summed(grid) if summed else grid


def _in_full(lines: Iterable[str]) -> Iterator[str]:
    """The lines with the columns `series` and `value`; each stays on its own line."""
    rest = iter(lines)
    before = []
    for header in rest:
        before.append(header)
        if header.strip():
            break
    columns = [column.strip() for column in next(csv.reader(before[-1:]), [])]
    places = [place for place, column in enumerate(columns) if column in _OTHER_NAMES]
    if places and "value" not in columns:
        columns[places[0]] = "value"
        before[-1] = ",".join(_quoted(column) for column in columns) + "\n"
    if not columns or "series" in columns:
        yield from chain(before, rest)
        return
    yield from before[:-1]
    yield f"series,{before[-1]}"
    for line in rest:
        yield f"{ALONE},{line}" if line.strip() else line


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _summed(grid: Grid) -> Grid:
    known = [value for value in grid.capacity if value is not None]
    whole = (sum(known),) if known and len(known) == len(grid.names) else ()
    values = doubles(np.asarray(matrix(grid)).sum(axis=0))
    return Grid(("sum",), grid.start_s, grid.step_s, grid.ticks, values, whole)
