"""Nodes as a recording has them at a moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.adapters.recorded_file import Header, Line, RecordedTick, RecordingFile
from gpualloc.adapters.row_patch import UnfitPatchError, patched
from gpualloc.errors import BrokenInputError
from gpualloc.model.codec import from_plain
from gpualloc.model.inventory import Node, NodeSpec, NodeState

MAX_KNOWN_BYTES = 256 << 20
"""Of the lines that what is known of all nodes was made from."""


class _Known(Struct):
    """What was told of a node last."""

    line: Line
    plain: object
    size: int
    """Bytes of the lines it was made from, since it was told whole."""
    node: Node | None = None
    """Made when it is asked for: most of what is told nobody looks at when time flies."""


Page = Mapping[str, _Known]
"""All that is known at a tick, by node."""


class Recording:
    """A recording at a place in it: `at_s` is the tick that was played last.

    Args:
        path: the file.

    Raises:
        BrokenInputError: it is no recording, of a newer format, or ends before its first tick.
    """

    def __init__(self, path: Path) -> None:
        self._file = RecordingFile(path)
        self._ticks = self._file.ticks()
        self._known: dict[str, _Known] = {}
        self.tick_bytes = 0
        """Of the lines of the tick that was played last."""
        self._specs = {spec.name: spec for spec in self.header.specs}
        with ExitStack() as if_unfit:
            if_unfit.callback(self.close)
            self._ahead = next(self._ticks, None)
            if self._ahead is None:
                raise BrokenInputError(f"the recording {path} ends before its first tick")
            self.began_s = self.at_s = self._ahead.at_s
            if_unfit.pop_all()

    @property
    def header(self) -> Header:
        """What its first line says."""
        return self._file.header

    @property
    def next_s(self) -> float | None:
        """When the next tick is; None at the end."""
        return None if self._ahead is None else self._ahead.at_s

    def play(self) -> frozenset[str]:
        """Take in the next tick; returns the names of the nodes that told something.

        Raises:
            BrokenInputError: it is damaged there.
        """
        tick, self._ahead = self._ahead, None
        if tick is None:
            return frozenset()
        told = frozenset(self._take(tick))
        self.tick_bytes = sum(len(line.text) for line in tick.lines)
        if sum(known.size for known in self._known.values()) > MAX_KNOWN_BYTES:
            raise BrokenInputError(f"the recording tells more than {MAX_KNOWN_BYTES >> 20} MiB of its nodes")
        # A clock that was set back while it was made does not bring time back here.
        self.at_s = max(self.at_s, tick.at_s)
        self._ahead = next(self._ticks, None)
        return told

    def page(self) -> Page:
        """All that is known at this tick; it stays as it is, and shares with other pages what did not change."""
        return dict(self._known)

    def node(self, name: str, page: Page | None = None) -> Node | None:
        """A node as it was told last, now or at that page; None before it was. Raises BrokenInputError."""
        known = (self._known if page is None else page).get(name)
        if known is None:
            return None
        if known.node is None:
            try:
                node = from_plain(Node, known.plain)
            except BrokenInputError as error:
                raise known.line.wrong(error.message) from error
            known.node = replace(node, spec=self._specs[name])
        return known.node

    def told(self, spec: NodeSpec, page: Page | None = None) -> Node:
        """As `node`, and before it was told as one that is not reached. Raises BrokenInputError."""
        silent = "it told nothing yet at this time of the recording"
        return self.node(spec.name, page) or Node(spec, NodeState.UNREACHABLE, self.began_s, reason=silent)

    def go_to(self, offset: int, line: int) -> None:
        """Be before the tick that begins with that line, where all is told that was known before.

        Args:
            offset: of the member of the file that begins with the line; 0 is the first tick.
            line: its number.
        """
        self._file.go_to(offset, line)
        self._known.clear()
        self._ticks = self._file.ticks()
        self._ahead = next(self._ticks, None)
        if self._ahead is not None:
            self.at_s = self._ahead.at_s

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _take(self, tick: RecordedTick) -> Iterator[str]:
        for line in tick.lines:
            row = line.row()
            name = row.get("node")
            if not isinstance(name, str) or name not in self._specs:
                raise line.wrong("of no node that the first line names")
            if "is" in row:
                self._known[name] = _Known(line, row["is"], len(line.text))
            elif "now" in row and name in self._known:
                self._known[name] = self._changed(self._known[name], row["now"], line)
            else:
                raise line.wrong("it tells nothing, or changes what is not known")
            yield name

    def _changed(self, known: _Known, patch: object, line: Line) -> _Known:
        try:
            plain = patched(known.plain, patch)
        except UnfitPatchError as error:
            raise line.wrong(str(error)) from error
        return _Known(line, plain, known.size + len(line.text))
