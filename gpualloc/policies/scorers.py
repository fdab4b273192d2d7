"""Scorers: one number about a node on which the request fits. Policies put them in an order; lower goes first.

Numbers are rounded, so that equal places score equal whatever the floating-point unit does.
"""

from __future__ import annotations

import math

from gpualloc.model.allocation import Share
from gpualloc.policies.offer import Candidate
from gpualloc.policies.room import Target

_DIGITS = 6


def devices_opened(candidate: Candidate) -> float:
    """Idle devices the placement would take out of the pool of idle ones."""
    return float(len({target.room.device.uuid for target in candidate.chosen if target.room.idle}))


def devices_left(candidate: Candidate) -> float:
    """Whole devices that stay free on the node; for MIG, usable instances."""
    if candidate.request.share is Share.MIG:
        return float(len(candidate.usable) - len(candidate.chosen))
    return candidate.room.whole_free - devices_opened(candidate)


def compute_left(candidate: Candidate) -> float:
    """Compute that stays free on the chosen devices, in devices."""
    taken = (candidate.request.fraction or 1.0) * len(candidate.chosen)
    return round(math.fsum(target.room.fraction_free for target in candidate.chosen) - taken, _DIGITS)


def gpu_memory_left(candidate: Candidate) -> float:
    """Free GPU memory of the chosen targets before the placement, MiB: the less, the tighter the fit."""
    return float(sum(free_memory(target) for target in candidate.chosen))


def cpus_left(candidate: Candidate) -> float:
    """CPUs that stay free on the node; 0 when unknown."""
    return round((candidate.room.cpus_free or 0.0) - (candidate.request.cpus or 0.0), _DIGITS)


def memory_left(candidate: Candidate) -> float:
    """Host memory that stays free on the node, MiB; 0 when unknown."""
    return float((candidate.room.memory_free_mib or 0) - (candidate.request.memory_mib or 0))


def compute_free(target: Target) -> float:
    """Compute free on one target's device, 0..1."""
    return round(target.room.fraction_free, _DIGITS)


def free_memory(target: Target) -> int:
    """Free memory of one target, MiB; 0 when unknown."""
    if target.instance is not None:
        return target.instance.memory_total_mib or 0
    return target.room.memory_free_mib or 0


def instances_free(target: Target) -> float:
    """MIG instances on the target's device that nobody holds."""
    return float(sum(1 for instance in target.room.device.mig_instances if not target.room.holds(instance.uuid)))
