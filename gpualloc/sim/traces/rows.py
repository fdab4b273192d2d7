"""Rows of a CSV or JSON-lines text, held against the columns that a layout knows. Streamed, one row at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from itertools import chain

from msgspec import Struct

from gpualloc.errors import BrokenInputError
from gpualloc.sim.traces.cells import ALTERNATIVES, MAX_NAME_CHARS, WrongCell, shown
from gpualloc.sim.traces.lines import MAX_LINE_BYTES


class Layout(Struct, frozen=True):
    """The columns of one kind of file."""

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    """Columns that may be there and are not read."""

    @property
    def read(self) -> tuple[str, ...]:
        """The columns that are read, in the order in which a row has their cells."""
        return self.required + self.optional


class Row(Struct, frozen=True):
    """One row of a text."""

    number: int
    """Counted from 0, without the header and empty lines."""
    line: int
    """Line of the text, counted from 1."""
    cells: tuple[str, ...]
    """As `Layout.read` has them, without spaces around; empty for a column that is missing or a cell without value."""


class Table:
    """The rows of a text, to be read once, and the layout that its header (or first JSON object) shows.

    Args:
        lines: the text, taken line by line.
        source: how errors name it.
        layouts: what it may be; the one with most of its columns in the text is taken.

    Raises:
        BrokenInputError: here for the header, and while rows are read: names source, row and line, and what was
            expected.
    """

    def __init__(self, lines: Iterable[str], source: str, layouts: Sequence[Layout]) -> None:
        self.source = source
        numbered = _bounded(lines, source)
        first = next(((line, text) for line, text in numbered if text.strip()), None)
        if first is None:
            raise BrokenInputError(f"{source}: is empty", hint=_expected(layouts))
        line, text = first
        rest = chain([first], numbered)
        if text.lstrip().startswith(("{", "[")):
            self.layout = _recognised([*_json_cells(text, source, line)], source, layouts)
            self._cells = self._from_json(rest)
        else:
            records = _csv_records(rest, source, line - 1)
            columns = [column.strip() for column in next(records)[1]]
            self.layout = _recognised(columns, source, layouts)
            self._cells = self._from_csv(records, columns)

    def __iter__(self) -> Iterator[Row]:
        number = -1
        for number, (line, cells) in enumerate(self._cells):
            yield Row(number, line, cells)
        if number < 0:
            raise BrokenInputError(f"{self.source}: has a header and no rows", hint="at least one row is needed")

    def wrong(self, row: Row, problem: str) -> BrokenInputError:
        """The error about a row."""
        return BrokenInputError(f"{self.source}, row {row.number} (line {row.line}): {problem}")

    def _from_csv(
        self, records: Iterator[tuple[int, list[str]]], columns: list[str]
    ) -> Iterator[tuple[int, tuple[str, ...]]]:
        places = [columns.index(column) if column in columns else None for column in self.layout.read]
        for number, (line, record) in enumerate(records):
            if len(record) != len(columns):
                raise self.wrong(
                    Row(number, line, ()), f"{len(record)} cells, and the header names {len(columns)} columns"
                )
            yield line, tuple("" if place is None else record[place].strip() for place in places)

    def _from_json(self, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, tuple[str, ...]]]:
        required, known = {*self.layout.required}, {*self.layout.read, *self.layout.unused}
        written = ((line, text) for line, text in lines if text.strip())
        for number, (line, text) in enumerate(written):
            cells = _json_cells(text, self.source, line)
            if not required <= cells.keys() <= known:
                _check_columns([*cells], self.layout, f"{self.source}, row {number} (line {line})")
            yield line, tuple(cells.get(column, "") for column in self.layout.read)


def _bounded(lines: Iterable[str], source: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE_BYTES:
            raise BrokenInputError(f"{source}, line {number}: longer than {MAX_LINE_BYTES} characters")
        yield number, line


def _csv_records(lines: Iterator[tuple[int, str]], source: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """The records that are not empty, each with its line; `skipped` lines came before."""
    reader = csv.reader((text for _, text in lines), strict=True)
    while True:
        line = skipped + reader.line_num + 1
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise BrokenInputError(f"{source}, line {line}: not CSV: {error}") from error
        if record is None:
            return
        if skipped + reader.line_num > line:
            raise BrokenInputError(f"{source}, line {line}: a quoted cell goes on over the end of the line")
        if record:
            yield line, record


def _json_cells(text: str, source: str, line: int) -> dict[str, str]:
    """The cells of a JSON object, by key; numbers stay as they are written, so that nothing is rounded."""
    place = f"{source}, line {line}"
    try:
        pairs = json.loads(
            text, object_pairs_hook=_Pairs, parse_int=_Number, parse_float=_Number, parse_constant=_refuse
        )
    except (ValueError, RecursionError) as error:
        said = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise BrokenInputError(f"{place}: not JSON: {said}", hint="write one object on each line") from error
    if not isinstance(pairs, _Pairs):
        raise BrokenInputError(f"{place}: not a JSON object", hint='one on each line, such as {"name": "n1", ...}')
    cells: dict[str, str] = {}
    for key, value in pairs:
        if key in cells:
            raise BrokenInputError(f"{place}: {shown(key)} stands there twice")
        try:
            cells[key] = _cell(key, value)
        except WrongCell as wrong:
            raise BrokenInputError(f"{place}: {wrong}") from None
    return cells


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


class _Pairs(list[tuple[str, object]]):
    """The pairs of a JSON object, those with the same key too."""


def _cell(key: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and not isinstance(value, _Pairs) and all(type(part) is str for part in value):
        return ALTERNATIVES.join(value)
    raise WrongCell(f"{shown(key)} holds neither a number nor a text nor a list of texts")


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no number")


def _recognised(columns: list[str], source: str, layouts: Sequence[Layout]) -> Layout:
    layout = max(layouts, key=lambda layout: len({*layout.read} & {*columns}))
    if not {*layout.read} & {*columns}:
        raise BrokenInputError(f"{source}: none of the columns is known", hint=_expected(layouts))
    _check_columns(columns, layout, source)
    return layout


def _check_columns(columns: list[str], layout: Layout, place: str) -> None:
    missing = [column for column in layout.required if column not in columns]
    if missing:
        raise BrokenInputError(
            f"{place}: read as {layout.name}, and there is no column {', '.join(missing)}", hint=_expected([layout])
        )
    unknown = [column for column in columns if column not in (*layout.read, *layout.unused)]
    if unknown:
        near = get_close_matches(unknown[0][:MAX_NAME_CHARS], layout.read, n=1)
        meant = f"did you mean {near[0]}? " if near else "leave it out. "
        raise BrokenInputError(
            f"{place}: read as {layout.name}, which have no column {shown(unknown[0])}",
            hint=meant + _expected([layout]),
        )
    twice = [column for column in columns if columns.count(column) > 1]
    if twice:
        raise BrokenInputError(f"{place}: the column {twice[0]} stands there twice")


def _expected(layouts: Sequence[Layout]) -> str:
    return "; or ".join(
        f"{layout.name} have {', '.join(layout.required)}"
        + (f", and if wanted {', '.join(layout.optional)}" if layout.optional else "")
        for layout in layouts
    )
