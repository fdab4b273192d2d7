"""Writes what the dashboard hears to a recording, from within."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.errors import GpuallocError, UsageError
from gpualloc.model.inventory import Node, NodeSpec
from gpualloc.tui.seen import Seen

MAX_BYTES = 4 << 30
"""Size at which a recording ends that nobody ends."""
END_S = 1.0
"""How long the exit waits for the last tick."""


class Recorder(Protocol):
    """A file that takes ticks; what was given to it is in the file at any time."""

    @property
    def ticks(self) -> int:
        """How many are in the file."""
        ...

    @property
    def size_bytes(self) -> int:
        """What was written to the file."""
        ...

    def tick(self, at_s: float, told: Sequence[Node]) -> None:
        """Add what nodes told up to a moment; raises GpuallocError when it cannot be written."""
        ...

    def close(self) -> None:
        """End the file; raises GpuallocError when it cannot be written."""
        ...


class OpenRecorder(Protocol):
    """Begins a recording."""

    def __call__(
        self, path: Path, specs: Sequence[NodeSpec], *, began_s: float, every_s: float, commands: bool
    ) -> Recorder:
        """As `wiring.doors.recorder`."""
        ...


class Tape(Struct, frozen=True):
    """How a recording stands."""

    path: Path
    ticks: int = 0
    size_bytes: int = 0
    seconds: float = 0.0
    """From its beginning to its last tick."""
    running: bool = True
    why: str | None = None
    """Why it ended of itself; None when it did not."""


class TapeMachine:
    """Records in a thread of its own, a tick each period, the newest of each node that told something.

    Args:
        open_recorder: begins a file.
        specs: the nodes there should be.
        now_s: epoch seconds by the clock of the nodes' world.
        every_s: time between two ticks, seconds.
        most_bytes: size at which a recording that was forgotten ends.
    """

    def __init__(
        self,
        open_recorder: OpenRecorder,
        specs: Sequence[NodeSpec],
        now_s: Callable[[], float],
        *,
        every_s: float,
        most_bytes: int = MAX_BYTES,
    ) -> None:
        self._open = open_recorder
        self._specs = tuple(specs)
        self._now_s = now_s
        self._every_s = every_s
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._told: dict[str, Node] = {}
        self._heard: dict[str, Node] = {}
        """What was given last of each node, to see what is new."""
        self._tape: Tape | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def tape(self) -> Tape | None:
        """How the recording stands that was begun last; None before there was one."""
        with self._lock:
            return self._tape

    @property
    def running(self) -> bool:
        """Whether something is being recorded."""
        tape = self.tape
        return tape is not None and tape.running

    def begin(self, path: Path) -> None:
        """Begin a recording in a new file. It may block, as files do.

        Raises:
            UsageError: there is such a file, or something is being recorded already.
            GpuallocError: it cannot be written.
        """
        if self.running:
            raise UsageError("something is being recorded already", hint="end that first")
        began_s = self._now_s()
        recorder = self._open(path, self._specs, began_s=began_s, every_s=self._every_s, commands=True)
        self._stop = threading.Event()
        with self._lock:
            self._told, self._heard = {}, {}
            self._tape = Tape(path, size_bytes=recorder.size_bytes)
        self._thread = threading.Thread(
            target=self._record, args=(recorder, began_s, self._stop), name="recording", daemon=True
        )
        self._thread.start()

    def hear(self, seen: Seen) -> None:
        """Take what is known of the fleet; at once, from any thread. Nothing is kept when nothing is recorded."""
        with self._lock:
            if self._tape is None or not self._tape.running:
                return
            for one in seen.nodes:
                if one.node is not None and self._heard.get(one.name) is not one.node:
                    self._told[one.name] = self._heard[one.name] = one.node

    def end(self, wait_s: float = END_S) -> Tape | None:
        """End the recording with what was heard last, and return how it stands; None when there never was one.

        Args:
            wait_s: how long the last tick is waited for; what is in the file by then can be read in any case.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join(wait_s)
        return self.tape

    def _record(self, recorder: Recorder, began_s: float, stop: threading.Event) -> None:
        why: str | None = "it met a defect"
        try:
            why = self._ticks(recorder, began_s, stop)
        except GpuallocError as error:
            why = error.message
        finally:
            with self._lock:
                if self._tape is not None:
                    self._tape = replace(self._tape, size_bytes=recorder.size_bytes, running=False, why=why)
                self._told, self._heard = {}, {}

    def _ticks(self, recorder: Recorder, began_s: float, stop: threading.Event) -> str | None:
        """Write ticks to the end; returns why it ended, None when it was told to."""
        try:
            while not stop.wait(self._every_s):
                self._tick(recorder, began_s)
                if recorder.size_bytes >= self._most_bytes:
                    return f"it has grown to {recorder.size_bytes / (1 << 20):,.0f} MiB"
            self._tick(recorder, began_s)
            return None
        finally:
            recorder.close()

    def _tick(self, recorder: Recorder, began_s: float) -> None:
        """Add what was told since the last one, at first when anything was."""
        with self._lock:
            told, self._told = tuple(self._told.values()), {}
        if not told and not recorder.ticks:
            return
        at_s = self._now_s()
        recorder.tick(at_s, told)
        with self._lock:
            if self._tape is not None:
                self._tape = replace(
                    self._tape,
                    ticks=recorder.ticks,
                    size_bytes=recorder.size_bytes,
                    seconds=max(0.0, at_s - began_s),
                )
