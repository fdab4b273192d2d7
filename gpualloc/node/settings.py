"""What is set on a GPU: power limit, compute mode, persistence; and the clock range, which no driver tells again."""

import os
from typing import TYPE_CHECKING, Any

import pynvml

from gpualloc.node.state import FORMAT, read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Callable

MODES = {
    pynvml.NVML_COMPUTEMODE_DEFAULT: "default",
    pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS: "exclusive-process",
    pynvml.NVML_COMPUTEMODE_PROHIBITED: "prohibited",
}
"""Compute modes as the wire names them; there was a fourth, long gone."""

CLOCKS = ("sm_clock_min_mhz", "sm_clock_max_mhz")
FIELDS = ("power_limit_w", *CLOCKS, "compute_mode", "persistence")


def power_limit_w(device: Any) -> float:
    """The power limit that was set, which a hotter or smaller supply may cut further; raises NVMLError."""
    return float(pynvml.nvmlDeviceGetPowerManagementLimit(device) / 1000.0)


def power_range_w(device: Any) -> "tuple[float, float]":
    """The lowest and the highest power limit that can be set; raises NVMLError."""
    low, high = pynvml.nvmlDeviceGetPowerManagementLimitConstraints(device)
    return low / 1000.0, high / 1000.0


def power_default_w(device: Any) -> float:
    """The power limit after a reboot; raises NVMLError."""
    return float(pynvml.nvmlDeviceGetPowerManagementDefaultLimit(device) / 1000.0)


def compute_mode(device: Any) -> "str | None":
    """The compute mode, None for one this program has no word for; raises NVMLError."""
    return MODES.get(pynvml.nvmlDeviceGetComputeMode(device))


def persistence(device: Any) -> bool:
    """Whether the driver keeps the GPU started while nobody uses it; raises NVMLError."""
    return bool(pynvml.nvmlDeviceGetPersistenceMode(device))


READ: "dict[str, Callable[[Any], Any]]" = {
    "power_limit_w": power_limit_w,
    "compute_mode": compute_mode,
    "persistence": persistence,
}
"""How each setting is read; the clock range is not among them."""


class Remembered:
    """The clock ranges that were set here since this boot, in `settings.json` of the state folder.

    NVML sets a range and never tells it. What another program sets or resets is not seen.
    """

    def __init__(self, state_dir: str, boot_id: str) -> None:
        self._path = os.path.join(state_dir, "settings.json")
        self._boot_id = boot_id

    def clocks(self, uuid: str) -> "dict[str, int]":
        """The range that was set last, both 0 when it was taken back; empty when nothing is remembered."""
        kept = self._ranges().get(uuid)
        if not isinstance(kept, list) or len(kept) != len(CLOCKS) or not all(type(mhz) is int for mhz in kept):
            return {}
        return {name: kept[position] for position, name in enumerate(CLOCKS)}

    def keep(self, uuid: str, clocks: "dict[str, int] | None") -> None:
        """Remember the range that was set, or forget it after a reset of the GPU; raises OSError."""
        ranges = self._ranges()
        ranges.pop(uuid, None)
        if clocks is not None:
            ranges[uuid] = [clocks[name] for name in CLOCKS]
        os.makedirs(os.path.dirname(self._path), 0o700, exist_ok=True)
        write_json(self._path, {"format": FORMAT, "boot_id": self._boot_id, "clocks": ranges})

    def _ranges(self) -> "dict[str, Any]":
        content = read_json(self._path) or {}
        ranges = content.get("clocks")
        return ranges if content.get("boot_id") == self._boot_id and isinstance(ranges, dict) else {}
