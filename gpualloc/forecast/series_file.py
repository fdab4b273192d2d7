"""Series from a CSV text: columns time_s, series, value and, if wanted, capacity. Rows in any order, gaps allowed."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

import numpy as np
from msgspec import Struct, field

from gpualloc.errors import BrokenInputError
from gpualloc.forecast.grid import Matrix, doubles, on_even_times, usual_step
from gpualloc.model.forecast import Grid

REQUIRED = ("time_s", "series", "value")
OPTIONAL = ("capacity",)
MAX_SERIES = 100_000
MAX_CELLS = 100_000_000
"""Series times ticks; more is a time that lies far off, or no file for one machine."""
MAX_TIME_S = 1e12
MAX_NAME_CHARS = 200
_MAX_SHOWN_CHARS = 40
_HINT = "the columns are time_s, series, value, and if wanted capacity"


class _Series(Struct):
    """What a file tells of one series, row by row."""

    times: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    capacity: tuple[float, float] | None = None
    """Time and capacity of the latest row that tells one."""


def read(lines: Iterable[str], source: str) -> Grid:
    """The series of a text on one even grid; its step is the median distance between neighbouring times.

    An empty value, a missing row and a missing part are gaps (NaN). Rows that fall on the same tick are averaged. The
    capacity of a series is the one that its latest row tells.

    Args:
        lines: the text, line by line.
        source: how errors name it, such as the path.

    Raises:
        BrokenInputError: a column is missing or unknown, a cell is no number or out of range, a series tells two values
            for one time, there is no second time, or the times are too far apart: names source and line.
    """
    found: dict[str, _Series] = {}
    for line, name, time_s, value, capacity in _rows(lines, source):
        one = found.get(name)
        if one is None:
            if len(found) == MAX_SERIES:
                raise BrokenInputError(f"{source}, line {line}: more than {MAX_SERIES} series")
            one = found[_name(name, source, line)] = _Series()
        one.times.append(time_s)
        one.values.append(value)
        one.lines.append(line)
        if not math.isnan(capacity) and (one.capacity is None or time_s >= one.capacity[0]):
            one.capacity = (time_s, capacity)
    if not found:
        raise BrokenInputError(f"{source}: has a header and no rows", hint="at least two times are needed")
    return _grid(found, source)


def _rows(lines: Iterable[str], source: str) -> Iterator[tuple[int, str, float, float, float]]:
    """Line, name, time, value (NaN: unknown) and capacity (NaN: not told) of each row that is not empty."""
    reader = csv.reader(lines, strict=True, skipinitialspace=True)
    header: list[str] | None = None
    places: list[int] = []
    while True:
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise BrokenInputError(f"{source}, line {reader.line_num}: not CSV: {error}") from error
        if record is None:
            break
        if not any(record):
            continue
        line = reader.line_num
        if header is None:
            header = [cell.strip() for cell in record]
            places = _places(header, source)
            continue
        if len(record) != len(header):
            raise BrokenInputError(
                f"{source}, line {line}: {len(record)} cells, and the header names {len(header)} columns"
            )
        cells = [record[place].strip() for place in places]
        try:
            time_s = float(cells[0])
            value = float(cells[2]) if cells[2] else math.nan
            capacity = float(cells[3]) if len(cells) > 3 and cells[3] else math.nan
            right = -MAX_TIME_S <= time_s <= MAX_TIME_S and (not cells[2] or 0 <= value < math.inf)
            right = right and (math.isnan(capacity) if len(cells) < 4 or not cells[3] else 0 < capacity < math.inf)
        except ValueError:
            right = False
        if not right:
            raise _wrong(cells, f"{source}, line {line}")
        yield line, cells[1], time_s, value, capacity
    if header is None:
        raise BrokenInputError(f"{source}: is empty", hint=_HINT)


def _places(header: list[str], source: str) -> list[int]:
    """Where the columns stand, in the order of `REQUIRED` and `OPTIONAL`."""
    known = (*REQUIRED, *OPTIONAL)
    missing = [column for column in REQUIRED if column not in header]
    unknown = [column for column in header if column not in known]
    if missing:
        raise BrokenInputError(f"{source}: there is no column {', '.join(missing)}", hint=_HINT)
    if unknown:
        near = get_close_matches(unknown[0][:MAX_NAME_CHARS], known, n=1)
        meant = f"did you mean {near[0]}? " if near else "leave it out; "
        raise BrokenInputError(f"{source}: there is a column {_shown(unknown[0])}", hint=meant + _HINT)
    twice = [column for column in known if header.count(column) > 1]
    if twice:
        raise BrokenInputError(f"{source}: the column {twice[0]} stands there twice")
    return [header.index(column) for column in known if column in header]


def _wrong(cells: list[str], place: str) -> BrokenInputError:
    """The error about the first cell of a row that does not hold what its column takes."""
    for column, text, lowest, empty in (
        ("time_s", cells[0], -MAX_TIME_S, False),
        ("value", cells[2], 0.0, True),
        ("capacity", (*cells, "")[3], math.ulp(0.0), True),
    ):
        try:
            number = float(text) if text else lowest if empty else math.nan
        except ValueError:
            number = math.nan
        highest = MAX_TIME_S if column == "time_s" else math.inf
        if not lowest <= number <= highest or math.isinf(number):
            wanted = {"time_s": "seconds", "value": "a number from 0", "capacity": "a number above 0"}[column]
            hint = (
                "leave the cell empty where nothing is known" if empty else "epoch seconds, or seconds since any moment"
            )
            return BrokenInputError(f"{place}: {column} is {_shown(text)}, not {wanted}", hint=hint)
    raise AssertionError(f"{place}: every cell is right")


def _name(text: str, source: str, line: int) -> str:
    if not 0 < len(text) <= MAX_NAME_CHARS or not text.isprintable():
        raise BrokenInputError(
            f"{source}, line {line}: series is {_shown(text)}, not a name of 1 to {MAX_NAME_CHARS} printable characters"
        )
    return text


def _grid(found: dict[str, _Series], source: str) -> Grid:
    times: list[Matrix] = []
    for name, one in found.items():
        at = np.array(one.times)
        order = np.argsort(at, kind="stable")
        times.append(at[order])
        same = np.flatnonzero(np.diff(times[-1]) == 0)
        if len(same):
            first, second = sorted(one.lines[place] for place in order[same[0] : same[0] + 2])
            raise BrokenInputError(
                f"{source}, line {second}: {_shown(name)} has a value for that time already, on line {first}"
            )
    step_s = usual_step(times)
    if step_s is None:
        raise BrokenInputError(f"{source}: no series has a second time", hint="at least two times are needed")
    start_s, end_s = min(one[0] for one in times), max(one[-1] for one in times)
    ticks = round((end_s - start_s) / step_s) + 1
    if ticks * len(found) > MAX_CELLS:
        raise BrokenInputError(
            f"{source}: {len(found)} series from {start_s:.15g} to {end_s:.15g} s every {step_s:g} s are too much",
            hint="does one of the times lie far from the others?",
        )
    rows = [on_even_times(np.array(one.times), np.array(one.values), start_s, step_s, ticks) for one in found.values()]
    told = tuple(None if one.capacity is None else one.capacity[1] for one in found.values())
    return Grid(
        names=tuple(found),
        start_s=float(start_s),
        step_s=step_s,
        ticks=ticks,
        values=doubles(np.array(rows)),
        capacity=told if any(one is not None for one in told) else (),
    )


def _shown(text: str) -> str:
    """A cell as an error shows it: quoted, bounded, without control characters."""
    return json.dumps(text[:_MAX_SHOWN_CHARS]) + ("…" if len(text) > _MAX_SHOWN_CHARS else "")
