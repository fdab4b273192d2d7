"""The bound is never below the best packing there is, and equals it where nothing is lost between nodes."""

from __future__ import annotations

import math
import sys
from collections import Counter
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.errors import ConfigError
from gpualloc.model.shapes import NodeClass, Shape
from gpualloc.policies.bound import first_refusal, unallocated_bound

NODE = NodeClass(32_000, 65_536, 2, "A")


def part(milli, cpu_milli=1000, models=()):
    return Shape(cpu_milli, 1024, 1, milli, models)


def whole(gpus, cpu_milli=1000, models=()):
    return Shape(cpu_milli, 1024, gpus, 1000, models)


def cpu_only(cpu_milli):
    return Shape(cpu_milli, 1024, 0, 0)


def best_packing(nodes, tasks):
    """The most compute that can be given out when every CPU-only task is served, by trying all; < 0 if not all can."""

    @cache
    def best(index, state):
        if index == len(tasks):
            return 0
        task = tasks[index]
        results = [-math.inf if task.gpus == 0 else best(index + 1, state)]
        for place, node in enumerate(state):
            for after in served(node, task):
                others = (*state[:place], after, *state[place + 1 :])
                results.append(task.gpu_milli + best(index + 1, tuple(sorted(others))))
        return max(results)

    return best(0, tuple(sorted((node.cpu_milli, node.memory_mib, (1000,) * node.gpus, node.model) for node in nodes)))


def served(node, task):
    """The node after the task, in every way that is different."""
    cpu_milli, memory_mib, gpus, model = node
    able = [gpu for gpu, milli in enumerate(gpus) if milli >= task.milli]
    fits = task.cpu_milli <= cpu_milli and task.memory_mib <= memory_mib and len(able) >= task.gpus
    if not fits or (task.models and model not in task.models):
        return set()
    choices = [{gpu} for gpu in able] if task.gpus == 1 else [set(able[: task.gpus])]
    left = {tuple(sorted(m - task.milli * (gpu in chosen) for gpu, m in enumerate(gpus))) for chosen in choices}
    return {(cpu_milli - task.cpu_milli, memory_mib - task.memory_mib, after, model) for after in left}


NODES = st.builds(
    NodeClass, st.sampled_from([4000, 8000]), st.sampled_from([4096, 8192]), st.integers(1, 2), st.sampled_from("AB")
)
GPU_TASKS = st.builds(
    Shape,
    cpu_milli=st.integers(0, 5000),
    memory_mib=st.integers(0, 5000),
    gpus=st.just(1),
    milli=st.integers(1, 1000),
    models=st.sampled_from([(), (), ("A",), ("A", "B"), ("C",)]),
)
GANGS = st.builds(Shape, st.integers(0, 5000), st.integers(0, 5000), st.just(2), st.just(1000))
CPU_TASKS = st.builds(Shape, st.integers(0, 3000), st.integers(0, 3000), st.just(0), st.just(0))


@given(st.lists(NODES, min_size=1, max_size=3), st.lists(GPU_TASKS | GPU_TASKS | GANGS | CPU_TASKS, max_size=6))
@settings(max_examples=60, deadline=None)
def test_no_packing_is_better_than_the_bound(nodes, tasks):
    bound = unallocated_bound(Counter(nodes), Counter(tasks))
    assert best_packing(nodes, tuple(tasks)) <= bound.allocated_milli <= bound.capacity_milli
    assert bound.capacity_milli == 1000 * sum(node.gpus for node in nodes)
    assert 0 <= bound.unallocated_pct <= 100


@given(st.lists(st.sampled_from([130, 200, 333, 410, 470, 600, 810]), max_size=7), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_the_bound_is_at_most_a_few_parts_above_the_best_packing_of_single_gpus(sizes, gpus):
    nodes = [NodeClass(100_000, 100_000, 1, "A")] * gpus
    tasks = tuple(part(size) for size in sizes)
    bound = unallocated_bound(Counter(nodes), Counter(tasks))
    assert 0 <= bound.allocated_milli - best_packing(nodes, tasks) <= 1000


@pytest.mark.parametrize(
    ("nodes", "tasks", "allocated"),
    [
        pytest.param({NODE: 10}, {part(810): 30}, 20 * 810, id="each of the big parts strands its rest"),
        pytest.param({NODE: 10}, {part(810): 12, part(190): 60}, 12 * 1000 + 8 * 950, id="small parts fill the rests"),
        pytest.param({NODE: 5}, {part(333): 100}, 10 * 999, id="thirds are counted as they are"),
        pytest.param({NODE: 4}, {whole(2): 3, part(600): 9}, 3 * 2000 + 2 * 600, id="whole GPUs and parts compete"),
        pytest.param({NODE: 4}, {whole(4): 2}, 0, id="a gang does not span nodes"),
        pytest.param({NODE: 4}, {whole(1, cpu_milli=20_000): 9}, 4 * 1000, id="one per node by CPU"),
        pytest.param({NODE: 4}, {whole(1): 20, cpu_only(16_000): 8}, 0, id="CPU-only work comes first"),
        pytest.param(
            {NODE: 2, NodeClass(32_000, 65_536, 2, "B"): 3},
            {whole(1, models=("A",)): 9, part(500, models=("B",)): 4},
            4 * 1000 + 2 * 1000,
            id="models",
        ),
        pytest.param({NODE: 3}, {}, 0, id="nothing asked for"),
        pytest.param({}, {part(500): 3}, 0, id="no nodes"),
        pytest.param({NodeClass(8000, 8000, 0, ""): 2}, {cpu_only(1000): 3, part(10): 2}, 0, id="no GPUs"),
    ],
)
def test_the_bound_is_exact_where_nothing_is_lost_between_nodes(nodes, tasks, allocated):
    bound = unallocated_bound(nodes, tasks)
    assert bound.allocated_milli == allocated
    assert bound.cpu_only_left == 0


def test_unallocated_is_a_percentage_of_all_gpus():
    assert unallocated_bound({NODE: 10}, {part(810): 30}).unallocated_pct == pytest.approx(19)
    assert unallocated_bound({}, {}).unallocated_pct == 0


def test_tasks_without_cpu_only_work_that_fits_keep_what_it_leaves():
    bound = unallocated_bound({NODE: 1}, {cpu_only(12_000): 5, cpu_only(64_000): 2, whole(1): 2})
    assert bound.cpu_only_left == 2 + 3
    assert bound.allocated_milli == 2 * 1000


def test_the_order_of_nodes_and_tasks_does_not_matter():
    nodes = {NODE: 3, NodeClass(8000, 8192, 1, "B"): 2}
    tasks = {part(810): 4, part(190): 3, whole(2): 1, cpu_only(3000): 2}
    backwards = unallocated_bound(dict(reversed(nodes.items())), dict(reversed(tasks.items())))
    assert unallocated_bound(nodes, tasks) == backwards


def test_the_first_refusal_is_the_first_task_that_no_longer_fits_with_all_before_it():
    tasks = [part(810)] * 3 + [part(500)] + [whole(1)] * 4
    refusal = first_refusal({NODE: 3}, tasks)
    assert refusal is not None
    assert refusal.task == 6
    assert refusal.allocated_milli == 3 * 810 + 500 + 2 * 1000
    assert refusal.unallocated_pct == pytest.approx(100 * (6000 - 4930) / 6000)


def test_a_task_that_fits_nowhere_is_the_first_refusal():
    refusal = first_refusal({NODE: 3}, [part(100), whole(1, models=("C",)), part(100)])
    assert refusal is not None
    assert (refusal.task, refusal.allocated_milli) == (1, 100)


def test_cpu_only_work_can_be_the_first_refusal():
    refusal = first_refusal({NODE: 1}, [cpu_only(20_000), part(500), cpu_only(20_000)])
    assert refusal is not None
    assert refusal.task == 2


def test_there_is_no_first_refusal_when_everything_fits():
    assert first_refusal({NODE: 1}, [part(500), part(500), whole(1)]) is None
    assert first_refusal({NODE: 1}, []) is None


def test_without_the_solver_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "highspy", None)
    with pytest.raises(ConfigError, match="HiGHS") as raised:
        unallocated_bound({NODE: 1}, {part(500): 1})
    assert raised.value.hint == 'pip install "gpualloc[lp]"'
