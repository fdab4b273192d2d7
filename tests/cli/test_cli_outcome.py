"""Every failure has its exit code and its message, in one place."""

import json
import os
import subprocess
import sys

import pytest

from gpualloc import errors
from gpualloc.cli.outcome import RUN_FAILED, Call, exit_code_of

TABLE = {
    errors.GpuallocError: (1, "failed"),
    errors.UsageError: (2, "usage"),
    errors.ConfigError: (2, "config"),
    errors.BrokenInputError: (2, "broken-input"),
    errors.NotFoundError: (2, "not-found"),
    errors.NewerStateError: (2, "newer-state"),
    errors.UnreachableError: (3, "unreachable"),
    errors.InfeasibleError: (4, "infeasible"),
    errors.StalePlanError: (5, "stale-plan"),
    errors.PartlyAppliedError: (6, "partly-applied"),
    errors.LockedError: (7, "locked"),
    errors.StateError: (1, "state"),
    errors.ReadOnlyError: (1, "read-only"),
    errors.StepError: (1, "step"),
    errors.HookError: (1, "hook"),
    errors.StoppedError: (130, "interrupted"),
    errors.FencedError: (7, "fenced"),
    errors.UnknownOutcomeError: (3, "unknown-outcome"),
}


def every_error():
    found, waiting = set(), [errors.GpuallocError]
    while waiting:
        one = waiting.pop()
        found.add(one)
        waiting += one.__subclasses__()
    return {one for one in found if one.__module__ == "gpualloc.errors"}


def made(kind, message="it failed", **more):
    return kind(message, reason="failed", **more) if issubclass(kind, errors.StepError) else kind(message, **more)


def test_the_table_is_complete():
    assert every_error() == set(TABLE)


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.__name__)
def test_an_error_ends_with_its_code_and_two_lines(kind, run, world):
    world.context = made(kind, hint="do this")
    ran = run("ps")
    assert (ran.code, ran.out, ran.err) == (TABLE[kind][0], "", "error: it failed\nhint: do this\n")


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.__name__)
def test_with_json_it_is_an_envelope_and_nothing_else(kind, run, world):
    world.context = made(kind, node="gpu01")
    ran = run("ps", "--json")
    assert (ran.code, ran.err) == (TABLE[kind][0], "error: it failed\n")
    assert json.loads(ran.out) == {
        "schema": "gpualloc.ps/1",
        "data": None,
        "messages": [],
        "errors": [{"code": TABLE[kind][1], "message": "it failed", "hint": None, "node": "gpu01"}],
    }


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.__name__)
def test_inside_run_a_failure_of_ours_is_125(kind, run, world):
    world.context = made(kind)
    assert run("run", "--", "true").code == RUN_FAILED


@pytest.mark.parametrize("code", [126, 127])
def test_inside_run_a_command_that_cannot_be_executed_keeps_its_code(code):
    error = errors.StepError("no such command", reason="no-command", command_exit_code=code)
    assert exit_code_of(error, "run") == code
    assert exit_code_of(error, "apply") == 1


def test_a_defect_is_one_line_and_exit_code_1(run, world):
    world.context = ZeroDivisionError("division\x1b[31m by zero")
    ran = run("ps")
    assert ran.code == 1
    assert "internal error: ZeroDivisionError: division\\x1b[31m by zero" in ran.err
    assert "Traceback" not in ran.err
    assert "report" in ran.err


def test_a_defect_shows_where_when_asked(run, world, monkeypatch):
    world.context = ZeroDivisionError("division by zero")
    monkeypatch.setenv("GPUALLOC_DEBUG", "1")
    ran = run("ps")
    assert ran.code == 1
    assert "Traceback" in ran.err


def test_an_interrupt_is_130_without_a_traceback(run, world):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    world.open_context = interrupted
    ran = run("ps")
    assert (ran.code, ran.out) == (130, "")
    assert "Traceback" not in ran.err


def test_a_message_cannot_steer_the_terminal(run, world):
    world.context = errors.GpuallocError("first\nsecond \x1b]0;x\x07")
    assert run("ps").err == "error: first\n       second \\x1b]0;x\\x07\n"


@pytest.mark.parametrize("arguments", [["nodes", "--jsn"], ["nodes", "--config"], ["wait"], ["completion", "tcsh"]])
def test_a_wrong_command_line_is_exit_code_2(run, arguments):
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")


def test_a_wrong_command_line_with_json_is_an_envelope(run):
    ran = run("wait", "--json")
    assert (ran.code, json.loads(ran.out)["errors"][0]["code"]) == (2, "usage")


def test_what_stands_behind_the_dashes_is_not_ours():
    verbs = ("submit", "run", "ps")
    assert Call.read(["submit", "--json", "--", "ps"], verbs) == Call("submit", True)
    assert Call.read(["submit", "--", "x", "--json"], verbs) == Call("submit", False)
    assert Call.read(["run", "--json"], verbs) == Call("run", False)
    assert Call.read(["--sim", "demo", "ps"], verbs) == Call("ps", False)


def test_a_reader_that_goes_away_is_no_failure_to_talk_about():
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(
        [sys.executable, "-m", "gpualloc", "--help"], stdout=writer, stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(writer)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, "")
