"""The lines of an open file: gzip or not, UTF-8, none of them too long. Bounded memory, whatever the file."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from gpualloc.errors import BrokenInputError

MAX_LINE_BYTES = 65_536
"""Longest line accepted, its end included."""
_GZIP = b"\x1f\x8b"
_MARK = "\ufeff"
"""Byte order mark that some spreadsheets put at the beginning."""


def text_lines(stream: BinaryIO, source: str) -> Iterator[str]:
    """The lines of a file, each with its end, unpacked when it is gzip.

    Args:
        stream: opened as bytes, at its beginning, such that it can be sought.
        source: how errors name it.

    Raises:
        BrokenInputError: names the line that is too long or not UTF-8, or says that the gzip data are damaged.
    """
    packed = stream.read(len(_GZIP)) == _GZIP
    stream.seek(0)
    if not packed:
        yield from _decoded(stream, source)
        return
    try:
        with gzip.GzipFile(fileobj=stream) as unpacked:
            yield from _decoded(unpacked, source)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BrokenInputError(
            f"{source}: the gzip data are damaged: {error}", hint="was the file copied as a whole?"
        ) from error


def _decoded(stream: BinaryIO | gzip.GzipFile, source: str) -> Iterator[str]:
    for number, line in enumerate(iter(lambda: stream.readline(MAX_LINE_BYTES + 1), b""), 1):
        if len(line) > MAX_LINE_BYTES:
            raise BrokenInputError(
                f"{source}, line {number}: longer than {MAX_LINE_BYTES} bytes", hint="is this the file you meant?"
            )
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise BrokenInputError(f"{source}, line {number}: not UTF-8 text", hint="save it as UTF-8") from error
        yield text.removeprefix(_MARK) if number == 1 else text
