"""The simulated cluster behind the node server: one file, several processes, virtual time."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.adapters.simulated import SimulatedNodes
from gpualloc.errors import (
    BrokenInputError,
    ConfigError,
    LockedError,
    NewerStateError,
    NotFoundError,
    StateError,
    UnreachableError,
)
from gpualloc.node.wire import request
from gpualloc.sim.cluster import ClusterSpec, Fault, HostSpec, Stranger
from gpualloc.sim.demo import demo_cluster
from gpualloc.sim.gpu import FaultKind
from gpualloc.sim.use import Pattern

CONTROLLER = "c" * 32
W = "w00000000"
SPEC = ClusterSpec("test", (HostSpec("n1", ("A100-40GB", "T4")), HostSpec("n2", ("L4",))))

STRANGER = Stranger("bob", "python serve.py", (0,), 1000, Pattern.STEADY)


class Wall:
    """A wall clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def wall() -> Wall:
    return Wall()


def ask(nodes: SimulatedNodes, verb: str, args: dict[str, Any] | None = None, node: str = "n1") -> dict[str, Any]:
    (reply,) = nodes.link(node).exchange([request(1, verb, args)], 5.0)
    return reply


def ok(nodes: SimulatedNodes, verb: str, args: dict[str, Any] | None = None, node: str = "n1") -> dict[str, Any]:
    reply = ask(nodes, verb, args, node)
    assert "ok" in reply, reply
    found: dict[str, Any] = reply["ok"]
    return found


def call(kind: str, *, fence: int = 1, workload: str = W, **fields: Any) -> dict[str, Any]:
    step = {"kind": kind, "workload": workload, "attempt": 1, "grants": [], **fields}
    return {"call": {"run": "r", "seq": 1, "fence": fence, "controller": CONTROLLER, "step": step}}


def whole(nodes: SimulatedNodes, index: int = 0) -> dict[str, Any]:
    device = ok(nodes, "inventory")["devices"][index]["uuid"]
    return {"device": device, "mig_instance": None, "share": "exclusive", "fraction": 1.0, "memory_mib": None}


def start(nodes: SimulatedNodes, *command: str, **fields: Any) -> dict[str, Any]:
    grants = [whole(nodes)]
    ok(nodes, "do", call("claim", grants=grants, **fields))
    ok(nodes, "do", call("limit", cpus=1.0, **fields))
    return ok(nodes, "do", call("start", grants=grants, cpus=1.0, command=list(command), **fields))


def test_work_goes_through_claim_limit_start_and_ends_by_the_clock(tmp_path: Path, wall: Wall) -> None:
    nodes = SimulatedNodes(tmp_path, SPEC, wall=wall)
    facts = start(nodes, "sleep", "60")
    assert facts["held_by"] == {"gpu": "soft", "cpu": "hard", "memory": None, "pids": None, "io": None}
    assert ask(nodes, "do", call("claim", grants=[whole(nodes)], workload="w11111111"))["error"]["reason"] == "claimed"
    wall.now_s += 61
    told = ok(nodes, "claims")
    assert told["claims"] == []
    assert told["workloads"][0]["end"]["exit_code"] == 0
    assert ok(nodes, "logs", {"workload": W, "offset": 0, "limit": 1000})["ended"]
    ok(nodes, "do", call("claim", grants=[whole(nodes)], workload="w11111111"))


def test_another_process_sees_the_same_cluster(tmp_path: Path, wall: Wall) -> None:
    first, second = SimulatedNodes(tmp_path, SPEC, wall=wall), SimulatedNodes(tmp_path, SPEC, wall=wall)
    facts = start(first, "train")
    assert [each["pid"] for each in ok(second, "processes")["processes"]] == [facts["pid"]]
    ended = ok(second, "do", call("stop", grace_s=1))["end"]
    assert ended["reason"] == "released"
    assert ok(first, "claims")["workloads"][0]["end"] == ended


def test_an_older_fence_is_refused_and_a_newer_one_kept_even_when_its_step_is_refused(
    tmp_path: Path, wall: Wall
) -> None:
    nodes = SimulatedNodes(tmp_path, SPEC, wall=wall)
    broken = call("start", fence=5, grants=[], command=["/nonexistent"])
    assert ask(nodes, "do", broken)["error"]["reason"] == "no-command"
    again = SimulatedNodes(tmp_path, SPEC, wall=wall)
    assert ask(again, "do", call("limit", fence=4))["error"]["reason"] == "fenced"


def test_parallel_writers_lose_nothing(tmp_path: Path) -> None:
    nodes = [SimulatedNodes(tmp_path, SPEC) for _ in range(4)]

    def work(number: int) -> None:
        for turn in range(5):
            ok(nodes[number], "do", call("start", workload=f"w000000{number}{turn}", grants=[], command=["true"]), "n2")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = ok(SimulatedNodes(tmp_path, SPEC), "claims", node="n2")["workloads"]
    assert len(records) == 20
    assert len({record["pid"] for record in records}) == 20


def test_time_runs_at_the_speed_asked_for_and_does_not_jump_when_it_changes(tmp_path: Path, wall: Wall) -> None:
    slow = SimulatedNodes(tmp_path, SPEC, wall=wall)
    start_s = slow.clock.now_s()
    wall.now_s += 10
    fast = SimulatedNodes(tmp_path, SPEC, wall=wall, speed=100.0)
    assert fast.clock.now_s() - start_s == pytest.approx(10)
    wall.now_s += 10
    assert fast.clock.now_s() - start_s == pytest.approx(1010)
    wall.now_s -= 3600
    assert fast.clock.now_s() - start_s == pytest.approx(10), "a wall clock set back stops at the anchor"


def test_sleeping_lets_simulated_time_pass(tmp_path: Path) -> None:
    clock = SimulatedNodes(tmp_path, SPEC, speed=1000.0).clock
    before_s = clock.now_s()
    clock.sleep(20.0)
    assert clock.now_s() - before_s >= 20.0


def test_waiting_ends_when_work_ends(tmp_path: Path) -> None:
    nodes = SimulatedNodes(tmp_path, SPEC, speed=100.0)
    link = nodes.link("n1")
    start(nodes, "sleep", "20")
    (reply,) = link.exchange([request(1, "events", {"timeout_s": 30})], 60.0)
    assert reply["ok"] == {"changed": True}
    assert ok(nodes, "claims")["workloads"][0]["end"]["exit_code"] == 0
    (reply,) = link.exchange([request(2, "events", {"timeout_s": 0})], 60.0)
    assert reply["ok"] == {"changed": False}


def test_work_that_ended_between_two_waits_is_not_missed(tmp_path: Path, wall: Wall) -> None:
    nodes = SimulatedNodes(tmp_path, SPEC, wall=wall)
    link = nodes.link("n1")
    start(nodes, "true")
    (reply,) = link.exchange([request(1, "events", {"timeout_s": 30})], 60.0)
    assert reply["ok"] == {"changed": True}


def test_closing_ends_a_wait(tmp_path: Path, wall: Wall) -> None:
    nodes = SimulatedNodes(tmp_path, SPEC, wall=wall)
    link = nodes.link("n1")
    replies: list[dict[str, Any]] = []
    waiting = threading.Thread(
        target=lambda: replies.extend(link.exchange([request(1, "events", {"timeout_s": 30})], 60))
    )
    waiting.start()
    nodes.close()
    waiting.join(timeout=60)
    assert [reply["ok"] for reply in replies] == [{"changed": False}]


def test_faults_of_the_file_come_and_go(tmp_path: Path, wall: Wall) -> None:
    faults = (
        Fault("n1", FaultKind.LOST, gpu=1, from_s=10, until_s=20),
        Fault("n2", FaultKind.UNREACHABLE, from_s=10, until_s=20),
    )
    nodes = SimulatedNodes(tmp_path, replace(SPEC, faults=faults), wall=wall)
    states = []
    for _ in range(3):
        states.append([device["state"] for device in ok(nodes, "sample")["devices"]])
        wall.now_s += 10
    assert states == [["ok", "ok"], ["ok", "GPU lost"], ["ok", "ok"]]
    wall.now_s -= 15
    with pytest.raises(UnreachableError) as raised:
        nodes.link("n2").exchange([request(1, "hello")], 5.0)
    assert raised.value.node == "n2"
    assert raised.value.message == "n2: simulated fault since 1970-01-12T13:46:50Z"


def test_the_demo_starts_the_same_everywhere(tmp_path: Path, wall: Wall) -> None:
    def start_of(folder: str) -> Any:
        nodes = SimulatedNodes(tmp_path / folder, demo_cluster(), wall=wall)
        verbs = ("hello", "inventory", "sample", "processes", "claims")
        return [[ok(nodes, verb, node=node.name) for verb in verbs] for node in nodes.specs()]

    assert start_of("a") == start_of("b")


def test_the_demo_has_what_is_promised(tmp_path: Path, wall: Wall) -> None:
    nodes = SimulatedNodes(tmp_path, demo_cluster(), wall=wall)
    free = {node.name: free_gpus(nodes, node.name) for node in nodes.specs()}
    devices = [each for node in nodes.specs() for each in ok(nodes, "inventory", node=node.name)["devices"]]
    assert len(free) >= 4
    assert len(devices) >= 20
    assert sum(free.values()) >= 12
    assert free["fir01"] == 4
    assert len(ok(nodes, "inventory", node="fir01")["devices"]) == 4
    assert {each["state"] for each in devices} == {"ok", "needs reset"}
    assert sum(len(each["mig_instances"]) for each in devices) == 3
    assert all(node.transport == "simulated" for node in nodes.specs())


def free_gpus(nodes: SimulatedNodes, name: str) -> int:
    used = {process["device"] for process in ok(nodes, "processes", node=name)["processes"]}
    devices = ok(nodes, "inventory", node=name)["devices"]
    healthy = [each for each in devices if each["state"] == "ok" and not each["mig_enabled"]]
    return sum(each["uuid"] not in used for each in healthy)


def test_a_changed_file_keeps_the_nodes_whose_hardware_is_the_same(tmp_path: Path, wall: Wall) -> None:
    start(SimulatedNodes(tmp_path, SPEC, wall=wall), "train")
    changed = replace(SPEC, nodes=(replace(SPEC.nodes[0], driver="580.0"), HostSpec("n3", ("T4",))))
    nodes = SimulatedNodes(tmp_path, changed, wall=wall)
    assert [node.name for node in nodes.specs()] == ["n1", "n3"]
    assert ok(nodes, "hello")["nvml"]["driver_version"] == "580.0"
    assert len(ok(nodes, "processes")["processes"]) == 1
    assert len(ok(nodes, "inventory", node="n3")["devices"]) == 1
    with pytest.raises(NotFoundError):
        nodes.link("n2")


@pytest.mark.parametrize("nodes", [SPEC.nodes[1:], (replace(SPEC.nodes[0], gpus=("T4",)), SPEC.nodes[1])])
def test_a_changed_file_does_not_take_hardware_from_under_running_work(
    tmp_path: Path, wall: Wall, nodes: tuple[HostSpec, ...]
) -> None:
    start(SimulatedNodes(tmp_path, SPEC, wall=wall), "sleep", "60")
    with pytest.raises(StateError, match="n1") as raised:
        SimulatedNodes(tmp_path, replace(SPEC, nodes=nodes), wall=wall)
    assert raised.value.hint
    wall.now_s += 61
    SimulatedNodes(tmp_path, replace(SPEC, nodes=nodes), wall=wall)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", BrokenInputError),
        ("[]", BrokenInputError),
        ("{}", BrokenInputError),
        ('{"format": 99}', NewerStateError),
        ('{"format": "x"}', BrokenInputError),
        ('{"format": 1, "seed": 0, "clock": {}}', BrokenInputError),
    ],
)
def test_a_broken_state_file_is_named(tmp_path: Path, text: str, error: type[Exception]) -> None:
    path = tmp_path / "cluster.json"
    path.write_text(text)
    with pytest.raises(error) as raised:
        SimulatedNodes(tmp_path, SPEC)
    assert error is NewerStateError or str(path) in str(raised.value)
    assert path.read_text() == text


def test_a_truncated_state_file_is_named(tmp_path: Path) -> None:
    SimulatedNodes(tmp_path, SPEC)
    path = tmp_path / "cluster.json"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(BrokenInputError, match=r"cluster\.json"):
        SimulatedNodes(tmp_path, SPEC)


def test_another_seed_is_refused(tmp_path: Path) -> None:
    SimulatedNodes(tmp_path, SPEC)
    with pytest.raises(StateError, match="seed"):
        SimulatedNodes(tmp_path, replace(SPEC, seed=1))


@pytest.fixture
def unwritable() -> Iterator[Path]:
    """A folder with a cluster that this process may read and not write."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        SimulatedNodes(folder, SPEC)
        (folder / "cluster.json").chmod(0o644)
        (folder / "cluster.lock").unlink()
        folder.chmod(0o555)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(user)
            folder.chmod(0o755)


def test_a_read_only_folder_can_be_observed_and_refuses_steps(unwritable: Path) -> None:
    nodes = SimulatedNodes(unwritable, SPEC, speed=60.0)
    assert len(ok(nodes, "sample")["devices"]) == 2
    assert ask(nodes, "do", call("limit"))["error"]["reason"] == "disk"
    with pytest.raises(StateError, match="reboot"):
        nodes.reboot("n1")


def test_a_cluster_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").mkdir()
    with pytest.raises(StateError, match=r"cluster\.json"):
        SimulatedNodes(tmp_path, SPEC)


def test_a_lock_held_for_long_is_told_and_looking_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = SimulatedNodes(tmp_path, SPEC)
    monkeypatch.setattr("gpualloc.adapters.simulated._LOCK_WAIT_S", 0.05)
    with (tmp_path / "cluster.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LockedError, match=r"cluster\.json"):
            nodes.reboot("n1")
        assert len(ok(nodes, "sample")["devices"]) == 2


def test_a_folder_that_cannot_be_made_is_named(unwritable: Path) -> None:
    with pytest.raises(StateError, match="new"):
        SimulatedNodes(unwritable / "new", SPEC)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"speed": 0.0}, "speed"),
        ({"nodes": ()}, "needs nodes"),
        ({"nodes": (HostSpec("n1", ("A100-41GB",)),)}, "A100-41GB"),
        ({"nodes": (HostSpec("n1", ("T4",), mig=(0,)),)}, "no MIG"),
        ({"nodes": (HostSpec("n1", ("T4",), mig=(4,)),)}, "index 4"),
        ({"nodes": (HostSpec("n1", ("A30-24GB",), instances=((0, "4g.24gb"),)),)}, "MIG mode"),
        ({"nodes": (HostSpec("n1", (), cpus=0),)}, "CPU"),
        ({"nodes": (HostSpec("n1", ("T4",), strangers=(replace(STRANGER, gpus=(1,)),)),)}, "uses GPU 1"),
        ({"nodes": (HostSpec("n1", ("A30-24GB",), mig=(0,), strangers=(STRANGER,)),)}, "as a whole"),
        ({"nodes": (HostSpec("n1", ("T4",), strangers=(replace(STRANGER, profile="1g.6gb"),)),)}, "which has none"),
        ({"faults": (Fault("n9", FaultKind.UNREACHABLE),)}, "n9"),
        ({"faults": (Fault("n1", FaultKind.LOST),)}, "lost"),
        ({"faults": (Fault("n1", FaultKind.LOST, gpu=2),)}, "GPU 2"),
        ({"faults": (Fault("n1", FaultKind.LOST, gpu=0, from_s=5, until_s=5),)}, "before it starts"),
    ],
)
def test_a_cluster_without_meaning_is_refused_before_anything_is_written(
    tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        SimulatedNodes(tmp_path / "new", replace(SPEC, **change))
    assert not (tmp_path / "new" / "cluster.json").exists()


def in_process(folder: Path, *lines: str) -> subprocess.CompletedProcess[str]:
    """Run lines in a process of their own that has the nodes of SPEC open as `nodes`."""
    start = (
        "import errno, os, signal, sys",
        "from pathlib import Path",
        "from gpualloc.adapters.simulated import SimulatedNodes",
        "from gpualloc.node.wire import request",
        "from gpualloc.sim.cluster import ClusterSpec, Fault, HostSpec",
        "from gpualloc.sim.gpu import FaultKind",
        f"nodes = SimulatedNodes(Path(sys.argv[1]), {SPEC!r})",
    )
    program = "\n".join((*start, *lines))
    command = [sys.executable, "-c", program, str(folder)]
    return subprocess.run(command, timeout=60, check=False, capture_output=True, text=True)


def test_a_full_disk_is_told_and_leaves_the_old_state(tmp_path: Path) -> None:
    SimulatedNodes(tmp_path, SPEC)
    before = (tmp_path / "cluster.json").read_text()
    done = in_process(
        tmp_path,
        "def full(handle): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))",
        "os.fsync = full",
        f"print(nodes.link('n1').exchange([request(1, 'do', {call('limit')!r})], 5)[0]['error']['reason'])",
        "print(nodes.link('n1').exchange([request(1, 'claims')], 5)[0]['ok'])",
    )
    assert done.stdout == "disk\n{'claims': [], 'workloads': []}\n", done.stderr
    assert (tmp_path / "cluster.json").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cluster.json", "cluster.lock"]


def test_a_process_killed_while_it_writes_leaves_the_old_state(tmp_path: Path) -> None:
    SimulatedNodes(tmp_path, SPEC)
    before = json.loads((tmp_path / "cluster.json").read_text())
    killed = in_process(
        tmp_path,
        "os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)",
        "nodes.reboot('n1')",
    )
    assert killed.returncode == -9
    assert json.loads((tmp_path / "cluster.json").read_text()) == before
    SimulatedNodes(tmp_path, SPEC).reboot("n1")


MOVES = st.tuples(
    st.sampled_from(["give", "share", "stop", "wait"]),
    st.integers(0, 4),
    st.sampled_from(["30", "90"]),
    st.integers(0, 1),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(MOVES, max_size=12))
def test_whatever_is_done_no_device_is_given_twice_and_nothing_outlives_its_work(
    moves: list[tuple[str, int, str, int]],
) -> None:
    wall = Wall()
    with tempfile.TemporaryDirectory() as folder:
        nodes = SimulatedNodes(Path(folder), SPEC, wall=wall)
        for what, number, seconds, index in moves:
            workload = f"w0000000{number}"
            if what == "wait":
                wall.now_s += 40
            elif what == "stop":
                ask(nodes, "do", call("stop", workload=workload, grace_s=1))
            else:
                shared = {"share": "time-slice", "fraction": 0.4} if what == "share" else {}
                grants = [{**whole(nodes, index), **shared}]
                if "ok" in ask(nodes, "do", call("claim", workload=workload, grants=grants)):
                    ask(nodes, "do", call("start", workload=workload, grants=grants, command=["sleep", seconds]))
            _check_books(nodes)


def _check_books(nodes: SimulatedNodes) -> None:
    told = ok(nodes, "claims")
    running = {record["workload"] for record in told["workloads"] if record["end"] is None}
    assert {claim["workload"] for claim in told["claims"]} == running
    assert {process["workload"] for process in ok(nodes, "processes")["processes"]} == running
    for device in ok(nodes, "sample")["devices"]:
        claims = [claim for claim in told["claims"] if claim["device"] == device["uuid"]]
        assert sum(claim["fraction"] for claim in claims) <= 1
        assert len(claims) <= 1 or all(claim["share"] == "time-slice" for claim in claims)


def test_a_node_is_rebooted_for_every_process_that_looks(tmp_path: Path, wall: Wall) -> None:
    nodes, others = SimulatedNodes(tmp_path, SPEC, wall=wall), SimulatedNodes(tmp_path, SPEC, wall=wall)
    before = [ask(each, "hello")["ok"]["boot_id"] for each in (nodes, others)]
    nodes.reboot("n1")
    after = [ask(each, "hello")["ok"]["boot_id"] for each in (nodes, others)]
    assert len({*before, *after}) == 2
    assert ask(nodes, "hello", node="n2")["ok"]["boot_id"] not in after
    with pytest.raises(NotFoundError):
        nodes.reboot("n9")
