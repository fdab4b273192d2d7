"""The steps `suspend` and `resume` over the wire: a real node program, keeper and group."""

import fcntl
import os

import pytest
from fakes.cuda_stub import FakeCuda
from fakes.nvml_stub import FakeGpu, environment, write_state

from gpualloc.node import cgroup, suspending
from gpualloc.node.wire import Refused

pytestmark = pytest.mark.root

HERE, THERE = (FakeGpu(index).full_uuid for index in (0, 1))
GRANT = {"mig_instance": None, "place": None, "share": "exclusive", "fraction": 1.0, "memory_mib": None}
ON_HERE, ON_THERE = [{**GRANT, "device": HERE}], [{**GRANT, "device": THERE}]
MIB = 500


class Suspended:
    """Work with memory on the first GPU, and the program that is asked."""

    def __init__(self, node, folder):
        self.cuda = FakeCuda(folder / "cuda", {HERE: 40_000, THERE: 40_000})
        self.program = node.program()
        self.workload = node.workload()
        self.call("do", "claim", grants=ON_HERE)
        started = node.start(self.program, "sleep", "300", workload=self.workload, grants=ON_HERE)[1]["ok"]
        self.pid = started["pid"]
        self.cuda.add(self.pid, {HERE: MIB})
        write_state(folder / "nvml", [FakeGpu(0, memory_used_mib=MIB, processes=((self.pid, MIB),)), FakeGpu(1)])

    def call(self, verb, kind, **more):
        return self.program.call(verb, kind, self.workload, **more)

    def claimed(self):
        return [(claim["device"], claim["workload"]) for claim in self.program.ask("claims")["ok"]["claims"]]


@pytest.fixture
def work(node, tmp_path, monkeypatch):
    write_state(tmp_path / "nvml", [FakeGpu(0), FakeGpu(1)])
    cuda = FakeCuda(tmp_path / "cuda", {}).environment()
    nvml = environment(tmp_path / "nvml")
    libraries = f"{cuda['LD_LIBRARY_PATH']}:{nvml['LD_LIBRARY_PATH']}"
    for name, value in {**cuda, **nvml, "LD_LIBRARY_PATH": libraries}.items():
        monkeypatch.setenv(name, value)
    return Suspended(node, tmp_path)


def test_a_round(work):
    assert work.call("preflight", "suspend", grants=ON_HERE)["ok"] == {}
    facts = work.call("do", "suspend", grants=ON_HERE)["ok"]
    assert (facts["gpu_memory_mib"], facts["state"], facts["grants"]) == (MIB, "suspended", ON_HERE)
    assert work.call("verify", "suspend", grants=ON_HERE)["ok"]["holds"]
    assert not work.call("verify", "resume", grants=ON_HERE, devices_before=[HERE])["ok"]["holds"]
    work.call("do", "unclaim")
    work.call("do", "claim", grants=ON_THERE)
    assert work.call("preflight", "resume", grants=ON_THERE, devices_before=[HERE])["ok"] == {}
    assert work.call("do", "resume", grants=ON_THERE, devices_before=[HERE])["ok"]["state"] == "running"
    assert work.call("verify", "resume", grants=ON_THERE, devices_before=[HERE])["ok"]["holds"]
    assert not work.call("verify", "suspend", grants=ON_THERE)["ok"]["holds"]
    assert work.cuda.memory(work.pid) == {THERE: MIB}


def test_taken_back_it_has_its_devices_again(work):
    work.call("do", "suspend", grants=ON_HERE)
    work.call("do", "unclaim")
    work.call("undo", "suspend", grants=ON_HERE)
    assert work.cuda.state(work.pid) == "running"
    assert work.claimed() == [(HERE, work.workload)]


def test_it_is_not_taken_back_onto_devices_that_others_have(work, node):
    work.call("do", "suspend", grants=ON_HERE)
    work.call("do", "unclaim")
    other = node.workload()
    assert "ok" in work.program.call("do", "claim", other, grants=ON_HERE)
    assert work.call("undo", "suspend", grants=ON_HERE)["error"]["reason"] == "claimed"
    assert work.cuda.state(work.pid) == "checkpointed"
    work.program.call("do", "unclaim", other)


def test_what_has_ended_or_is_another_start_is_told_as_gone_and_undone_by_nothing(work):
    assert work.call("do", "suspend", grants=ON_HERE, attempt=2)["error"]["reason"] == "gone"
    work.call("do", "suspend", grants=ON_HERE)
    work.call("do", "stop", grace_s=0)
    assert work.call("preflight", "resume", grants=ON_HERE, devices_before=[HERE])["error"]["reason"] == "gone"
    assert work.call("undo", "suspend", grants=ON_HERE)["ok"].get("state") is None
    assert not work.call("verify", "suspend", grants=ON_HERE)["ok"]["holds"]


def test_the_longest_time_ends_work_that_stands_still(node):
    program = node.program()
    workload, _ = node.start(program, "sleep", "300", at_most_s=20.0)
    cgroups = cgroup.probe()
    cgroups.freeze(workload, True)
    end = program.end(workload)
    assert (end["reason"], end["signal"]) == ("at-most", 15)
    assert not cgroups.exists(workload)


def test_a_program_that_is_killed_in_the_middle_lets_the_next_one_finish(work, node):
    work.program.send("do", call=_call("suspend", work.workload, grants=ON_HERE))
    node.until(lambda: work.cuda.begun("lock"))
    work.program.kill()
    work.program = node.program()
    assert work.call("do", "suspend", grants=ON_HERE)["ok"]["state"] == "suspended"
    assert work.cuda.state(work.pid) == "checkpointed"


def _call(kind, workload, **more):
    step = {"kind": kind, "workload": workload, "attempt": 1, **more}
    return {"run": "r", "seq": 1, "fence": 1, "controller": "c" * 32, "step": step}


def test_two_at_once_are_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.setattr(suspending, "_BUSY_S", 0.05)
    fd = os.open(tmp_path / "suspending", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(Refused) as refused:
        suspending.take_turn(str(tmp_path / "suspending"))
    assert refused.value.reason == "busy"
    os.close(fd)
    os.close(suspending.take_turn(str(tmp_path / "suspending")))
