"""How long simulated work takes: under power limits, after checkpoints, and how it uses its GPUs over time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.sim.cluster import ClusterSpec, HostSpec
from gpualloc.sim.host import SimulatedHost
from gpualloc.sim.state import SimulatedCluster
from gpualloc.sim.use import Pattern, utilization

SPEC = ClusterSpec("test", tuple(HostSpec(name, ("A100-40GB",) * 2, driver="580.95.05") for name in ("n1", "n2")))
W = "w00000000"
HOUR, DAY = 3600.0, 86_400.0


def new_host() -> SimulatedHost:
    return SimulatedCluster.start(SPEC, 0.0).host("n1", 0.0)


def step(host: SimulatedHost, kind: str, *gpus: int, **fields: Any) -> dict[str, Any]:
    whole = {"mig_instance": None, "place": None, "share": "exclusive", "fraction": 1.0, "memory_mib": 4096}
    grants = [{"device": host.gpus[index].uuid, **whole} for index in gpus]
    limits = dict.fromkeys(("cpus", "cpuset", "memory_mib", "pids", "cpu_weight", "io_weight"))
    start = {"command": ["train", "1h"], "env": {}, "cwd": None, "user": "ann", "at_most_s": None}
    about = {"kind": kind, "workload": W, "attempt": 1, "controller": "c" * 32, "grants": grants}
    return {**about, **limits, **start, **fields}


def cap(host: SimulatedHost, watts: float, index: int = 0) -> None:
    device = host.gpus[index].uuid
    host.do({"kind": "set", "workload": None, "device": device, "wanted": {"power_limit_w": watts}, "before": {}})


def ended_at(host: SimulatedHost, by_s: float) -> float:
    host.advance(by_s, {})
    end = host.records()[0]["end"]
    assert end is not None
    at_s: float = end["at_s"]
    return at_s


@pytest.mark.parametrize("command", ["train", "sleep", "serve"])
def test_a_power_limit_slows_what_computes_all_the_time_and_nothing_else(command: str) -> None:
    host = new_host()
    host.do(step(host, "start", 0, 1, command=[command, "1h"]))
    host.advance(HOUR / 2, {})
    cap(host, 280.0, 1)
    pace = host.gpus[1].pace
    assert 0.8 < pace < 0.9
    late_s = HOUR / 2 * (1 / pace - 1) if command == "train" else 0.0
    assert ended_at(host, 2 * HOUR) == pytest.approx(HOUR + late_s)


def test_what_a_limit_cost_stays_lost_when_it_is_lifted() -> None:
    host = new_host()
    cap(host, 280.0)
    pace = host.gpus[0].pace
    host.do(step(host, "start", 0))
    host.advance(1000.0, {})
    assert host.work[W].done_s(1000.0) == pytest.approx(1000.0 * pace)
    cap(host, 400.0)
    assert host.gpus[0].pace == 1.0
    assert ended_at(host, 2 * HOUR) == pytest.approx(HOUR + 1000.0 * (1 - pace))


@given(st.lists(st.tuples(st.floats(1.0, 900.0), st.sampled_from([100.0, 200.0, 300.0, 400.0])), max_size=8))
def test_work_ends_when_all_of_it_is_done_whatever_the_limits(limits: list[tuple[float, float]]) -> None:
    host = new_host()
    host.do(step(host, "start", 0))
    now_s = done_s = 0.0
    for seconds, watts in limits:
        done_s += seconds * host.gpus[0].pace
        now_s += seconds
        host.advance(now_s, {})
        if done_s >= HOUR:
            break
        assert host.work[W].done_s(now_s) == pytest.approx(done_s)
        cap(host, watts)
    if done_s < HOUR:
        assert ended_at(host, 100 * HOUR) == pytest.approx(now_s + (HOUR - done_s) / host.gpus[0].pace)


def test_work_that_saved_itself_goes_on_from_there_on_another_node() -> None:
    cluster = SimulatedCluster.start(SPEC, 0.0)
    host = cluster.host("n1", 0.0)
    hook = {"signal": "USR1", "command": [], "grace_s": 5.0}
    host.do(step(host, "start", 0, checkpoint=hook))
    host = cluster.host("n1", 1200.0)
    host.do(step(host, "stop", 0, checkpoint=True))
    cluster = SimulatedCluster.from_plain(json.loads(json.dumps(cluster.to_plain())), SPEC, 1200.0)
    other = cluster.host("n2", 2000.0)
    other.do(step(other, "start", 0, attempt=2, checkpoint=hook))
    assert ended_at(other, 2 * HOUR) == 2000.0 + HOUR - 1200.0
    assert cluster.saves == {}


@pytest.mark.parametrize(("hook", "asked"), [(None, True), ({"signal": "USR1", "command": []}, False)])
def test_without_a_hook_or_when_it_is_not_asked_to_it_begins_anew(hook: dict[str, Any] | None, asked: bool) -> None:
    host = new_host()
    host.do(step(host, "start", 0, checkpoint=hook))
    host.advance(1200.0, {})
    host.do(step(host, "stop", 0, checkpoint=asked))
    host.do(step(host, "start", 0, attempt=2, checkpoint=hook))
    assert ended_at(host, 2 * HOUR) == 1200.0 + HOUR


def test_services_are_busy_at_the_same_hour_whenever_they_began() -> None:
    night, day = (utilization(Pattern.WORKDAY, 1, 500.0, 3 * DAY + hour * HOUR) for hour in (2, 14))
    assert night < 0.2
    assert day > 0.7


def test_a_notebook_is_idle_most_of_the_time_and_now_and_then_not() -> None:
    use = [utilization(Pattern.NOTEBOOK, 7, minute * 60.0) for minute in range(0, 60 * 24 * 7, 5)]
    assert 0.05 < sum(value > 0 for value in use) / len(use) < 0.3
    assert max(use) > 0.6
