"""Spread: the emptiest place, so that work disturbs other work as little as possible."""

from __future__ import annotations

from gpualloc.model.decision import Problem
from gpualloc.policies.offer import Candidate
from gpualloc.policies.room import Target
from gpualloc.policies.scorers import (
    compute_free,
    compute_left,
    cpus_left,
    devices_left,
    free_memory,
    gpu_memory_left,
    instances_free,
    memory_left,
)
from gpualloc.policies.session import Preference, RoomSession, Scores


def _nodes(candidate: Candidate) -> Scores:
    if not candidate.request.gpus:
        return -cpus_left(candidate), -memory_left(candidate)
    return -compute_left(candidate), -devices_left(candidate), -gpu_memory_left(candidate)


def _targets(target: Target) -> Scores:
    return -compute_free(target), -instances_free(target), -free_memory(target)


class Spread:
    """Takes the emptiest devices on the node with the most free GPUs left."""

    name = "spread"
    version = "1"

    def begin(self, problem: Problem) -> RoomSession:
        """Start deciding the problem."""
        return RoomSession(problem, Preference(_nodes, _targets))
