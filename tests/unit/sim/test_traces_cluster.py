"""A trace in the model's words, its models against the cluster's, and the published axis."""

from __future__ import annotations

from fnmatch import fnmatchcase
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.model.allocation import Share
from gpualloc.model.shapes import Shape
from gpualloc.model.workload import ID_PATTERN, WorkloadState, check_request
from gpualloc.sim.traces.cluster import node_of, requests_of, snapshot_of, workload_of
from gpualloc.sim.traces.curve import REPORTED_PCT, Curve
from gpualloc.sim.traces.models import check_models, models_of, selector
from gpualloc.sim.traces.trace import TraceNode, TraceTask, gather

A100 = TraceNode("a", 96_000, 1 << 20, 8, "A100")
A10 = TraceNode("b", 7_500, 1 << 18, 1, "A10", gpu_memory_mib=24_564)
CPU_ONLY = TraceNode("c", 32_000, 1 << 18, 0, "")


def test_a_snapshot_has_the_nodes_by_name_and_idle() -> None:
    snapshot = snapshot_of([CPU_ONLY, A10, A100], 5.0)
    assert [node.name for node in snapshot.nodes] == ["a", "b", "c"]
    assert snapshot.at_s == 5.0
    for node in snapshot.nodes:
        assert node.manageable
        assert node.simulated
        assert (node.processes, node.claims, node.workloads) == ((), (), ())
    a, b, c = snapshot.nodes
    assert [(device.index, device.model, device.memory_used_mib) for device in b.devices] == [(0, "A10", 0)]
    assert (a.host.cpus, a.host.memory_total_mib, len(a.devices), len(c.devices)) == (96, 1 << 20, 8, 0)
    assert b.devices[0].memory_total_mib == 24_564
    assert (b.host.cpus, b.spec.reserved_cpus) == (8, 0.5)
    assert a.spec.reserved_cpus == 0


def test_devices_are_the_same_whenever_the_trace_is_read() -> None:
    uuids = [device.uuid for node in (A100, A10) for device in node_of(node).devices]
    assert uuids == [device.uuid for node in (A100, A10) for device in node_of(node).devices]
    assert len(set(uuids)) == 9
    assert uuids[0] == "GPU-" + uuids[0].removeprefix("GPU-").lower()


def test_memory_never_decides_where_the_trace_does_not_tell_it() -> None:
    memory_mib = node_of(A100).devices[0].memory_total_mib
    assert memory_mib is not None
    assert memory_mib // 1000 > 64 + 1


@given(st.integers(0, 65_536_000), st.integers(0, 1 << 40), st.integers(1, 1000))
def test_a_request_asks_for_exactly_what_the_shape_takes(cpu: int, memory: int, milli: int) -> None:
    (request,) = requests_of([Shape(cpu, memory, 1, milli)], {"A100"})
    assert check_request(request) is request
    assert round((request.fraction or 1) * 1000) == milli
    assert round((request.cpus or 0) * 1000) == cpu
    assert (request.memory_mib or 0) == memory
    assert request.share is (Share.TIME_SLICE if milli < 1000 else Share.EXCLUSIVE)


def test_requests_of_work_without_gpu_of_gangs_and_of_models() -> None:
    shapes = [Shape(1000, 1, 0, 0), Shape(0, 0, 8, 1000), Shape(1, 1, 1, 810, ("G2", "T4"))]
    cpu_only, gang, choosy = requests_of(shapes, {"G2", "T4"})
    assert (cpu_only.gpus, cpu_only.gpu_model, cpu_only.fraction) == (0, None, None)
    assert (gang.gpus, gang.share, gang.cpus, gang.memory_mib) == (8, Share.EXCLUSIVE, None, None)
    assert (choosy.gpu_model, choosy.fraction) == ("G2|T4", 0.81)
    for request in (cpu_only, gang, choosy):
        assert check_request(request) is request


def matches(model: str, text: str | None) -> bool:
    """What a selector with alternatives means: a part of the name, or a pattern of the whole of it."""
    wanted = [part.casefold() for part in (text or "").split("|")]
    return any(part in model.casefold() or fnmatchcase(model.casefold(), part) for part in wanted)


NAME = st.text("A10Gx", min_size=1, max_size=4)


@given(st.sets(NAME, min_size=1, max_size=3), st.sets(NAME, max_size=5))
def test_a_selector_takes_the_named_models_and_no_other(wanted: set[str], others: set[str]) -> None:
    known = wanted | others
    text = selector(sorted(wanted), known)
    same = {model.casefold() for model in wanted}
    assert {model for model in known if matches(model, text)} == {model for model in known if model.casefold() in same}


def test_no_model_is_any() -> None:
    assert selector((), {"A100"}) is None
    assert selector(("A10",), {"A100", "A10"}) == "[A]10"


def test_models_that_no_node_has_are_told_with_their_rows() -> None:
    asked = [(), ("H200",), ("A100",), ("a10", "H200"), ("B300",)] + [("H200",)] * 5
    shapes = (Shape(1, 1, 1, 1000, models) for models in asked)
    tasks = gather((TraceTask(row, f"t{row}", shape) for row, shape in enumerate(shapes)), "t.csv")
    unknown = check_models([A100, A10, CPU_ONLY], tasks)
    assert [(each.model, each.tasks, each.rows) for each in unknown] == [
        ("B300", 1, (4,)),
        ("H200", 7, (1, 3, 5, 6, 7)),
    ]
    assert str(unknown[0]) == '"B300" in 1 tasks (rows 4)'
    assert str(unknown[1]) == '"H200" in 7 tasks (rows 1, 3, 5, 6, 7, ...)'
    assert models_of([A100, A10, CPU_ONLY]) == {"A100", "A10"}


def test_a_workload_of_an_arrival_has_an_id_of_its_own() -> None:
    (request,) = requests_of([Shape(1, 1, 1, 1000)], ())
    made = [workload_of(arrival, f"t{arrival}", request, 3.0) for arrival in (0, 1, 70_000)]
    assert len({workload.id for workload in made}) == 3
    assert all(ID_PATTERN.fullmatch(workload.id) for workload in made)
    assert [workload.id for workload in made] == sorted(workload.id for workload in made)
    assert all(workload.request is request for workload in made)
    assert (made[1].state, made[1].name, made[1].submitted_at_s) == (WorkloadState.PENDING, "t1", 3.0)


def test_the_axis_is_the_arrived_demand_rounded_halves_to_even() -> None:
    curve = Curve(1000)
    for arrived, allocated in [(4, 4), (5, 5), (6, 5), (14, 10), (15, 10), (16, 20), (1005, 900), (1006, 910)]:
        curve.add(arrived, allocated)
    assert curve.loads_pct == (0, 1, 2, 100, 101)
    assert [curve.allocated_pct(load) for load in (0, 1, 2, 3, 100)] == [0.45, 0.75, 1.5, None, 90.0]
    assert curve.unallocated_pct(101) == 9.0
    assert curve.report() == {"90": None, "95": None, "100": 10.0, "110": None, "130": None}
    assert tuple(map(int, curve.report())) == REPORTED_PCT


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_cluster_without_gpus_has_no_curve(capacity: int) -> None:
    with pytest.raises(ValueError, match="no curve"):
        Curve(capacity)


@given(st.integers(1, 10**4), st.lists(st.tuples(st.integers(0, 10**3), st.booleans()), min_size=1, max_size=40))
def test_each_value_is_the_mean_over_its_events(capacity: int, events: list[tuple[int, bool]]) -> None:
    curve, arrived, allocated = Curve(capacity), 0, 0
    seen: dict[int, list[int]] = {}
    for demand, placed in events:
        arrived += demand
        allocated += demand * placed
        curve.add(arrived, allocated)
        seen.setdefault(round(Fraction(100 * arrived, capacity)), []).append(allocated)
    assert curve.loads_pct == tuple(sorted(seen))
    for load, values in seen.items():
        assert curve.allocated_pct(load) == float(Fraction(100 * sum(values), len(values) * capacity))
