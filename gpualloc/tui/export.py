"""Lists as files and as text to paste: bare numbers with their units, null for what is unknown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from gpualloc.errors import GpuallocError, UsageError
from gpualloc.tui.fields import Field
from gpualloc.tui.listing import Listing
from gpualloc.tui.rows import Moment
from gpualloc.tui.text import plain
from gpualloc.tui.values import Exported, exported
from gpualloc.views import csv

Row = TypeVar("Row")
KINDS = (".csv", ".json", ".svg")


def write_export(
    name: str, listing: Listing[Row], rows: Sequence[Row], moment: Moment, picture: str, *, simulated: bool
) -> str:
    """Write a list to a new file, in the format that its name ends with; returns what was done, in one line.

    Args:
        name: the file; `~` is the home folder.
        listing: what the rows tell.
        rows: those in sight, in their order.
        moment: at which their ages are told.
        picture: the screen as SVG, for a name that ends so.
        simulated: whether the rows exist only in a simulation.

    Raises:
        UsageError: the name ends with no known format.
        GpuallocError: the file exists, or cannot be written; nothing is left of it.
    """
    path = _path(name)
    if path.suffix not in KINDS:
        raise UsageError(
            f"{name!r} ends with no format that a list can be written in", hint=f"one of {' '.join(KINDS)}"
        )
    texts = {
        ".csv": lambda: as_csv(listing, rows, moment, simulated=simulated),
        ".json": lambda: as_json(listing, rows, moment, simulated=simulated),
        ".svg": lambda: picture,
    }
    write_new(path, texts[path.suffix]())
    return f"{len(rows)} rows written to {path}" if path.suffix != ".svg" else f"picture written to {path}"


def write_new(path: Path, text: str) -> None:
    """Write a text to a new file.

    Raises:
        GpuallocError: the file exists, or cannot be written; nothing is left of it.
    """
    try:
        file = path.open("x", encoding="utf-8")
    except FileExistsError:
        raise GpuallocError(f"{path} exists already", hint="choose another name") from None
    except (OSError, ValueError) as error:
        raise GpuallocError(f"{plain(str(path))} cannot be written: {_told(error)}") from error
    try:
        with file:
            file.write(text)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise GpuallocError(f"{path} cannot be written: {_told(error)}") from error


def as_csv(listing: Listing[Row], rows: Sequence[Row], moment: Moment, *, simulated: bool) -> str:
    """A heading with units, then a line per row; several texts of a field are joined by blanks."""
    heading = ["simulated", *(_heading(field) for field in listing.fields)]
    lines = [
        [simulated, *(_joined(exported(field.value(row, moment), field.unit)) for field in listing.fields)]
        for row in rows
    ]
    return csv.csv_text(heading, lines) + "\n"


def as_json(listing: Listing[Row], rows: Sequence[Row], moment: Moment, *, simulated: bool) -> str:
    """A document with the units of the fields and an object per row."""
    document = {
        "simulated": simulated,
        "at_s": moment.now_s,
        "list": listing.name,
        "units": {field.name: field.unit.value for field in listing.fields if field.unit is not None},
        "rows": [_object(listing, row, moment) for row in rows],
    }
    return json.dumps(document, indent=1) + "\n"


def copied(listing: Listing[Row], row: Row, moment: Moment) -> str:
    """A row as JSON."""
    return json.dumps(_object(listing, row, moment))


def _path(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{name}: {error}", hint="write the whole path") from error


def _told(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _object(listing: Listing[Row], row: Row, moment: Moment) -> dict[str, object]:
    return {field.name: exported(field.value(row, moment), field.unit) for field in listing.fields}


def _joined(value: Exported) -> csv.Value:
    return " ".join(value) if isinstance(value, list) else value


def _heading(field: Field[Row]) -> str:
    return field.name if field.unit is None else f"{field.name} ({field.unit.value})"
