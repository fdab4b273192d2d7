"""What goes wrong between here and a node over real ssh: the node gets the right word, the others stay fresh, and a
later look is well again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fakes.nvml_stub import FakeGpu
from fakes.scripted_node import scripted_archive
from fakes.smi import fake_smi, write_smi
from fakes.sshd_farm import FarmNode, SshdFarm, sshd_farm

from gpualloc.adapters.archive import Archive, node_archive
from gpualloc.adapters.fleet import LinkedFleet
from gpualloc.adapters.pipe_link import PipeLink
from gpualloc.adapters.ssh import SshLaunch, SshTarget, shell_stand_in
from gpualloc.model.inventory import Node, NodeSpec, NodeState

PATIENT_S = 60.0
SILENCE_S = 10.0
"""Bound within which a silent connection must be given up; it is asked every 2 s, twice."""
SILENCE = (("ServerAliveInterval", "2"), ("ServerAliveCountMax", "2"), ("ConnectTimeout", "6"))


@dataclass
class Site:
    """Two nodes, the first of which something happens to."""

    farm: SshdFarm
    archive: Callable[[], Archive]
    fleets: list[LinkedFleet] = field(default_factory=list)
    options: tuple[tuple[str, str], ...] = ()
    """Those of every connection, before those of the farm."""

    @property
    def sick(self) -> FarmNode:
        return self.farm["n1"]

    def fleet(self, observe_s: float = PATIENT_S) -> LinkedFleet:
        nodes = [(NodeSpec(name, "p", "ssh"), self._connect(node)) for name, node in self.farm.nodes.items()]
        self.fleets.append(LinkedFleet(nodes, observe_s=observe_s))
        return self.fleets[-1]

    def _connect(self, node: FarmNode) -> Callable[[], PipeLink]:
        # A master of an earlier test would have that one's options.
        sockets = Path(tempfile.mkdtemp(prefix="s", dir=self.farm.folder))

        def connect() -> PipeLink:
            target = SshTarget(node.host, node.user, node.port, (*self.options, *node.options))
            launch = SshLaunch(target, archive=self.archive, runtime_dir=sockets)
            return PipeLink(node.name, launch, find_stand_in=shell_stand_in)

        return connect

    def fault(self, word: str | None) -> None:
        """Let the sick node's `sample` go wrong, or not any more."""
        (self.sick.state / "reached").unlink(missing_ok=True)
        if word is None:
            (self.sick.state / "fault").unlink(missing_ok=True)
        else:
            (self.sick.state / "fault").write_text(word)

    def reached(self) -> bool:
        return (self.sick.state / "reached").exists()

    def close(self) -> None:
        for fleet in self.fleets:
            fleet.close()
        self.fault(None)


@pytest.fixture(scope="module")
def farm() -> Iterator[SshdFarm]:
    with sshd_farm(["n1", "n2"]) as farm:
        yield farm


@pytest.fixture
def site(farm: SshdFarm) -> Iterator[Site]:
    made = Site(farm, scripted_archive)
    yield made
    made.close()


def seen(fleet: LinkedFleet) -> dict[str, Node]:
    return {node.name: node for node in fleet.observe()}


def well(fleet: LinkedFleet) -> None:
    """Wait until all nodes are."""
    until(lambda: {node.state for node in fleet.observe()} == {NodeState.OK})


def until(condition: Callable[[], object], within_s: float = PATIENT_S) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "never came true"
        time.sleep(0.05)


def check(fleet: LinkedFleet, state: NodeState, words: str) -> None:
    """One look: the sick node is in that state for that reason, the other one is fresh."""
    nodes = seen(fleet)
    assert (nodes["n1"].state, nodes["n2"].state) == (state, NodeState.OK)
    assert words in (nodes["n1"].reason or "")
    assert nodes["n2"].devices


@pytest.mark.parametrize(
    ("word", "state", "words"),
    [
        ("half", NodeState.HUNG, "did not answer in time"),
        ("drip", NodeState.HUNG, "did not answer in time"),
        ("deaf", NodeState.HUNG, "did not answer in time"),
        ("long", NodeState.FAILED, "a line longer than"),
        ("noise", NodeState.FAILED, "not JSON"),
    ],
)
def test_a_node_program_that_goes_wrong(site, word, state, words):
    fleet = site.fleet(observe_s=5.0)
    well(fleet)
    site.fault(word)
    check(fleet, state, words)
    site.fault(None)
    well(fleet)


def test_a_node_that_stops_reading_holds_up_nobody(site):
    """More is sent to it than all the buffers on the way take."""
    fleet = site.fleet(observe_s=5.0)
    well(fleet)
    for pid in site.sick.programs():
        os.kill(pid, signal.SIGSTOP)
    paths = [f"/{number:04d}" + "x" * 16_000 for number in range(256)]
    nodes = {node.name: node for node in fleet.observe(near=paths)}
    assert (nodes["n1"].state, nodes["n2"].state) == (NodeState.HUNG, NodeState.OK)
    site.sick.wake()
    well(fleet)


def test_a_connection_that_is_cut_in_the_middle_of_an_answer(site):
    fleet = site.fleet()
    well(fleet)
    site.fault("half")
    cutter = threading.Thread(target=lambda: (until(site.reached), site.sick.cut()))
    cutter.start()
    check(fleet, NodeState.UNREACHABLE, "the connection was lost")
    cutter.join()
    site.fault(None)
    well(fleet)


def test_a_frozen_sshd_is_noticed(site):
    site.options = SILENCE
    fleet = site.fleet()
    well(fleet)
    site.sick.freeze()
    try:
        began_s = time.monotonic()
        check(fleet, NodeState.UNREACHABLE, "the connection was lost")
        assert time.monotonic() - began_s < SILENCE_S
    finally:
        site.sick.wake()
    well(fleet)


@pytest.mark.root
def test_a_link_that_goes_down_is_noticed(site):
    """The sick node is in a network namespace of its own; its link is taken down while it is looked at."""
    with own_network(f"ga{os.getpid()}") as network, sshd_farm(["n1", "n2"]) as farm:
        farm["n1"].stop()
        farm["n1"].within, farm["n1"].host, farm["n1"].port = network.within, network.inside, 2200
        farm["n1"].start()
        lonely = Site(farm, scripted_archive, options=SILENCE)
        try:
            fleet = lonely.fleet()
            well(fleet)
            lonely.fault("deaf")
            cutter = threading.Thread(target=lambda: (until(lonely.reached), network.down()))
            cutter.start()
            nodes = seen(fleet)
            noticed_s = time.monotonic() - network.down_at_s
            cutter.join()
            assert (nodes["n1"].state, nodes["n2"].state) == (NodeState.UNREACHABLE, NodeState.OK)
            assert "the connection was lost" in (nodes["n1"].reason or "")
            assert noticed_s < SILENCE_S
            lonely.fault(None)
            network.up()
            well(fleet)
        finally:
            lonely.close()


def test_a_frozen_node_program(site):
    site.archive = node_archive
    fleet = site.fleet(observe_s=8.0)
    well_of_gpus(fleet)
    pids = site.sick.programs()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    nodes = seen(fleet)
    assert (nodes["n1"].state, nodes["n2"].state) == (NodeState.HUNG, NodeState.OK)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    well_of_gpus(fleet)


def test_a_host_key_that_changed(site):
    known = site.farm.folder / "n1.known_hosts"
    text = known.read_text()
    site.sick.mistake_host_key(site.farm["n2"])
    fleet = site.fleet()
    try:
        check(fleet, NodeState.HOST_KEY, "ssh-keygen -R")
        assert known.read_text() != text  # what is wrong there stays: it is the operator's
    finally:
        known.write_text(text)
    well(fleet)


def test_an_unknown_host_key_is_not_accepted_in_silence(site):
    known = site.farm.folder / "n1.known_hosts"
    text = known.read_text()
    site.sick.forget_host_key()
    # Without an option of its own: the strictness is gpualloc's.
    site.sick.options, options = without(site.sick.options, "StrictHostKeyChecking"), site.sick.options
    fleet = site.fleet()
    try:
        check(fleet, NodeState.HOST_KEY, "compare the fingerprint")
        assert known.read_text() == ""
    finally:
        known.write_text(text)
        site.sick.options = options
    well(fleet)


@pytest.mark.parametrize(
    ("shared", "state", "words"),
    [(False, NodeState.HOST_KEY, "not known"), (True, NodeState.UNREACHABLE, "what leads there failed")],
)
def test_an_unknown_host_key_on_the_way_is_not_asked_about_in_a_window(site, monkeypatch, shared, state, words):
    """The ssh to a jump host is started by ssh itself, which does not tell it that nobody is there."""
    jump, asked, file = site.farm["n2"], site.farm.folder / "asked", site.farm.folder / "jump.conf"
    askpass = site.farm.folder / "askpass"
    askpass.write_text(f"#!/bin/sh\ntouch {asked}\necho yes\n")
    askpass.chmod(0o755)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("SSH_ASKPASS", str(askpass))
    unknown = (
        *without(without(jump.options, "UserKnownHostsFile"), "StrictHostKeyChecking"),
        ("UserKnownHostsFile", "none"),
    )
    file.write_text("Host *\n" + "".join(f" {key} {value}\n" for key, value in unknown))
    node, options = site.sick, (("ProxyJump", f"{jump.user}@{jump.host}:{jump.port}"), *site.sick.options)
    target = SshTarget(node.host, node.user, node.port, options, command=("ssh", "-F", str(file)))
    sockets = Path(tempfile.mkdtemp(prefix="s", dir=site.farm.folder))
    launch = SshLaunch(target, archive=scripted_archive, runtime_dir=sockets, shared=shared)
    fleet = LinkedFleet([(NodeSpec("n1", "p", "ssh"), lambda: PipeLink("n1", launch))], observe_s=PATIENT_S)
    site.fleets.append(fleet)
    found = seen(fleet)["n1"]
    assert (found.state, words in (found.reason or "")) == (state, True)
    assert not asked.exists()


@pytest.mark.root
def test_a_login_shell_that_talks_before_and_between(site):
    """Noise before the start is skipped; noise later costs a connection and is never taken for an answer."""
    with sshd_farm(["n1", "n2"]) as farm:
        shell, speak = farm.folder / "shell", farm.folder / "n1" / "speak"
        noise = f'(while :; do [ -e {speak} ] && {{ echo \'{{"id":1,"ok":{{}}}}\'; rm {speak}; }}; sleep 0.05; done) &'
        shell.write_text(f'#!/bin/sh\necho Welcome\n{noise}\nexec /bin/sh "$@"\n')
        shell.chmod(0o755)
        subprocess.run(["usermod", "-s", str(shell), farm["n1"].user], check=True)
        noisy = Site(farm, scripted_archive)
        try:
            fleet = noisy.fleet()
            well(fleet)
            for _ in range(3):
                speak.touch()
                os.chown(speak, farm["n1"].folder.stat().st_uid, -1)
                until(lambda: not speak.exists())
                noticed = seen(fleet)["n1"]
                assert noticed.devices or noticed.state is NodeState.FAILED
                well(fleet)
        finally:
            noisy.close()


def test_a_node_without_python3_is_read_through_nvidia_smi(site):
    with sshd_farm(["n1", "n2"]) as farm:
        commands, state = fake_smi(farm.folder)
        write_smi(state, [FakeGpu(0)])
        farm["n1"].restart(PATH=str(commands), GPUALLOC_FAKE_SMI=str(state))
        bare = Site(farm, scripted_archive)
        try:
            nodes = seen(bare.fleet())
        finally:
            bare.close()
    assert {node.state for node in nodes.values()} == {NodeState.OK}
    assert nodes["n1"].limited
    assert [device.uuid for device in nodes["n1"].devices] == [FakeGpu(0).full_uuid]
    assert nodes["n2"].limited is None


def test_a_python3_without_half_of_its_library(site):
    """A real python3 as Debian's python3-minimal has it: it runs and knows neither json nor ctypes."""
    with sshd_farm(["n1", "n2"]) as farm:
        commands, state = fake_smi(farm.folder)
        write_smi(state, [FakeGpu(0)])
        minimal = minimal_python(farm.folder / "minimal")
        (commands / "python3").symlink_to(minimal)
        farm["n1"].restart(PATH=str(commands), GPUALLOC_FAKE_SMI=str(state))
        site = Site(farm, scripted_archive)
        try:
            fleet = site.fleet()
            limited = seen(fleet)["n1"]
            (commands / "nvidia-smi").unlink()
            site.sick.cut()
            until(lambda: seen(fleet)["n1"].state is NodeState.NO_PYTHON)
            hopeless = seen(fleet)["n1"]
        finally:
            site.close()
    assert (limited.state, limited.limited is None) == (NodeState.OK, False)
    assert "only python3, without json" in (hopeless.reason or "")


@pytest.mark.root
def test_a_home_that_cannot_be_written(site):
    """The node program is unpacked for once, and leaves nothing behind."""
    with sshd_farm(["n1", "n2"]) as farm:
        node, spare = farm["n1"], farm.folder / "n1" / "tmp"
        spare.mkdir()
        os.chown(spare, node.folder.stat().st_uid, -1)
        os.chown(farm.home, 0, 0)
        farm.home.chmod(0o555)
        for name in ("XDG_CACHE_HOME", "GPUALLOC_NODE_STATE_DIR"):
            del node.environment[name]
        node.restart(TMPDIR=str(spare))
        readonly = Site(farm, node_archive)
        try:
            nodes = seen(readonly.fleet())
            assert {name: (each.state, each.reason) for name, each in nodes.items()} == dict.fromkeys(
                ("n1", "n2"), (NodeState.OK, None)
            )
            assert len(list(spare.iterdir())) == 1
        finally:
            readonly.close()
        until(lambda: not list(spare.iterdir()))
        assert not list(farm.home.iterdir())


def test_two_heads_at_once_on_a_new_node(site):
    site.archive = node_archive
    shutil.rmtree(site.sick.cache / "gpualloc", ignore_errors=True)
    fleets = [site.fleet(), site.fleet()]
    found: list[dict[str, Node]] = []
    heads = [threading.Thread(target=lambda fleet=fleet: found.append(seen(fleet))) for fleet in fleets]
    for head in heads:
        head.start()
    for head in heads:
        head.join()
    assert [node.state for nodes in found for node in nodes.values()] == [NodeState.OK] * 4
    assert len(list((site.sick.cache / "gpualloc").glob("node-*"))) == 1
    assert not list((site.sick.cache / "gpualloc").glob("new-*"))


def well_of_gpus(fleet: LinkedFleet) -> None:
    """As `well`, for nodes that have no GPUs: the machine that the tests run on."""
    until(lambda: all(node.state is NodeState.OK for node in fleet.observe()))


def without(options: tuple[tuple[str, str], ...], name: str) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in options if pair[0] != name)


def minimal_python(folder: Path) -> Path:
    """A python3 that finds all of its library but json and ctypes."""
    library = folder / "lib" / "python3.11"
    library.mkdir(parents=True)
    (folder / "bin").mkdir()
    for entry in Path("/usr/lib/python3.11").iterdir():
        if entry.name not in ("json", "ctypes"):
            (library / entry.name).symlink_to(entry)
    shutil.copy("/usr/bin/python3.11", folder / "bin" / "python3")
    return folder / "bin" / "python3"


class Network:
    """A network namespace that is joined to ours by one cable."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.within = ("ip", "netns", "exec", name)
        third = os.getpid() % 250
        self._outside, self.inside = f"10.213.{third}.1", f"10.213.{third}.2"
        self.down_at_s = 0.0

    def down(self) -> None:
        self.down_at_s = time.monotonic()
        ip("link", "set", f"{self._name}o", "down")

    def up(self) -> None:
        ip("link", "set", f"{self._name}o", "up")

    def __enter__(self) -> Network:
        ip("netns", "add", self._name)
        ip("link", "add", f"{self._name}o", "type", "veth", "peer", "name", f"{self._name}i", "netns", self._name)
        ip("addr", "add", f"{self._outside}/30", "dev", f"{self._name}o")
        ip("-n", self._name, "addr", "add", f"{self.inside}/30", "dev", f"{self._name}i")
        ip("-n", self._name, "link", "set", f"{self._name}i", "up")
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["ip", "netns", "del", self._name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", f"{self._name}o"], check=False, capture_output=True)


def own_network(name: str) -> Network:
    """A namespace for a node; skips where there can be none."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    made = subprocess.run(["ip", "netns", "add", f"{name}x"], check=False, capture_output=True)
    if made.returncode != 0:
        pytest.skip("no network namespaces here")
    subprocess.run(["ip", "netns", "del", f"{name}x"], check=True)
    return Network(name)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
