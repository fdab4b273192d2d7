"""Signals sent by the real node program to real processes: each once, to the one that was named."""

import json
import os
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

CONTROLLER = "c" * 32
SIGNALS = ("TERM", "KILL", "INT", "HUP", "STOP", "CONT", "USR1", "USR2", "QUIT")
TELLS = (
    "import signal, sys, time\n"
    "for name in ('HUP', 'USR1', 'USR2', 'TERM'):\n"
    "    number = getattr(signal, 'SIG' + name)\n"
    "    signal.signal(number, lambda got, _: print(signal.Signals(got).name, flush=True))\n"
    "print('ready', flush=True)\n"
    "while True: time.sleep(60)\n"
)
_seqs = count(1)


@pytest.fixture
def begin():
    """Starts processes that are nobody's work; ends them afterwards."""
    begun = []

    def begin(*command, **more):
        process = subprocess.Popen(command or ["sleep", "600"], stdout=subprocess.PIPE, start_new_session=True, **more)
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.wait(60)
        process.stdout.close()


@pytest.fixture
def telling(begin):
    """A process that says which signals it got."""
    process = begin(sys.executable, "-c", TELLS)
    assert process.stdout.readline() == b"ready\n"
    return process


def call(process, name="TERM", *, seq=None, **more):
    step = {"kind": "signal", "workload": None, "attempt": 0, "device": None}
    step["process"] = {**process, "signal": name, **more}
    return {"run": "r1", "seq": seq or next(_seqs), "fence": 1, "controller": CONTROLLER, "step": step}


def named(program, pid):
    return {"pid": pid, "started_at_s": program.ask("process", pid=pid)["ok"]["started_at_s"]}


def send(program, pid, name="TERM", verb="do", **more):
    return program.ask(verb, call=call(named(program, pid), name, **more))


def reason(told):
    return told["error"]["reason"]


@pytest.mark.parametrize("name", ["TERM", "KILL", "INT", "QUIT"])
def test_it_ends_what_does_nothing_else_with_it(any_node, begin, name):
    program, process = any_node.program(), begin()
    assert send(program, process.pid, name)["ok"] == {"state": "gone"}
    assert process.wait(60) == -getattr(signal, "SIG" + name)


def test_stopped_and_going_on(any_node, begin):
    program, process = any_node.program(), begin()
    assert send(program, process.pid, "STOP")["ok"] == {"state": "stopped"}
    assert send(program, process.pid, "TERM")["ok"] == {"state": "stopped"}
    assert process.poll() is None
    assert send(program, process.pid, "CONT")["ok"]["state"] in ("running", "gone"), "TERM waits for it"
    assert process.wait(60) == -signal.SIGTERM


@pytest.mark.parametrize("name", ["HUP", "USR1", "USR2", "TERM"])
def test_a_process_that_lives_on_is_told_so(any_node, telling, name):
    assert send(any_node.program(), telling.pid, name)["ok"] == {"state": "running"}
    assert telling.stdout.readline() == f"SIG{name}\n".encode()


def test_a_signal_is_sent_once_whoever_asks_again(any_node, telling):
    program = any_node.program()
    once = call(named(program, telling.pid), "USR1")
    assert program.ask("verify", call=once)["ok"] == {"holds": False}
    assert program.ask("preflight", call=once)["ok"] == {}
    for other in (program, any_node.program()):
        assert other.ask("do", call=once)["ok"] == {"state": "running"}
        assert other.ask("verify", call=once)["ok"] == {"holds": True, "state": "running"}
    assert send(program, telling.pid, "USR2")["ok"] == {"state": "running"}
    assert [telling.stdout.readline() for _ in range(2)] == [b"SIGUSR1\n", b"SIGUSR2\n"]


def test_what_a_killed_node_program_may_have_sent_is_not_sent_again(node, telling):
    program = node.program()
    begun = call(named(program, telling.pid), "USR1")
    file = node.state_dir / "signals" / f"{CONTROLLER}-r1-{begun['seq']}"
    file.parent.mkdir(parents=True)
    file.touch()
    assert program.ask("verify", call=begun)["ok"] == {"holds": True, "state": None}
    assert program.ask("do", call=begun)["ok"] == {"state": None}
    send(program, telling.pid, "HUP")
    assert telling.stdout.readline() == b"SIGHUP\n"


def test_the_newest_orders_are_remembered(node, begin):
    program, process = node.program(), begin()
    (node.state_dir / "signals").mkdir(parents=True)
    for number in range(300):
        (node.state_dir / "signals" / f"old-{number}").touch()
    os.utime(node.state_dir / "signals" / "old-299", (0, 0))
    assert send(program, process.pid)["ok"] == {"state": "gone"}
    kept = os.listdir(node.state_dir / "signals")
    assert (len(kept), "old-299" in kept) == (200, False)


def test_another_process_of_the_same_pid_gets_nothing(any_node, begin):
    program, process = any_node.program(), begin()
    told = named(program, process.pid)
    for wrong in (told["started_at_s"] - 1.0, told["started_at_s"] + 1.0):
        for verb in ("preflight", "do"):
            answer = program.ask(verb, call=call(told, "KILL", started_at_s=wrong))
            assert "began at another time" in answer["error"]["message"]
            assert reason(answer) == "gone"
    assert process.poll() is None
    assert not (any_node.state_dir / "signals").exists()


def test_one_that_ended_is_gone(any_node, begin):
    program, process = any_node.program(), begin()
    told = named(program, process.pid)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert reason(program.ask("do", call=call(told))) == "gone", "nobody has taken note of its end"
    process.wait(60)
    assert reason(program.ask("do", call=call(told))) == "gone"


def test_what_runs_this_and_the_system_get_nothing(any_node):
    program = any_node.program()
    for pid in (os.getpid(), program.process.pid, os.getppid()):
        if pid > 1:
            answer = send(program, pid, "HUP")
            assert reason(answer) == "not-permitted"
            assert "what runs this gpualloc" in answer["error"]["message"]
    thread = program.ask("process", pid=2)
    if "ok" in thread and thread["ok"]["command"] == "[kthreadd]":
        assert reason(send(program, 2, "HUP")) == "not-permitted"
    assert reason(program.ask("do", call=call({"pid": 1, "started_at_s": 1.0}))) == "bad-request"


@pytest.mark.parametrize("name", SIGNALS)
def test_work_gets_what_programs_give_a_meaning_of_their_own(node, name):
    program = node.program()
    workload, told = node.start(program, sys.executable, "-uc", TELLS)
    pid = told["ok"]["pid"]
    node.until(lambda: program.output(workload) == "ready\n")
    answer = send(program, pid, name)
    if name in ("HUP", "USR1", "USR2"):
        assert answer["ok"] == {"state": "running"}
        node.until(lambda: program.output(workload) == f"ready\nSIG{name}\n")
    else:
        assert reason(answer) == "claimed"
        assert f"process {pid} belongs to workload {workload}" in answer["error"]["message"]
    assert program.record(workload)["end"] is None
    assert program.output(workload) == (f"ready\nSIG{name}\n" if "ok" in answer else "ready\n")


@pytest.mark.parametrize("name", SIGNALS)
def test_its_keeper_gets_nothing(node, name):
    program = node.program()
    workload, _ = node.start(program, "sleep", "600")
    keeper = node.file(workload, "started.json")["keeper_pid"]
    answer = send(program, keeper, name)
    assert (reason(answer), "keeps a workload" in answer["error"]["message"]) == ("not-permitted", True)
    assert program.record(workload)["end"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"signal": "SEGV"},
        {"signal": 9},
        {"signal": None},
        {"signal": "SIGTERM"},
        {"signal": ["TERM"]},
        {"pid": 0},
        {"pid": -1},
        {"pid": 1},
        {"pid": 1 << 23},
        {"pid": "5"},
        {"pid": 5.5},
        {"pid": True},
        {"started_at_s": "now"},
        {"started_at_s": None},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(node, wrong):
    process = {"pid": 5, "started_at_s": 1.0, "signal": "TERM", **wrong}
    order = call({})
    order["step"]["process"] = process
    assert reason(node.program().ask("do", call=order)) == "bad-request"


@pytest.mark.parametrize("run", ["../../etc", "", "R1", "r" * 33, None, 7, "r1/x"], ids=str)
def test_no_run_names_a_file_elsewhere(node, begin, run):
    program = node.program()
    order = {**call(named(program, begin().pid)), "run": run}
    assert reason(program.ask("do", call=order)) == "bad-request"
    assert not (node.state_dir / "signals").exists()


def test_it_cannot_be_taken_back(node, begin):
    assert reason(send(node.program(), begin().pid, "HUP", verb="undo")) == "bad-request"


def test_an_older_fence_sends_nothing(node, begin):
    program, process = node.program(), begin()
    assert program.ask("do", call={**call(named(program, process.pid), "HUP"), "fence": 7})["ok"] == {"state": "gone"}
    other = begin()
    assert reason(program.ask("do", call={**call(named(program, other.pid), "KILL"), "fence": 6})) == "fenced"
    assert other.poll() is None


def test_what_is_remembered_is_private(node, begin):
    program, process = node.program(), begin()
    send(program, process.pid)
    (file,) = (node.state_dir / "signals").iterdir()
    assert json.loads(file.read_text())["state"] == "gone"
    assert [path.stat().st_mode & 0o077 for path in (file, file.parent)] == [0, 0]
    assert Path(file).name.startswith(CONTROLLER)
