"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gpualloc.errors import GpuallocError

Put = Callable[[str], None]
"""Adds text to the file."""


@contextmanager
def whole_file(path: Path) -> Iterator[Put]:
    """What to call with the text of a file, which is moved to its place when the block ends well.

    That it can be written is found out at once, before work that takes long. When the block fails nothing is left.

    Raises:
        GpuallocError: it cannot be written; an older one of that name is as it was.
    """
    if path.exists() and not path.is_file():
        raise GpuallocError(f"{path} cannot be written: it is no plain file")
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with _told(path):
        file = beside.open("x", encoding="utf-8", newline="")

    def put(text: str) -> None:
        with _told(path):
            file.write(text)

    try:
        with file:
            yield put
            with _told(path):
                file.flush()
                os.fsync(file.fileno())
        with _told(path):
            beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextmanager
def whole_files(*paths: str | None) -> Iterator[list[Put | None]]:
    """As `whole_file` for several; None where no path was given."""
    with ExitStack() as opened:
        yield [None if path is None else opened.enter_context(whole_file(Path(path))) for path in paths]


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GpuallocError(f"{path} cannot be written: {error.strerror or error}") from error
