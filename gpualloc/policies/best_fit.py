"""Best fit: least leftover, so that whole nodes stay free for large work."""

from __future__ import annotations

from gpualloc.model.decision import Problem
from gpualloc.policies.offer import Candidate
from gpualloc.policies.room import Target
from gpualloc.policies.scorers import (
    compute_free,
    compute_left,
    cpus_left,
    devices_left,
    devices_opened,
    free_memory,
    gpu_memory_left,
    instances_free,
    memory_left,
)
from gpualloc.policies.session import Preference, RoomSession, Scores


def _nodes(candidate: Candidate) -> Scores:
    return (
        devices_opened(candidate),
        devices_left(candidate),
        compute_left(candidate),
        gpu_memory_left(candidate),
        cpus_left(candidate),
        memory_left(candidate),
    )


def _targets(target: Target) -> Scores:
    return instances_free(target), compute_free(target), free_memory(target)


class BestFit:
    """Fills devices in use before idle ones, then the node with the fewest free GPUs left, then the tightest memory."""

    name = "best-fit"
    version = "1"

    def begin(self, problem: Problem) -> RoomSession:
        """Start deciding the problem."""
        return RoomSession(problem, Preference(_nodes, _targets))
