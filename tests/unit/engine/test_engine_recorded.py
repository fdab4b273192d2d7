"""Past work and today's nodes as a trace: what is taken, what is left out, and what is too little."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import scenes
from fakes.sample_world import workload

from gpualloc.engine.recorded import FEWEST, recorded
from gpualloc.errors import UsageError
from gpualloc.model.allocation import Share
from gpualloc.model.inventory import NodeState
from gpualloc.model.shapes import Shape
from gpualloc.model.workload import Request, WorkloadState
from gpualloc.sim.traces.trace import TraceNode

A100, T4 = "NVIDIA A100-SXM4-40GB", "Tesla T4"


def device(model, memory_mib, **more):
    return {"model": model, "memory_mib": memory_mib, **more}


NODES = (
    scenes.node("b", devices=[device(A100, 40960)] * 4, cpus=64, memory_mib=512_000, reserved_cpus=4.0),
    scenes.node("a", devices=[device(T4, 15360)] * 2, cpus=16, memory_mib=64_000),
    scenes.node("c", devices=[], cpus=8, memory_mib=32_000),
    scenes.node("mixed", devices=[device(T4, 15360), device(A100, 40960)], cpus=8, memory_mib=32_000),
    scenes.node("dumb", devices=[device(T4, 15360)], cpus=None, memory_mib=32_000),
    replace(scenes.node("down", devices=[device(T4, 15360)] * 16, cpus=8, memory_mib=1), state=NodeState.UNREACHABLE),
)


def work(number, state=WorkloadState.FINISHED, **request):
    ended_s = 5000.0 + number if state.ended else None
    return workload(
        f"w{number:08d}",
        f"job {number}",
        state,
        request=Request(("python",), **request),
        submitted_at_s=1000.0 + number,
        ended_at_s=ended_s,
    )


MANY = [work(number, cpus=2.0, memory_mib=1000) for number in range(FEWEST)]


def test_nodes_are_taken_as_if_idle():
    found = recorded(MANY, NODES)
    assert found.nodes == (
        TraceNode("a", 16_000, 64_000, 2, T4, 15360),
        TraceNode("b", 60_000, 512_000, 4, A100, 40960),
        TraceNode("c", 8_000, 32_000, 0, ""),
    )
    assert found.left_out == {"nodes of which too little is known": 2, "nodes with GPUs of several models": 1}


def test_devices_cut_into_instances_are_not_counted():
    cut = scenes.node("d", devices=[device(A100, 40960), device(A100, 40960, mig=["1g.5gb"])], cpus=8, memory_mib=1)
    assert [node.gpus for node in recorded(MANY, [cut]).nodes] == [1]


@pytest.mark.parametrize(
    ("request_of", "shape"),
    [
        ({"gpus": 0, "cpus": 1.5}, Shape(1500, 0, 0, 0)),
        ({"fraction": 0.25, "memory_mib": 512}, Shape(0, 512, 1, 250)),
        ({"gpus": 4}, Shape(0, 0, 4, 1000)),
        ({"gpu_model": "a100"}, Shape(0, 0, 1, 1000, (A100,))),
        ({"gpu_model": "a100|t4"}, Shape(0, 0, 1, 1000)),
        ({"gpu_memory_mib": 20_000}, Shape(0, 0, 1, 1000, (A100,))),
        ({"gpu_memory_mib": 4000}, Shape(0, 0, 1, 1000)),
    ],
)
def test_what_was_asked_for_is_what_comes(request_of, shape):
    found = recorded([*MANY, work(FEWEST, **request_of)], NODES)
    assert found.tasks.task(FEWEST).shape == shape


def test_work_of_every_state_counts_in_the_order_it_came():
    found = recorded([work(90, WorkloadState.PENDING), work(80, WorkloadState.RUNNING), *MANY], NODES)
    tasks = list(found.tasks)
    assert [task.name for task in tasks[-2:]] == ["job 80", "job 90"]
    assert [(task.arrives_s, task.leaves_s) for task in (tasks[1], tasks[-1])] == [(1.0, 4001.0), (90.0, None)]
    assert np.isnan(found.tasks.leaves_s).sum() == 2


@pytest.mark.parametrize(
    ("request_of", "why"),
    [
        ({"gpus": 5}, "workloads with more than 4 GPUs"),
        ({"mig_profile": "1g.5gb"}, "workloads on MIG instances"),
        ({"share_asked": Share.MIG, "gpu_memory_mib": 5000}, "workloads on MIG instances"),
        ({"gpu_model": "H100"}, "workloads for models that no node has"),
        ({"gpu_memory_mib": 80_000}, "workloads for models that no node has"),
    ],
)
def test_what_cannot_come_again_is_left_out_and_told(request_of, why):
    found = recorded([*MANY, work(FEWEST, **request_of)], NODES)
    assert (len(found.tasks), found.left_out[why]) == (FEWEST, 1)


def test_too_little_to_go_by_is_refused():
    with pytest.raises(UsageError, match="has 49 workloads that could be played again, and 50 are needed") as refused:
        recorded([*MANY[1:], work(99, gpus=5)], NODES[:1])
    assert refused.value.hint == "left out: 1 workloads with more than 4 GPUs"
    with pytest.raises(UsageError, match="no node with GPUs"):
        recorded(MANY, NODES[2:3])
