"""gpualloc's own history as a trace: nodes of today, work of ours, and what strangers ran."""

from __future__ import annotations

import pytest
from fakes.sample_world import device
from msgspec.structs import replace

from gpualloc.engine.churn import simulate_churn
from gpualloc.engine.churn_trial import ChurnTrial
from gpualloc.engine.history_trace import HistoryTrace, history_trace, trace_of
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.sample import sample
from gpualloc.engine.submit import submit
from gpualloc.errors import BrokenInputError
from gpualloc.model.allocation import Allocation, Grant, Share
from gpualloc.model.enforcement import Sighting
from gpualloc.model.inventory import HostReading, Node, NodeSpec, NodeState, Process, Snapshot
from gpualloc.model.mig import MigProfile
from gpualloc.model.sample import METRICS, Series, SeriesKey, SeriesKind
from gpualloc.model.shapes import Shape
from gpualloc.model.workload import Preemption, Request, Workload, WorkloadState
from gpualloc.policies.best_fit import BestFit
from gpualloc.sim.traces.timetable import timetable
from gpualloc.sim.traces.trace import TraceNode

NOW_S = 100_000.0
H100 = device(0).model
PROFILE = MigProfile("2g.20gb", 14, 2, (0, 2, 4), 20_390, 32, 3)
HOST = HostReading(cpus=64, memory_total_mib=512_000)


def node(name="n1", gpus=2, *, processes=(), host=HOST, **changes):
    devices = tuple(device(index, memory_used_mib=0, mig_profiles=(PROFILE,)) for index in range(gpus))
    spec = NodeSpec(name, "default", "ssh", reserved_cpus=4.0, reserved_memory_mib=2_000)
    return replace(Node(spec, NodeState.OK, NOW_S, host=host, devices=devices, processes=tuple(processes)), **changes)


def work(request, *, submitted, started=None, ended=None, number=1, uuids=()):
    state = WorkloadState.FINISHED if ended is not None else WorkloadState.RUNNING if started else WorkloadState.PENDING
    grants = tuple(Grant(uuid, Share.EXCLUSIVE) for uuid in uuids)
    allocation = Allocation(f"w0000000{number}", "n1", grants) if uuids else None
    return Workload(
        f"w0000000{number}",
        "x",
        "ann",
        request,
        state,
        submitted,
        allocation=allocation,
        started_at_s=started,
        ended_at_s=ended,
    )


def process(pid, uuid, *, memory=1000, started=NOW_S - 500, workload=None):
    return Process(pid, uuid, None, memory, "bob", "python", started, workload)


def trace(workloads=(), nodes=(), sightings=(), used=()) -> HistoryTrace:
    return trace_of(Snapshot(NOW_S, tuple(nodes) or (node(),)), workloads, sightings, used)


def rows(found: HistoryTrace):
    return [(task.shape, task.arrives_s, task.leaves_s) for task in found.tasks]


def test_nodes_are_those_that_answer_less_what_is_reserved() -> None:
    mixed = node("n2", 1)
    mixed = replace(mixed, devices=(*mixed.devices, device(1, model="Tesla T4", memory_total_mib=15_360)))
    dead = node("n3", state=NodeState.UNREACHABLE)
    blind = node("n4", host=HostReading())
    plain = node("n5", 0)
    ours = work(Request(("x",)), submitted=1.0)
    found = trace([ours], [node(), mixed, dead, blind, plain])
    assert found.nodes == (
        TraceNode("n1", 60_000, 510_000, 2, H100, 81_559),
        TraceNode(f"n2/{H100}", 30_000, 255_000, 1, H100, 81_559),
        TraceNode("n2/Tesla T4", 30_000, 255_000, 1, "Tesla T4", 15_360),
        TraceNode("n5", 60_000, 510_000, 0, ""),
    )
    assert [message.partition(" ")[0] for message in found.messages] == ["n3", "n2", "n4"]


def test_work_comes_when_it_was_submitted_and_stays_as_long_as_it_ran() -> None:
    found = trace([
        work(Request(("x",), gpus=2, cpus=1.5, memory_mib=7), submitted=1000.0, started=1600.0, ended=1700.0),
        work(Request(("x",), fraction=0.25), submitted=1100.0, started=NOW_S - 50, number=2),
        work(Request(("x",), gpus=0), submitted=1200.0, number=3),
    ])  # fmt: skip
    assert rows(found) == [
        (Shape(1500, 7, 2, 1000), 0, 100),
        (Shape(0, 0, 1, 250), 100, 150),
        (Shape(0, 0, 0, 0), 200, None),
    ]
    assert (found.fixed, found.strangers, found.messages) == (frozenset(), 0, ())


@pytest.mark.parametrize(
    ("request_", "shape"),
    [
        (Request(("x",), gpu_model="h100"), Shape(0, 0, 1, 1000, (H100,))),
        (Request(("x",), gpu_memory_mib=20_000), Shape(0, 0, 1, 1000, (H100,))),
        (Request(("x",), gpu_memory_mib=10_000), Shape(0, 0, 1, 1000)),
        (Request(("x",), mig_profile="2g.20gb"), Shape(0, 0, 1, 251, (H100,))),
        (Request(("x",), gpus=2, mig_profile="2g.20gb", several_instances=True), Shape(0, 0, 1, 502, (H100,))),
        (Request(("x",), gpus=2, fraction=0.3), Shape(0, 0, 1, 600)),
    ],
)
def test_what_is_asked_of_gpus_becomes_a_shape(request_: Request, shape: Shape) -> None:
    t4 = device(1, model="Tesla T4", memory_total_mib=15_360)
    other = replace(node("n2", 0), devices=(t4,))
    (found,) = (task.shape for task in trace([work(request_, submitted=5.0)], [node(), other]).tasks)
    assert found == shape


def test_work_for_gpus_that_no_node_has_is_left_out_and_told() -> None:
    found = trace([
        work(Request(("x",), gpu_model="A100"), submitted=1.0),
        work(Request(("x",), nodes=("n1",)), submitted=2.0, number=2),
    ])  # fmt: skip
    assert len(found.tasks) == 1
    assert [message.partition(" workloads ")[::2] for message in found.messages] == [
        ("1", "asked for GPUs that no node has now; they are left out"),
        ("1", "asked for certain nodes; the trace lets them go anywhere"),
    ]


def test_processes_of_strangers_are_work_that_cannot_be_moved() -> None:
    first, second = (one.uuid for one in node().devices)
    there = [process(1, first), process(2, second, memory=40_780), process(3, second, memory=None)]
    there.append(process(4, first, workload="w00000001"))
    gone = Sighting("n1", None, first, None, 99, NOW_S - 9_000, NOW_S - 8_000, NOW_S - 7_000, 3)
    again = Sighting("n1", None, first, None, 1, NOW_S - 500, NOW_S - 400, NOW_S - 300, 3)
    ours = work(Request(("x",), preempt=Preemption.NEVER), submitted=NOW_S - 10_000)
    found = trace([ours], [node(processes=there)], [gone, again])
    whole = Shape(0, 0, 1, 1000, (H100,))
    assert rows(found) == [
        (Shape(0, 0, 1, 1000), 0, None),
        (whole, 1000, 3000),
        (whole, 9500, 10_000),
        (replace(whole, milli=500), 9500, 10_000),
        (replace(whole, milli=500), 9500, 10_000),
    ]
    assert found.fixed == frozenset(range(5))
    assert found.strangers == 4


def test_memory_in_use_that_nobody_accounts_for_is_work_while_it_was_seen() -> None:
    first, second = (one.uuid for one in node().devices)
    points = [(at_s, 50_000.0) for at_s in (1000.0, 1060.0, 1120.0)]
    points += [(1180.0, 100.0), (1240.0, None), (1300.0, 9_000.0), (5000.0, 9_000.0), (5060.0, 9_000.0)]
    metric = METRICS["gpu_memory_used_mib"]
    used = [
        Series(SeriesKey(SeriesKind.DEVICE, "n1", first), metric, tuple(points)),
        Series(SeriesKey(SeriesKind.DEVICE, "n1", second), metric, ((1000.0, 50_000.0), (1060.0, 50_000.0))),
        Series(SeriesKey(SeriesKind.DEVICE, "n1", "GPU-gone"), metric, tuple(points)),
        Series(SeriesKey(SeriesKind.WORKLOAD, "n1", first), metric, tuple(points)),
    ]
    ours = work(Request(("x",)), submitted=900.0, started=950.0, ended=1100.0, uuids=(second,))
    found = trace([ours], used=used)
    assert [(task.arrives_s, task.leaves_s) for task in found.tasks] == [
        (0, 150), (100, 220), (400, 400), (4100, 4160),
    ]  # fmt: skip
    assert found.fixed == {1, 2, 3}


def test_too_little_history_is_refused() -> None:
    with pytest.raises(BrokenInputError, match="no node that answered has a GPU"):
        trace([work(Request(("x",)), submitted=1.0)], [node(gpus=0)])
    with pytest.raises(BrokenInputError, match="there is no work"):
        trace([work(Request(("x",), gpu_model="A100"), submitted=1.0)])


def test_a_fleet_with_its_history_can_be_simulated(ctx) -> None:
    submit(ctx, "train", Request(("sleep", "1000"), gpus=2, cpus=2.0))
    rebalance(ctx)
    sample(ctx)
    submit(ctx, "later", Request(("sleep", "5"), gpus=1))
    found = history_trace(ctx)
    shapes = [task.shape for task in found.tasks]
    assert Shape(2000, 0, 2, 1000) in shapes
    assert found.strangers == len(found.fixed) == len(shapes) - 2
    assert found.strangers > 0
    assert sum(one.gpus for one in found.nodes) == sum(len(one.devices) for one in ctx.fleet.observe())
    times = timetable(found.tasks, sum(one.gpus for one in found.nodes) * 1000)
    result = simulate_churn(ChurnTrial(found.nodes, found.tasks, times, fixed=found.fixed), BestFit(), lambda: 0.0)
    assert (result.violations, result.refusals_that_fitted, result.without_times) == (0, 0, 1)
