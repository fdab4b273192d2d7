"""What is wrong or happened in the fleet: conditions that hold, and dated events."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Severity(StrEnum):
    """How bad it is; the words are part of the JSON contract. Compare by `rank`."""

    INFO = "info"
    """Good to know: a node is back, a driver was updated."""
    WARNING = "warning"
    """Slower or dearer than it could be, or may become a fault."""
    ERROR = "error"
    """Work on it fails or is in danger."""
    CRITICAL = "critical"
    """It cannot be used until somebody acts."""

    @property
    def rank(self) -> int:
        """0 for INFO, higher is worse."""
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


class Trouble(StrEnum):
    """What a condition or event is about; the words are part of the JSON contract."""

    XID = "xid"
    SXID = "sxid"
    DRIVER_MESSAGE = "driver message"
    """A line of the kernel driver that carries no code."""
    NODE_STATE = "node state"
    """A node is not reached, or not as it should be; the condition's `what` begins with the state."""
    DEVICE_STATE = "device state"
    """A device is hung, lost, in need of a reset, or tells nothing."""
    GPU_MISSING = "gpu missing"
    """A GPU that was seen, or is expected, is not there."""
    DRIVER = "driver"
    """The driver's library is missing, failed, or of another version than the kernel's."""
    SAMPLER_BLOCKED = "sampler blocked"
    """The node program cannot read: NVML does not come back."""
    PCIE_DEGRADED = "pcie degraded"
    NVLINK_DOWN = "nvlink down"
    NVLINK_ERRORS = "nvlink errors"
    ECC_ERRORS = "ecc errors"
    """Uncorrected ones, of this boot."""
    REMAP_PENDING = "row remap pending"
    REMAP_FAILED = "row remap failed"
    THROTTLED = "throttled"
    GHOST_BUSY = "ghost busy"
    """It is used, and no process is on it."""
    MEMORY_IDLE = "memory held but idle"
    ALLOCATED_IDLE = "idle while allocated"
    RESTARTED = "restarted"
    """The node was booted."""
    CLOCK = "clock"
    """A clock stepped, or is off."""
    LINK_DOWN = "network link down"
    SWAPPING = "swapping"


class KernelMessage(Struct, frozen=True):
    """A line of a node's kernel log that is about its GPUs or NVSwitches."""

    seq: int
    """Microseconds since the boot, a little more where two would be equal: with the boot id its identity."""
    at_s: float
    """Epoch seconds by the node's clock."""
    trouble: Trouble
    """XID, SXID or DRIVER_MESSAGE."""
    code: int | None
    """Number of the Xid or SXid."""
    pci_bus_id: str | None
    """`0000:3b:00.0`; None where the line names no device."""
    text: str
    """The line; untrusted."""


class Condition(Struct, frozen=True):
    """Something that is wrong now."""

    trouble: Trouble
    severity: Severity
    node: str
    device: str | None
    """UUID; None when it is of the node."""
    what: str
    """One sentence; may hold text that a node sent."""
    advice: str | None
    since_s: float
    """Epoch seconds at which it was first seen."""
    confirmed: bool = True
    """False while it is only suspected: it has not held for as long as it must to be told."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same condition from one look to the next."""
        return (self.node, self.device or "", self.trouble.value)


class Event(Struct, frozen=True):
    """Something that happened at a moment."""

    at_s: float
    """Epoch seconds by this machine's clock."""
    trouble: Trouble
    severity: Severity
    node: str
    device: str | None
    """UUID; None when it is of the node or the device is not known."""
    what: str
    """One sentence; may hold text that a node sent."""
    advice: str | None
    key: str
    """Identity, so that it is kept once: boot id and line of a kernel log, or trouble and time."""
    code: int | None = None
    """Number of the Xid or SXid."""
    over: bool = False
    """Whether it tells that a condition is over."""
    news: bool = True
    """False for what a node's kernel log held already when the node was first seen."""


class SeenDevice(Struct, frozen=True):
    """A GPU that a node is expected to have, since it was seen there."""

    uuid: str
    index: int | None
    """As it was last told, for display; None of one that is only known from samples."""
    pci_bus_id: str | None
    """`0000:3b:00.0`; None when it was never told."""
    nvlink_errors: int | None = None
    """Of all its NVLinks together, when they were last noted."""
    nvlink_errors_at_s: float | None = None
    """When they were last seen to have grown; None: never."""


class Heard(Struct, frozen=True):
    """What is remembered of a node from look to look, to see what changed; it stays the same while nothing happens."""

    node: str
    boot_id: str | None
    driver_version: str | None
    kernel_seq: int | None
    """The newest line of its kernel log that was taken, of this boot; None when there was none."""
    devices: tuple[SeenDevice, ...]
    """Sorted by UUID."""
    ports: tuple[str, ...]
    """Network and RDMA ports that were up once, sorted."""


class Looked(Struct, frozen=True):
    """What a look at some nodes came to."""

    nodes: tuple[str, ...]
    """Their names."""
    heard: tuple[Heard, ...]
    """What is to be remembered of them; nothing of a node that was never reached."""
    conditions: tuple[Condition, ...]
    """What is wrong with them now, told and suspected, in the place of all that was before; of no other node."""
    events: tuple[Event, ...]


class HealthRules(Struct, frozen=True):
    """How long something must hold to be told, and from where on it counts."""

    ghost_busy_after_s: float = 60.0
    """A GPU is used, and no process is on it."""
    throttled_after_s: float = 60.0
    """Clocks are held down, or the PCIe link is slow although the GPU works."""
    idle_after_s: float = 1800.0
    """A GPU is held and not used."""
    swapping_after_s: float = 300.0
    held_memory_mib: int = 1024
    """GPU memory from which on a GPU counts as held."""


DEFAULT_HEALTH_RULES = HealthRules()

MAX_CLOCK_OFF_S = 30.0
"""A node's clock may be off by that much; it includes the time that its answer took."""
