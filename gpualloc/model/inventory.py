"""What the fleet is: nodes, devices, MIG instances, processes, and everything seen at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field

from gpualloc.model.allocation import Claim, WorkloadRecord
from gpualloc.model.desired import NOTHING_SET, DeviceSettings
from gpualloc.model.health import KernelMessage
from gpualloc.model.mig import MigProfile
from gpualloc.model.readings import (
    NO_ACTIVITY,
    NO_BOARD,
    NO_ECC,
    NO_PCIE,
    Activity,
    Board,
    Ecc,
    NetworkPort,
    NvLink,
    Pcie,
    Throttle,
)


class NodeState(StrEnum):
    """How a node stands, in the words an operator reads."""

    OK = "ok"
    STALE = "stale"
    """It stopped telling; what is shown of it is what it told last."""
    UNREACHABLE = "unreachable"
    AUTH_FAILED = "auth failed"
    HOST_KEY = "host key unknown"
    NO_PYTHON = "no python3"
    HUNG = "node program hung"
    FAILED = "node program failed"


class DeviceState(StrEnum):
    """How a device stands. Anything but OK takes no new work."""

    OK = "ok"
    HUNG = "driver not answering"
    LOST = "GPU lost"
    NEEDS_RESET = "needs reset"
    NO_PERMISSION = "no permission"
    FAILED = "failed"


class MigInstance(Struct, frozen=True):
    """One MIG device: a GPU instance with its (single) compute instance."""

    uuid: str
    """Full MIG UUID, `MIG-...`."""
    profile: str
    """Profile name, such as `2g.20gb`; a label, never a source of bytes."""
    start: int | None
    """First unit on the placement axis; None when the driver would not say."""
    size: int | None
    """Width on the placement axis in units; None when the driver would not say."""
    memory_total_mib: int | None
    memory_used_mib: int | None = None
    activity: Activity = NO_ACTIVITY


class Device(Struct, frozen=True):
    """A whole GPU with its latest readings. Every reading is a number or None with a reason."""

    uuid: str
    """Full UUID, `GPU-...`: the only identity; `index` is for display."""
    index: int
    model: str
    memory_total_mib: int | None
    state: DeviceState = DeviceState.OK
    reason: str | None = None
    """Why `state` is not OK, with the time since when; None when OK."""
    memory_used_mib: int | None = None
    gpu_utilization_ratio: float | None = None
    """0..1 over the driver's last window."""
    memory_utilization_ratio: float | None = None
    """Share of time the memory bus was busy, 0..1."""
    power_w: float | None = None
    power_limit_w: float | None = None
    temperature_c: int | None = None
    sm_clock_mhz: int | None = None
    mig_enabled: bool | None = None
    """Current MIG mode; None when the model has none."""
    mig_pending: bool | None = None
    """MIG mode after the next reset; None when the model has none."""
    mig_instances: tuple[MigInstance, ...] = ()
    mig_profiles: tuple[MigProfile, ...] = ()
    """What instances the driver offers, whether or not MIG mode is on; empty when the model has no MIG."""
    minor: int | None = None
    """Number in /dev/nvidia<minor>, which is not `index`."""
    architecture: str | None = None
    """`ampere`, `hopper`, ... as the driver says; None when it does not."""
    cpus: str | None = None
    """CPUs near the device as a CPU list; None when the host has one NUMA node or does not tell."""
    numa_node: int | None = None
    """NUMA node the device is near, 0 on a host that has only one; None when it is not told."""
    settings: DeviceSettings = NOTHING_SET
    """Settings in force, as far as the driver tells them."""
    power_limit_default_w: float | None = None
    power_limit_min_w: float | None = None
    power_limit_max_w: float | None = None
    memory_temperature_c: int | None = None
    memory_clock_mhz: int | None = None
    fan_ratio: float | None = None
    energy_j: float | None = None
    """Taken since the driver was loaded."""
    performance_state: int | None = None
    """0 is the highest, 15 the lowest."""
    encoder_utilization_ratio: float | None = None
    decoder_utilization_ratio: float | None = None
    throttles: tuple[Throttle, ...] | None = None
    """Why its clocks are held down now, none is an empty tuple; None when it is not told."""
    activity: Activity = NO_ACTIVITY
    ecc: Ecc = NO_ECC
    pcie: Pcie = NO_PCIE
    nvlinks: tuple[NvLink, ...] = ()
    nvlink_rx_bytes_per_s: float | None = None
    """Over all its NVLinks, since the look before."""
    nvlink_tx_bytes_per_s: float | None = None
    board: Board = NO_BOARD
    peers: Mapping[str, str] = field(default_factory=dict)
    """By UUID of each other device of the node how it is reached: `NV4` (four NVLinks), `PIX` (one PCIe switch),
    `PXB` (several), `PHB` (a host bridge), `NODE` (host bridges of one NUMA node), `SYS` (across NUMA nodes)."""
    cordon: str | None = None
    """Why it takes no new work although it is well; None when it does."""
    unavailable: Mapping[str, str] = field(default_factory=dict)
    """Field name to reason, for each reading that is None."""

    @property
    def memory_free_mib(self) -> int | None:
        """Total less used; None when either is unknown."""
        if self.memory_total_mib is None or self.memory_used_mib is None:
            return None
        return max(0, self.memory_total_mib - self.memory_used_mib)


class Process(Struct, frozen=True):
    """A process seen on a device by the driver."""

    pid: int
    device: str
    """UUID of the device."""
    mig_instance: str | None
    """UUID of the MIG instance; None on a whole GPU."""
    gpu_memory_used_mib: int | None
    user: str | None
    command: str | None
    """Command line as the kernel shows it; untrusted text."""
    started_at_s: float | None
    """Epoch seconds; with `pid` the identity of the process."""
    workload: str | None
    """Id of the gpualloc workload it belongs to; None for a stranger."""
    container: str | None = None
    """Id of its container, 12 characters; None when it is in none."""
    pod: str | None = None
    """`namespace/name` of its Kubernetes pod, or the pod's UID where the names are not to be had."""
    slurm_job: str | None = None
    """Slurm's number of its job, with `.step` where it is told."""
    parent: int | None = None
    """Pid of its parent."""
    gpu_utilization_ratio: float | None = None
    """Share of the driver's last window in which its kernels ran; None when the driver does not tell, as with MIG."""
    cpu_utilization_ratio: float | None = None
    """CPUs it kept busy since the look before: 2.0 is two of them."""
    host_memory_mib: int | None = None
    """Its resident set."""


class RunningProcess(Struct, frozen=True):
    """A process that an operator named, with all that runs below it."""

    pid: int
    started_at_s: float
    """Epoch seconds; with `pid` the identity of the process."""
    user: str | None
    command: str | None
    """Command line as the kernel shows it; untrusted text."""
    workload: str | None
    """Id of the gpualloc workload it belongs to; None for a stranger."""
    count: int
    """How many processes it is with those below it."""
    memory_mib: int
    """Host memory of all of them."""
    uses: tuple[tuple[str, str | None], ...] = ()
    """Device and MIG instance (None: whole device) of each that the driver sees one of them on."""


class HostReading(Struct, frozen=True):
    """The host's own load. None is unknown."""

    cpus: int | None = None
    cpu_utilization_ratio: float | None = None
    memory_total_mib: int | None = None
    memory_available_mib: int | None = None
    disk_total_mib: int | None = None
    disk_used_mib: int | None = None
    network_rx_bytes_per_s: float | None = None
    network_tx_bytes_per_s: float | None = None
    swap_in_bytes_per_s: float | None = None
    swap_out_bytes_per_s: float | None = None
    disk_reads_per_s: float | None = None
    """Operations of all disks."""
    disk_writes_per_s: float | None = None
    network_errors_per_s: float | None = None
    """Errors and drops of all network interfaces but loopback."""
    rdma_rx_bytes_per_s: float | None = None
    """Of all InfiniBand and RoCE ports; None where there are none."""
    rdma_tx_bytes_per_s: float | None = None
    ports: tuple[NetworkPort, ...] = ()
    gpus_on_bus: int | None = None
    """NVIDIA GPUs that the kernel sees on its PCI bus, whatever the driver says."""


class NodeSpec(Struct, frozen=True):
    """A node as the configuration (or the simulated cluster) names it, before anything was asked of it."""

    name: str
    pool: str
    transport: str
    """`local`, `ssh`, `simulated`, or `recorded`: played from a file."""
    labels: Mapping[str, str] = field(default_factory=dict)
    price_per_gpu_hour: float | None = None
    reserved_cpus: float = 0.0
    reserved_memory_mib: int = 0
    manage: bool | None = None
    """True: may be changed although another controller owns it; False: observe only; None: observe
    only when another controller is found on it."""
    address: str | None = None
    """Under which other nodes reach it; None: its host name."""
    interface: str | None = None
    """Network interface for the traffic between members of a gang; None leaves it to them."""
    gpus: int | None = None
    """How many GPUs it should have; None goes by what was seen."""
    keep_s: float = 0.0
    """For how long its node program goes on looking when the connection of a sampler is cut, and keeps it."""


class CgroupSupport(Struct, frozen=True):
    """What the node can do with control groups."""

    mode: str
    """`systemd`, `systemd-user` (the account's own manager), `v2`, `v1` or `none`."""
    controllers: tuple[str, ...] = ()
    writable: bool = False
    """Whether the node program may make groups there."""
    isolation: str | None = None
    """How it keeps work away from devices that it was not given (`bpf`, `v1-devices`, `systemd-policy`); None when it
    cannot."""


class Node(Struct, frozen=True):
    """Everything seen of one node at one moment."""

    spec: NodeSpec
    state: NodeState
    at_s: float
    """When it was last heard, epoch seconds; for a node never heard, when it was asked."""
    reason: str | None = None
    boot_id: str | None = None
    hostname: str | None = None
    driver_version: str | None = None
    nvml_reason: str | None = None
    """Why there are no devices (no driver library, version mismatch); None when NVML works."""
    nvml_state: str | None = None
    """`ok`, `absent`, `mismatch`, `hung` or `failed`; None when it was not told."""
    python_version: str | None = None
    user: str | None = None
    """Account the node program runs as."""
    privileged: bool = False
    state_dir: str | None = None
    """Folder in which the node program keeps its records; another program of the node has another one."""
    cgroup: CgroupSupport = CgroupSupport("none")
    mps: bool = True
    """Whether it has the control program of MPS."""
    other_controllers: tuple[str, ...] = ()
    """Names of foreign controllers found, such as `slurmd` or `kubelet`."""
    host: HostReading = HostReading()
    devices: tuple[Device, ...] = ()
    processes: tuple[Process, ...] = ()
    claims: tuple[Claim, ...] = ()
    workloads: tuple[WorkloadRecord, ...] = ()
    kernel_messages: tuple[KernelMessage, ...] = ()
    """What its kernel log holds about GPUs, oldest first, the newest 256."""
    kernel_log_reason: str | None = None
    """Why its kernel log cannot be read; None when it can, or was not asked for."""
    limited: str | None = None
    """What is not seen of it, and why, as where it is read through nvidia-smi; such a node is only looked at. None when
    its node program runs."""
    near: Mapping[str, bool | None] = field(default_factory=dict)
    """Paths that were asked for: whether each is there; None when that is not known, as of a mount that hangs."""
    clock_offset_s: float | None = None
    """By how much its clock is ahead of this machine's, seconds; None when it was not told."""
    cordon: str | None = None
    """Why the node takes no new work although it is well (cordoned by an operator, or doubtful); None when it does."""

    @property
    def name(self) -> str:
        """The node's configured name."""
        return self.spec.name

    @property
    def simulated(self) -> bool:
        """Whether this node exists only in a simulation or in a recording."""
        return self.spec.transport in ("simulated", "recorded")

    @property
    def manageable(self) -> bool:
        """Whether gpualloc may change it: reached, and not owned by someone else."""
        if self.state is not NodeState.OK or self.spec.manage is False or self.limited is not None:
            return False
        return bool(self.spec.manage) or not self.other_controllers


class Snapshot(Struct, frozen=True):
    """Everything seen at one moment. A node that failed is data in it, not an exception."""

    at_s: float
    nodes: tuple[Node, ...]
    """Sorted by name."""

    def node(self, name: str) -> Node | None:
        """The node of that name, or None."""
        return next((node for node in self.nodes if node.name == name), None)

    @property
    def reached(self) -> tuple[Node, ...]:
        """The nodes that answered."""
        return tuple(node for node in self.nodes if node.state is NodeState.OK)
