"""A clock of its own for what is read of a GPU, and for the driver library that measures between two samples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from fakes import nvml_library_gpm

from gpualloc.node import activity, driver, groups, roster, sensors

_MODULES = (activity, driver, groups, roster, sensors, nvml_library_gpm)


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
    """Let readings go by a clock that the test moves."""
    clock = Clock()
    with mock.patch.multiple(_MODULES[0], time=clock):
        patches = [mock.patch.object(module, "time", clock) for module in _MODULES[1:]]
        for patch in patches:
            patch.start()
        try:
            yield clock
        finally:
            for patch in patches:
                patch.stop()
