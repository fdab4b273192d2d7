"""The checkpoint hook: it runs once, before TERM, as the owner; what it came to is told."""

import os
import pwd
import signal
import time

import pytest

SAVES = "trap 'echo saved; exit 7' USR1; echo ready; while :; do sleep 0.05; done"
DEAF = "trap 'echo told' USR1; trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done"
WAITS = "echo ready; exec sleep 600"


def by_signal(grace_s=30):
    return {"signal": "USR1", "command": [], "grace_s": grace_s}


def by_command(*command, grace_s=30):
    return {"signal": None, "command": list(command), "grace_s": grace_s}


def started(node, program, script, hook, **more):
    workload, _ = node.start(program, "sh", "-c", script, checkpoint=hook, **more)
    node.until(lambda: "ready" in program.output(workload))
    return workload


def test_work_that_saves_itself_keeps_its_own_end(any_node):
    program = any_node.program()
    workload = started(any_node, program, SAVES, by_signal())
    told = program.call("do", "stop", workload, grace_s=30, checkpoint=True)["ok"]
    assert (told["end"]["exit_code"], told["end"]["signal"], told["end"]["reason"]) == (7, None, "checkpointed")
    assert told["checkpoint"] == "saved"
    assert program.output(workload) == "ready\nsaved\n"
    assert program.call("do", "stop", workload, grace_s=30, checkpoint=True)["ok"] == told
    assert any_node.groups(workload) == []


def test_work_that_goes_on_after_the_signal_is_stopped_after_the_grace(node):
    program = node.program()
    workload = started(node, program, DEAF, by_signal(grace_s=0.3))
    told = program.call("do", "stop", workload, grace_s=30, checkpoint=True)["ok"]
    assert (told["end"]["exit_code"], told["end"]["reason"], told["checkpoint"]) == (3, "released", "late")
    assert program.output(workload).startswith("ready\ntold\n")


def test_the_command_runs_as_the_owner_in_the_group_with_the_pid_and_no_descriptor_of_ours(any_node):
    program = any_node.program()
    name = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    script = (
        "id -un; echo pid=$GPUALLOC_PID work=$GPUALLOC_WORKLOAD set=$SET;"
        " echo /proc/self/fd/*; grep -o 'gpualloc/w.*' /proc/self/cgroup | sort -u; kill $GPUALLOC_PID"
    )
    hook = by_command("sh", "-c", script)
    workload = started(any_node, program, WAITS, hook, user=name, pids=20, env={"SET": "yes"})
    pid = any_node.file(workload, "started.json")["pid"]
    told = program.call("do", "stop", workload, grace_s=30, checkpoint=True)["ok"]
    assert (told["checkpoint"], told["end"]["reason"], told["end"]["signal"]) == (
        "saved",
        "checkpointed",
        signal.SIGTERM,
    )
    lines = program.output(workload).splitlines()
    # The fourth descriptor is that of the folder which the shell reads.
    assert lines[:4] == [
        "ready",
        name,
        f"pid={pid} work={workload} set=yes",
        " ".join(f"/proc/self/fd/{number}" for number in range(4)),
    ]
    assert os.geteuid() != 0 or lines[4:] == [f"gpualloc/{workload}"]


@pytest.mark.parametrize(
    ("command", "outcome"),
    [(["false"], "failed"), (["/nonexistent/save"], "failed"), (["sleep", "600"], "late"), (["true"], "saved")],
)
def test_how_the_command_went_is_told_and_the_work_is_stopped(node, command, outcome):
    program = node.program()
    workload = started(node, program, WAITS, by_command(*command, grace_s=0.5 if outcome == "late" else 30))
    told = program.call("do", "stop", workload, grace_s=30, checkpoint=True)["ok"]
    assert told["checkpoint"] == outcome
    assert told["end"]["reason"] == ("checkpointed" if outcome == "saved" else "released")
    assert told["end"]["signal"] == signal.SIGTERM


def test_a_stop_that_does_not_wait_for_the_hook_ends_it_too(node):
    program, impatient = node.program(), node.program()
    marks = node.state_dir.parent / "marks"
    hook = by_command("sh", "-c", f"echo x >> {marks}; exec sleep 600", grace_s=600)
    workload = started(node, program, WAITS, hook)
    program.send("do", call=_stop(workload, checkpoint=True))
    node.until(marks.exists)
    told = impatient.call("do", "stop", workload, grace_s=30)["ok"]
    assert (told["end"]["reason"], told["checkpoint"]) == ("released", "cut short")
    assert program.receive()["ok"] == told
    assert marks.read_text() == "x\n"


@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.03, 0.1])
def test_the_hook_runs_once_however_often_the_node_program_is_killed(node, delay_s):
    program = node.program()
    folder = node.state_dir.parent
    script = f"echo x >> {folder}/marks; while ! test -e {folder}/go; do sleep 0.05; done"
    workload = started(node, program, WAITS, by_command("sh", "-c", script))
    for _ in range(2):
        program.send("do", call=_stop(workload, checkpoint=True))
        time.sleep(delay_s)
        program.kill()
        program = node.program()
    program.send("do", call=_stop(workload, checkpoint=True))
    node.until((folder / "marks").exists)
    (folder / "go").touch()
    told = program.receive()["ok"]
    assert (told["checkpoint"], told["end"]["reason"]) == ("saved", "checkpointed")
    assert (folder / "marks").read_text() == "x\n"


def test_without_its_keeper_work_is_stopped_without_its_hook(node):
    program = node.program()
    marks = node.state_dir.parent / "marks"
    workload = started(node, program, WAITS, by_command("touch", str(marks)))
    keeper = node.file(workload, "started.json")["keeper_pid"]
    os.kill(keeper, signal.SIGKILL)
    node.until(lambda: not os.path.exists(f"/proc/{keeper}/cwd"))
    told = program.call("do", "stop", workload, grace_s=30, checkpoint=True)["ok"]
    assert (told["end"]["reason"], told["checkpoint"]) == ("released", None)
    assert not marks.exists()


def test_a_signal_that_does_not_exist_is_refused(node):
    program = node.program()
    refused = node.start(program, "true", checkpoint={"signal": "NOSUCH", "command": [], "grace_s": 1})[1]
    assert refused["error"]["message"] == "this node knows no signal NOSUCH"


def _stop(workload, **more):
    step = {"kind": "stop", "workload": workload, "attempt": 1, "grace_s": 30, **more}
    return {"run": "r", "seq": 1, "fence": 1, "controller": "c" * 32, "step": step}
