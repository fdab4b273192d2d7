"""What one node can offer one request, and whether that is enough."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from gpualloc.model.allocation import Allocation, Grant, Share
from gpualloc.model.cpus import NEAR, highest_cpu
from gpualloc.model.visible import SEVERAL_MIG_BRANCH, driver_branch
from gpualloc.model.workload import Request
from gpualloc.policies.filters import slice_memory_mib, why_not
from gpualloc.policies.room import NodeRoom, Target


class Offer(Struct, frozen=True):
    """What a node has for a request, enough or not."""

    room: NodeRoom
    usable: tuple[Target, ...]
    """Targets that would serve, in the fixed order."""
    refused: tuple[tuple[str, int], ...]
    """Why the other targets would not, and how many, most frequent first."""

    @property
    def node(self) -> str:
        """Name of the node."""
        return self.room.node.name


class Candidate(Struct, frozen=True):
    """A node on which the request fits, with the targets a policy would take there."""

    room: NodeRoom
    request: Request
    usable: tuple[Target, ...]
    chosen: tuple[Target, ...]


def offer(room: NodeRoom, request: Request) -> Offer:
    """What the node has for the request."""
    usable: list[Target] = []
    refused: Counter[str] = Counter()
    for target in room.targets(request.share) if request.gpus else ():
        reason = why_not(target, request)
        if reason is None:
            usable.append(target)
        else:
            refused[reason] += 1
    if request.share is Share.MPS and not room.node.mps:
        refused["on a node without MPS"] += len(usable)
        usable = []
    if request.numa:
        usable, others = _near_one_numa_node(usable, request.gpus)
        refused += others
    if request.share is Share.MIG and request.gpus > 1:
        usable, others = _on_one_device(room, usable)
        refused += others
    return Offer(room, tuple(usable), tuple(sorted(refused.items(), key=lambda item: (-item[1], item[0]))))


def _near_one_numa_node(usable: list[Target], count: int) -> tuple[list[Target], Counter[str]]:
    """The targets near the NUMA node on which the fewest are left, else near the one with the most.

    A single target is near one in any case, so that it may be any whose NUMA node is known.
    """
    by_node: dict[int, list[Target]] = {}
    for target in usable:
        if target.room.device.numa_node is not None:
            by_node.setdefault(target.room.device.numa_node, []).append(target)
    known = [target for target in usable if target.room.device.numa_node is not None]
    refused = Counter({"near an unknown NUMA node": len(usable) - len(known)})
    if count == 1 or len(by_node) < 2:
        return known, +refused
    fitting = [number for number, targets in by_node.items() if len(targets) >= count]
    if fitting:
        chosen = min(fitting, key=lambda number: (len(by_node[number]), number))
    else:
        chosen = max(by_node, key=lambda number: (len(by_node[number]), -number))
    refused["near another NUMA node"] = len(known) - len(by_node[chosen])
    return by_node[chosen], +refused


def _on_one_device(room: NodeRoom, usable: list[Target]) -> tuple[list[Target], Counter[str]]:
    """The instances that one process can be given: those of the device with the most, if the driver shows several."""
    branch = driver_branch(room.node.driver_version)
    if branch is None or branch < SEVERAL_MIG_BRANCH:
        return [], Counter({f"with a driver below R{SEVERAL_MIG_BRANCH}, which shows a process one": len(usable)})
    by_device: dict[str, list[Target]] = {}
    for target in usable:
        by_device.setdefault(target.room.device.uuid, []).append(target)
    most = max(by_device.values(), key=len, default=[])
    rest = len(usable) - len(most)
    return most, Counter({"on another device": rest} if rest else {})


def enough(found: Offer, request: Request) -> bool:
    """Whether the offer covers the whole request."""
    return not shortages(found, request)


def shortages(found: Offer, request: Request) -> tuple[str, ...]:
    """Which of `gpus`, `cpus`, `cpuset` and `memory` the offer does not cover."""
    short = []
    if len(found.usable) < request.gpus:
        short.append("gpus")
    if request.cpus is not None and (found.room.cpus_free is None or found.room.cpus_free < request.cpus):
        short.append("cpus")
    cpus = found.room.node.host.cpus
    if request.cpuset not in (None, NEAR) and (cpus is None or highest_cpu(request.cpuset) >= cpus):
        short.append("cpuset")
    free_mib = found.room.memory_free_mib
    if request.memory_mib is not None and (free_mib is None or free_mib < request.memory_mib):
        short.append("memory")
    return tuple(short)


def allocate(workload: str, candidate: Candidate) -> Allocation:
    """The allocation that takes the candidate's chosen targets; grants in the fixed order."""
    request = candidate.request
    chosen = sorted(candidate.chosen, key=lambda target: target.order)
    return Allocation(
        workload=workload,
        node=candidate.room.node.name,
        grants=tuple(_grant(target, request) for target in chosen),
        cpus=request.cpus,
        cpuset=request.cpuset,
        memory_mib=request.memory_mib,
        pids=request.pids,
        cpu_weight=request.cpu_weight,
        io_weight=request.io_weight,
    )


def _grant(target: Target, request: Request) -> Grant:
    """Exclusive devices and MIG instances come with all their memory; a time slice books its own."""
    device = target.room.device.uuid
    if request.share in (Share.TIME_SLICE, Share.MPS):
        memory_mib = slice_memory_mib(target, request)
        return Grant(device, request.share, fraction=request.fraction or 1.0, memory_mib=memory_mib)
    return Grant(device, request.share, target.instance.uuid if target.instance else None)
