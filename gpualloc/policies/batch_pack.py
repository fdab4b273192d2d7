"""A batch of tasks packed at once: an integer programme decides what shares a GPU, then nodes are filled.

Pure and deterministic; the nodes may be partly taken. On an empty cluster the plan reaches the bound of
`policies.bound` but for rounding, and nearly all of it can be placed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from msgspec import Struct

from gpualloc.model.shapes import Shape
from gpualloc.policies.batch_bundles import bundles, more_of_the_same
from gpualloc.policies.batch_nodes import FreeNodes
from gpualloc.policies.batch_place import Placing, Spot
from gpualloc.policies.batch_plan import GroupPlan, plan_groups


class Batch(Struct, frozen=True):
    """Where the tasks of a batch go."""

    spots: Mapping[Shape, tuple[Spot, ...]]
    """For each shape the node and GPUs of each of its tasks that are placed."""
    left: Mapping[Shape, int]
    """How many tasks of each shape are not placed; none of them fits any more."""
    gpu_milli: int
    """Compute given out, in 1/1000 of a GPU."""


def pack_batch(free: FreeNodes, tasks: Mapping[Shape, int]) -> Batch:
    """Place as many of the tasks as possible, so that the most GPU compute is given out.

    When not all GPUs are needed, those left are such that as much of the same kinds of tasks would fit on them.

    Args:
        free: what the nodes still have.
        tasks: how many tasks ask for each shape.

    Raises:
        ConfigError: HiGHS is not installed.
    """
    tasks = {shape: count for shape, count in sorted(tasks.items()) if count > 0}
    plans = plan_groups(free, tasks)
    best = _place(free, tasks, plans, heavy_together=False)
    if best.left(_planned(plans)):
        other = _place(free, tasks, plans, heavy_together=True)
        best = max(best, other, key=lambda placing: (placing.gpu_milli, -sum(placing.left(tasks).values())))
    return Batch({shape: tuple(spots) for shape, spots in best.spots.items()}, best.left(tasks), best.gpu_milli)


def _planned(plans: list[GroupPlan]) -> Counter[Shape]:
    return sum((Counter(plan.tasks) for plan in plans), Counter())


def _place(free: FreeNodes, tasks: Mapping[Shape, int], plans: list[GroupPlan], *, heavy_together: bool) -> Placing:
    placing = Placing(free)
    for plan in plans:
        nodes = np.zeros(len(free.models), dtype=np.bool_)
        nodes[plan.nodes] = True
        now = bundles(plan, free.per_gpu, heavy_together=heavy_together)
        later = more_of_the_same(now, int(free.idle[plan.nodes].sum()))
        for bundle in now:
            while later and later[0].order(free.per_gpu) < bundle.order(free.per_gpu):
                placing.reserve_bundle(later.popleft(), nodes, plan.step_milli)
            placing.place_bundle(bundle, nodes, plan.step_milli)
    placing.release_reserved()
    left = placing.left(tasks)
    placing.place_all({shape: left[shape] for shape in sorted(left, key=_order_of_leftovers)})
    return placing


def _order_of_leftovers(shape: Shape) -> tuple[int, ...]:
    """CPU-only first, then those of most GPUs, most of a GPU, most CPU, most memory."""
    return (shape.gpus > 0, -shape.gpus, -shape.milli, -shape.cpu_milli, -shape.memory_mib)
