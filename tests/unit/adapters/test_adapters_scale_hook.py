"""Programs that add nodes and take them away: real ones, with every way to go wrong."""

import json
import os
import sys

import pytest
from fakes.command import wait_until

from gpualloc.adapters.scale_hook import MAX_ANSWER_BYTES, MAX_OUTPUT_BYTES, ProgramScaleHook
from gpualloc.model.scaling import ScaleOrder
from gpualloc.model.spot import Lot, Offer, Purchase

LOTS = (Lot(Offer(Purchase.SPOT, "z1", 1.5, 0.1), 2), Lot(Offer(Purchase.ON_DEMAND, None, None), 1))
UP = ScaleOrder("s00000001", "train", True, 3, "load 90%", LOTS)
DOWN = ScaleOrder("s00000002", "train", False, 2, "nothing runs there", nodes=("n1", "n2"))


def run(script, order=UP, *, timeout_s=600.0, program=(sys.executable, "-c")):
    return ProgramScaleHook().run([*program, script], timeout_s, order)


def answering(text, order=UP):
    return run(f"print({text!r})", order)


def test_it_is_told_the_order_and_nothing_goes_through_a_shell():
    script = "import json, sys; order = json.load(sys.stdin); print(json.dumps({'added': ['a'], 'told': order}))"
    assert run(script).nodes == ("a",)
    script = "import json, sys; print(json.load(sys.stdin), file=sys.stderr); print(json.dumps({'added': ['a']}))"
    told = run(script).output
    assert eval(told) == {  # the program printed it as Python writes it
        "format": 1, "order": "s00000001", "pool": "train", "direction": "up", "count": 3, "why": "load 90%",
        "offers": [
            {"purchase": "spot", "zone": "z1", "nodes": 2, "price_per_gpu_hour": 1.5, "interruptions_per_hour": 0.1},
            {"purchase": "on-demand", "zone": None, "nodes": 1, "price_per_gpu_hour": None,
             "interruptions_per_hour": None},
        ],
        "nodes": [],
    }  # fmt: skip
    assert run("$(touch /tmp/never)", program=("/bin/echo",)).problem == "its answer is not JSON"


@pytest.mark.parametrize(
    ("answer", "order", "nodes", "problem"),
    [
        ('{"added": ["n7", "n8", "n9"]}', UP, ("n7", "n8", "n9"), None),
        ('{"added": ["n7"]}', UP, ("n7",), None),
        ('{"added": []}', UP, (), None),
        ('{"removed": ["n2"]}', DOWN, ("n2",), None),
        ('{"error": "no capacity"}', UP, (), "no capacity"),
        ('{"added": ["n7"], "error": "no more"}', UP, ("n7",), "no more"),
        ('{"added": ["a", "b", "c", "d"]}', UP, ("a", "b", "c", "d"), "4 nodes were added, and 3 were asked for"),
        ('{"removed": ["n2", "n3"]}', DOWN, ("n2",), "n3 was not asked for"),
    ],
)
def test_what_it_answers_is_read(answer, order, nodes, problem):
    outcome = answering(answer, order)
    assert (outcome.nodes, outcome.problem) == (nodes, problem)


@pytest.mark.parametrize(
    "answer",
    [
        "", "done", "[]", "null", "{}", '{"added": "n1"}', '{"added": [1]}', '{"added": ["-rf"]}', '{"added": [""]}',
        '{"added": ["n1", "n1"]}', '{"added": ["n1\\u001b[31m"]}', '{"removed": ["n1"]}', '{"error": 3}', "[" * 60000,
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_a_problem(answer):
    outcome = answering(answer)
    assert outcome.nodes == ()
    assert outcome.problem


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("raise SystemExit(3)", "exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),
        ("import os; os.close(1); os.close(2); raise SystemExit(4)", "exit code 4"),
    ],
)
def test_how_it_failed_is_told(script, problem):
    assert run(script).problem == problem


def test_what_was_added_before_it_failed_is_known():
    outcome = run('print(\'{"added": ["n7"]}\', flush=True); raise SystemExit(1)')
    assert (outcome.nodes, outcome.problem) == (("n7",), "exit code 1")


def test_a_program_that_cannot_be_run_is_a_problem():
    outcome = ProgramScaleHook().run(["/nonexistent/hook"], 1.0, UP)
    assert outcome.problem == "/nonexistent/hook cannot be run: No such file or directory"


def test_a_huge_answer_is_refused_and_huge_talk_is_cut():
    answer = json.dumps({"added": ["n1"], "talk": "x" * MAX_ANSWER_BYTES})
    assert run(f"print({answer!r})").problem == f"its answer is longer than {MAX_ANSWER_BYTES} bytes"
    script = f"import sys; sys.stderr.write('y' * {100 * MAX_OUTPUT_BYTES}); print('{{\"added\": []}}')"
    outcome = run(script)
    assert (outcome.problem, outcome.output) == (None, "y" * MAX_OUTPUT_BYTES)


def test_one_that_does_not_end_is_killed_with_what_it_started(tmp_path):
    pids = tmp_path / "pids"
    script = f"sleep 300 & echo $! > {pids}; echo begun >&2; wait"
    outcome = run(script, timeout_s=10.0, program=("sh", "-c"))
    assert (outcome.nodes, outcome.problem, outcome.output) == ((), "no answer in 10 s", "begun\n")
    wait_until(lambda: not os.path.exists(f"/proc/{pids.read_text().strip()}/exe"), "what it started is gone")


def test_what_it_leaves_running_does_not_hold_it_up():
    script = (
        "import json, subprocess; left = subprocess.Popen(['sleep', '600']);"
        "print(json.dumps({'added': [f'n{left.pid}']}), flush=True)"
    )
    outcome = run(script)
    os.kill(int(outcome.nodes[0][1:]), 9)
    assert (outcome.problem, outcome.seconds < 500) == (None, True)
