"""Nodes that tell of themselves over real ssh: cut, frozen, gone, back; and let go of within a second."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from fakes.sshd_farm import SshdFarm

from gpualloc.adapters.fleet import LinkedFleet
from gpualloc.adapters.local import LocalLaunch, LocalLink
from gpualloc.adapters.ssh import SshLaunch, SshLink, SshTarget
from gpualloc.adapters.streaming.process_dial import ProcessDial
from gpualloc.model.inventory import Node, NodeSpec, NodeState
from gpualloc.ports import Watch

EVERY_S = 0.5
PATIENCE_S = 150.0


class Eye:
    """What a watch has told of each node, in order."""

    def __init__(self, watch: Watch, controller: str) -> None:
        self.watch = watch
        self.controller = controller
        self.seen: list[Node] = []

    def until(self, done: Callable[[Node], bool]) -> Node:
        """Listen until a node is so, and answer it."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            for node in self.watch.hear(0.5):
                self.seen.append(node)
                if done(node):
                    return node
        raise AssertionError([(node.name, node.state, node.reason) for node in self.seen[-10:]])

    def until_ok(self, *names: str) -> None:
        waiting = set(names)
        self.until(lambda node: node.state is NodeState.OK and (waiting.discard(node.name) or not waiting))


@pytest.fixture
def eye(farm: SshdFarm) -> Iterator[Eye]:
    links, dials = [], {}
    for name in ("n1", "n2"):
        node = farm[name]
        # The farm is patient, for machines that do other things; here it is about what a node of one's own gets.
        options = tuple(option for option in node.options if option[0] != "ServerAliveInterval")
        target = SshTarget(node.host, node.user, node.port, options)
        links.append((NodeSpec(name, "p", "ssh", keep_s=60.0), lambda name=name, target=target: SshLink(name, target)))
        dials[name] = lambda target=target: ProcessDial(SshLaunch(target, shared=False))
    links.append((NodeSpec("here", "p", "local"), lambda: LocalLink("here")))
    dials["here"] = lambda: ProcessDial(LocalLaunch())
    fleet = LinkedFleet(links, dials=dials)
    # One of its own, so that nothing is told that another test left on the nodes.
    controller = secrets.token_hex(16)
    watch = fleet.watch(EVERY_S, keep=controller)
    yield Eye(watch, controller)
    watch.close()
    fleet.close()
    for name in ("n1", "n2"):
        if farm[name].process is None:
            farm[name].start()


def test_all_tell_of_themselves_again_and_again(eye: Eye) -> None:
    eye.until_ok("n1", "n2", "here")
    at_s = {node.name: node.at_s for node in eye.seen}
    for name in ("n1", "n2", "here"):
        eye.until(lambda node, name=name: node.name == name and node.at_s > at_s[name] + EVERY_S)
    figures = eye.watch.figures()
    assert (figures.streaming, figures.connecting, figures.failing) == (3, 0, 0)
    assert figures.received_bytes > 0


def test_a_cut_connection_is_made_again_and_others_stay_fresh(eye: Eye, farm: SshdFarm) -> None:
    eye.until_ok("n1", "n2", "here")
    farm["n1"].cut()
    node = eye.until(lambda node: node.name == "n1" and node.state is not NodeState.OK)
    assert node.reason
    eye.seen.clear()
    eye.until(lambda node: node.name == "n1" and node.state is NodeState.OK)
    assert all(node.state is NodeState.OK for node in eye.seen if node.name != "n1")


def test_an_sshd_that_is_gone_is_unreachable_until_it_is_back(eye: Eye, farm: SshdFarm) -> None:
    eye.until_ok("n1", "n2")
    farm["n2"].stop()
    eye.until(lambda node: node.name == "n2" and node.state is NodeState.UNREACHABLE)
    farm["n2"].start()
    eye.until(lambda node: node.name == "n2" and node.state is NodeState.OK)


def test_a_frozen_sshd_is_noticed_by_ssh_itself(eye: Eye, farm: SshdFarm) -> None:
    """ServerAlive finds it out in 4 s, well before the node's own silence would have made it given up on."""
    eye.until_ok("n1")
    farm["n1"].freeze()
    frozen_s = time.monotonic()
    try:
        eye.until(lambda node: node.name == "n1" and node.state is NodeState.STALE)
        node = eye.until(lambda node: node.name == "n1" and node.reason and "connection was lost" in node.reason)
        assert time.monotonic() - frozen_s < 10
        assert "Timeout" in node.reason
    finally:
        farm["n1"].wake()
    eye.until(lambda node: node.name == "n1" and node.state is NodeState.OK)


def test_a_frozen_node_program_grows_stale_and_is_replaced(eye: Eye, farm: SshdFarm) -> None:
    eye.until_ok("n1")
    programs = farm["n1"].programs()
    for pid in programs:
        os.kill(pid, signal.SIGSTOP)
    try:
        node = eye.until(lambda node: node.name == "n1" and node.state is NodeState.STALE)
        assert "last heard" in node.reason
        eye.until(lambda node: node.name == "n1" and node.state is NodeState.OK)
        assert set(farm["n1"].programs()) - set(programs)
    finally:
        for pid in programs:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def test_closing_lets_go_of_everything_also_of_what_hangs(eye: Eye, farm: SshdFarm) -> None:
    eye.until_ok("n1", "n2", "here")
    farm["n1"].freeze()
    began_s = time.monotonic()
    eye.watch.close()
    assert time.monotonic() - began_s < 5, "goal: one second; the bound here is for a machine that does other things"
    farm["n1"].wake()
    until_s = time.monotonic() + PATIENCE_S
    while farm["n2"].programs() and time.monotonic() < until_s:
        time.sleep(0.05)
    assert farm["n2"].programs() == []


def test_what_a_node_saw_while_it_was_cut_off_is_told_later(eye: Eye, farm: SshdFarm) -> None:
    eye.until_ok("n2")
    cut_s = time.time()
    farm["n2"].stop()
    eye.until(lambda node: node.name == "n2" and node.state is NodeState.UNREACHABLE)
    backlog = farm["n2"].state / "backlog" / eye.controller
    until_s = time.monotonic() + PATIENCE_S
    while not (backlog.exists() and backlog.read_bytes().count(b"\n") >= 4) and time.monotonic() < until_s:
        time.sleep(0.1)
    farm["n2"].start()
    back_s = eye.until(lambda node: node.name == "n2" and node.state is NodeState.OK).at_s
    late: list[Node] = []
    while len(late) < 4 and time.monotonic() < until_s:
        eye.watch.hear(0.2)
        late += [node for node in eye.watch.late() if node.name == "n2"]
    times = [node.at_s for node in late]
    assert times == sorted(times)
    assert cut_s - 1 < times[0] < times[-1] < back_s + 1
    assert len(late) >= 4
    assert not backlog.exists()


def test_nothing_is_left_running_where_the_connection_was_ended_on_purpose(eye: Eye, farm: SshdFarm) -> None:
    eye.until_ok("n1", "n2")
    folder = farm["n2"].state / "backlog"
    kept = [path.stat().st_mtime_ns for path in folder.glob("*")] if folder.exists() else []
    programs = {pid for name in ("n1", "n2") for pid in farm[name].programs()}
    eye.watch.close()
    until_s = time.monotonic() + PATIENCE_S
    while any(os.path.exists(f"/proc/{pid}") for pid in programs) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not [pid for pid in programs if os.path.exists(f"/proc/{pid}")]
    assert kept == [path.stat().st_mtime_ns for path in folder.glob("*")] if folder.exists() else not kept
