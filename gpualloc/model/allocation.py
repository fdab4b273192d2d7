"""What is given to whom, by which means it is held, and what a node itself knows of it."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.model.progress import Progress


class Share(StrEnum):
    """How a device is shared."""

    EXCLUSIVE = "exclusive"
    MIG = "mig"
    MPS = "mps"
    TIME_SLICE = "time-slice"


class Hold(StrEnum):
    """What holds a limit."""

    BOOKED = "booked"
    """Only in gpualloc's books and the node's claims."""
    SOFT = "soft"
    """The process was told (environment) and this was verified; it could still evade it."""
    HARD = "hard"
    """The kernel or the driver enforces it, read back after it was set."""


class HeldBy(Struct, frozen=True):
    """What holds each limit; None means no such limit was asked for."""

    gpu: Hold | None = None
    cpu: Hold | None = None
    memory: Hold | None = None
    pids: Hold | None = None
    io: Hold | None = None


class Grant(Struct, frozen=True):
    """One device, or a part of it, given to a workload."""

    device: str
    """UUID of the device."""
    share: Share
    mig_instance: str | None = None
    """UUID of the MIG instance when `share` is MIG and the instance exists already; else None."""
    fraction: float = 1.0
    """Part of the device's compute, in (0, 1]."""
    memory_mib: int | None = None
    """GPU memory booked; None means all of it."""
    place: str | None = None
    """Where the MIG instance will lie, such as `2g.20gb@4`, when the plan makes it; the node finds its UUID."""

    @property
    def visible_uuid(self) -> str:
        """What CUDA_VISIBLE_DEVICES names: the MIG instance, else the device."""
        return self.mig_instance or self.device


class Claim(Struct, frozen=True):
    """A node's own record that a device is given to a workload."""

    device: str
    workload: str
    controller: str
    """Id of the gpualloc state (controller) that made it; another controller's claim is not free."""
    share: Share
    mig_instance: str | None
    fraction: float
    memory_mib: int | None
    at_s: float


class WorkloadEnd(Struct, frozen=True):
    """How a workload ended, as its keeper wrote it."""

    exit_code: int
    """0..255; 128 + signal when a signal ended it."""
    at_s: float
    signal: int | None = None
    oom: bool = False
    """Ended by the memory limit of its group."""
    reason: str | None = None
    """`at-most`, `released`, `start-failed`, `keeper-lost`, `rebooted`, or None for an end of its own."""


class Member(Struct, frozen=True):
    """What a gang has on one node, and what its node told of it. Facts are None until it was started."""

    rank: int
    """0-based."""
    node: str
    grants: tuple[Grant, ...]
    cpuset: str | None = None
    """As `Allocation.cpuset`, on this node."""
    interface: str | None = None
    """Network interface for the traffic between members, such as `ib0`; None leaves it to them."""
    pid: int | None = None
    started_at_s: float | None = None
    held_by: HeldBy = HeldBy()
    state_dir: str | None = None
    """As `Workload.state_dir`."""
    end: WorkloadEnd | None = None
    """None while it runs, or has not started."""


GANG_PORTS = (29_000, 29_499)
"""First and last port on which the members of a gang meet, unless configured: below those that systems give out."""


class Gang(Struct, frozen=True):
    """The members of a gang and how they find each other."""

    size: int
    """How many members there are."""
    gpus: int
    """Devices of all members together."""
    members: tuple[Member, ...]
    """By rank: all of them, those that were started so far, or the one that a part is about."""
    address: str | None = None
    """Under which the others reach the member of rank 0; None until a plan is made of the decision."""
    port: int | None = None
    """Port on the node of rank 0 that no other gang of ours there has; None until a plan is made of the decision."""


class Allocation(Struct, frozen=True):
    """A request bound to a node and devices, or, of a gang, to several nodes with devices of each."""

    workload: str
    """Workload id."""
    node: str
    """Of a gang the node of its first member."""
    grants: tuple[Grant, ...]
    """In the order the workload sees them; empty for CPU-only work. Of a gang those of all members, by rank."""
    cpus: float | None = None
    """CPU quota in cores; None is no limit. This and the other limits hold for each member of a gang."""
    cpuset: str | None = None
    """CPU list as the kernel writes it, such as `0-3,8`; None is no restriction. Of a gang that of its first member."""
    memory_mib: int | None = None
    pids: int | None = None
    cpu_weight: int | None = None
    """Part of contended CPU time relative to others, 1..10000; None is the kernel's default of 100."""
    io_weight: int | None = None
    gang: Gang | None = None
    """None for work on one node."""

    @property
    def parts(self) -> tuple[Allocation, ...]:
        """What lies on each node: of a gang one allocation for each member, by rank; else itself."""
        if self.gang is None:
            return (self,)
        return tuple(
            replace(
                self,
                node=member.node,
                grants=member.grants,
                cpuset=member.cpuset,
                gang=replace(self.gang, members=(member,)),
            )
            for member in self.gang.members
        )

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node it has something on; of a gang by rank."""
        return (self.node,) if self.gang is None else tuple(member.node for member in self.gang.members)


class Limits(Struct, frozen=True):
    """Limits as the kernel has them. None is no such limit."""

    cpus: float | None = None
    """CPU quota in cores."""
    cpuset: str | None = None
    """CPU list."""
    memory_mib: int | None = None
    pids: int | None = None
    cpu_weight: int | None = None
    """1..10000; None where it is what everybody has."""
    io_weight: int | None = None
    rule: bool | None = None
    """Whether a device rule of ours is in force; None when that cannot be asked."""


class WorkloadRecord(Struct, frozen=True):
    """What a node knows of one workload it was asked to run."""

    workload: str
    controller: str
    attempt: int
    pid: int | None
    started_at_s: float | None
    end: WorkloadEnd | None
    """None while it runs."""
    held_by: HeldBy = HeldBy()
    log_bytes: int = 0
    bound: Limits | None = None
    """Limits in force now, read back from its group; None when it has ended, or the node does not tell."""
    progress: Progress | None = None
    """How far it says it is; None when it says nothing, or has ended."""
