"""A batch is packed within what nodes have, leaves out nothing that fits, and shares GPUs as well as possible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.model.shapes import Shape
from gpualloc.policies.batch_nodes import FreeNodes
from gpualloc.policies.batch_pack import pack_batch


def free_nodes(nodes):
    """From (CPU milli, memory MiB, GPU milli free, model) of each node."""
    widest = max((len(node[2]) for node in nodes), default=0)
    return FreeNodes(
        cpu_milli=np.array([node[0] for node in nodes], dtype=np.int64),
        memory_mib=np.array([node[1] for node in nodes], dtype=np.int64),
        gpu_milli=np.array([[*node[2], *[0] * (widest - len(node[2]))] for node in nodes], dtype=np.int64).reshape(
            len(nodes), widest
        ),
        models=tuple(node[3] for node in nodes),
        task_slots=np.full(len(nodes), 5, dtype=np.int64),
    )


def part(milli, cpu_milli=1000, models=()):
    return Shape(cpu_milli, 1024, 1, milli, models)


def whole(gpus, cpu_milli=1000, models=()):
    return Shape(cpu_milli, 1024, gpus, 1000, models)


def remaining(free, batch):
    """What the nodes have after the batch; fails when a task does not fit there."""
    cpu, memory, slots, gpus = (
        part.copy() for part in (free.cpu_milli, free.memory_mib, free.task_slots, free.gpu_milli)
    )
    for shape, spots in batch.spots.items():
        for node, chosen in spots:
            assert len(set(chosen)) == len(chosen) == shape.gpus
            assert not shape.models or free.models[node] in shape.models
            cpu[node] -= shape.cpu_milli
            memory[node] -= shape.memory_mib
            slots[node] -= 1
            gpus[node, list(chosen)] -= shape.milli
    assert all((left >= 0).all() for left in (cpu, memory, slots, gpus))
    return FreeNodes(cpu, memory, gpus, free.models, slots)


MODELS = st.sampled_from([(), (), ("A",), ("A", "B"), ("C",)])
SHAPES = st.one_of(
    st.builds(Shape, st.integers(0, 5000), st.integers(0, 5000), st.just(1), st.integers(1, 1000), MODELS),
    st.builds(Shape, st.integers(0, 5000), st.integers(0, 5000), st.integers(1, 3), st.just(1000), MODELS),
    st.builds(Shape, st.integers(0, 3000), st.integers(0, 3000), st.just(0), st.just(0), st.just(())),
    st.builds(Shape, st.just(100), st.just(100), st.just(2), st.integers(1, 999), MODELS),
)
TASKS = st.dictionaries(SHAPES, st.integers(0, 4), max_size=6)
GPU = st.sampled_from([0, 1000, 1000, 500, 190, 7, 335])
NODES = st.lists(
    st.tuples(st.integers(0, 9000), st.integers(0, 9000), st.lists(GPU, max_size=3), st.sampled_from("AB")), max_size=4
)


@given(NODES, TASKS)
@settings(max_examples=60, deadline=None)
def test_nothing_is_overcommitted_and_nothing_that_fits_is_left_out(nodes, tasks):
    free = free_nodes(nodes)
    batch = pack_batch(free, tasks)
    after = remaining(free, batch)
    for shape, count in tasks.items():
        assert len(batch.spots.get(shape, ())) + batch.left.get(shape, 0) == count
    assert [shape for shape in batch.left if after.most(shape).any()] == []
    assert batch.gpu_milli == free.gpu_milli.sum() - after.gpu_milli.sum()


@given(NODES, TASKS)
@settings(max_examples=20, deadline=None)
def test_the_order_of_tasks_does_not_matter(nodes, tasks):
    free = free_nodes(nodes)
    assert pack_batch(free, dict(reversed(tasks.items()))) == pack_batch(free, tasks)


@pytest.mark.parametrize(
    ("gpus", "tasks", "left"),
    [
        pytest.param(
            [1000] * 6, {part(470): 6, part(320): 6, part(210): 6}, {}, id="three of different size fill a GPU"
        ),
        pytest.param([1000] * 4, {part(500): 2, part(350): 4, part(300): 4, part(200): 1}, {}, id="halves go together"),
        pytest.param([1000] * 2, {part(333): 6}, {}, id="thirds"),
        pytest.param([1000] * 3, {whole(2): 1, part(600): 1, part(400): 1}, {}, id="a gang keeps its GPUs"),
        pytest.param([700, 500, 300], {part(700): 1, part(300): 2, part(200): 1}, {}, id="GPUs that are partly taken"),
        pytest.param([1000, 190], {part(810): 2, part(190): 2}, {part(810): 1}, id="the rest of a partly taken GPU"),
    ],
)
def test_parts_share_gpus_so_that_the_most_compute_is_given_out(gpus, tasks, left):
    node = (64_000, 65_536, gpus, "A")
    free = free_nodes([node])
    free.task_slots[:] = 100
    batch = pack_batch(free, tasks)
    remaining(free, batch)
    assert batch.left == left


def test_tasks_of_any_model_keep_off_the_scarce_one():
    free = free_nodes([(8000, 8192, [1000], "A"), (8000, 8192, [1000], "B")])
    batch = pack_batch(free, {whole(1): 1, whole(1, models=("A",)): 1})
    assert batch.spots == {whole(1): ((1, (0,)),), whole(1, models=("A",)): ((0, (0,)),)}


def test_tasks_of_much_cpu_go_to_nodes_of_much_cpu_per_gpu():
    free = free_nodes([(8000, 65_536, [1000, 1000], "A"), (32_000, 65_536, [1000, 1000], "A")])
    batch = pack_batch(free, {whole(1, cpu_milli=16_000): 2, whole(1, cpu_milli=4000): 2})
    assert batch.spots[whole(1, cpu_milli=16_000)] == ((1, (0,)), (1, (1,)))
    assert batch.left == {}


def test_cpu_only_work_does_not_lose_its_place_to_gpu_work():
    free = free_nodes([(8000, 8192, [1000], "A")])
    batch = pack_batch(free, {Shape(8000, 1024, 0, 0): 1, whole(1): 1})
    assert batch.left == {whole(1): 1}


def test_parts_take_as_few_idle_gpus_as_they_can():
    free = free_nodes([(64_000, 65_536, [1000] * 4, "A")] * 2)
    free.task_slots[:] = 100
    after = remaining(free, pack_batch(free, {part(500): 3, part(250): 4, part(150): 3}))
    assert (after.gpu_milli == 1000).sum() == 8 - 3


def test_gpus_left_idle_suit_more_of_the_same():
    free = free_nodes([(16_000, 65_536, [1000, 1000], "A"), (64_000, 65_536, [1000, 1000], "A")])
    tasks = {whole(1, cpu_milli=30_000): 1, whole(1, cpu_milli=8000): 1}
    first = pack_batch(free, tasks)
    second = pack_batch(remaining(free, first), tasks)
    assert (first.left, second.left) == ({}, {})
