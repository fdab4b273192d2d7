"""What a GPU tells beside its load: errors, links, real use, and what board it is.

Every value is None when it is unknown; `Device.unavailable` then says why, under `<part>.<field>`: `ecc.remap_pending`.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Throttle(StrEnum):
    """Why clocks are below what the GPU could do, in the order of NVML's bits."""

    IDLE = "idle"
    CLOCK_SETTING = "clock setting"
    POWER_CAP = "power cap"
    HW_SLOWDOWN = "hardware slowdown"
    SYNC_BOOST = "sync boost"
    SW_THERMAL = "thermal slowdown"
    HW_THERMAL = "hardware thermal slowdown"
    POWER_BRAKE = "power brake"
    DISPLAY = "display clock"
    OTHER = "another reason"
    """A bit that is younger than this table."""


NO_THROTTLE = frozenset({Throttle.IDLE, Throttle.CLOCK_SETTING, Throttle.SYNC_BOOST, Throttle.DISPLAY})
"""Reasons that are somebody's wish or want of work, and no trouble."""


class Ecc(Struct, frozen=True):
    """Memory errors. Volatile counts begin with the driver, aggregate ones with the board."""

    enabled: bool | None = None
    pending: bool | None = None
    """Mode after the next reset."""
    volatile_corrected: int | None = None
    volatile_uncorrected: int | None = None
    aggregate_corrected: int | None = None
    aggregate_uncorrected: int | None = None
    remapped_corrected: int | None = None
    """Rows of memory that spares took the place of, for corrected errors."""
    remapped_uncorrected: int | None = None
    remap_pending: bool | None = None
    """Whether a row waits for the next reset to be replaced."""
    remap_failed: bool | None = None
    """Whether a row could not be replaced: the board is for exchange."""


class Pcie(Struct, frozen=True):
    """The bus between host and GPU."""

    generation: int | None = None
    """As it runs now; an idle GPU may go down."""
    width: int | None = None
    """Lanes in use now."""
    generation_max: int | None = None
    """Highest that GPU and slot can do together."""
    width_max: int | None = None
    replays: int | None = None
    """Packets sent again since the driver was loaded."""
    rx_bytes_per_s: float | None = None
    """Towards the GPU, over the driver's last 20 ms."""
    tx_bytes_per_s: float | None = None


class NvLink(Struct, frozen=True):
    """One NVLink of a GPU."""

    index: int
    up: bool | None
    remote: str | None = None
    """PCI address of what is at the other end, or `switch`; None when it is not told."""
    errors: int | None = None
    """Replays, recoveries and CRC errors since the driver was loaded, together."""


class Activity(Struct, frozen=True):
    """Real use from the GPU's own counters (GPM), of a device or MIG instance, between two looks; each 0..1."""

    sm_active_ratio: float | None = None
    """Mean share of SMs with at least one warp in flight."""
    sm_occupancy_ratio: float | None = None
    """Mean share of warp slots in use."""
    tensor_active_ratio: float | None = None
    """Share of time in which the tensor pipes worked."""
    dram_active_ratio: float | None = None
    """Share of the memory bandwidth in use."""


class Board(Struct, frozen=True):
    """What a GPU is as a piece of hardware, and its firmware."""

    pci_bus_id: str | None = None
    """As the kernel writes it: `0000:3b:00.0`, lower case."""
    serial: str | None = None
    vbios_version: str | None = None
    inforom_version: str | None = None
    """Version of the InfoROM image."""


NO_ECC, NO_PCIE, NO_ACTIVITY, NO_BOARD = Ecc(), Pcie(), Activity(), Board()


class NetworkPort(Struct, frozen=True):
    """A network interface or a port of an RDMA adapter. Rates are over the time since the look before."""

    name: str
    """`eth0`, or `mlx5_0/1`."""
    kind: str
    """`ethernet`, `infiniband` or `roce`."""
    up: bool | None = None
    speed_bytes_per_s: float | None = None
    """Of the link as it is now."""
    rx_bytes_per_s: float | None = None
    tx_bytes_per_s: float | None = None
    errors_per_s: float | None = None
    """Errors, drops and link failures in both directions."""


class ReadingCost(Struct, frozen=True):
    """What one group of readings costs on a node, of all its devices."""

    group: str
    """Such as `utilization`, `ecc`, `pcie throughput`, `processes`, `host`."""
    every_s: float | None
    """How often it is read at most; None is at each look."""
    calls: int
    """Since the node program began."""
    mean_s: float
    """Of one call."""
    max_s: float


class NodeCost(Struct, frozen=True):
    """What reading one node costs it."""

    node: str
    groups: tuple[ReadingCost, ...]
    """The dearest first."""
    every_s: float
    """The sampling period for which `share` tells."""
    looks: int
    """Looks in which the calls were made."""

    def share(self, group: ReadingCost) -> float:
        """Part of one CPU that the group takes at that period, all devices of the node together."""
        # What has a period of its own, longer than these looks took, was read in the first of them alone.
        read = self.looks if group.every_s is None else 1
        return group.mean_s * group.calls / read / max(self.every_s, group.every_s or 0.0)

    @property
    def total(self) -> float:
        """Part of one CPU that all groups take."""
        return sum(self.share(group) for group in self.groups)
