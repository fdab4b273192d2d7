"""`run`: codes passed through, interrupts, and what is said on stderr."""

import pytest
from fakes import sample_world
from msgspec.structs import replace

from gpualloc.cli import run as verb
from gpualloc.errors import StepError
from gpualloc.model.workload import WorkloadState

RUNNING = sample_world.WORKLOADS[0]
ENDED = replace(RUNNING, state=WorkloadState.FINISHED, exit_code=0, ended_at_s=sample_world.NOW_S)


@pytest.fixture
def ending(monkeypatch):
    """Let the engine's run end in this way once the workload has begun and printed a line."""

    def end(how):
        def run_request(world, name, request, *, write, wait_s, on_submit):
            on_submit(RUNNING)
            write(b"out\n")
            if isinstance(how, BaseException):
                raise how
            return how

        monkeypatch.setattr(verb, "run_request", run_request)

    return end


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_the_code_of_the_command_is_passed_on(run, ending, code):
    ending(replace(ENDED, exit_code=code))
    ran = run("run", "--", "true")
    assert (ran.code, ran.out, ran.err) == (code, "out\n", "")


def test_a_kill_by_the_memory_limit_is_said(run, ending):
    ending(replace(ENDED, state=WorkloadState.FAILED, exit_code=137, reason="killed by its memory limit"))
    ran = run("run", "--", "true")
    assert ran.code == 137
    assert "killed by its memory limit" in ran.err
    assert ran.out == "out\n"


def test_work_that_was_lost_is_a_failure_of_ours(run, ending):
    ending(replace(ENDED, state=WorkloadState.LOST, exit_code=None, reason="the node was rebooted"))
    ran = run("run", "--", "true")
    assert (ran.code, "rebooted" in ran.err) == (125, True)


@pytest.mark.parametrize("code", [126, 127])
def test_a_command_that_cannot_start_has_its_own_code(run, ending, code):
    ending(StepError("it cannot be executed", reason="not-executable", command_exit_code=code, node="gpu01"))
    assert run("run", "--", "true").code == code


def test_an_interrupt_releases_the_work(run, ending, monkeypatch):
    released = []
    monkeypatch.setattr(verb, "release", lambda world, references, *, wait_s: released.extend(references))
    ending(KeyboardInterrupt())
    ran = run("run", "--", "true")
    assert (ran.code, released) == (130, [RUNNING.id])
    assert f"{RUNNING.id} released" in ran.err


def test_a_second_interrupt_leaves_it_and_says_how_to_end_it(run, ending, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(verb, "release", interrupted)
    ending(KeyboardInterrupt())
    ran = run("run", "--", "true")
    assert ran.code == 130
    assert f"`gpualloc release {RUNNING.id}` ends it" in ran.err


def test_a_wrong_option_is_125(run):
    assert run("run", "--gpus", "many", "--", "true").code == 125
    assert run("run", "--no-such-option").code == 125
