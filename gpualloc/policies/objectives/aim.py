"""What an objective has against work on a node, as scores of which lower is better."""

from __future__ import annotations

from abc import ABC, abstractmethod

from gpualloc.policies.offer import Candidate
from gpualloc.policies.room import NodeRoom, Target

Scores = tuple[float, ...]


class Aim(ABC):
    """An objective in one problem. What it says of a node depends on that node alone, and changes with it."""

    @abstractmethod
    def of_node(self, room: NodeRoom) -> Scores:
        """What it has against beginning work on the node as it is now."""

    def of_instances(self, candidate: Candidate) -> Scores:
        """What it has against those MIG instances on their node."""
        return self.of_node(candidate.room)

    def of_instance(self, _target: Target) -> Scores:
        """What it has against one MIG instance, beside others of its node."""
        return ()

    @abstractmethod
    def words(self, room: NodeRoom) -> str:
        """What it goes by on the node, for a person."""


def worse_if_unknown(value: float | None) -> Scores:
    """The value as scores, of which None is the highest."""
    return (1.0, 0.0) if value is None else (0.0, value)
