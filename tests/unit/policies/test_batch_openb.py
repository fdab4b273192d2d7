"""Bound and batch on the carried openb traces, against figures computed by another implementation."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from gpualloc.model.shapes import NodeClass, Shape
from gpualloc.policies.batch_nodes import FreeNodes
from gpualloc.policies.batch_pack import pack_batch
from gpualloc.policies.bound import unallocated_bound
from gpualloc.sim.traces.arrivals import read_arrivals
from gpualloc.sim.traces.lines import text_lines
from gpualloc.sim.traces.reading import read_nodes, read_tasks
from gpualloc.sim.traces.trace import gather

FOLDER = Path(__file__).parents[3] / "bench" / "data" / "openb"
CAPACITY_MILLI = 6_212_000


def nodes():
    with (FOLDER / "openb_node_list_gpu_node.csv.gz").open("rb") as stream:
        return list(read_nodes(text_lines(stream, "nodes"), "nodes"))


def arrived(trace, seed):
    """What arrives in that published run until the demand is all GPUs."""
    with (FOLDER / f"openb_pod_list_{trace}.csv.gz").open("rb") as stream:
        tasks = gather(read_tasks(text_lines(stream, trace), trace), trace)
    with (FOLDER / "arrivals_seed42_51.npz").open("rb") as stream:
        order = read_arrivals(stream, f"{trace}_{seed}", "arrivals", len(tasks))
    last = int(np.searchsorted(np.cumsum(tasks.gpu_milli[order]), CAPACITY_MILLI))
    shapes = [tasks.shapes[index] for index in tasks.shape_of[order[: last + 1]]]
    return Counter(Shape(s.cpu_milli, s.memory_mib, s.gpus, s.milli, s.models) for s in shapes)


@pytest.mark.parametrize(
    ("trace", "unallocated_pct"),
    [("default", 3.10), ("gpushare100", 10.85), ("gpuspec33", 3.65), ("multigpu20", 2.68), ("cpu250", 3.28)],
)
def test_the_bound_is_the_known_one(trace, unallocated_pct):
    """The known figures are means over several orders, which differ by some hundredths."""
    classes = Counter(NodeClass(node.cpu_milli, node.memory_mib, node.gpus, node.model) for node in nodes())
    bound = unallocated_bound(classes, arrived(trace, 42))
    assert bound.unallocated_pct == pytest.approx(unallocated_pct, abs=0.05)
    assert bound.cpu_only_left == 0


def empty_nodes():
    cluster = nodes()
    return FreeNodes(
        cpu_milli=np.array([node.cpu_milli for node in cluster]),
        memory_mib=np.array([node.memory_mib for node in cluster]),
        gpu_milli=np.array([[1000 * (gpu < node.gpus) for gpu in range(8)] for node in cluster]),
        models=tuple(node.model for node in cluster),
        task_slots=np.full(len(cluster), 1001),
    )


def take(free, batch):
    for shape, spots in batch.spots.items():
        for node, gpus in spots:
            free.cpu_milli[node] -= shape.cpu_milli
            free.memory_mib[node] -= shape.memory_mib
            free.task_slots[node] -= 1
            free.gpu_milli[node, list(gpus)] -= shape.milli


def test_the_default_trace_is_packed_within_a_few_hundredths_of_the_bound():
    batch = pack_batch(empty_nodes(), arrived("default", 42))
    assert 3.08 <= 100 - 100 * batch.gpu_milli / CAPACITY_MILLI <= 3.15
    assert all(shape.gpus == 1 and shape.milli < 1000 for shape in batch.left)


def test_two_windows_one_after_the_other_are_packed_almost_as_well_as_one():
    free, tasks = empty_nodes(), arrived("default", 42)
    early = Counter({shape: count * 3 // 5 for shape, count in tasks.items()})
    first = pack_batch(free, early)
    take(free, first)
    second = pack_batch(free, tasks - early)
    take(free, second)
    assert min(part.min() for part in (free.cpu_milli, free.memory_mib, free.gpu_milli, free.task_slots)) >= 0
    assert 3.08 <= 100 - 100 * (first.gpu_milli + second.gpu_milli) / CAPACITY_MILLI <= 3.3
