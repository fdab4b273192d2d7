"""Desired against live: every difference is told once, and nothing else is."""

import pytest
from fakes import scenes
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation, Claim, Grant, HeldBy, Hold, Limits, Share, WorkloadEnd, WorkloadRecord
from gpualloc.model.desired import ComputeMode, DesiredDevice, DeviceSettings
from gpualloc.model.inventory import MigInstance, NodeState
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.planning.drift import Difference, DriftClass, differences

OURS = "c" * 32
WORK = "w00000001"
GRANT = Grant("GPU-gpu01-0", Share.EXCLUSIVE)
CLAIM = Claim("GPU-gpu01-0", WORK, OURS, Share.EXCLUSIVE, None, 1.0, None, 1.0)
ASKED = {"cpus": 2.5, "cpuset": "0-3,8", "memory_mib": 4096, "pids": 100, "cpu_weight": 200, "io_weight": 300}
HELD = HeldBy(gpu=Hold.HARD, cpu=Hold.HARD, memory=Hold.HARD, pids=Hold.HARD, io=Hold.HARD)
BOUND = Limits(**ASKED, rule=True)


def work(**changes):
    fields = {
        "state": WorkloadState.RUNNING,
        "attempt": 1,
        "allocation": Allocation(WORK, "gpu01", (GRANT,), **ASKED),
        "held_by": HELD,
        **changes,
    }
    return Workload(WORK, "x", "ann", Request(("train",)), submitted_at_s=1.0, **fields)


def node(bound=BOUND, claims=(CLAIM,), **changes):
    record = WorkloadRecord(WORK, OURS, 1, 4000, 1.0, None, HELD, bound=bound)
    seen = replace(scenes.node("gpu01", devices=2), claims=tuple(claims), workloads=(record,))
    return replace(seen, **changes)


def found(seen, works=(), desired=(), doubts=None):
    return differences(scenes.snapshot(seen), list(works), desired, OURS, doubts or {})


def told(rows):
    return [(row.field, row.drift.value, row.desired, row.live) for row in rows]


def test_what_is_as_it_was_made_is_no_drift():
    assert found(node(), [work()]) == ()


@pytest.mark.parametrize(
    ("bound", "rows"),
    [
        (replace(BOUND, cpus=2.4999), []),
        (replace(BOUND, cpuset="0,1,2,3,8"), []),
        (replace(BOUND, memory_mib=4095, io_weight=290), []),
        (None, []),
        (replace(BOUND, cpus=3.0), [("cpus", "changed", 2.5, 3.0)]),
        (replace(BOUND, cpuset="0-3"), [("cpuset", "changed", "0-3,8", "0-3")]),
        (replace(BOUND, memory_mib=None), [("memory_mib", "missing", 4096, None)]),
        (replace(BOUND, pids=101), [("pids", "changed", 100, 101)]),
        (replace(BOUND, rule=False), [("device-rule", "missing", True, False)]),
        (replace(BOUND, rule=None), []),
    ],
)
def test_limits_are_compared_as_exactly_as_kernels_keep_them(bound, rows):
    assert told(found(node(bound), [work()])) == rows


def test_what_was_only_booked_is_as_it_should_be():
    assert found(node(Limits()), [work(held_by=HeldBy(gpu=Hold.SOFT, cpu=Hold.BOOKED, memory=Hold.BOOKED))]) == ()


def test_work_that_ended_meanwhile_or_does_not_run_has_no_limits_and_no_claims():
    ended = node(claims=())
    record = replace(ended.workloads[0], end=WorkloadEnd(0, 2.0), bound=None)
    assert told(found(replace(ended, workloads=(record,)), [work()])) == [
        ("claim", "missing", "exclusive 1, all memory", None)
    ]
    assert found(node(claims=(), workloads=()), [work(state=WorkloadState.SUSPENDED)]) == ()


def test_claims_that_are_gone_other_or_of_nobody():
    assert told(found(node(claims=()), [work()])) == [("claim", "missing", "exclusive 1, all memory", None)]
    half = replace(CLAIM, share=Share.TIME_SLICE, fraction=0.5, memory_mib=512)
    assert told(found(node(claims=[half]), [work()])) == [
        ("claim", "changed", "exclusive 1, all memory", "time-slice 0.5, 512 MiB of memory")
    ]
    theirs = replace(CLAIM, workload="w00000009", controller="d" * 32, device="GPU-gpu01-1")
    assert found(node(claims=[CLAIM, theirs]), [work()]) == ()
    left = replace(theirs, controller=OURS)
    (row,) = found(node(claims=[CLAIM, left]), [work()])
    assert row == Difference(
        "gpu01", "claim", DriftClass.FOREIGN, None, "exclusive 1, all memory", "GPU-gpu01-1", "w00000009"
    )


def test_running_work_that_our_books_do_not_have():
    assert told(found(node(claims=()), [])) == [("work", "foreign", None, "running, pid 4000")]
    theirs = replace(node().workloads[0], controller="d" * 32)
    assert found(node(claims=(), workloads=(theirs,)), []) == ()


def test_a_device_or_instance_that_is_gone():
    gone = replace(node(), devices=node().devices[1:])
    assert told(found(gone, [work()])) == [("device", "missing", "GPU-gpu01-0", None)]
    assert found(replace(gone, nvml_reason="the driver does not answer"), [work()]) == ()
    grant = Grant("GPU-gpu01-0", Share.MIG, "MIG-7")
    claim = replace(CLAIM, share=Share.MIG, mig_instance="MIG-7")
    sliced = replace(node(), claims=(claim,), devices=(scenes.device("gpu01", 0, mig=["1g.10gb"]),))
    allocation = replace(work().allocation, grants=(grant,))
    assert told(found(sliced, [work(allocation=allocation)])) == [("mig-instance", "missing", "MIG-7", None)]


def device(*places, enabled=True, **changes):
    instances = tuple(
        MigInstance(f"MIG-{n}", place.partition("@")[0], int(place.partition("@")[2]), 1, 9856)
        for n, place in enumerate(places)
    )
    plain = scenes.device("gpu01", 0)
    return replace(plain, mig_enabled=enabled, mig_pending=enabled, mig_instances=instances, **changes)


def layout(text, settings=None):
    return [DesiredDevice("gpu01", "GPU-gpu01-0", text, settings or DeviceSettings())]


@pytest.mark.parametrize(
    ("live", "wanted", "rows"),
    [
        (device("3g.40gb@0", "2g.20gb@4"), "2g.20gb@4,3g.40gb@0", []),
        (device("3g.40gb@0"), "3g.40gb@0,2g.20gb@4", [("mig-instance", "missing", "2g.20gb@4", None)]),
        (device("3g.40gb@0", "1g.10gb@6"), "3g.40gb@0", [("mig-instance", "foreign", None, "1g.10gb@6")]),
        (device(), "", []),
        (device(enabled=False), "off", []),
        (device(enabled=False), "", [("mig-mode", "changed", "on", "off")]),
        (
            device("3g.40gb@0"),
            "off",
            [("mig-instance", "foreign", None, "3g.40gb@0"), ("mig-mode", "changed", "off", "on")],
        ),
        (device("3g.40gb@0"), None, []),
        (device(enabled=None), "3g.40gb@0", []),
    ],
)
def test_layouts_are_compared_by_place(live, wanted, rows):
    seen = replace(node(), devices=(live,), claims=(), workloads=())
    assert sorted(told(found(seen, desired=layout(wanted)))) == sorted(rows)


def test_settings_are_compared_where_they_are_ours_and_told():
    wanted = DeviceSettings(power_limit_w=250.0, sm_clock_min_mhz=210, compute_mode=ComputeMode.DEFAULT)
    live = DeviceSettings(power_limit_w=250.9, compute_mode=ComputeMode.PROHIBITED, persistence=True)
    seen = replace(node(), devices=(scenes.device("gpu01", 0, settings=live),), claims=(), workloads=())
    assert told(found(seen, desired=layout(None, wanted))) == [("compute_mode", "changed", "default", "prohibited")]
    hotter = replace(seen, devices=(scenes.device("gpu01", 0, settings=replace(live, power_limit_w=400.0)),))
    assert [row.field for row in found(hotter, desired=layout(None, wanted))] == ["compute_mode", "power_limit_w"]


def test_a_node_that_does_not_answer_is_unknown_and_its_doubt_is_told():
    silent = replace(node(), state=NodeState.UNREACHABLE, devices=(), claims=(), workloads=())
    assert found(silent, [work()], layout("off")) == ()
    assert told(found(silent, [work()], doubts={"gpu01": "run r1", "gpu02": "run r2"})) == [
        ("run", "doubtful", None, "run r1")
    ]


def test_a_node_that_tells_of_no_work_is_unknown():
    limited = replace(node(), limited="no python3 there", claims=(), workloads=())
    assert found(limited, [work()], layout("off")) == ()
    assert told(found(limited, [work()], doubts={"gpu01": "run r1"})) == [("run", "doubtful", None, "run r1")]


@given(
    asked=st.fixed_dictionaries(
        {
            "cpus": st.none() | st.floats(0.01, 64),
            "memory_mib": st.none() | st.integers(64, 1 << 20),
            "pids": st.none() | st.integers(1, 4096),
        }
    ),
    live=st.fixed_dictionaries(
        {
            "cpus": st.none() | st.floats(0.01, 64),
            "memory_mib": st.none() | st.integers(64, 1 << 20),
            "pids": st.none() | st.integers(1, 4096),
        }
    ),
)
def test_exactly_what_was_asked_for_and_is_not_there_is_told(asked, live):
    allocation = Allocation(WORK, "gpu01", (GRANT,), **asked)
    rows = found(node(Limits(**live)), [work(allocation=allocation, held_by=replace(HELD, gpu=Hold.SOFT))])
    assert {row.field for row in rows} >= {name for name in asked if asked[name] is not None and live[name] is None}
    assert all(asked[row.field] is not None and asked[row.field] != live[row.field] for row in rows)
    assert found(node(Limits(**asked)), [work(allocation=allocation, held_by=replace(HELD, gpu=Hold.SOFT))]) == ()
