"""What groups of readings cost on this host, as measured."""

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Costs:
    """Time that each group took since this program began. Groups may be measured in several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._took: "dict[str, tuple[int, float, float]]" = {}

    @contextmanager
    def measured(self, group: str) -> "Iterator[None]":
        """Count what is done meanwhile as one call of that group, also when it fails."""
        began_s = time.perf_counter()
        try:
            yield
        finally:
            took_s = time.perf_counter() - began_s
            with self._lock:
                calls, sum_s, max_s = self._took.get(group, (0, 0.0, 0.0))
                self._took[group] = calls + 1, sum_s + took_s, max(max_s, took_s)

    def rows(self) -> "list[dict[str, Any]]":
        """`groups` as `cost` of docs/wire.md, in the order in which they were first read."""
        with self._lock:
            return [
                {"group": group, "every_s": None, "calls": calls, "mean_s": sum_s / calls, "max_s": max_s}
                for group, (calls, sum_s, max_s) in self._took.items()
            ]
