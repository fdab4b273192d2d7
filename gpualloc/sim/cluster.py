"""What a simulated cluster is made of, before anything happened in it."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from gpualloc.errors import ConfigError
from gpualloc.sim.catalog import find, mig_table
from gpualloc.sim.gpu import FaultKind
from gpualloc.sim.use import Pattern


class Fault(Struct, frozen=True):
    """Something that goes wrong for a while. Times are seconds since the start of the simulation."""

    node: str
    kind: FaultKind
    gpu: int | None = None
    """Index of the GPU; None, and only then, for UNREACHABLE."""
    from_s: float = 0.0
    until_s: float | None = None
    """None: it does not end."""
    code: int | None = None
    """Number of the Xid, of a fault of kind XID and only there."""


class Stranger(Struct, frozen=True):
    """A process on a node that gpualloc did not start."""

    user: str
    command: str
    gpus: tuple[int, ...]
    """Indices of the GPUs it uses."""
    memory_mib: int
    """GPU memory on each of them."""
    pattern: Pattern
    age_s: float = 3600.0
    """How long it ran already when the simulation starts."""
    profile: str | None = None
    """MIG profile of the instance it uses, the first of that kind; None on whole GPUs."""


class HostSpec(Struct, frozen=True):
    """A simulated node."""

    name: str
    gpus: tuple[str, ...]
    """Model of each GPU, by key or product name (`catalog.find`)."""
    cpus: int = 64
    memory_gib: int = 512
    driver: str = "570.133.20"
    labels: Mapping[str, str] = field(default_factory=dict)
    paths: tuple[str, ...] = ()
    """Data and mounts that are there, and with them the folders above."""
    numa_nodes: int = 1
    """How many NUMA nodes it has; CPUs and GPUs are spread over them in order."""
    mig: tuple[int, ...] = ()
    """Indices of the GPUs in MIG mode."""
    instances: tuple[tuple[int, str], ...] = ()
    """MIG instances there are at the start: (GPU index, profile)."""
    strangers: tuple[Stranger, ...] = ()
    price_per_gpu_hour: float | None = None
    """As in the configuration of a pool; None: it has no price."""


class ClusterSpec(Struct, frozen=True):
    """A simulated cluster. Equal specs start equal."""

    name: str
    nodes: tuple[HostSpec, ...]
    speed: float = 1.0
    """Simulated seconds per wall second, above 0."""
    seed: int = 0
    faults: tuple[Fault, ...] = ()


def check_cluster(spec: ClusterSpec) -> ClusterSpec:
    """Accept a cluster that can be simulated.

    Raises:
        ConfigError: names the node, what is wrong with it and what was expected.
    """
    if not 0 < spec.speed <= 1e6:
        raise ConfigError(f"simulated cluster {spec.name!r}: speed {spec.speed:g} is not above 0 and at most 1000000")
    hosts = {host.name: host for host in spec.nodes}
    if len(hosts) < len(spec.nodes) or not hosts:
        raise ConfigError(f"simulated cluster {spec.name!r} needs nodes, each with a name of its own")
    for host in spec.nodes:
        _check_host(host)
    for fault in spec.faults:
        _check_fault(fault, hosts)
    return spec


def _check_host(host: HostSpec) -> None:
    if host.cpus < 1 or host.memory_gib < 1:
        raise ConfigError(f"simulated node {host.name!r} needs at least 1 CPU and 1 GiB of memory")
    if not 1 <= host.numa_nodes <= host.cpus:
        raise ConfigError(f"simulated node {host.name!r} has {host.numa_nodes} NUMA nodes for {host.cpus} CPUs")
    kinds = [find(model) for model in host.gpus]
    for index in (*host.mig, *(index for index, _ in host.instances)):
        if not 0 <= index < len(kinds):
            raise ConfigError(f"simulated node {host.name!r} has {len(kinds)} GPUs, so none of index {index} for MIG")
        mig_table(kinds[index])
    for stranger in host.strangers:
        _check_stranger(stranger, host)


def _check_stranger(stranger: Stranger, host: HostSpec) -> None:
    where = f"simulated node {host.name!r}: a stranger uses"
    for index in stranger.gpus:
        if not 0 <= index < len(host.gpus):
            raise ConfigError(f"{where} GPU {index}, of {len(host.gpus)} counted from 0")
        if stranger.profile is not None and (index, stranger.profile) not in host.instances:
            raise ConfigError(f"{where} a MIG instance {stranger.profile} of GPU {index}, which has none")
        if stranger.profile is None and index in host.mig:
            raise ConfigError(f"{where} GPU {index} as a whole, which is in MIG mode")


def _check_fault(fault: Fault, hosts: Mapping[str, HostSpec]) -> None:
    host = hosts.get(fault.node)
    if host is None:
        raise ConfigError(f"a fault names node {fault.node!r}, which is not in the simulated cluster")
    if (fault.kind is FaultKind.UNREACHABLE) != (fault.gpu is None):
        raise ConfigError(
            f"a fault of kind {fault.kind} on {fault.node!r}: only unreachable is of a node, not of a GPU"
        )
    if fault.gpu is not None and not 0 <= fault.gpu < len(host.gpus):
        raise ConfigError(f"a fault names GPU {fault.gpu} of {fault.node!r}, which has {len(host.gpus)}")
    if (fault.kind is FaultKind.XID) != (fault.code is not None):
        raise ConfigError(f"a fault on {fault.node!r}: the kind xid has a code, and only that")
    if fault.until_s is not None and fault.until_s <= fault.from_s:
        raise ConfigError(f"a fault on {fault.node!r} ends at {fault.until_s:g} s, before it starts")
