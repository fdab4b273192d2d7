"""Prices of what a cluster has too little of: GPU models that only some work can use, and room for gangs.

Both are worth nothing while there is plenty, and their prices follow what is idle, so they change with every placement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gpualloc.model.shapes import Shape
from gpualloc.policies.board import Board, Floats, Ints
from gpualloc.policies.demand import Demand
from gpualloc.policies.fragments import accepts
from gpualloc.policies.weights import Constants

MOST_SETS = 4096
MOST_GANGS = 16
_NO_LIMIT = 1 << 40
_PLENTY = 4.0
"""Beyond so many deviations to spare, room for gangs costs nothing."""


class ModelPrices:
    """What a GPU of each model costs, 0..1, because work that is confined to some models will want it.

    After Hall: demand that only a set of models can serve must fit into what is idle of that set. Each set that some
    work is confined to, and every union of such sets, has a surplus of demand over supply; a model costs the weight of
    the sets it is in, in a softmax over the surpluses (the empty set has none).
    """

    def __init__(self, board: Board, demand: Demand, constants: Constants) -> None:
        """Prepare for one board and demand."""
        self._board = board
        self._constants = constants
        masks = _model_masks(board, demand)
        sets = _unions(list(masks.values()))
        self.needed = len(sets) > 2  # the empty set and that of all models cost every model the same
        """Whether any work is confined to some models."""
        compute = {shape: weight * shape.gpu_milli for shape, weight in zip(demand.shapes, demand.weights, strict=True)}
        total = sum(compute.values()) or 1.0
        self._need: Floats = np.array(
            [sum(compute[shape] for shape, mask in masks.items() if not mask & ~models) / total for models in sets]
        )
        self._member: Floats = np.array(
            [[models >> number & 1 for number in range(len(board.models))] for models in sets], np.float64
        ).reshape(len(sets), len(board.models))
        self.model_of: Ints = board.model.max(axis=1, initial=-1).astype(np.int64)
        """(N,) model of each node as a place in `Board.models`; -1 where it has no device."""

    def now(self, idle_of_model: Floats) -> Floats:
        """(N,) what one GPU of each node costs, with that many GPUs idle of each model."""
        constants, idle = self._constants, float(idle_of_model.sum())
        surplus = constants.model_demand * self._need * idle - constants.supply * (self._member @ idle_of_model)
        surplus /= constants.sharpness * math.sqrt(idle + 1)
        weight = np.exp(surplus - max(0.0, float(surplus.max())))
        price = np.append((weight / weight.sum()) @ self._member, 0.0)  # the last is that of nodes without a device
        by_node: Floats = price[self.model_of]
        return by_node


class GangPrices:
    """What room for a gang costs, in GPUs, for each kind of gang, Q in all: the part of its GPUs that is likely to be
    missed when the next ones come.
    """

    def __init__(self, demand: Demand, constants: Constants) -> None:
        """Prepare for one demand."""
        self._constants = constants
        compute = sum(w * shape.gpu_milli for shape, w in zip(demand.shapes, demand.weights, strict=True)) / 1000 or 1.0
        plain: dict[tuple[int, int], float] = {}
        for shape, weight in zip(demand.shapes, demand.weights, strict=True):
            if shape.gpus > 1:
                key = shape.gpus, shape.cpu_milli
                plain[key] = plain.get(key, 0.0) + weight
        ranked = sorted(plain, key=lambda key: (-plain[key] * key[0], key))[:MOST_GANGS]
        self.gpus: Ints = np.array([gpus for gpus, _ in ranked], np.int64)
        """(Q,) GPUs of each kind."""
        self.cpu: Ints = np.array([cpu for _, cpu in ranked], np.int64)
        """(Q,) CPU of each kind, 1/1000."""
        self._kinds = [
            (gpus, cpu, sum(plain[other] for other in plain if other[0] >= gpus and other[1] >= cpu) / compute)
            for gpus, cpu in ranked
        ]

    def slots(self, whole: int, cpu: int) -> list[int]:
        """(Q,) how many gangs of each kind a node with that many idle devices and that much CPU can take."""
        return [min(whole // gpus, cpu // each) if each else whole // gpus for gpus, each, _ in self._kinds]

    def lost(self, now: Ints, whole: Sequence[Ints], cpu: Ints) -> Ints:
        """(Q, W, K) slots that K nodes lose when in each of W ways they keep so many idle devices, and so much CPU.

        Args:
            now: (Q, K) slots there are.
            whole: W times (K,) idle devices left.
            cpu: (K,) CPU left, 1/1000.
        """
        cpu_each = self.cpu[:, None]
        by_cpu = np.where(cpu_each > 0, cpu // np.maximum(cpu_each, 1), _NO_LIMIT)
        by_gpus = np.array(whole) // self.gpus[:, None, None]
        lost: Ints = now[:, None] - np.minimum(by_gpus, by_cpu[:, None])
        return lost

    def now(self, slots: Ints, idle: float, shape: Shape) -> list[tuple[int, float]]:
        """The kinds (as places in `gpus`) that have a price for work of that shape, and what one slot costs.

        Args:
            slots: (Q,) how many of each kind the cluster could take.
            idle: idle GPUs.
            shape: the work; gangs that are no more demanding do not count.
        """
        found = []
        there = slots.tolist()
        for place, (gpus, cpu, coming) in enumerate(self._kinds):
            if gpus < shape.gpus or (gpus == shape.gpus and cpu <= shape.cpu_milli):
                continue
            need = self._constants.gang_demand * coming * idle
            plenty = (there[place] - need) / (self._constants.gang_spread * math.sqrt(need + 1))
            if plenty < _PLENTY:
                found.append((place, gpus * 0.5 * math.erfc(plenty / math.sqrt(2))))
        return found


def _model_masks(board: Board, demand: Demand) -> dict[Shape, int]:
    """For each shape with GPUs, the models of the board it may use, as bits."""
    return {
        shape: sum(1 << number for number, model in enumerate(board.models) if accepts(shape.models, model))
        for shape in demand.shapes
        if shape.gpus
    }


def _unions(masks: list[int]) -> list[int]:
    """The empty set, the sets, and their unions, each once, in a fixed order."""
    sets = [0]
    for mask in masks:
        if mask in sets:
            continue
        for other in list(sets):
            if (union := other | mask) not in sets and len(sets) < MOST_SETS:
                sets.append(union)
    return sets
