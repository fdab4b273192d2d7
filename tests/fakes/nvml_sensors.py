"""What both driver libraries of this folder can tell of a GPU beside its load. What is None is NOT_SUPPORTED."""

from __future__ import annotations

from msgspec import Struct

SWITCH = "switch"
"""The other end of an NVLink that is no GPU."""


class Link(Struct, frozen=True):
    """One NVLink."""

    up: bool = True
    remote: str | None = None
    """PCI address as the driver writes it, or `SWITCH`; None is not told."""
    replays: int | None = 0
    recoveries: int | None = 0
    crc: int | None = 0
    flit_crc: int | None = None
    """As older drivers count it; None is the same as `crc`."""
    data_crc: int | None = 0


class Sensors(Struct, frozen=True):
    """The rest of what a GPU tells."""

    memory_temperature_c: int | None = None
    memory_clock_mhz: int | None = None
    fan_percent: int | None = None
    energy_mj: int | None = None
    performance_state: int | None = None
    encoder_percent: int | None = None
    decoder_percent: int | None = None
    throttle_bits: int | None = None
    ecc_modes: tuple[int, int] | None = None
    """Current and pending."""
    ecc_totals: tuple[int, int, int, int] | None = None
    """Volatile corrected and uncorrected, aggregate corrected and uncorrected."""
    remapped: tuple[int, int, int, int] | None = None
    """Corrected, uncorrected, pending, failed."""
    pcie_link: tuple[int, int, int, int] | None = None
    """Generation and width, and the highest of each."""
    pcie_replays: int | None = None
    pcie_kb: tuple[int, int] | None = None
    """Sent and received in a second."""
    nvlinks: tuple[Link, ...] = ()
    nvlink_kib: tuple[int, int] | None = None
    """Sent and received in all."""
    serial: str | None = None
    vbios: str | None = None
    inforom: str | None = None
    pci_bus_id: str = ""
    """As the driver writes it; empty: one made of the index."""
    near: int | None = None
    """Level to every other GPU: 0 one board, 10 one switch, 20 several, 30 a host bridge, 40 a NUMA node, 50 beyond."""
    over_nvlink: bool = False
    """Whether it reaches other GPUs over NVLink."""
    activity: tuple[float, float, float, float] | None = None
    """Percent: SM, occupancy, tensor, DRAM."""
    instance_activity: tuple[tuple[int, tuple[float, float, float, float]], ...] = ()
    """The same by the id of a GPU instance."""
    use: tuple[tuple[int, int, int], ...] = ()
    """(pid, SM percent, microseconds) of each sample of a process."""


NOTHING = Sensors()

_GPM = (
    "nvmlGpmQueryDeviceSupport",
    "nvmlGpmSampleAlloc",
    "nvmlGpmSampleFree",
    "nvmlGpmSampleGet",
    "nvmlGpmMigSampleGet",
    "nvmlGpmMetricsGet",
)
_BEFORE_570 = ("nvmlDeviceGetTemperatureV",)
_BEFORE_535 = (*_BEFORE_570, "nvmlDeviceGetCurrentClocksEventReasons")
_BEFORE_525 = (*_BEFORE_535, *_GPM)
_BEFORE_510 = (
    *_BEFORE_525,
    "nvmlDeviceGetMemoryInfo_v2",
    "nvmlDeviceGetGpuInstanceProfileInfoV",
    "nvmlGpuInstanceGetComputeInstanceProfileInfoV",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
)
MISSING = {
    "R470": _BEFORE_510,
    "R510": _BEFORE_525,
    "R535": _BEFORE_570,
    "R580": (),
}
"""Functions that the drivers of a branch lack, of those modelled here."""
