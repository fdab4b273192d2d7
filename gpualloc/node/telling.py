"""Tells a picture of the node again and again: whole at first, then what changed."""

import threading
import time
from typing import TYPE_CHECKING, Any

from gpualloc.node import check
from gpualloc.node.backlog import MAX_KEEP_S, Backlog
from gpualloc.node.delta import difference

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpualloc.node.server import Server

EACH = ("sample", "processes", "claims", "kernel")
"""What is looked at every time."""

NOW_AND_THEN = ("hello", "inventory")
"""What seldom changes; looked at every `SLOW_S`, and whenever other devices answer than before."""

SLOW_S = 10.0
MIN_EVERY_S = 0.2
MAX_EVERY_S = 3600.0


class Telling:
    """One stream. Its thread is begun by the first `pace` and ends with `stop`, or when nobody listens.

    Args:
        server: what is asked.
        tell: takes each record; raises when nobody listens any more, which ends the stream.
        state_dir: where is kept what nobody could be told; None keeps nothing.
    """

    def __init__(
        self, server: "Server", tell: "Callable[[dict[str, Any]], None]", state_dir: "str | None" = None
    ) -> None:
        self._server = server
        self._tell = tell
        self._state_dir = state_dir
        self._backlog: "Backlog | None" = None
        self._keep_s = 0.0
        self._every_s = 0.0
        self._next_s = 0.0
        self._paced = threading.Condition()
        self._over = False
        self._thread: "threading.Thread | None" = None
        self._picture: "dict[str, Any] | None" = None
        self._slow_at_s = 0.0
        self._tick = 0

    def pace(self, args: "dict[str, Any]") -> "dict[str, Any]":
        """Begin, or go on at another pace: `every_s` seconds apart, the next after `delay_s`; `{}` answers it.

        With `keep` (`controller`, `for_s`) what that controller cannot be told is kept for so long.
        """
        every_s = check.number(args, "every_s", MIN_EVERY_S, MAX_EVERY_S)
        delay_s = check.number(args, "delay_s", 0, 2 * MAX_EVERY_S)
        keep = None if args.get("keep") is None else check.mapping(args["keep"], "keep")
        with self._paced:
            self._backlog, self._keep_s = None, 0.0
            if keep is not None and self._state_dir is not None:
                self._backlog = Backlog(self._state_dir, check.controller_id(keep))
                self._keep_s = check.number(keep, "for_s", 0, MAX_KEEP_S)
            self._every_s = every_s
            self._next_s = time.monotonic() + delay_s
            self._paced.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="telling", daemon=True)
                self._thread.start()
        return {}

    @property
    def keeps(self) -> bool:
        """Whether it is to go on when the connection is gone."""
        return self._backlog is not None and self._keep_s > 0

    def part(self) -> None:
        """The connection is going to be ended on purpose."""
        self._backlog = None

    def keep(self) -> None:
        """Go on looking, for as long as was asked for, and keep it for the next connection."""
        if self._backlog is not None:
            # One of its own: the thread of this one may still be in the middle of a look.
            alone = Telling(self._server, self._tell)
            self._backlog.keep(alone.dated, self._every_s, self._keep_s)

    def stop(self) -> None:
        """Begin no other look."""
        with self._paced:
            self._over = True
            self._paced.notify_all()

    def record(self) -> "dict[str, Any]":
        """Look now: the first record has the whole picture, each later one what changed since the one before."""
        picture = self._look()
        before, self._picture = self._picture, picture
        self._tick += 1
        if before is None:
            return {"tick": self._tick, "full": picture}
        return {"tick": self._tick, "delta": difference(before, picture) or {}}

    def dated(self) -> "dict[str, Any]":
        """As `record`, with `at_s`, the time of it by this host's clock."""
        return dict(self.record(), at_s=time.time())

    def _run(self) -> None:
        # The first picture does not wait: somebody wants to see it.
        try:
            self._tell(self.record())
            for kept in self._backlog.take() if self._backlog is not None else ():
                self._tell({"kept": kept})
            while self._wait():
                self._tell(self.record())
        except ReaderGone:
            return

    def _wait(self) -> bool:
        """Until it is time; False when it is over."""
        with self._paced:
            while not self._over:
                left_s = self._next_s - time.monotonic()
                if left_s <= 0:
                    # What was missed while a look or its reader was slow is not made up for.
                    behind = int(-left_s / self._every_s)
                    self._next_s += self._every_s * (1 + behind)
                    return True
                self._paced.wait(left_s)
            return False

    def _look(self) -> "dict[str, Any]":
        picture = {verb: self._ask(verb) for verb in EACH}
        before = self._picture
        now_s = time.monotonic()
        if before is None or now_s - self._slow_at_s >= SLOW_S or _devices(before) != _devices(picture):
            self._slow_at_s = now_s
            picture.update((verb, self._ask(verb)) for verb in NOW_AND_THEN)
        else:
            picture.update((verb, before[verb]) for verb in NOW_AND_THEN)
        return picture

    def _ask(self, verb: str) -> Any:
        answer = self._server.handle({"id": 0, "verb": verb, "args": {}})
        return answer["ok"] if "ok" in answer else {"error": answer["error"]}


class ReaderGone(Exception):
    """Nobody takes what is told."""


def _devices(picture: "dict[str, Any]") -> "list[tuple[Any, Any]]":
    """Which devices there are, and how each stands."""
    return [(row.get("uuid"), row.get("state")) for row in picture["sample"].get("devices", ())]
