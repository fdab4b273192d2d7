"""A recording that is looked at anywhere in it, forwards and backwards."""

from __future__ import annotations

import re
import threading
from array import array
from bisect import bisect_left, bisect_right
from contextlib import closing
from pathlib import Path

from msgspec import Struct, field

from gpualloc.adapters.recorded_file import RecordedTick, RecordingFile
from gpualloc.adapters.recorded_nodes import Page, Recording
from gpualloc.errors import BrokenInputError
from gpualloc.model.inventory import Node

_WHOLE = re.compile(rb'\{"node":("(?:[^"\\]|\\.)*"),"is":')
_TOLD = re.compile(rb'\{"node":("(?:[^"\\]|\\.)*"),')
_PAGES_BYTES = 8 << 20
"""Of the lines of ticks that are remembered as they were played."""
_NOWHERE = -2
"""In place of a tick: where the recording is, is not known."""


class _Start(Struct, frozen=True):
    """A place from which a recording can be read without what is before it."""

    tick: int
    """Number of the tick, from 0 on."""
    offset: int
    line: int


class _Index(Struct):
    """Where what is in a recording."""

    times: array[float] = field(default_factory=lambda: array("d"))
    """Of each tick, epoch seconds; none is before the one before it."""
    starts: list[_Start] = field(default_factory=lambda: [_Start(0, 0, 2)])
    _known: set[bytes] = field(default_factory=set)

    def add(self, tick: RecordedTick) -> None:
        """Take in the next tick."""
        offset = tick.lines[0].begins if tick.lines else None
        if offset and self._known <= {found[1] for line in tick.lines if (found := _WHOLE.match(line.text))}:
            self.starts.append(_Start(len(self.times), offset, tick.lines[0].number))
        self._known |= {found[1] for line in tick.lines if (found := _TOLD.match(line.text))}
        self.times.append(max(tick.at_s, self.times[-1] if self.times else tick.at_s))


class RecordedPlayback:
    """`ports.Playback` over a file, which is opened and read through when it is first asked.

    A look back goes to the last place before it where every node is told whole, and plays on from there; a few ticks
    that were played last, many of a small fleet, are remembered.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._index: _Index | None = None
        self._recording: Recording | None = None
        self._played = _NOWHERE
        """Number of the tick that was played last."""
        self._pages: dict[int, tuple[Page, int]] = {}
        """What was known at ticks that were played, by number, with the bytes of the tick; the newest played last."""

    @property
    def every_s(self) -> float:
        """As `ports.Playback.every_s`."""
        with self._lock:
            return self._opened().header.every_s

    def span(self) -> tuple[float, float]:
        """As `ports.Playback.span`; of one that is damaged the last tick before that."""
        with self._lock:
            times = self._indexed().times
            return times[0], times[-1]

    def neighbours(self, at_s: float) -> tuple[float | None, float | None]:
        """As `ports.Playback.neighbours`."""
        with self._lock:
            times = self._indexed().times
            before, after = bisect_left(times, at_s), bisect_right(times, at_s)
            return times[before - 1] if before else None, times[after] if after < len(times) else None

    def nodes_at(self, at_s: float) -> tuple[Node, ...]:
        """As `ports.Playback.nodes_at`."""
        with self._lock:
            index, recording = self._indexed(), self._opened()
            wanted = max(0, bisect_right(index.times, at_s) - 1)
            start = index.starts[bisect_right(index.starts, wanted, key=lambda start: start.tick) - 1]
            if wanted not in self._pages:
                if not start.tick <= self._played < wanted:
                    recording.go_to(start.offset, start.line)
                    self._played = start.tick - 1
                while self._played < wanted:
                    self._play(recording, index.times[self._played + 1])
            page, _ = self._pages[wanted]
            return tuple(recording.told(spec, page) for spec in recording.header.specs)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._recording is not None:
                self._recording.close()
                self._recording = None

    def _play(self, recording: Recording, at_s: float) -> None:
        """Take in the next tick, which is of that time."""
        place, self._played = self._played, _NOWHERE
        try:
            recording.play()
        except BrokenInputError:
            # The tick was taken in, and what follows it is damaged.
            if recording.at_s < at_s:
                raise
        self._played = place + 1
        # At the end, where it may have been before.
        self._pages.pop(self._played, None)
        self._pages[self._played] = recording.page(), recording.tick_bytes
        # The oldest go first: whoever goes back has those that lie before where it went.
        while len(self._pages) > 1 and sum(size for _, size in self._pages.values()) > _PAGES_BYTES:
            del self._pages[next(iter(self._pages))]

    def _opened(self) -> Recording:
        if self._recording is None:
            self._recording, self._played = Recording(self._path), _NOWHERE
        return self._recording

    def _indexed(self) -> _Index:
        if self._index is None:
            index = _Index()
            with closing(RecordingFile(self._path)) as file:
                try:
                    for tick in file.ticks():
                        index.add(tick)
                except BrokenInputError:
                    if not index.times:
                        raise
            if not index.times:
                raise BrokenInputError(f"the recording {self._path} ends before its first tick")
            self._index = index
        return self._index
