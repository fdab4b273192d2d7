"""Tables as Parquet files, where pyarrow is installed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from gpualloc.errors import GpuallocError

_GROUP_ROWS = 50_000
"""Rows that are written together."""
_WHOLE = ("_known", "_unknown")
"""Ends of the names of columns that count."""

ParquetRow = tuple[int, Sequence[str], Sequence[float | None]]
"""Epoch second; node, kind and key; readings."""


def pyarrow() -> tuple[Any, Any]:
    """pyarrow and its Parquet part.

    Raises:
        GpuallocError: it is not installed.
    """
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise GpuallocError(
            "Parquet files are written by pyarrow, which is not installed",
            hint="pip install 'gpualloc[parquet]', or give --format csv",
        ) from None


def write_parquet(path: Path, columns: Sequence[str], rows: Iterable[ParquetRow]) -> int:
    """Write a table, whole or not at all; returns how many rows.

    Args:
        path: the file; one that is there is replaced.
        columns: names of the readings.
        rows: what is in it.

    Raises:
        GpuallocError: pyarrow is not installed, or the file cannot be written.
    """
    arrow, parquet = pyarrow()
    schema = arrow.schema(
        [("at_s", arrow.int64()), *((name, arrow.string()) for name in ("node", "kind", "key"))]
        + [(name, arrow.int64() if name.endswith(_WHOLE) else arrow.float64()) for name in columns]
    )
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    count = 0
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "wb") as file:
            with parquet.ParquetWriter(file, schema) as writer:
                for group in _groups(rows):
                    names = [[row[1][place] for row in group] for place in range(3)]
                    values = [[row[2][place] for row in group] for place in range(len(columns))]
                    writer.write_table(arrow.table([[row[0] for row in group], *names, *values], schema=schema))
                    count += len(group)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise GpuallocError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)
    return count


def _groups(rows: Iterable[ParquetRow]) -> Iterable[list[ParquetRow]]:
    group: list[ParquetRow] = []
    for row in rows:
        group.append(row)
        if len(group) == _GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group
