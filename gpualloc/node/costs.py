"""What groups of readings cost on this host, as measured."""

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Costs:
    """Time that each group took since this program began. Groups may be measured in several threads.

    Args:
        every_s: how often each group is read at most, seconds; groups that are not in it are read at each look.
    """

    def __init__(self, every_s: "dict[str, float | None] | None" = None) -> None:
        self._every_s = every_s or {}
        self._lock = threading.Lock()
        self._took: "dict[str, tuple[int, float, float]]" = {}

    def add(self, group: str, seconds: float) -> None:
        """Count one call that has returned, or failed."""
        with self._lock:
            calls, sum_s, max_s = self._took.get(group, (0, 0.0, 0.0))
            self._took[group] = calls + 1, sum_s + seconds, max(max_s, seconds)

    @contextmanager
    def measured(self, group: str) -> "Iterator[None]":
        """Count what is done meanwhile as one call of that group, also when it fails."""
        began_s = time.perf_counter()
        try:
            yield
        finally:
            self.add(group, time.perf_counter() - began_s)

    def rows(self) -> "list[dict[str, Any]]":
        """`groups` as `cost` of docs/wire.md, in the order in which they were first read."""
        with self._lock:
            took = list(self._took.items())
        return [
            {
                "group": group,
                "every_s": self._every_s.get(group),
                "calls": calls,
                "mean_s": sum_s / calls,
                "max_s": max_s,
            }
            for group, (calls, sum_s, max_s) in took
        ]
