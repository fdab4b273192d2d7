"""`ports.Messenger`: a thread for each channel, so that none of them keeps another, or the sampler, waiting."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue

from msgspec import Struct

from gpualloc.adapters.fields import clean
from gpualloc.adapters.program import run_program
from gpualloc.adapters.webhook import post
from gpualloc.model.alert import Channel, Delivered, Notice

MOST_WAITING = 256
"""Most notices that wait for one channel; what comes then is dropped, and told."""
GIVE_UP_S = 86_400.0
"""How long a notice is tried."""
CLOSE_S = 0.5
"""How long all channels together are waited for at the end."""
_ENVIRONMENT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ")
"""What a program of a channel sees of gpualloc's own environment."""


class Patience(Struct, frozen=True):
    """When to try again: the wait doubles from the first to the longest, less up to a half by chance."""

    first_s: float = 1.0
    longest_s: float = 300.0
    give_up_s: float = GIVE_UP_S
    most_waiting: int = MOST_WAITING

    def wait_s(self, failures: int) -> float:
        """How long to wait after so many failures, 1 or more."""
        return min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 30)) * random.uniform(0.5, 1.0)  # noqa: S311


class ChannelMessenger:
    """`ports.Messenger` over programs and webhooks.

    Args:
        channels: by name.
        patience: when to try again.
    """

    def __init__(self, channels: Mapping[str, Channel], patience: Patience | None = None) -> None:
        self._channels = channels
        self._patience = patience or Patience()
        self._ended: SimpleQueue[Delivered] = SimpleQueue()
        self._lines: dict[str, _Line] = {}
        self._stopped = threading.Event()

    def begin(self, notices: Sequence[Notice]) -> None:
        """As `Messenger.begin`; one too many for its channel is dropped."""
        for notice in notices:
            channel = self._channels.get(notice.channel)
            if channel is None:
                self._ended.put(Delivered(notice, "no channel of that name is configured"))
                continue
            line = self._lines.get(notice.channel)
            if line is None:
                line = _Line(channel, self._patience, self._ended.put, self._stopped)
                self._lines[notice.channel] = line
            if not line.add(notice):
                self._ended.put(Delivered(notice, f"dropped: {self._patience.most_waiting} others wait before it"))

    def ended(self) -> tuple[Delivered, ...]:
        """As `Messenger.ended`."""
        found = []
        try:
            while True:
                found.append(self._ended.get_nowait())
        except Empty:
            return tuple(found)

    def rest(self, wait_s: float) -> bool:
        """As `Messenger.rest`; a channel that failed is not waited for."""
        deadline = time.monotonic() + wait_s
        return all(line.rest(deadline - time.monotonic()) for line in self._lines.values())

    def attempt(self, notice: Notice) -> Delivered:
        """As `Messenger.attempt`."""
        channel = self._channels.get(notice.channel)
        if channel is None:
            return Delivered(notice, "no channel of that name is configured")
        return _deliver(channel, notice, self._stopped.is_set)[0]

    def close(self) -> None:
        """Let go of every channel at once; programs under way are killed."""
        self._stopped.set()
        deadline = time.monotonic() + CLOSE_S
        for line in self._lines.values():
            line.wake()
        for line in self._lines.values():
            line.join(deadline - time.monotonic())


class _Line:
    """The notices of one channel, in order, and the thread that delivers them."""

    def __init__(
        self, channel: Channel, patience: Patience, tell: Callable[[Delivered], None], stopped: threading.Event
    ) -> None:
        self._channel = channel
        self._patience = patience
        self._tell = tell
        self._stopped = stopped
        self._changed = threading.Condition()
        self._waiting: deque[tuple[float, Notice]] = deque()
        self._resting = False
        """Whether there is nothing to do now, or the last try failed and the next is not due."""
        self._thread = threading.Thread(target=self._run, name=f"channel {channel.name}", daemon=True)
        self._thread.start()

    def add(self, notice: Notice) -> bool:
        """Let it be delivered after those before it; False when there are too many."""
        with self._changed:
            if len(self._waiting) >= self._patience.most_waiting:
                return False
            if not self._waiting:
                self._resting = False
            self._waiting.append((time.monotonic(), notice))
            self._changed.notify_all()
            return True

    def rest(self, wait_s: float) -> bool:
        """Wait until there is nothing to do now; False when that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._resting, max(0.0, wait_s))

    def wake(self) -> None:
        """Let the thread see that it is over."""
        with self._changed:
            self._changed.notify_all()

    def join(self, wait_s: float) -> None:
        """Wait for the thread to end, at most so long; it keeps no process from ending."""
        self._thread.join(max(0.0, wait_s))

    def _run(self) -> None:
        failures = 0
        while (head := self._head()) is not None:
            since, notice = head
            delivered, lasting = _deliver(self._channel, notice, self._stopped.is_set)
            if self._stopped.is_set():
                # What did arrive is noted; all else is for the next run.
                if delivered.problem is None:
                    self._tell(delivered)
                return
            late = time.monotonic() - since >= self._patience.give_up_s
            if delivered.problem is None or lasting or late:
                failures = 0
                self._done(delivered)
            else:
                failures += 1
                self._pause(self._patience.wait_s(failures))

    def _head(self) -> tuple[float, Notice] | None:
        """The notice that is next; waits for one. None when it is over."""
        with self._changed:
            while not self._waiting and not self._stopped.is_set():
                self._rests(resting=True)
                self._changed.wait()
            if self._stopped.is_set():
                self._rests(resting=True)
                return None
            self._rests(resting=False)
            return self._waiting[0]

    def _done(self, delivered: Delivered) -> None:
        with self._changed:
            self._waiting.popleft()
            self._tell(delivered)

    def _pause(self, wait_s: float) -> None:
        with self._changed:
            self._rests(resting=True)
            self._changed.wait_for(self._stopped.is_set, wait_s)

    def _rests(self, *, resting: bool) -> None:
        self._resting = resting
        self._changed.notify_all()


def _deliver(channel: Channel, notice: Notice, stopped: Callable[[], bool]) -> tuple[Delivered, bool]:
    """One try, and whether the next would end as it did."""
    began = time.monotonic()
    if channel.url:
        posted = post(channel, notice)
        problem, answer, lasting = posted.problem, posted.answer, posted.lasting
    else:
        env = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        problem, output = run_program(channel.command, notice.document.encode(), env, channel.timeout_s, stopped)
        answer, lasting = clean(output.decode("utf-8", "replace")), False
    return Delivered(notice, problem, answer, time.monotonic() - began), lasting
