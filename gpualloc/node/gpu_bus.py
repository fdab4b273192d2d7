"""NVIDIA's GPUs on the PCI bus as the kernel sees them, whatever the driver says."""

import os
import time

EVERY_S = 10.0
"""A large host has hundreds of devices on its bus; they are looked through no more often than this."""

_FOLDER = "sys/bus/pci/devices"
_NVIDIA = 0x10DE
_DISPLAY = (0x0300, 0x0302)
"""Classes of a GPU: with a display, and without."""


class GpuBus:
    """Looks through the bus.

    Args:
        root: where /sys is found.
    """

    def __init__(self, root: str = "/") -> None:
        self._folder = os.path.join(root, _FOLDER)
        self._looked_s: "float | None" = None
        self._found: "frozenset[str] | None" = None
        self._seen: "frozenset[str]" = frozenset()

    def count(self) -> "int | None":
        """GPUs that are there; None when the bus cannot be looked at."""
        self._look()
        return None if self._found is None else len(self._found)

    def seen(self) -> "frozenset[str]":
        """Bus addresses of the GPUs that are there, or were since this program began: `0000:3b:00.0`."""
        self._look()
        return self._seen

    def _look(self) -> None:
        now_s = time.monotonic()
        if self._looked_s is not None and now_s - self._looked_s < EVERY_S:
            return
        self._looked_s = now_s
        try:
            names = os.listdir(self._folder)
        except OSError:
            self._found = None
            return
        self._found = frozenset(name.lower() for name in names if self._is_gpu(name))
        self._seen |= self._found

    def _is_gpu(self, name: str) -> bool:
        # The vendor first: it rules out nearly all.
        return self._hex(name, "vendor") == _NVIDIA and self._hex(name, "class") >> 8 in _DISPLAY

    def _hex(self, name: str, field: str) -> int:
        """The number in that file; 0 for a device that is gone."""
        try:
            with open(os.path.join(self._folder, name, field), encoding="ascii", errors="replace") as file:
                return int(file.read(32), 16)
        except (OSError, ValueError):
            return 0
