"""A clock of its own for what is read of a GPU, and for the driver library that measures between two samples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

from fakes import nvml_library_gpm

from gpualloc.node import activity, driver, groups, sensors

_MODULES = (activity, driver, groups, sensors, nvml_library_gpm)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return self.now_s

    def perf_counter(self) -> float:
        """The same."""
        return self.now_s


@contextmanager
def standing_clock() -> Iterator[Clock]:
    """Let readings go by a clock that the test moves. How long a call may take goes by the real one."""
    clock = Clock()
    with ExitStack() as patches:
        for module in _MODULES:
            patches.enter_context(mock.patch.object(module, "time", clock))
        yield clock
