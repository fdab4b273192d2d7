"""What the problems of the contract are made of: healthy and idle unless said otherwise."""

from __future__ import annotations

from typing import Any

from gpualloc.model.allocation import Allocation, Claim, Grant, Share
from gpualloc.model.decision import Problem
from gpualloc.model.inventory import (
    Device,
    HostReading,
    MigInstance,
    Node,
    NodeSpec,
    NodeState,
    Process,
    Snapshot,
)
from gpualloc.model.mig import MigProfile
from gpualloc.model.workload import Request, Workload, WorkloadState

CARD = "NVIDIA H100 80GB HBM3"
CARD_MIB = 81559
SLICE = "1g.10gb"
SLICE_MIB = 9856
OTHER = "elsewhere"
"""Id of work that is not among the requests."""
AT_S = 1000.0


def device(node: str = "a", index: int = 0, **said: Any) -> Device:
    """A device of the node; `mig` is how many instances of one profile it has, in MIG mode."""
    instances = said.pop("mig", 0)
    in_mode = {"mig_enabled": True, "mig_pending": True, "mig_profiles": (profile(16),)} if instances else {}
    own = {"model": CARD, "memory_total_mib": CARD_MIB, "memory_used_mib": 0, **in_mode, **said}
    return Device(
        uuid=f"GPU-{node}-{index}",
        index=index,
        mig_instances=own.pop("mig_instances", tuple(instance(node, index, at) for at in range(instances))),
        **own,
    )


def profile(sm_count: int | None) -> MigProfile:
    """The profile of all instances, with that many multiprocessors."""
    return MigProfile(SLICE, 19, 1, tuple(range(7)), SLICE_MIB, sm_count, 7)


def instance(node: str = "a", index: int = 0, at: int = 0, **said: Any) -> MigInstance:
    """A MIG instance on that device."""
    own = {"profile": SLICE, "memory_total_mib": SLICE_MIB, "memory_used_mib": 0, **said}
    return MigInstance(uuid=f"MIG-{node}-{index}-{at}", start=at, size=1, **own)


def node(name: str = "a", *devices: Device, **said: Any) -> Node:
    """A node that answered; of its host `cpus`, `memory_mib` and `available_mib` may be said, of its place in the
    configuration `labels`, `reserved_cpus`, `reserved_memory_mib` and `manage`.
    """
    spec = {key: said.pop(key) for key in ("labels", "reserved_cpus", "reserved_memory_mib", "manage") if key in said}
    host = HostReading(
        cpus=said.pop("cpus", 64),
        memory_total_mib=said.pop("memory_mib", 524288),
        memory_available_mib=said.pop("available_mib", None),
    )
    return Node(
        spec=NodeSpec(name, "main", "simulated", **spec),
        state=said.pop("state", NodeState.OK),
        at_s=AT_S,
        driver_version=said.pop("driver_version", "570.148"),
        host=host,
        devices=devices,
        **said,
    )


def claim(where: Device, mig_instance: str | None = None, **said: Any) -> Claim:
    """The node's record that the device, or an instance on it, is given to other work."""
    own = {
        "controller": "ours",
        "share": Share.MIG if mig_instance else Share.EXCLUSIVE,
        "fraction": 1.0,
        "memory_mib": None,
        **said,
    }
    return Claim(where.uuid, OTHER, mig_instance=mig_instance, at_s=AT_S, **own)


def process(where: Device, used_mib: int, **said: Any) -> Process:
    """A process on the device that nobody booked."""
    own = {"mig_instance": None, "workload": None, **said}
    return Process(
        4000, where.uuid, gpu_memory_used_mib=used_mib, user="eve", command="python", started_at_s=AT_S, **own
    )


def running(where: str, *grants: Grant, **limits: Any) -> Allocation:
    """Other work that runs on the node according to our books."""
    return Allocation(OTHER, where, grants, **limits)


def problem(
    nodes: tuple[Node, ...], asked: tuple[dict[str, Any], ...], booked: tuple[Allocation, ...] = (), **said: Any
) -> Problem:
    """A problem with one waiting workload for each request."""
    requests = tuple(
        Workload(
            f"w{number:08d}", f"work {number}", "ann", Request(("train",), **of), WorkloadState.PENDING, AT_S + number
        )
        for number, of in enumerate(asked)
    )
    return Problem(Snapshot(AT_S, tuple(sorted(nodes, key=lambda one: one.name))), requests, booked, **said)


def one_place(forbidden: Node, good: Node, *booked: Allocation, **asked: Any) -> Problem:
    """Two equal requests for one place that will do, beside a node that must not be used."""
    return problem((forbidden, good), (asked, asked), booked)
