"""How an apply is told, and how commands that go on are stopped."""

import os
import signal

import pytest
from fakes import sample_world

from gpualloc.cli import stopping
from gpualloc.cli.reporting import applied, tell_step
from gpualloc.engine.chain import Report
from gpualloc.errors import StepError
from gpualloc.model.plan import StepState
from gpualloc.views.look import Look

STEPS = sample_world.PLAN.steps
REFUSED = StepError("gpu 0 is given to another\x1b[2J", reason="claimed", node="gpu01")


def test_an_apply_that_worked():
    answer = applied(sample_world.PLAN, Report("r1", done=list(STEPS)))
    assert (answer.exit_code, answer.errors, answer.text(Look())) == (0, (), "6 steps done")
    assert answer.data["report"] == {"run": "r1", "done": 6, "failed": [], "skipped": 0, "unknown": [], "left": 0}


def test_an_apply_that_worked_in_part_is_6():
    report = Report("r1", done=list(STEPS[:2]), failed=[(STEPS[2], REFUSED)], skipped=list(STEPS[3:]))
    answer = applied(sample_world.PLAN, report)
    assert answer.exit_code == 6
    assert answer.text(Look()) == "2 steps done, 1 failed, 3 skipped"
    assert answer.data["report"]["failed"] == [{"seq": 3, "code": "step", "message": REFUSED.message}]


def test_each_step_is_told_once_it_is_over(capsys):
    tell_step(STEPS[0], StepState.INTENT, None, 6)
    tell_step(STEPS[0], StepState.DONE, None, 6)
    tell_step(STEPS[2], StepState.FAILED, REFUSED.message, 6)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "[1/6] + claim gpu 0 (NVIDIA H100 80GB HBM3) for w00000005 on gpu01: done",
        '[3/6] + start "train" for w00000005 on gpu01: FAILED: gpu 0 is given to another\\x1b[2J',
    ]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_asks_for_the_end(number, code):
    before = signal.getsignal(number)
    with stopping.on_signal() as stop:
        assert not stop.asked()
        os.kill(os.getpid(), number)
        assert stop.asked()
    assert stop.exit_code == code
    assert signal.getsignal(number) is before


def test_a_second_interrupt_does_not_wait():
    with stopping.on_signal():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
