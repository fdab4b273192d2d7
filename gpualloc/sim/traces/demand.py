"""What items need over time: a CSV or JSON-lines file with a row for each item and time."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gpualloc.errors import BrokenInputError
from gpualloc.sim.traces.cells import MAX_SHOWN_CHARS, WrongCell, name, seconds, shown
from gpualloc.sim.traces.rows import Layout, Row, Table

DEMAND = Layout("demand over time", ("time_s", "item", "compute_ratio", "memory_gib"))
MAX_CELLS = 50_000_000
"""Most items times intervals."""
MAX_COMPUTE = 1e6
MAX_MEMORY_GIB = 1e6
_NUMBER = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?", re.IGNORECASE)
_APART = 0.75
"""Times of the file that lie closer to each other than this part of the usual step of an item are not one clock's."""
_SHARED = 0.2
"""Part of the rows that may share their time, or lie at an uneven distance, where items have clocks of their own."""
_UNEVEN = 0.1
_LEAST_STEPS = 3
"""Rows of an item, less one, from which a clock can be told."""

Values = NDArray[np.float64]


class Demand(Struct, frozen=True, eq=False):
    """What each item needs in each interval."""

    source: str
    items: tuple[str, ...]
    """Sorted."""
    times_s: Values
    """(T,) when each interval begins, ascending."""
    lasts_s: Values
    """(T,) how long each lasts: to the next, and the last one as long as most; NaN when there is only one."""
    alive: NDArray[np.bool_]
    """(I, T) whether the item has a row for the interval."""
    compute: Values
    """(I, T) in GPUs; NaN where it is not alive or not known."""
    memory: Values
    """(I, T) GiB; NaN where it is not alive or not known."""
    messages: tuple[str, ...] = ()
    """What had to be understood, in words."""


def read_demand(lines: Iterable[str], source: str) -> Demand:
    """The demand that a text tells.

    An item is there at the times for which it has a row. When the rows of different items stand at times of their own,
    they are put into intervals as long as their usual step, with the highest of each; `Demand.messages` says so. An
    empty cell is not known.

    Args:
        lines: the text; `lines.text_lines` gives that of a file.
        source: how errors name it.

    Raises:
        BrokenInputError: a column is missing or unknown, a cell is no number or out of range, an item has two rows
            for one time or nothing known, or there is too much: names source, row (from 0) and line.
    """
    rows = _rows(lines, source)
    items = sorted({item for item, _ in rows})
    number = {item: at for at, item in enumerate(items)}
    of_item = np.fromiter((number[item] for item, _ in rows), np.int64, len(rows))
    moments = np.fromiter((at for _, at in rows), np.float64, len(rows))
    cells = np.array(list(rows.values()), np.float64)
    times, of_time = np.unique(moments, return_inverse=True)
    step = _own_clocks(of_item, moments, times)
    empty = int(np.isnan(cells).any(axis=1).sum())
    messages = (f"{source}: {empty} rows have an empty cell, which counts as the item's highest",) if empty else ()
    if step is not None:
        of_time = np.floor((moments - times[0]) / step).astype(np.int64)
        kept, of_time = np.unique(of_time, return_inverse=True)
        times = times[0] + kept * step
        own = f"{source}: items have times of their own; their highest in intervals of {step:g} s are taken"
        messages = (*messages, own)
    if len(items) * len(times) > MAX_CELLS:
        raise BrokenInputError(
            f"{source}: {len(items)} items at {len(times)} times are more than {MAX_CELLS} values",
            hint="take longer steps of time, or fewer items",
        )
    alive, compute, memory = _grids((len(items), len(times)), of_item, of_time, cells)
    _refuse_unknown(source, items, compute, memory)
    return Demand(source, tuple(items), times, _lasts(times, step), alive, compute, memory, messages)


def _rows(lines: Iterable[str], source: str) -> dict[tuple[str, float], tuple[float, float]]:
    """Compute and memory by item and time."""
    table = Table(lines, source, (DEMAND,))
    found: dict[tuple[str, float], tuple[float, float]] = {}
    for row in table:
        try:
            key, values = _row(row)
        except WrongCell as wrong:
            raise table.wrong(row, str(wrong)) from None
        if key in found:
            raise table.wrong(row, f"{shown(key[0])} has a row for time_s {key[1]:g} already")
        found[key] = values
    return found


def _row(row: Row) -> tuple[tuple[str, float], tuple[float, float]]:
    at, item, compute, memory = row.cells
    key = name("item", item), seconds("time_s", at)
    return key, (_number("compute_ratio", compute, MAX_COMPUTE), _number("memory_gib", memory, MAX_MEMORY_GIB))


def _number(column: str, text: str, most: float) -> float:
    """A number from 0; NaN for an empty cell."""
    if not text:
        return math.nan
    value = float(text) if len(text) <= MAX_SHOWN_CHARS and _NUMBER.fullmatch(text) else math.nan
    if not 0 <= value <= most:
        raise WrongCell(f"{column} is {shown(text)}, not a number from 0 to {most:g}")
    return value


def _own_clocks(of_item: NDArray[np.int64], moments: Values, times: Values) -> float | None:
    """The usual step of an item when items have even clocks of their own; None when they share one, or have none."""
    order = np.lexsort((moments, of_item))
    same = np.diff(of_item[order]) == 0
    steps = np.diff(moments[order])[same]
    if len(steps) < _LEAST_STEPS * len(np.unique(of_item)) or len(times) < (1 - _SHARED) * len(moments):
        return None
    step = float(np.median(steps))
    even = np.abs(steps - step) <= _UNEVEN * step
    if even.mean() < 1 - _SHARED or float(np.median(np.diff(times))) >= _APART * step:
        return None
    return step


def _grids(
    shape: tuple[int, int], of_item: NDArray[np.int64], of_time: NDArray[np.int64], cells: Values
) -> tuple[NDArray[np.bool_], Values, Values]:
    """Whether each item is there, and the highest of what it needs, by item and interval."""
    alive = np.zeros(shape, bool)
    alive[of_item, of_time] = True
    grids = []
    for column in cells.T:
        grid = np.full(shape, -1.0)
        np.maximum.at(grid, (of_item, of_time), np.where(np.isnan(column), -1.0, column))
        grids.append(np.where(grid < 0, np.nan, grid))
    return alive, grids[0], grids[1]


def _refuse_unknown(source: str, items: list[str], compute: Values, memory: Values) -> None:
    for column, grid in (("compute_ratio", compute), ("memory_gib", memory)):
        unknown = np.flatnonzero(np.isnan(grid).all(axis=1))
        if len(unknown):
            raise BrokenInputError(
                f"{source}: no row of {shown(items[unknown[0]])} has a {column}",
                hint="leave the item out, or tell what is known of it",
            )


def _lasts(times: Values, step: float | None) -> Values:
    if len(times) == 1:
        return np.full(1, math.nan)
    steps = np.diff(times)
    return np.append(steps, step or float(np.median(steps)))
