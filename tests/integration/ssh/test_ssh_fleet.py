"""The real node program over real ssh and as a local child, in one fleet."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from fakes.sshd_farm import FarmNode, SshdFarm

from gpualloc.adapters.fleet import LinkedFleet
from gpualloc.adapters.local import LocalLink
from gpualloc.adapters.ssh import SshLink, SshTarget
from gpualloc.errors import NotFoundError
from gpualloc.model.inventory import NodeSpec, NodeState
from gpualloc.model.plan import Step, StepKind, StepReason
from gpualloc.ports import StepCall


def target_of(node: FarmNode, **more) -> SshTarget:
    return SshTarget(**{"host": node.host, "user": node.user, "port": node.port, "options": node.options, **more})


@pytest.fixture
def make_fleet(farm: SshdFarm, sockets, monkeypatch, tmp_path):
    monkeypatch.setenv("GPUALLOC_NODE_STATE_DIR", str(tmp_path / "local"))
    nodes = [(NodeSpec("here", "p", "local"), lambda: LocalLink("here"))]
    for name in ("n1", "n2"):
        target = target_of(farm[name])
        nodes.append((NodeSpec(name, "p", "ssh"), lambda name=name, target=target: SshLink(name, target, sockets)))
    fleets = []

    def make(**settings) -> LinkedFleet:
        fleets.append(LinkedFleet(nodes, **settings))
        return fleets[-1]

    yield make
    for fleet in fleets:
        fleet.close()


@pytest.fixture
def fleet(make_fleet):
    return make_fleet(observe_s=60.0)


def call_of(node: str, kind: StepKind) -> StepCall:
    step = Step(1, kind, node, "w0123abcd", "", StepReason.CLEANUP, "", None, attempt=1, revision=1)
    return StepCall("run", 1, 1, "c" * 32, step, None)


def test_every_node_is_seen_with_its_own_account(fleet, farm):
    nodes = {node.name: node for node in fleet.observe()}
    assert {name: (node.state, node.reason) for name, node in nodes.items()} == dict.fromkeys(
        ("here", "n1", "n2"), (NodeState.OK, None)
    )
    assert nodes["n1"].user == farm["n1"].user
    assert nodes["n1"].boot_id == nodes["here"].boot_id
    assert all(node.host.cpus and node.python_version for node in nodes.values())


def test_a_step_is_done_and_verified_over_ssh(fleet):
    for node in ("n1", "here"):
        call = call_of(node, StepKind.UNCLAIM)
        fleet.preflight(call)
        assert fleet.do(call).holds
        assert fleet.verify(call).holds


def test_logs_of_work_that_the_node_does_not_know_are_not_found(fleet):
    with pytest.raises(NotFoundError):
        fleet.logs("n1", "w0123abcd", 0)


def test_one_node_stopped_and_one_down_leave_the_third_as_it_is(make_fleet, farm):
    fleet = make_fleet(observe_s=15.0)
    wait_until(lambda: all(node.state is NodeState.OK for node in fleet.observe()))
    programs = [pid for pid in farm["n1"].sessions() if command_line(pid).startswith(b"python3")]
    for pid in programs:
        os.kill(pid, signal.SIGSTOP)
    farm["n2"].stop()
    try:
        nodes = {node.name: node for node in fleet.observe()}
    finally:
        for pid in programs:
            os.kill(pid, signal.SIGKILL)
        farm["n2"].start()
    assert {name: node.state for name, node in nodes.items()} == {
        "here": NodeState.OK,
        "n1": NodeState.HUNG,
        "n2": NodeState.UNREACHABLE,
    }
    wait_until(lambda: all(node.state is NodeState.OK for node in fleet.observe()))


def test_a_node_that_comes_back_is_an_event(make_fleet, farm):
    fleet = make_fleet(observe_s=60.0)
    farm["n2"].stop()
    try:
        states = {node.name: node.state for node in fleet.observe()}
        assert states["n2"] is NodeState.UNREACHABLE
        assert not fleet.wait_for_event(0.5)
    finally:
        farm["n2"].start()
    assert fleet.wait_for_event(60)


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "never came true"
        time.sleep(0.05)
