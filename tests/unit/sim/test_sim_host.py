"""A simulated node: commands, their ends, limits, logs, strangers. State in, state out."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gpualloc.node.wire import Refused
from gpualloc.sim.cluster import ClusterSpec, HostSpec, Stranger
from gpualloc.sim.command import behaviour
from gpualloc.sim.gpu import FaultKind
from gpualloc.sim.host import SimulatedHost
from gpualloc.sim.state import SimulatedCluster
from gpualloc.sim.use import Pattern

SPEC = HostSpec("n1", ("A100-40GB", "A100-40GB"), cpus=8, memory_gib=64, mig=(1,), instances=((1, "1g.5gb"),))
W = "w00000000"


def new_host(spec: HostSpec = SPEC, at_s: float = 1000.0) -> SimulatedHost:
    return SimulatedCluster.start(ClusterSpec("test", (spec,)), at_s).host(spec.name, at_s)


def grant(host: SimulatedHost, index: int = 0, **fields: Any) -> dict[str, Any]:
    whole = {"device": host.gpus[index].uuid, "mig_instance": None, "share": "exclusive", "fraction": 1.0}
    return {**whole, "memory_mib": None, **fields}


def step(kind: str, **fields: Any) -> dict[str, Any]:
    limits = {"cpus": None, "cpuset": None, "memory_mib": None, "pids": None, "cpu_weight": None, "io_weight": None}
    start = {"grants": [], "command": ["train"], "env": {}, "cwd": None, "user": "ann", "at_most_s": None}
    return {"kind": kind, "workload": W, "attempt": 1, "controller": "c" * 32, **limits, **start, **fields}


def end_of(host: SimulatedHost) -> Any:
    (record,) = host.records()
    return record["end"]


@pytest.mark.parametrize(
    ("command", "duration_s", "exit_code"),
    [
        (["true"], 0.0, 0),
        (["/bin/false"], 0.0, 1),
        (["exit", "3"], 0.0, 3),
        (["exit", "259"], 0.0, 3),
        (["exit", "-1"], 0.0, 2),
        (["sleep", "1.5"], 1.5, 0),
        (["/usr/bin/sleep", "1m", "30"], 90.0, 0),
        (["sleep", "infinity"], None, 0),
        (["sleep", "soon"], 0.0, 1),
        (["sleep"], 0.0, 1),
        (["sleep", "9" * 400], 0.0, 1),
        (["python", "train.py"], None, 0),
        (["train"], None, 0),
        (["train", "5h"], 18_000.0, 0),
        (["/opt/bin/serve", "1d"], 86_400.0, 0),
        (["notebook", "90m"], 5400.0, 0),
        (["notebook", "paper.ipynb"], 0.0, 1),
    ],
)
def test_commands_that_are_understood(command: list[str], duration_s: float | None, exit_code: int) -> None:
    found = behaviour(tuple(command))
    assert (found.duration_s, found.exit_code) == (duration_s, exit_code)


def test_work_raises_memory_and_use_until_it_ends_by_itself() -> None:
    host = new_host()
    facts = host.do(step("start", command=["sleep", "60"], grants=[grant(host, memory_mib=20_000)]))
    assert facts["visible"] == host.gpus[0].uuid
    assert facts["started_at_s"] == 1000.0
    (process,) = host.processes()["processes"]
    assert (process["pid"], process["user"], process["workload"]) == (facts["pid"], "ann", W)
    host.advance(1059.9, {})
    device = host.sample()["devices"][0]
    assert device["memory_used_mib"] >= 20_000
    assert device["gpu_utilization_ratio"] > 0
    host.advance(5000.0, {})
    assert end_of(host) == {"exit_code": 0, "signal": None, "oom": False, "at_s": 1060.0, "reason": None}
    assert host.processes()["processes"] == []


def test_group_and_claims_go_when_the_work_ends_whoever_looks() -> None:
    host = new_host()
    host.ledger.add_claims([{"workload": W, "attempt": 1, "device": host.gpus[0].uuid}])
    facts = host.do(step("limit", cpus=2.0, memory_mib=64))
    assert facts == {"held_by": {"cpu": "hard", "memory": "hard", "pids": None, "io": None}, "group": f"simulated/{W}"}
    assert host.verify(step("limit", cpus=2.0, memory_mib=64))["holds"]
    host.do(step("start", command=["sleep", "1"]))
    host.advance(1001.0, {})
    assert (host.groups, host.ledger.claims()) == ({}, [])
    assert host.verify(step("unlimit"))["holds"]


def test_a_second_start_of_the_same_attempt_answers_the_first() -> None:
    host = new_host()
    first = host.do(step("start", command=["exit", "4"]))
    assert host.do(step("start", command=["exit", "4"])) == first
    assert end_of(host)["exit_code"] == 4
    again = host.do(step("start", attempt=2, command=["train"]))
    assert again["pid"] != first["pid"]
    with pytest.raises(Refused, match="still runs"):
        host.do(step("start", attempt=3))


def test_at_most_ends_work_by_term() -> None:
    host = new_host()
    host.do(step("start", command=["train"], at_most_s=30.0))
    host.advance(1029.0, {})
    assert end_of(host) is None
    host.advance(1031.0, {})
    assert end_of(host) == {"exit_code": 143, "signal": 15, "oom": False, "at_s": 1030.0, "reason": "at-most"}


@pytest.mark.parametrize("way", ["do", "undo"])
def test_stop_ends_running_work_once(way: str) -> None:
    host = new_host()
    host.do(step("start", grants=[grant(host)]))
    host.advance(1010.0, {})
    answer = host.do(step("stop")) if way == "do" else host.undo(step("start"))
    assert answer["end"] == {"exit_code": 143, "signal": 15, "oom": False, "at_s": 1010.0, "reason": "released"}
    host.advance(1020.0, {})
    assert host.do(step("stop")) == answer
    assert host.verify(step("stop"))["holds"]
    assert host.processes()["processes"] == []


def test_stopping_what_never_ran_answers_null() -> None:
    host = new_host()
    host.do(step("limit", pids=10))
    assert host.do(step("stop")) == {"end": None}
    assert host.groups == {}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"command": ["/nonexistent/train"]}, "no-command"),
        ({"command": ["no-such-command"]}, "no-command"),
        ({"cwd": "/nonexistent"}, "no-command"),
    ],
)
def test_missing_commands_and_directories_can_be_tried(fields: dict[str, Any], reason: str) -> None:
    host = new_host()
    for ask in (host.preflight, host.do):
        with pytest.raises(Refused) as raised:
            ask(step("start", **fields))
        assert raised.value.reason == reason
    assert host.records() == []


def test_a_gpu_in_mig_mode_runs_work_on_its_instances_only() -> None:
    host = new_host()
    with pytest.raises(Refused) as raised:
        host.do(step("start", grants=[grant(host, 1)]))
    assert raised.value.reason == "gone"
    instance = host.gpus[1].instances[0].uuid
    facts = host.do(step("start", grants=[grant(host, 1, mig_instance=instance, share="mig")]))
    assert facts["visible"] == instance
    (used,) = host.sample()["devices"][1]["mig_instances"]
    assert 0 < used["memory_used_mib"] <= 4864


def test_nothing_starts_on_a_sick_gpu_and_its_processes_are_not_seen() -> None:
    host = new_host()
    host.do(step("start", grants=[grant(host)]))
    host.advance(1001.0, {0: (FaultKind.HUNG, 1000.0)})
    assert host.inventory()["devices"][0]["state"] == "driver not answering"
    assert host.processes()["processes"] == []
    with pytest.raises(Refused) as raised:
        host.preflight(step("start", workload="w11111111", grants=[grant(host)]))
    assert raised.value.reason == "unhealthy"


def test_cpus_that_the_node_lacks_are_refused() -> None:
    host = new_host()
    with pytest.raises(Refused) as raised:
        host.do(step("limit", cpuset="0-3,8"))
    assert raised.value.reason == "no-cgroup"
    assert host.do(step("limit", cpuset="0-7"))["held_by"]["cpu"] == "hard"


def test_the_log_tells_what_was_simulated_in_printable_text() -> None:
    host = new_host()
    host.do(step("start", command=["exit", "3", "\x1b[31m"]))
    whole = host.logs(W, 0, 65_536)
    text = base64.b64decode(whole["data"]).decode("ascii")
    assert "simulated: exit 3 '\\x1b[31m'\n" in text
    assert text.endswith("simulated: ended with exit code 2\n")
    assert (whole["next_offset"], whole["ended"]) == (len(text), True)
    assert whole["next_offset"] == host.records()[0]["log_bytes"]
    assert base64.b64decode(host.logs(W, 4, 3)["data"]) == b"lat"
    assert host.logs(W, 10**6, 10) == {"data": "", "next_offset": len(text), "ended": True}
    with pytest.raises(Refused) as raised:
        host.logs("w99999999", 0, 10)
    assert raised.value.reason == "gone"


def test_strangers_hold_memory_without_a_workload() -> None:
    stranger = Stranger("bob", "python serve.py", (0,), 9000, Pattern.STEADY, age_s=600.0)
    host = new_host(HostSpec("n2", ("A100-40GB",), strangers=(stranger,)))
    (process,) = host.processes()["processes"]
    assert (process["user"], process["workload"], process["started_at_s"]) == ("bob", None, 400.0)
    assert host.sample()["devices"][0]["memory_used_mib"] >= 9000


def test_host_readings_follow_the_work() -> None:
    host = new_host()
    before = host.sample()["host"]
    host.do(step("start", cpus=4.0, memory_mib=16_384))
    after = host.sample()["host"]
    assert before["memory_available_mib"] - after["memory_available_mib"] == 16_384
    assert after["cpu_utilization_ratio"] > before["cpu_utilization_ratio"]


def test_plain_json_gives_the_same_host_back() -> None:
    host = new_host()
    host.do(step("limit", cpus=1.0))
    host.do(step("start", command=["sleep", "5"], cpus=1.0, grants=[grant(host)]))
    host.ledger.set_fence("c" * 32, 4)
    again = SimulatedHost.from_plain(json.loads(json.dumps(host.to_plain())), SPEC)
    again.advance(host.now_s, {})
    assert again == host


def test_only_so_many_ended_workloads_are_remembered() -> None:
    host = new_host()
    for number in range(520):
        host.do(step("start", workload=f"w{number:08d}", command=["true"]))
    host.do(step("start", workload="w99999999"))
    records = host.records()
    assert len(records) == 501
    assert records[-1]["workload"] == "w99999999"
    assert records[0]["workload"] == "w00000020"
