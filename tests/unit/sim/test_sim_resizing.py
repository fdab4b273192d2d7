"""Resizes on a simulated node: who is on which device, what is claimed, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from gpualloc.node import claims
from gpualloc.node.wire import Refused
from gpualloc.sim.cluster import ClusterSpec, HostSpec, Stranger
from gpualloc.sim.host import SimulatedHost
from gpualloc.sim.state import SimulatedCluster
from gpualloc.sim.use import Pattern

SPEC = HostSpec("n1", ("A100-40GB",) * 4, cpus=8, memory_gib=256, driver="580.95.05")
W, OTHER = "w00000000", "w00000001"


@pytest.fixture
def host() -> SimulatedHost:
    """A node with work on its first two devices."""
    made = SimulatedCluster.start(ClusterSpec("test", (SPEC,)), 1000.0).host(SPEC.name, 1000.0)
    made.do(step(made, "start", (0, 1), command=["train"]))
    made.ledger.add_claims(claims.made(step(made, "claim", (0, 1)), 1000.0))
    return made


def step(host: SimulatedHost, kind: str, indices: tuple[int, ...], **fields: Any) -> dict[str, Any]:
    whole = {"mig_instance": None, "place": None, "share": "exclusive", "fraction": 1.0, "memory_mib": None}
    grants = [{**whole, "device": host.gpus[index].uuid} for index in indices]
    limits = dict.fromkeys(("cpus", "cpuset", "memory_mib", "pids", "cpu_weight", "io_weight"))
    about = {"kind": kind, "workload": W, "attempt": 1, "controller": "c" * 32, "grants": grants}
    more = {"command": ["true"], "env": {}, "cwd": None, "user": "ann", "at_most_s": None, "grace_s": 60.0}
    before = [gpu.uuid for gpu in host.gpus[:2]]
    return {**about, **limits, **more, "devices_before": before, **fields}


def used(host: SimulatedHost) -> list[int]:
    return [gpu.index for gpu in host.gpus for process in gpu.processes if process.workload == W]


def claimed(host: SimulatedHost) -> list[int]:
    devices = {claim["device"] for claim in host.ledger.claims() if claim["workload"] == W}
    return [gpu.index for gpu in host.gpus if gpu.uuid in devices]


@pytest.mark.parametrize("after", [(0, 1, 2, 3), (1,), (1, 2)])
def test_it_uses_what_it_has_and_is_taken_back(host: SimulatedHost, after: tuple[int, ...]) -> None:
    resize = step(host, "resize", after)
    host.preflight(resize)
    assert not host.verify(resize)["holds"]
    facts = host.do(resize)
    assert host.do(resize) == facts
    assert (used(host), claimed(host)) == ([*after], [*after])
    assert host.verify(resize)["holds"]
    host.undo(resize)
    assert (used(host), claimed(host)) == ([0, 1], [0, 1])
    host.undo(resize)
    assert used(host) == [0, 1]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"command": ["exit", "3"]}, "failed"),
        ({"command": ["sleep", "61"]}, "failed"),
        ({"command": ["/nonexistent/tell"]}, "no-command"),
        ({"devices_before": ["GPU-elsewhere"]}, "claimed"),
        ({"attempt": 2}, "gone"),
    ],
)
def test_what_fails_leaves_everything_as_before(host: SimulatedHost, fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused) as refused:
        host.do(step(host, "resize", (0, 1, 2), **fields))
    assert refused.value.reason == reason
    assert (used(host), claimed(host)) == ([0, 1], [0, 1])


def test_what_others_have_or_use_is_refused_and_so_is_work_that_stands_still(host: SimulatedHost) -> None:
    host.ledger.add_claims(claims.made({**step(host, "claim", (2,)), "workload": OTHER}, 1000.0))
    host.add_stranger(Stranger("bob", "train", (3,), 1024, Pattern.STEADY))
    for index, reason in ((2, "claimed"), (3, "stranger")):
        with pytest.raises(Refused) as refused:
            host.preflight(step(host, "resize", (0, 1, index)))
        assert refused.value.reason == reason
    host.do(step(host, "suspend", (0, 1)))
    with pytest.raises(Refused) as refused:
        host.do(step(host, "resize", (0,)))
    assert refused.value.reason == "busy"


def test_what_has_ended_has_nothing_to_take_back(host: SimulatedHost) -> None:
    resize = step(host, "resize", (0,))
    host.do(resize)
    host.do(step(host, "stop", ()))
    assert host.undo(resize) == {}
    assert not host.verify(resize)["holds"]
