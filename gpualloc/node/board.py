"""What stays the same of one GPU while the driver is loaded: its board, what it is near to, its limits."""

from typing import TYPE_CHECKING

import pynvml

from gpualloc.node import nearness, settings
from gpualloc.node.reading import Reading, reason_of
from gpualloc.node.sensors import MAX_POWER_W, memory_total_mib

if TYPE_CHECKING:
    from gpualloc.node.driver import Driver

_ARCHITECTURES = {
    getattr(pynvml, "NVML_DEVICE_ARCH_" + name.upper()): name
    for name in ("kepler", "maxwell", "pascal", "volta", "turing", "ampere", "ada", "hopper", "blackwell", "rubin")
    if hasattr(pynvml, "NVML_DEVICE_ARCH_" + name.upper())
}
_TEXTS = (
    ("serial", "nvmlDeviceGetSerial"),
    ("vbios_version", "nvmlDeviceGetVbiosVersion"),
    ("inforom_version", "nvmlDeviceGetInforomImageVersion"),
)
_POWER_LIMITS = ("power_limit_default_w", "power_limit_min_w", "power_limit_max_w")

FIELDS = ("pci_bus_id", *(name for name, _ in _TEXTS))
"""Fields of `board`."""
CONSTANTS = ("minor", "architecture", "cpus", "numa_node", "memory_total_mib", *_POWER_LIMITS)
"""Names of the other values that are read here."""


class Address:
    """The PCI address of an opened GPU: `text` as the kernel writes it, or None with `reason`."""

    def __init__(self, driver: "Driver") -> None:
        self.text: "str | None" = None
        self.reason = "implausible"
        try:
            self.text = nearness.address(driver.ask("opening", "nvmlDeviceGetPciInfo"))
        except pynvml.NVMLError as error:
            self.reason = reason_of(error)


def constants(driver: "Driver", address: "Address") -> "Reading":
    """`CONSTANTS`."""
    piece = Reading()
    piece.number("minor", lambda: driver.ask("constants", "nvmlDeviceGetMinorNumber"), 0, 1 << 20)
    piece.number("memory_total_mib", lambda: memory_total_mib(driver), 1, 1 << 32)
    piece.value("architecture", lambda: _ARCHITECTURES.get(driver.ask("constants", "nvmlDeviceGetArchitecture")))
    for name, near in (("cpus", nearness.cpus(address.text)), ("numa_node", nearness.numa_node(address.text))):
        piece.put(name, near)
        if near is None and address.text is None:
            piece.miss(name, address.reason)
    _power_limits(driver, piece)
    return piece


def board(driver: "Driver", address: "Address") -> "Reading":
    """`board`."""
    piece = Reading()
    piece.put("board.pci_bus_id", address.text)
    if address.text is None:
        piece.miss("board.pci_bus_id", address.reason)
    for field, function in _TEXTS:
        piece.value("board." + field, lambda f=function: driver.ask("board", f).strip() or None)  # type: ignore[misc]
        if piece.get("board." + field) is None:
            piece.row["unavailable"].setdefault("board." + field, "not supported")
    return piece


def _power_limits(driver: "Driver", piece: "Reading") -> None:
    told: "list[tuple[float, float]]" = []

    def end(place: int) -> float:
        if not told:
            told.append(driver.ask("constants", settings.power_range_w))
        return told[0][place]

    default, low, high = _POWER_LIMITS
    piece.number(default, lambda: driver.ask("constants", settings.power_default_w), 0, MAX_POWER_W)
    piece.number(low, lambda: end(0), 0, MAX_POWER_W)
    piece.number(high, lambda: end(1), 0, MAX_POWER_W)
