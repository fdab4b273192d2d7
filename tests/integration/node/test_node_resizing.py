"""The step `resize` over the wire: real resize commands, a real keeper and group, and devices of the fake NVML."""

import json
import os
import pwd
import subprocess
from pathlib import Path

import pytest
from fakes.nvml_stub import FakeGpu, environment, write_state

GPUS = [FakeGpu(index) for index in range(4)]
UUIDS = [gpu.full_uuid for gpu in GPUS]
WHOLE = {"mig_instance": None, "place": None, "share": "exclusive", "fraction": 1.0, "memory_mib": None}
ME = pwd.getpwuid(os.geteuid()).pw_name


def on(*indices):
    return [{**WHOLE, "device": UUIDS[index]} for index in indices]


class Elastic:
    """Work on the first two of four devices, and the program that is asked."""

    def __init__(self, node, folder):
        self.node = node
        self.folder = folder
        self.program = node.program()
        self.workload = node.workload()
        assert "ok" in self.call("do", "claim", grants=on(0, 1))
        started = node.start(self.program, "sleep", "300", workload=self.workload, grants=on(0, 1))[1]
        self.pid = started["ok"]["pid"]

    def call(self, verb, kind, **more):
        return self.program.call(verb, kind, self.workload, **more)

    def resize(self, verb, *command, before=(0, 1), after=(0, 1, 2, 3), grace_s=30.0, **more):
        fields = {"env": {}, "cwd": None, "user": None, "command": list(command) or ["true"], **more}
        devices = [UUIDS[index] for index in before]
        return self.call(verb, "resize", grants=on(*after), devices_before=devices, grace_s=grace_s, **fields)

    def claimed(self):
        claims = self.program.ask("claims")["ok"]["claims"]
        return sorted(UUIDS.index(claim["device"]) for claim in claims if claim["workload"] == self.workload)

    def marked(self):
        return (self.node.state_dir / "workloads" / self.workload / "resizing.json").exists()

    def uses(self, *indices, pid=None):
        """Let the fake driver show the work on these devices."""
        seen = ((pid or self.pid, 100),)
        write_state(self.folder / "nvml", [FakeGpu(n, processes=seen if n in indices else ()) for n in range(4)])


@pytest.fixture
def surroundings(tmp_path, monkeypatch):
    write_state(tmp_path / "nvml", GPUS)
    for name, value in environment(tmp_path / "nvml").items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def work(node, surroundings):
    return Elastic(node, surroundings)


def test_more_and_fewer_devices_and_back(work):
    said = work.folder / "said"
    script = f"echo $GPUALLOC_PID $GPUALLOC_DEVICES_BEFORE $GPUALLOC_DEVICES $CUDA_VISIBLE_DEVICES $SET > {said}"
    more = {"env": {"SET": "yes"}}
    assert work.resize("preflight", "sh", "-c", script, **more)["ok"] == {}
    assert not work.resize("verify", "sh", "-c", script, **more)["ok"]["holds"]
    facts = work.resize("do", "sh", "-c", script, **more)["ok"]
    assert facts["devices"] == UUIDS
    wanted = ",".join(UUIDS)
    assert said.read_text().split() == [str(work.pid), ",".join(UUIDS[:2]), wanted, wanted, "yes"]
    assert (work.claimed(), work.marked()) == ([0, 1, 2, 3], False)
    assert work.resize("verify", "false")["ok"]["holds"]
    assert work.resize("do", "false")["ok"]["devices"] == UUIDS, "what is done already is not done again"
    assert work.resize("undo", "sh", "-c", script)["ok"]["devices"] == UUIDS[:2]
    assert said.read_text().split()[1:3] == [wanted, ",".join(UUIDS[:2])]
    assert work.claimed() == [0, 1]
    assert work.resize("undo", "false")["ok"]["devices"] == UUIDS[:2]


def test_it_runs_as_the_owner_in_the_group_with_nothing_of_ours_open(work):
    name = "nobody" if os.geteuid() == 0 else ME
    script = "id -un; echo /proc/self/fd/*; grep -o 'gpualloc/w.*' /proc/self/cgroup | sort -u; exit 1"
    first = [work.resize("do", "sh", "-c", f"({script}) | sed -n {line}p; exit 1", user=name) for line in (1, 2, 3)]
    shown = [refused["error"]["message"].partition("code 1: ")[2].strip("'") for refused in first]
    assert shown[0] == name
    # The fourth descriptor is that of the folder which the shell reads.
    assert shown[1].split() == [f"/proc/self/fd/{number}" for number in range(4)]
    assert shown[2] in ("", f"gpualloc/{work.workload}")


@pytest.mark.parametrize(
    ("command", "grace_s", "said"),
    [
        (["sh", "-c", "echo no room; echo more; exit 3"], 30, "ended with exit code 3: 'no room'"),
        (["sh", "-c", "kill -9 $$"], 30, "ended with exit code 137"),
        (["sleep", "600"], 0.3, "took longer than 0.3 s and was ended"),
        (["yes"], 0.3, "took longer than 0.3 s and was ended: 'y'"),
        (["sh", "-c", "printf '\\033[2J\\377\\000\\n'; exit 4"], 30, "exit code 4: '\\x1b[2J\\ufffd\\x00'"),
        (["sh", "-c", "head -c 100000 /dev/zero | tr '\\0' a; exit 5"], 30, "exit code 5: '" + "a" * 200 + "'"),
        (["/nonexistent/resize"], 30, "/nonexistent/resize"),
    ],
)
@pytest.mark.parametrize("after", [(0, 1, 2), (1,)])
def test_a_command_that_does_not_do_it_leaves_everything_as_before(work, command, grace_s, said, after):
    refused = work.resize("do", *command, after=after, grace_s=grace_s)["error"]
    assert refused["reason"] == ("no-command" if command == ["/nonexistent/resize"] else "failed")
    assert said in refused["message"]
    assert len(refused["message"]) < 300
    assert (work.claimed(), work.marked()) == ([0, 1], False)
    assert not work.resize("verify", after=after)["ok"]["holds"]
    assert work.resize("do", after=after)["ok"]["devices"] == [UUIDS[index] for index in after]


def test_what_a_late_command_started_is_ended_with_it(work):
    pids = work.folder / "pids"
    script = f"sleep 601 & echo $! > {pids}; setsid sleep 602 & echo $! >> {pids}; wait"
    assert work.resize("do", "sh", "-c", script, grace_s=1.0)["error"]["reason"] == "failed"
    left = [pid for pid in pids.read_text().split() if os.path.exists(f"/proc/{pid}/cwd")]
    assert (len(pids.read_text().split()), left) == (2, [])
    assert os.path.exists(f"/proc/{work.pid}/cwd")


def test_what_a_command_leaves_behind_on_success_lives_on_in_the_work(work):
    pids = work.folder / "pids"
    script = f"sleep 603 >/dev/null 2>&1 & echo $! > {pids}"
    assert "ok" in work.resize("do", "sh", "-c", script)
    pid = int(pids.read_text())
    assert os.path.exists(f"/proc/{pid}/cwd")
    os.kill(pid, 9)


def test_devices_are_given_up_only_once_nothing_of_it_is_on_them(work):
    work.uses(0, 1)
    refused = work.resize("do", after=(0,), grace_s=0.5)["error"]
    assert refused["message"].startswith(f"process {work.pid} still uses a device that it gives up")
    assert work.claimed() == [0, 1]
    script = f"touch {work.folder}/told"
    work.program.send("do", call=resize_call(work, ["sh", "-c", script], (0,)))
    work.node.until((work.folder / "told").exists)
    work.uses(0)
    assert work.program.receive()["ok"]["devices"] == UUIDS[:1]
    assert work.claimed() == [0]


def test_a_device_that_does_not_answer_is_not_free(work):
    write_state(work.folder / "nvml", [FakeGpu(0), FakeGpu(1, fault="needs-reset"), *GPUS[2:]])
    refused = work.resize("do", after=(0,), grace_s=0.5)["error"]
    assert refused["message"].startswith("nobody can tell what uses a device")


def test_what_others_have_or_use_is_refused_before_anybody_is_told(work):
    other = work.node.workload()
    assert "ok" in work.program.call("do", "claim", other, grants=on(2))
    marks = work.folder / "marks"
    for verb in ("preflight", "do"):
        assert work.resize(verb, "touch", str(marks))["error"]["reason"] == "claimed"
    work.program.call("do", "unclaim", other)
    work.uses(3, pid=os.getpid())
    assert work.resize("do", "touch", str(marks))["error"]["reason"] == "stranger"
    assert work.resize("do", before=(0,), after=(0, 2))["error"]["reason"] == "claimed"
    assert work.resize("do", attempt=2)["error"]["reason"] == "gone"
    assert not marks.exists()
    assert work.claimed() == [0, 1]


def test_it_is_not_taken_back_onto_devices_that_others_have(work):
    assert "ok" in work.resize("do", after=(0,))
    other = work.node.workload()
    assert "ok" in work.program.call("do", "claim", other, grants=on(1))
    assert work.resize("undo", after=(0,))["error"]["reason"] == "claimed"
    assert work.claimed() == [0]
    work.program.call("do", "unclaim", other)


def test_work_that_stands_still_or_is_being_suspended_is_not_resized(work):
    (work.node.state_dir / "workloads" / work.workload / "suspended.json").write_text("{}")
    assert work.resize("preflight")["error"]["reason"] == "busy"
    assert work.resize("do")["error"]["reason"] == "busy"
    assert work.claimed() == [0, 1]


def test_what_has_ended_is_taken_back_by_nothing(work):
    assert "ok" in work.resize("do")
    work.call("do", "stop", grace_s=0)
    assert work.resize("undo")["ok"] == {}
    assert not work.resize("verify")["ok"]["holds"]
    assert work.claimed() == []


@pytest.mark.parametrize("finish", ["do", "undo"])
@pytest.mark.parametrize("after", [(0, 1, 2), (1,)])
def test_a_program_killed_in_the_middle_lets_the_next_one_finish_or_take_back(work, finish, after):
    begun = work.folder / "begun"
    work.program.send("do", call=resize_call(work, ["sh", "-c", f"echo $$ > {begun}; exec sleep 604"], after))
    work.node.until(lambda: begun.exists() and begun.read_text())
    work.program.kill()
    work.program = work.node.program()
    said = work.folder / "said"
    assert work.marked()
    assert not work.resize("verify", after=after)["ok"]["holds"]
    facts = work.resize(finish, "sh", "-c", f"echo $GPUALLOC_DEVICES > {said}", after=after)["ok"]
    wanted = after if finish == "do" else (0, 1)
    assert facts["devices"] == [UUIDS[index] for index in wanted]
    assert said.read_text().strip() == ",".join(facts["devices"])
    assert (work.claimed(), work.marked()) == ([*wanted], False)
    assert not os.path.exists(f"/proc/{begun.read_text().strip()}/cwd"), "the first command was ended"


RUN_HOOK = """
import json, os, sys
from gpualloc.node import resize_hook
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
print(json.dumps(resize_hook.run(json.loads(sys.argv[2]), fd)))
"""


@pytest.mark.parametrize(("script", "outcome"), [("echo a; exit 0", "done"), ("exit 3", "failed"), ("yes", "late")])
def test_the_command_is_run_by_every_python(any_node, tmp_path, script, outcome):
    me = pwd.getpwuid(os.geteuid())
    spec = {"workload": any_node.workload(), "command": ["sh", "-c", script], "env": {"PATH": os.environ["PATH"]}}
    account = {"name": me.pw_name, "uid": me.pw_uid, "gid": me.pw_gid}
    spec = {**spec, "cwd": None, "account": account, "grants": [], "require_hard": False, "grace_s": 1.0}
    repository = str(Path(__file__).parents[3])
    command = [any_node.python, "-c", RUN_HOOK, str(tmp_path / "lock"), json.dumps(spec)]
    told = subprocess.run(command, env={**os.environ, "PYTHONPATH": repository}, capture_output=True, check=True)
    assert json.loads(told.stdout)["outcome"] == outcome


@pytest.mark.root
def test_where_a_device_rule_is_in_force_it_follows(work):
    from gpualloc.node import cgroup, device_rule

    cgroups = cgroup.probe()
    if cgroups.isolation() is None:
        pytest.skip("this host cannot keep work from devices")
    cgroups.make(work.workload)
    rows = [{"uuid": uuid, "minor": minor} for minor, uuid in enumerate(UUIDS)]

    def rule(*indices):
        return cgroups.expected(device_rule.of_grants(on(*indices), rows))

    cgroups.restrict(work.workload, device_rule.of_grants(on(0, 1), rows))
    assert "ok" in work.resize("do")
    assert cgroups.restricted(work.workload) == rule(0, 1, 2, 3)
    assert "error" in work.resize("do", "false", before=(0, 1, 2, 3), after=(0,))
    assert cgroups.restricted(work.workload) == rule(0, 1, 2, 3)
    assert "ok" in work.resize("do", before=(0, 1, 2, 3), after=(0,))
    assert cgroups.restricted(work.workload) == rule(0)


def resize_call(work, command, after, before=(0, 1)):
    fields = {"env": {}, "cwd": None, "user": None, "command": command, "grace_s": 60.0}
    devices = [UUIDS[index] for index in before]
    step = {"kind": "resize", "workload": work.workload, "attempt": 1, "grants": on(*after), "devices_before": devices}
    return {"run": "r", "seq": 1, "fence": 1, "controller": "c" * 32, "step": {**step, **fields}}
