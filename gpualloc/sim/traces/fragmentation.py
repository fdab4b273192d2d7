"""The expected fragmentation of a simulated cluster, straight from its definition.

For one shape, the fragment of a node is all its idle compute when it cannot hold it, else the idle compute on GPUs too
full for one unit of it; tasks without a GPU count all of it. The mean is over the shapes that cover most tasks.
Definition: Weng et al., USENIX ATC 2023.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gpualloc.model.shapes import Shape
from gpualloc.sim.traces.referee import Referee

COVERED = 0.95
"""Part of all tasks that the shapes looked at make up."""


def usual_shapes(counts: Mapping[Shape, int]) -> dict[Shape, float]:
    """The most frequent shapes (host memory left out) that cover that part of all tasks, with their share of all."""
    merged: dict[Shape, int] = {}
    for shape, count in counts.items():
        plain = Shape(shape.cpu_milli, 0, shape.gpus, shape.milli, shape.models)
        merged[plain] = merged.get(plain, 0) + count
    total = sum(merged.values())
    usual: dict[Shape, float] = {}
    for shape, count in sorted(merged.items(), key=lambda item: (-item[1], item[0])):
        if sum(usual.values()) >= COVERED - 1e-12:
            break
        usual[shape] = count / total
    return usual


def expected_fragment_milli(cluster: Referee, shapes: Mapping[Shape, float]) -> float:
    """Idle compute of all nodes that is of no use, mean over the shapes, 1/1000 of a GPU."""
    idle = cluster.free.sum(axis=1)
    total = 0.0
    for shape, share in shapes.items():
        enough = cluster.free >= max(shape.milli, 1)
        holds = cluster.accepting(shape) & (cluster.cpu >= shape.cpu_milli) & (shape.gpus > 0)
        holds &= enough.sum(axis=1) >= shape.gpus
        useful = np.where(holds, np.where(enough, cluster.free, 0).sum(axis=1), 0)
        total += share * float((idle - useful).sum())
    return total / (sum(shapes.values()) or 1.0)
