"""Suspend and resume on a simulated node: where the memory is, what time does, and what survives on disk."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gpualloc.node.wire import Refused
from gpualloc.sim.cluster import ClusterSpec, HostSpec, Stranger
from gpualloc.sim.gpu import FaultKind
from gpualloc.sim.host import SimulatedHost
from gpualloc.sim.state import SimulatedCluster
from gpualloc.sim.use import Pattern

SPEC = HostSpec("n1", ("A100-40GB", "A100-40GB", "H100-80GB"), cpus=8, memory_gib=256, driver="580.95.05")
W = "w00000000"


def new_host(spec: HostSpec = SPEC) -> SimulatedHost:
    return SimulatedCluster.start(ClusterSpec("test", (spec,)), 1000.0).host(spec.name, 1000.0)


def grant(host: SimulatedHost, index: int = 0, **fields: Any) -> dict[str, Any]:
    whole = {"device": host.gpus[index].uuid, "mig_instance": None, "place": None, "share": "exclusive"}
    return {**whole, "fraction": 1.0, "memory_mib": 8000, **fields}


def step(kind: str, *grants: dict[str, Any], **fields: Any) -> dict[str, Any]:
    limits = dict.fromkeys(("cpus", "cpuset", "memory_mib", "pids", "cpu_weight", "io_weight"))
    start = {"command": ["train"], "env": {}, "cwd": None, "user": "ann", "at_most_s": None}
    about = {"kind": kind, "workload": W, "attempt": 1, "controller": "c" * 32, "grants": list(grants)}
    return {**about, **limits, **start, **fields}


def on_gpus(host: SimulatedHost) -> list[tuple[int, int]]:
    return [(gpu.index, process.memory_mib) for gpu in host.gpus for process in gpu.processes]


def available(host: SimulatedHost) -> int:
    memory: int = host.sample()["host"]["memory_available_mib"]
    return memory


def test_the_memory_is_on_the_host_while_it_is_suspended() -> None:
    host = new_host()
    host.do(step("start", grant(host, 0), grant(host, 1)))
    before = available(host)
    facts = host.do(step("suspend", grant(host, 0), grant(host, 1)))
    assert (facts["gpu_memory_mib"], facts["state"]) == (16_000, "suspended")
    assert on_gpus(host) == []
    assert available(host) == before - 16_000
    assert host.verify(step("suspend", grant(host, 0), grant(host, 1)))["holds"]
    assert host.do(step("resume", grant(host, 0), grant(host, 1)))["state"] == "running"
    assert on_gpus(host) == [(0, 8000), (1, 8000)]
    assert available(host) == before
    assert host.verify(step("resume", grant(host, 0), grant(host, 1)))["holds"]


def test_each_can_be_done_twice_and_is_the_inverse_of_the_other() -> None:
    host = new_host()
    host.do(step("start", grant(host)))
    suspend, resume = step("suspend", grant(host)), step("resume", grant(host))
    assert host.do(suspend) == host.do(suspend)
    host.undo(suspend)
    assert on_gpus(host) == [(0, 8000)]
    host.do(resume)
    host.undo(resume)
    assert on_gpus(host) == []


def test_taken_back_it_has_its_devices_again_unless_others_do() -> None:
    host = new_host()
    host.do(step("start", grant(host)))
    host.do(step("suspend", grant(host)))
    other = {**grant(host), "workload": "w00000001", "controller": "c" * 32, "attempt": 1, "at_s": 1.0}
    host.ledger.add_claims([other])
    with pytest.raises(Refused) as refused:
        host.undo(step("suspend", grant(host)))
    assert (refused.value.reason, on_gpus(host)) == ("claimed", [])
    host.ledger.remove_claims("w00000001")
    host.undo(step("suspend", grant(host)))
    assert [(claim["workload"], claim["device"]) for claim in host.ledger.claims()] == [(W, host.gpus[0].uuid)]
    assert on_gpus(host) == [(0, 8000)]


def test_it_goes_on_at_the_same_place_of_its_grants() -> None:
    host = new_host()
    host.do(step("start", grant(host, 0)))
    host.do(step("suspend", grant(host, 0)))
    host.do(step("resume", grant(host, 1)))
    assert on_gpus(host) == [(1, 8000)]


def test_time_that_it_stands_still_is_not_time_that_it_works() -> None:
    host = new_host()
    host.do(step("start", grant(host), command=["sleep", "100"]))
    host.advance(1040.0, {})
    host.do(step("suspend", grant(host)))
    host.advance(2000.0, {})
    assert host.records()[0]["end"] is None
    host.do(step("resume", grant(host)))
    copied_s = 2 * 8000 / 4096
    host.advance(2060.0 + copied_s - 0.1, {})
    assert host.records()[0]["end"] is None
    host.advance(2064.0, {})
    assert host.records()[0]["end"]["at_s"] == pytest.approx(2060.0 + copied_s, abs=0.01)


def test_its_longest_time_goes_on_counting() -> None:
    host = new_host()
    host.do(step("start", grant(host), at_most_s=100.0))
    host.do(step("suspend", grant(host)))
    host.advance(1100.0, {})
    assert host.records()[0]["end"]["reason"] == "at-most"


def test_it_is_kept_on_disk() -> None:
    host = new_host()
    host.do(step("start", grant(host)))
    host.do(step("suspend", grant(host)))
    again = SimulatedHost.from_plain(json.loads(json.dumps(host.to_plain())), SPEC)
    assert again.to_plain() == host.to_plain()
    again.advance(1010.0, {})
    again.do(step("resume", grant(again)))
    assert on_gpus(again) == [(0, 8000)]


def refusal(host: SimulatedHost, asked: dict[str, Any]) -> str:
    with pytest.raises(Refused) as refused:
        host.preflight(asked)
    with pytest.raises(Refused) as also:
        host.do(asked)
    assert refused.value.reason == also.value.reason
    return refused.value.reason


def test_what_cannot_be_suspended_is_refused() -> None:
    host = new_host()
    assert refusal(host, step("suspend", grant(host))) == "gone"
    host.do(step("start", grant(host)))
    assert refusal(host, step("suspend")) == "not-supported"
    assert refusal(host, step("suspend", grant(host, share="mps"))) == "not-supported"
    assert refusal(host, step("suspend", grant(host), attempt=2)) == "gone"
    for spec, reason in (
        (HostSpec("n1", ("A100-40GB",), cpus=8, memory_gib=8, driver="580.95.05"), "memory"),
        (HostSpec("n1", ("A100-40GB",), cpus=8, memory_gib=256, driver="550.54.15"), "not-supported"),
    ):
        small = new_host(spec)
        small.do(step("start", grant(small)))
        assert refusal(small, step("suspend", grant(small))) == reason


def test_what_it_cannot_be_resumed_on_is_refused() -> None:
    host = new_host()
    host.do(step("start", grant(host)))
    host.do(step("suspend", grant(host)))
    assert refusal(host, step("resume", grant(host, 2))) == "not-supported"
    assert refusal(host, step("resume", grant(host, device="GPU-none"))) == "gone"
    assert refusal(host, step("resume")) == "bad-request"
    host.add_stranger(Stranger("bob", "python", (1,), 39_000, Pattern.STEADY))
    assert refusal(host, step("resume", grant(host, 1))) == "memory"
    host.advance(1001.0, {0: (FaultKind.HUNG, 1000.0)})
    assert refusal(host, step("resume", grant(host, 0))) == "unhealthy"
    assert on_gpus(host) == [(1, 39_000)]


def test_what_has_ended_is_left_alone() -> None:
    host = new_host()
    host.do(step("start", grant(host)))
    host.do(step("suspend", grant(host)))
    host.do(step("stop", grace_s=1.0))
    assert host.undo(step("suspend", grant(host))) == {}
    assert not host.verify(step("suspend", grant(host)))["holds"]
    assert on_gpus(host) == []
