"""The node program as a process: first answers, one whole piece of work, exits."""

import json
import os
import subprocess
import sys

import pytest

GPU = {"device": "GPU-1", "mig_instance": None, "share": "exclusive", "fraction": 1.0, "memory_mib": None}


def test_the_first_answers(any_node):
    program = any_node.program()
    for verb in ("hello", "inventory", "sample", "processes", "claims"):
        program.send(verb)
    hello, inventory, sample, processes, claims = (program.receive()["ok"] for _ in range(5))
    assert hello["wire"] == 3
    assert hello["user"]
    assert hello["privileged"] == (os.geteuid() == 0)
    assert hello["state_dir"] == str(any_node.state_dir)
    assert hello["nvml"]["state"] in ("ok", "absent")
    assert inventory["host"]["cpus"] == os.cpu_count()
    assert sample["host"]["memory_available_mib"] <= inventory["host"]["memory_total_mib"]
    assert sample["host"]["disk_used_mib"] <= inventory["host"]["disk_total_mib"]
    if hello["nvml"]["state"] == "absent":
        assert hello["nvml"]["reason"]
        assert (inventory["devices"], sample["devices"], processes["processes"]) == ([], [], [])
    assert claims == {"claims": [], "workloads": []}
    assert program.close() == 0


def test_rates_come_with_the_second_sample(node):
    program = node.program()
    program.ask("sample")

    def rate():
        return program.ask("sample")["ok"]["host"]["cpu_utilization_ratio"] is not None

    node.until(rate)
    host = program.ask("sample")["ok"]["host"]
    assert host["cpu_utilization_ratio"] is None or 0 <= host["cpu_utilization_ratio"] <= 1


def test_a_piece_of_work_from_start_to_end(any_node):
    program = any_node.program()
    workload, told = any_node.start(
        program, "sh", "-c", "echo $0 $WORD; echo seen $CUDA_VISIBLE_DEVICES; exit 3", env={"WORD": "é"}, grants=[GPU]
    )
    facts = told["ok"]
    assert facts["visible"] == "GPU-1"
    assert facts["held_by"] == {"gpu": "soft", "cpu": None, "memory": None, "pids": None}
    end = program.end(workload)
    assert (end["exit_code"], end["signal"], end["oom"], end["reason"]) == (3, None, False, None)
    assert program.output(workload) == "sh é\nseen GPU-1\n"
    assert program.ask("logs", workload=workload, offset=0, limit=4)["ok"]["next_offset"] == 4
    assert program.ask("logs", workload=workload, offset=0, limit=4)["ok"]["ended"] is False
    assert program.ask("logs", workload=workload, offset=100, limit=4)["ok"]["ended"] is True
    assert any_node.start(program, "other", workload=workload, grants=[GPU])[1]["ok"] == facts
    assert program.call("verify", "start", workload, grants=[], command=["x"])["ok"]["holds"] is True
    assert any_node.groups(workload) == []


def test_secrets_reach_the_command_and_no_file(node):
    program = node.program()
    workload, _ = node.start(program, "sh", "-c", 'test "${#SECRET}" = 11', env={"SECRET": "xyzzy-plugh"})
    assert program.end(workload)["exit_code"] == 0
    for path in node.state_dir.rglob("*"):
        assert not path.is_file() or b"xyzzy-plugh" not in path.read_bytes()
    assert (node.state_dir / "workloads" / workload / "spec.json").stat().st_mode & 0o777 == 0o600
    assert "SECRET" in node.file(workload, "spec.json")["env"]


@pytest.mark.parametrize(
    ("command", "cwd", "reason"),
    [
        (["no-such-command-at-all"], None, "no-command"),
        (["/no/such/file"], None, "no-command"),
        (["true"], "/no/such/folder", "no-command"),
        (["/etc/hostname"], None, "not-executable"),
        (["/etc"], None, "not-executable"),
    ],
)
def test_what_cannot_be_executed_leaves_nothing(node, command, cwd, reason):
    program = node.program()
    workload, told = node.start(program, *command, cwd=cwd, memory_mib=64)
    assert told["error"]["reason"] == reason
    assert program.record(workload) is None
    assert not (node.state_dir / "workloads" / workload).exists()
    assert node.groups(workload) == []
    assert node.start(program, "true", workload=workload)[1]["ok"]["pid"]


def test_an_unknown_account_is_refused(node):
    if os.geteuid() != 0:
        pytest.skip("only root becomes another account")
    program = node.program()
    workload, told = node.start(program, "true", user="no-such-account")
    assert told["error"]["reason"] == "no-user"
    assert program.record(workload) is None


@pytest.mark.root
def test_the_command_runs_as_its_account(node):
    program = node.program()
    workload, _ = node.start(program, "sh", "-c", "id -un; id -Gn; echo $HOME $USER", user="nobody")
    program.end(workload)
    assert program.output(workload).split()[0] == "nobody"
    assert "root" not in program.output(workload)


def test_a_claim_of_nothing_and_of_what_is_not_there(node):
    program = node.program()
    assert program.call("do", "claim", node.workload(), grants=[])["ok"] == {"grants": []}
    told = program.call("do", "claim", node.workload(), grants=[dict(GPU, device="GPU-none")])
    assert told["error"]["reason"] == "gone"


def test_events_tell_of_an_end(node):
    program, other = node.program(), node.program()
    program.ask("claims")
    assert program.ask("events", timeout_s=0)["ok"] == {"changed": False}
    program.send("events", timeout_s=30)
    node.start(other, "true")
    # No longer wait can be asked for; a stall may have used this one up.
    assert program.receive()["ok"]["changed"] or program.ask("events", timeout_s=30)["ok"]["changed"]


def test_two_programs_obey_one_lock_and_one_fence(node):
    one, two = node.program(), node.program()
    workload = node.workload()
    assert "ok" in one.call("do", "unlimit", workload, fence=5)
    assert two.call("do", "unlimit", workload, fence=4)["error"]["reason"] == "fenced"


def test_the_same_start_asked_of_two_programs_happens_once(node):
    one, two = node.program(), node.program()
    workload = node.workload()
    fields = {"cpus": None, "cpuset": None, "memory_mib": None, "pids": None, "grants": [], "env": {}}
    step = dict(fields, kind="start", workload=workload, attempt=1, command=["sh", "-c", "echo once; exec sleep 600"])
    call = {"run": "r", "seq": 1, "fence": 1, "controller": "c" * 32, "step": step}
    for program in (one, two):
        program.send("do", call=call)
    assert one.receive()["ok"] == two.receive()["ok"]
    node.until(lambda: one.output(workload))
    assert one.output(workload) == "once\n"


def test_it_ends_with_its_stdin_while_a_call_hangs(node):
    """A driver that never answers must not keep the process alive."""
    script = (
        "import threading, pynvml; pynvml.nvmlInit = threading.Event().wait\n"
        "from gpualloc.node.__main__ import main; main([])"
    )
    program = node.program([sys.executable, "-c", script])
    assert program.ask("claims")["ok"] == {"claims": [], "workloads": []}
    program.send("hello")
    assert program.close() == 0


def test_wrong_arguments_are_told_on_stderr(node):
    told = subprocess.run([sys.executable, "-m", "gpualloc.node", "dance"], capture_output=True, check=False)
    assert told.returncode == 2
    assert told.stdout == b""
    assert b"usage" in told.stderr


def test_state_that_cannot_be_written_is_said(node, tmp_path):
    (tmp_path / "file").write_text("")
    node.state_dir = tmp_path / "file" / "below"
    program = node.program()
    told = program.call("do", "unlimit", "w00000000")
    assert told["error"]["reason"] == "disk"
    assert json.dumps(str(node.state_dir))[1:-1] in told["error"]["message"]
    node.state_dir = tmp_path / "state"
