"""Hooks as real programs: what they are told, what is kept of them, and that none can hold an apply up."""

import json
import os
import sys

import pytest
from fakes.command import wait_until

from gpualloc.adapters.hooks import ProgramHooks
from gpualloc.adapters.program import MAX_OUTPUT_BYTES
from gpualloc.model.codec import from_plain
from gpualloc.model.plan import Step, StepKind, StepReason
from gpualloc.ports import HookEvent

STEP = Step(3, StepKind.STOP, "n1", "w1", "w1", StepReason.RELEASE, "", None, 1, 1)
EVENT = HookEvent(run="r1", plan="p1", step=STEP, node="n1", state="done", users=("ann", "bob"), workloads=("w1",))


def run(script, *, event=EVENT, timeout_s=600.0):
    return ProgramHooks({"post_step": [sys.executable, "-c", script]}, timeout_s).run("post_step", event)


def test_no_program_is_no_outcome():
    assert ProgramHooks({}, 1.0).run("exit", EVENT) is None


def test_it_is_told_everything_in_its_environment_and_the_step_on_stdin():
    script = "import json, os, sys; print(json.dumps([dict(os.environ), json.load(sys.stdin)]))"
    outcome = run(script)
    environment, step = json.loads(outcome.output)
    told = {name: value for name, value in environment.items() if name.startswith("GPUALLOC_")}
    assert outcome.problem is None
    assert from_plain(Step, step) == STEP
    assert told == {
        **{name: value for name, value in os.environ.items() if name.startswith("GPUALLOC_")},
        "GPUALLOC_HOOK": "post_step",
        "GPUALLOC_RUN": "r1",
        "GPUALLOC_PLAN": "p1",
        "GPUALLOC_NODE": "n1",
        "GPUALLOC_STEP": "3",
        "GPUALLOC_STEP_KIND": "stop",
        "GPUALLOC_WORKLOAD": "w1",
        "GPUALLOC_DEVICE": "",
        "GPUALLOC_STATE": "done",
        "GPUALLOC_ERROR": "",
        "GPUALLOC_USERS": "ann bob",
        "GPUALLOC_WORKLOADS": "w1",
    }


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("raise SystemExit(3)", "exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),
        ("import os; os.close(1); os.close(2); raise SystemExit(4)", "exit code 4"),
    ],
)
def test_how_it_ended_is_told(script, problem):
    assert run(script).problem == problem


def test_a_program_that_cannot_be_run_is_a_problem():
    outcome = ProgramHooks({"exit": ["/nonexistent/hook"]}, 1.0).run("exit", EVENT)
    assert outcome.problem == "/nonexistent/hook cannot be run: No such file or directory"


def test_what_it_prints_is_cut_and_both_streams_are_kept():
    assert run("import sys; print('out', flush=True); print('err', file=sys.stderr)").output == "out\nerr\n"
    assert len(run(f"print('x' * {50 * MAX_OUTPUT_BYTES})").output) <= MAX_OUTPUT_BYTES


def test_one_that_does_not_end_is_killed_with_what_it_started(tmp_path):
    pids = tmp_path / "pids"
    script = f"sleep 300 & echo $! > {pids}; echo begun; wait"
    outcome = ProgramHooks({"post_step": ["sh", "-c", script]}, 10.0).run("post_step", EVENT)
    assert (outcome.problem, outcome.output) == ("no answer in 10 s", "begun\n")
    wait_until(lambda: not os.path.exists(f"/proc/{pids.read_text().strip()}/exe"), "what it started is gone")


def test_what_it_leaves_running_does_not_hold_it_up(tmp_path):
    script = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True)"
    outcome = run(script)
    os.kill(int(outcome.output), 9)
    assert (outcome.problem, outcome.seconds < 500) == (None, True)
