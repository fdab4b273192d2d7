"""What an objective has against places: on the board as whole numbers, in rooms as scores; lower is better in both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np

from gpualloc.policies.board import Board, Ints
from gpualloc.policies.offer import Candidate
from gpualloc.policies.packer import Burden
from gpualloc.policies.room import NodeRoom, Target

Scores = tuple[float, ...]


class Aim(ABC):
    """An objective in one problem. What it says of a node depends on that node alone, and changes with it."""

    @abstractmethod
    def burden(self, board: Board) -> Burden:
        """What it has against places on the board, which was read from the rooms of the problem."""

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


def ranks(values: Iterable[float | None]) -> tuple[Ints, int]:
    """The place of each value among the different ones, and how many places there are; None comes last."""
    listed = list(values)
    known = sorted({value for value in listed if value is not None})
    place = {value: number for number, value in enumerate(known)}
    found = [len(known) if value is None else place[value] for value in listed]
    return np.array(found, np.int64), len(known) + 1
