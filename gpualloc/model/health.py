"""What is wrong or happened in the fleet: conditions that hold, and dated events."""

from __future__ import annotations

from enum import StrEnum

from gpualloc.model.frozen import dataclass


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


@dataclass(frozen=True, slots=True)
class KernelMessage:
    """A line of a node's kernel log that is about its GPUs or NVSwitches."""

    seq: int
    """The kernel's own number of the line: with the boot id its identity."""
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


@dataclass(frozen=True, slots=True)
class Condition:
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

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same condition from one look to the next."""
        return (self.node, self.device or "", self.trouble.value)


@dataclass(frozen=True, slots=True)
class Event:
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
