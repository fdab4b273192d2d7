"""How far work on a simulated node says it is: the part of its time that has passed while it ran."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.sim.cluster import ClusterSpec, HostSpec
from gpualloc.sim.state import SimulatedCluster
from gpualloc.sim.work import HostedWork

SPEC = HostSpec("n1", ("A100-40GB", "A100-40GB"), cpus=8, memory_gib=256, driver="580.95.05")
W = "w00000000"
BEGIN_S, STEP_S = 1000.0, 36.0


@pytest.fixture
def host():
    return SimulatedCluster.start(ClusterSpec("test", (SPEC,)), BEGIN_S).host(SPEC.name, BEGIN_S)


def step(host, kind, command=("sleep", "1h")):
    grants = [{
        "device": host.gpus[0].uuid, "mig_instance": None, "place": None, "share": "exclusive", "fraction": 1.0,
        "memory_mib": 8000,
    }]  # fmt: skip
    limits = dict.fromkeys(("cpus", "cpuset", "memory_mib", "pids", "cpu_weight", "io_weight"))
    start = {"command": list(command), "env": {}, "cwd": None, "user": "ann", "at_most_s": None}
    about = {"kind": kind, "workload": W, "attempt": 1, "controller": "c" * 32, "grants": grants}
    return {**about, **limits, **start}


def told(host, now_s):
    host.advance(BEGIN_S + now_s, {})
    return host.records()[0]["progress"]


def test_steps_are_even_parts_of_its_time(host):
    host.do(step(host, "start"))
    assert (told(host, 0.0)["step"], told(host, 0.0)["of"]) == (0, 100)
    later = told(host, 20 * STEP_S + 10)
    assert (later["step"], later["age_s"]) == (20, pytest.approx(10.0))
    ages = [point["age_s"] for point in later["points"]]
    assert [one - other for one, other in pairwise(ages)] == pytest.approx([STEP_S] * 7)
    assert later["points"][-1]["step"] == 20


def test_time_in_which_it_stood_still_is_no_step(host):
    host.do(step(host, "start"))
    told(host, 10 * STEP_S + 1)
    host.do(step(host, "suspend"))
    stands = told(host, 10 * STEP_S + 5001)
    assert (stands["step"], stands["points"]) == (10, [])
    assert stands["age_s"] == pytest.approx(5001.0)
    copied_s = 2 * host.do(step(host, "resume"))["seconds"]
    assert told(host, 13 * STEP_S + 5001 + copied_s)["step"] == 13


def test_what_has_no_end_or_is_over_tells_nothing(host):
    host.do(step(host, "start"))
    assert told(host, 3600.0) is None
    host.do({**step(host, "start", ("python", "train.py")), "attempt": 2})
    assert told(host, 3700.0) is None


@settings(deadline=None)
@given(st.floats(0.001, 1e6), st.floats(0, 1))
def test_nothing_is_told_ahead_of_time(duration_s, part):
    work = HostedWork(W, "c" * 32, 1, 1, "ann", ("sleep", f"{duration_s:f}"), BEGIN_S, None, "", {}, 1.0, 1)
    told = work.progress(BEGIN_S + duration_s * part)
    if told is not None:
        assert 0 <= told["step"] <= told["of"]
        assert all(point["age_s"] >= 0 for point in told["points"])
