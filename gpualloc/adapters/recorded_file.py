"""Reads recordings as rows (docs/record.md). Any file may be given, and none is trusted."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.adapters.fields import MAX_TEXT, clean
from gpualloc.adapters.recording import FORMAT
from gpualloc.errors import BrokenInputError
from gpualloc.model.codec import from_plain
from gpualloc.model.inventory import NodeSpec

MAX_LINE_BYTES = 32 << 20
"""A node says what a line tells in several answers of at most 8 MiB."""
MAX_TICK_BYTES = 256 << 20
"""Of all lines of one tick."""
MAX_NODES = 65_536
MAX_NAME = 253
MAX_AT_S = 1e11
_MAGIC = b"\x1f\x8b"
_READ_BYTES = 1 << 18
_PIECE_BYTES = 1 << 20
_LINE_COST = 128
"""What a line takes beside its bytes."""
_UNCLEAN = re.compile(rb'[^"]{%d}|\\u[dD][89a-fA-F]|[^\x00-\x7f]' % MAX_TEXT)
"""What a line with a text that is too long or no text at all may have; nothing that we write has it."""


class Header(Struct, frozen=True):
    """What the first line of a recording says."""

    version: str
    """Of the gpualloc that wrote it."""
    began_at_s: float
    """Epoch seconds by the clock of the nodes' world, as all times in it."""
    every_s: float
    commands: bool
    """Whether command lines are in it."""
    specs: tuple[NodeSpec, ...]
    """Every node there should be, sorted by name; `transport` is `recorded`, or `simulated` where it was."""


class Line(Struct, frozen=True):
    """A line that is not read yet."""

    path: Path
    number: int
    text: bytes
    begins: int | None = None
    """Offset of the member of the file that begins with it; None where none does."""

    def row(self) -> dict[str, Any]:
        """What is in it, with texts cut, and such as every terminal and database takes; raises BrokenInputError."""
        try:
            plain = json.loads(self.text)
            if _UNCLEAN.search(self.text):
                plain = _cleaned(plain)
        except (ValueError, RecursionError) as error:
            raise self.wrong("not JSON") from error
        if not isinstance(plain, dict):
            raise self.wrong("not a JSON object")
        return plain

    def wrong(self, what: str) -> BrokenInputError:
        """The error that says so of this line."""
        return _wrong(self.path, f"line {self.number}: {what}")


class RecordedTick(Struct, frozen=True):
    """What nodes told up to a moment."""

    at_s: float
    lines: tuple[Line, ...]


class RecordingFile:
    """A recording that is read from its beginning to its end, a tick at a time.

    Args:
        path: the file.

    Raises:
        BrokenInputError: it cannot be read, is no recording, or of a newer format.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise BrokenInputError(f"the recording {path} cannot be read: {error.strerror or error}") from error
        with ExitStack() as if_unfit:
            if_unfit.callback(self.close)
            self._lines = _lines(path, self._file)
            self.header = self._header()
            if_unfit.pop_all()

    def go_to(self, offset: int, number: int) -> None:
        """Let the `ticks` that are asked for next begin with that line.

        Args:
            offset: as `Line.begins` has it; 0 is the line after the first.
            number: of that line.
        """
        self._file.seek(offset)
        self._lines = _lines(self._path, self._file, number - 1 if offset else 0)
        if not offset:
            next(self._lines, None)

    def ticks(self) -> Iterator[RecordedTick]:
        """Each tick in its order; one at the end that is not whole is left out.

        Raises:
            BrokenInputError: the file is damaged there.
        """
        kept: list[Line] = []
        size = 0
        for line in self._lines:
            size += len(line.text) + _LINE_COST
            if size > MAX_TICK_BYTES:
                raise line.wrong(f"a tick of more than {MAX_TICK_BYTES >> 20} MiB")
            if not line.text.startswith(b'{"tick":'):
                kept.append(line)
                continue
            at_s = line.row().get("tick")
            if isinstance(at_s, bool) or not isinstance(at_s, int | float) or not 0 <= at_s <= MAX_AT_S:
                raise line.wrong("a tick without a time")
            yield RecordedTick(float(at_s), tuple(kept))
            kept, size = [], 0

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _header(self) -> Header:
        line = next(self._lines, None)
        if line is None:
            raise _wrong(self._path, "there is nothing in it")
        row = line.row()
        version = row.pop("gpualloc_recording", None)
        if not isinstance(version, int):
            raise line.wrong("it does not begin as recordings do")
        if version > FORMAT:
            raise BrokenInputError(
                f"{self._path} was written by a newer gpualloc (format {version}; this one reads {FORMAT})",
                hint="read it with that version",
            )
        try:
            header = from_plain(Header, row)
        except BrokenInputError as error:
            raise line.wrong(error.message) from error
        specs = {spec.name: spec for spec in header.specs}
        if not len(header.specs) == len(specs) <= MAX_NODES or not all(0 < len(name) <= MAX_NAME for name in specs):
            raise line.wrong("nodes without a name of their own, or too many")
        if not 0 < header.every_s <= MAX_AT_S or not 0 <= header.began_at_s <= MAX_AT_S:
            raise line.wrong("it has no usable times")
        return replace(header, specs=tuple(_played(specs[name]) for name in sorted(specs)))


def looks_like_one(path: Path) -> bool:
    """Whether a file is called as recordings are, or begins as they do."""
    if path.suffix == ".rec":
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _cleaned(plain: object) -> object:
    if isinstance(plain, str):
        return clean(plain)
    if isinstance(plain, list):
        return [_cleaned(item) for item in plain]
    if isinstance(plain, dict):
        return {clean(key): _cleaned(item) for key, item in plain.items()}
    return plain


def _played(spec: NodeSpec) -> NodeSpec:
    return spec if spec.transport == "simulated" else replace(spec, transport="recorded")


def _lines(path: Path, file: BinaryIO, number: int = 0) -> Iterator[Line]:
    """Each whole line after that number; what a recording that was cut off has behind its last one is left out."""
    left = bytearray()
    begins: int | None = None
    for member, piece in _unpacked(path, file):
        if member is not None:
            # In the middle of a line nobody can begin to read.
            begins = None if left else member
        left += piece
        begin = 0
        while (end := left.find(b"\n", begin)) >= 0:
            number += 1
            yield Line(path, number, bytes(left[begin:end]), begins)
            begin, begins = end + 1, None
        del left[:begin]
        if len(left) > MAX_LINE_BYTES:
            raise _wrong(path, f"line {number + 1}: longer than {MAX_LINE_BYTES >> 20} MiB")


def _unpacked(path: Path, file: BinaryIO) -> Iterator[tuple[int | None, bytes]]:
    """What is in all members of a gzip file from where it is, in pieces of bounded size; one cut off ends early.

    With the first piece of each member comes its offset.
    """
    unpacker = zlib.decompressobj(wbits=31)
    read = begins = file.tell()
    member: int | None = begins
    try:
        while packed := file.read(_READ_BYTES):
            if read == begins and not packed.startswith(_MAGIC):
                raise _wrong(path, "it is not compressed as recordings are")
            read += len(packed)
            while packed:
                if unpacker.eof:
                    unpacker, member = zlib.decompressobj(wbits=31), read - len(packed)
                yield member, unpacker.decompress(packed, _PIECE_BYTES)
                member = None
                packed = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    except zlib.error as error:
        raise _wrong(path, f"damaged within its first {read} bytes") from error
    except OSError as error:
        raise _wrong(path, error.strerror or str(error)) from error


def _wrong(path: Path, what: str) -> BrokenInputError:
    return BrokenInputError(
        f"{path} is no recording, or damaged: {what}", hint="`gpualloc record FILE` makes one; see docs/record.md"
    )
