"""Tables for spreadsheets and scripts: the one place that writes CSV.

As RFC 4180, with lines that end in LF alone: what reads CSV takes both, and the last column is free of CR for `cut` and
`awk`. Units are in the names of columns. An unknown value is an empty field.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from gpualloc.views.text import escape

Value = str | int | float | bool | None
"""What a field holds: a number as it is, `true` or `false`, text made harmless, or nothing when it is unknown."""

MAX_CELL = 2048
"""Characters of a text; a longer one ends in `…`."""
_FORMULA = tuple("=+-@＝＋－＠")
"""What makes a spreadsheet calculate a text, the wide ones in East Asia. So do tab and CR, which are escaped."""


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> str:
    """The header and one line for each row, without a line end behind the last."""
    return (csv_header(columns) + csv_rows(rows)).removesuffix("\n")


def csv_header(columns: Sequence[str]) -> str:
    """The line of column names, with its end."""
    return _lines([columns])


def csv_rows(rows: Iterable[Sequence[Value]]) -> str:
    """A line for each row, each with its end."""
    return _lines([_field(value) for value in row] for row in rows)


def harmless(text: str) -> str:
    """Foreign text that neither steers a terminal nor is a formula, and is not without end."""
    if len(text) > MAX_CELL:
        text = text[:MAX_CELL] + "…"
    shown = escape(text)
    return "'" + shown if shown.startswith(_FORMULA) else shown


def _lines(rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _field(value: Value) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return harmless(value) if isinstance(value, str) else value
