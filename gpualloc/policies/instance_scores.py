"""Numbers about a node on which MIG instances would be taken, and about one instance. Policies put them in an order."""

from __future__ import annotations

from gpualloc.policies.offer import Candidate
from gpualloc.policies.room import Target


def devices_opened(candidate: Candidate) -> float:
    """Idle devices the placement would take out of the pool of idle ones."""
    return float(len({target.room.device.uuid for target in candidate.chosen if target.room.idle}))


def instances_left(candidate: Candidate) -> float:
    """Usable instances that stay free on the node."""
    return float(len(candidate.usable) - len(candidate.chosen))


def gpu_memory_left(candidate: Candidate) -> float:
    """Memory of the chosen instances, MiB: the less, the tighter the fit."""
    return float(sum(free_memory(target) for target in candidate.chosen))


def free_memory(target: Target) -> int:
    """Free memory of one target, MiB; 0 when unknown."""
    if target.instance is not None:
        return target.instance.memory_total_mib or 0
    return target.room.memory_free_mib or 0


def instances_free(target: Target) -> float:
    """MIG instances on the target's device that nobody holds."""
    return float(sum(1 for instance in target.room.device.mig_instances if not target.room.holds(instance.uuid)))
