"""Writes what nodes tell to one compressed file (docs/record.md)."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from gpualloc import __version__
from gpualloc.adapters.row_patch import patch_of
from gpualloc.errors import GpuallocError, UsageError
from gpualloc.model.codec import to_plain
from gpualloc.model.inventory import Node, NodeSpec

FORMAT = 1
WHOLE_EVERY_TICKS = 60
"""After that many ticks every node is written whole, in a new member of the file: what came before may be lost."""


class Recorder:
    """One recording, from its first tick to `close`. Everything up to the last tick is in the file at any time.

    Args:
        path: the file; it must not be there yet.
        specs: the nodes there should be.
        began_s: epoch seconds by the clock of the nodes' world.
        every_s: time between two ticks, seconds.
        commands: whether command lines are written.

    Raises:
        UsageError: there is such a file.
        GpuallocError: it cannot be written.
    """

    def __init__(
        self, path: Path, specs: Sequence[NodeSpec], *, began_s: float, every_s: float, commands: bool
    ) -> None:
        self._path = path
        self._commands = commands
        self._ticks = 0
        self._bytes = 0
        self._rows: dict[str, object] = {}
        self._nodes: dict[str, Node] = {}
        self._packer = _packer()
        with self._told():
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        header = {
            "gpualloc_recording": FORMAT,
            "version": __version__,
            "began_at_s": began_s,
            "every_s": every_s,
            "commands": commands,
            "specs": to_plain(list(specs)),
        }
        self._write([header])

    @property
    def ticks(self) -> int:
        """How many are in the file."""
        return self._ticks

    @property
    def size_bytes(self) -> int:
        """What was written to the file."""
        return self._bytes

    def tick(self, at_s: float, told: Sequence[Node]) -> None:
        """Add what nodes told up to a moment; raises GpuallocError when it cannot be written."""
        self._nodes |= {node.name: node for node in told}
        whole = self._ticks % WHOLE_EVERY_TICKS == 0
        if whole and self._ticks:
            self._rows.clear()
            self._next_member()
        nodes = self._nodes.values() if whole else told
        self._write([*(row for node in nodes for row in self._row(node)), {"tick": at_s}])
        self._ticks += 1

    def close(self) -> None:
        """End the file; raises GpuallocError when it cannot be written."""
        try:
            self._put(self._packer.flush())
        finally:
            os.close(self._file)

    def _row(self, node: Node) -> Iterator[dict[str, object]]:
        """What is written of a node: all of it the first time, then what changed."""
        plain = to_plain(node if self._commands else _without_commands(node))
        before = self._rows.get(node.name)
        if before is None:
            yield {"node": node.name, "is": plain}
        elif before != plain:
            yield {"node": node.name, "now": patch_of(before, plain)}
        self._rows[node.name] = plain

    def _write(self, rows: Sequence[dict[str, object]]) -> None:
        text = "".join(json.dumps(row, separators=(",", ":"), allow_nan=False) + "\n" for row in rows)
        self._put(self._packer.compress(text.encode("ascii")) + self._packer.flush(zlib.Z_SYNC_FLUSH))

    def _next_member(self) -> None:
        self._put(self._packer.flush())
        self._packer = _packer()

    def _put(self, data: bytes) -> None:
        with self._told():
            left = memoryview(data)
            while left:
                left = left[os.write(self._file, left) :]
        self._bytes += len(data)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except FileExistsError as error:
            raise UsageError(f"{self._path} is there already", hint="name a new file, or remove it first") from error
        except OSError as error:
            raise GpuallocError(f"{self._path} cannot be written: {error.strerror or error}") from error


def _packer() -> zlib._Compress:
    return zlib.compressobj(6, wbits=31)


def _without_commands(node: Node) -> Node:
    return replace(node, processes=tuple(replace(process, command=None) for process in node.processes))
