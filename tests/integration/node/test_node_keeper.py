"""The keeper: whatever is killed, a workload runs once and its end is told."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from fakes.command import wait_until

NOTHING_ASKED = {"cpus": None, "cpuset": None, "memory_mib": None, "pids": None, "grants": [], "env": {}}


def alive(pid):
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


def test_the_workload_outlives_its_node_program(any_node):
    program = any_node.program()
    workload, told = any_node.start(program, "sleep", "600")
    program.kill()
    assert alive(told["ok"]["pid"])
    program = any_node.program()
    assert program.record(workload)["end"] is None
    end = program.call("do", "stop", workload, grace_s=5)["ok"]["end"]
    assert (end["exit_code"], end["signal"], end["reason"]) == (143, signal.SIGTERM, "released")
    assert not alive(told["ok"]["pid"])
    assert program.call("do", "stop", workload, grace_s=5)["ok"]["end"] == end
    assert program.call("verify", "stop", workload)["ok"]["holds"] is True


def test_what_ignores_term_is_killed_after_the_grace(node):
    program = node.program()
    workload, _ = node.start(program, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    node.until(lambda: program.output(workload))
    end = program.call("do", "stop", workload, grace_s=0.2)["ok"]["end"]
    assert (end["exit_code"], end["signal"]) == (137, signal.SIGKILL)
    assert node.groups(workload) == []


def test_it_is_over_when_its_last_process_ended(node):
    program = node.program()
    script = "setsid sh -c 'while ! test -e go; do sleep 0.05; done; echo late' & exit 4"
    workload, told = node.start(program, "sh", "-c", script, cwd=str(node.state_dir.parent))
    node.until(lambda: not alive(told["ok"]["pid"]))
    assert program.record(workload)["end"] is None
    (node.state_dir.parent / "go").touch()
    assert program.end(workload)["exit_code"] == 4
    assert program.output(workload) == "late\n"


def test_at_most_ends_it_and_says_so(node):
    program = node.program()
    workload, _ = node.start(program, "sleep", "600", at_most_s=0.3)
    end = program.end(workload)
    assert (end["exit_code"], end["reason"]) == (143, "at-most")


def test_a_killed_keeper_is_noticed(node):
    program = node.program()
    workload, told = node.start(program, "sleep", "600", pids=20)
    keeper = node.file(workload, "started.json")["keeper_pid"]
    os.kill(keeper, signal.SIGKILL)
    node.until(lambda: not alive(keeper))
    assert program.record(workload)["end"] is None, "its process still runs"
    os.kill(told["ok"]["pid"], signal.SIGKILL)
    end = program.end(workload)
    assert (end["exit_code"], end["reason"]) == (125, "keeper-lost")
    assert node.groups(workload) == []


def test_stop_works_without_a_keeper(node):
    program = node.program()
    workload, told = node.start(program, "sh", "-c", "sleep 600 & sleep 600")
    keeper = node.file(workload, "started.json")["keeper_pid"]
    os.kill(keeper, signal.SIGKILL)
    node.until(lambda: not alive(keeper))
    end = program.call("do", "stop", workload, grace_s=5)["ok"]["end"]
    assert (end["exit_code"], end["reason"]) == (143, "released")
    assert not alive(told["ok"]["pid"])
    assert node.groups(workload) == []


def test_stop_of_what_never_ran_is_nothing(node):
    program = node.program()
    assert program.call("do", "stop", node.workload(), grace_s=1)["ok"] == {"end": None, "checkpoint": None}


def test_another_boot_ended_it(node):
    program = node.program()
    workload, _ = node.start(program, "true")
    program.end(workload)
    folder = node.state_dir / "workloads" / workload
    started = dict(json.loads((folder / "started.json").read_text()), boot_id="another", pid=os.getpid())
    # While it lives, whatever it kept is taken for running.
    wait_until(lambda: not alive(started["keeper_pid"]), "the keeper ended")
    (folder / "started.json").write_text(json.dumps(started))
    (folder / "end.json").unlink()
    assert program.record(workload)["end"]["reason"] == "rebooted"


def test_a_second_attempt_follows_an_end_and_never_a_running_one(node):
    program = node.program()
    workload, first = node.start(program, "sh", "-c", "echo first; exec sleep 600")
    again = dict(NOTHING_ASKED, command=["echo", "second"])
    assert program.call("do", "start", workload, attempt=2, **again)["error"]["reason"] == "failed"
    program.call("do", "stop", workload, grace_s=5)
    second = program.call("do", "start", workload, attempt=2, **again)["ok"]
    assert second["pid"] != first["ok"]["pid"]
    assert program.end(workload)["exit_code"] == 0
    assert program.output(workload) == "second\n"
    assert program.record(workload)["attempt"] == 2


@pytest.mark.parametrize("delay_s", [0.0, 0.004, 0.01, 0.02, 0.03, 0.05, 0.08])
def test_a_start_whose_node_program_is_killed_happens_once(node, delay_s):
    """At whatever moment the program dies, asking again gives one start."""
    program = node.program()
    program.ask("claims")
    workload = node.workload()
    command = ["sh", "-c", "echo started >> count; exec sleep 600"]
    step = dict(
        NOTHING_ASKED, kind="start", workload=workload, attempt=1, command=command, cwd=str(node.state_dir.parent)
    )
    program.send("do", call={"run": "r", "seq": 1, "fence": 1, "controller": "c" * 32, "step": step})
    time.sleep(delay_s)
    program.kill()
    program = node.program()
    told = program.ask("do", call={"run": "r", "seq": 1, "fence": 2, "controller": "c" * 32, "step": step})
    assert alive(told["ok"]["pid"])
    node.until((node.state_dir.parent / "count").exists)
    assert (node.state_dir.parent / "count").read_text() == "started\n"


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.3])
def test_a_keeper_that_was_never_told_what_to_start_is_followed_by_another(node, delay_s):
    """Its node program was killed in between; the next one finds it still there, or not any more."""
    program = node.program()
    program.ask("claims")
    workload = node.workload()
    folder = node.state_dir / "workloads" / workload
    folder.mkdir(parents=True, mode=0o700)
    step = dict(NOTHING_ASKED, kind="start", workload=workload, attempt=1, command=["echo", "started"], cwd=None)
    with (folder / "keeper").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        program.send("do", call={"run": "r", "seq": 1, "fence": 1, "controller": "c" * 32, "step": step})
        time.sleep(delay_s)
    assert program.receive()["ok"]["pid"] > 0
    assert program.end(workload)["exit_code"] == 0
    assert program.output(workload) == "started\n"


def test_output_beyond_the_cap_drops_the_oldest(node):
    program = node.program()
    script = "import sys\nfor n in range(70): sys.stdout.write(chr(65 + n % 26) * (1 << 20))\nprint('END')"
    workload, _ = node.start(program, sys.executable, "-c", script)
    program.end(workload)
    record = program.record(workload)
    assert record["log_bytes"] == (70 << 20) + 4
    first = program.ask("logs", workload=workload, offset=0, limit=10)["ok"]
    assert 6 << 20 < first["next_offset"] - 10 <= 16 << 20
    kept = sum(path.stat().st_size for path in (node.state_dir / "workloads" / workload).glob("log.*"))
    assert kept <= 64 << 20
    assert program.ask("logs", workload=workload, offset=record["log_bytes"] - 4, limit=10)["ok"]["data"] == "RU5ECg=="


@pytest.mark.root
def test_a_full_disk_does_not_hold_the_workload_up(node):
    node.state_dir.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(node.state_dir)], check=True)
    try:
        program = node.program()
        script = "import sys\nfor _ in range(8): sys.stdout.write('x' * (1 << 20))\nsys.exit(5)"
        workload, _ = node.start(program, sys.executable, "-c", script)
        assert program.end(workload)["exit_code"] == 5
        program.close()
    finally:
        subprocess.run(["umount", "-l", str(node.state_dir)], check=True)


def test_the_keeper_holds_no_descriptor_of_its_starter(node):
    program = node.program()
    workload, told = node.start(program, "sh", "-c", "ls -l /proc/self/fd; exec sleep 600")
    keeper = node.file(workload, "started.json")["keeper_pid"]
    pipes = {os.readlink(f"/proc/{program.process.pid}/fd/{number}") for number in (0, 1)}
    for pid in (keeper, told["ok"]["pid"]):
        held = set()
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed while we look
                held.add(os.readlink(path))
        assert not held & pipes
    assert os.getsid(keeper) not in (os.getsid(0), os.getsid(told["ok"]["pid"]))
    wait_until(lambda: len(list(Path(f"/proc/{told['ok']['pid']}/fd").iterdir())) == 3, "it holds three descriptors")
