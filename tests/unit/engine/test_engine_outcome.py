"""What a step's success or failure makes of its workload."""

import pytest
from msgspec.structs import replace

from gpualloc.engine.outcome import after_failure, after_success, after_undo
from gpualloc.errors import StepError, UnreachableError
from gpualloc.model.allocation import Allocation, Grant, HeldBy, Hold, Share
from gpualloc.model.plan import Step, StepKind, StepReason
from gpualloc.model.workload import Request, Workload, WorkloadState

ALLOCATION = Allocation("w00000001", "gpu01", (Grant("GPU-1", Share.EXCLUSIVE),))
PENDING = Workload(
    "w00000001", "x", "ann", Request(("train",), env=(("TOKEN", "s3cret"),)), WorkloadState.PENDING, 1.0, revision=4
)


def step(kind):
    return Step(1, kind, "gpu01", "w00000001", "t", StepReason.WAITING, "", ALLOCATION, attempt=2, revision=4)


def test_a_start_makes_it_run_with_what_really_holds_its_limits():
    facts = {"pid": 9, "started_at_s": 7, "held_by": {"gpu": "soft", "cpu": "hard", "memory": None, "pids": None}}
    workload, audit = after_success(PENDING, step(StepKind.START), facts, actor="bob", at_s=9.0)
    assert (workload.state, workload.pid, workload.attempt, workload.revision) == (WorkloadState.RUNNING, 9, 2, 5)
    assert workload.held_by == HeldBy(gpu=Hold.SOFT, cpu=Hold.HARD)
    assert workload.allocation == ALLOCATION
    assert [entry.kind for entry in audit] == ["start"]
    assert "s3cret" not in repr(audit)


@pytest.mark.parametrize("kind", [StepKind.CLAIM, StepKind.LIMIT, StepKind.UNCLAIM, StepKind.UNLIMIT])
def test_other_steps_change_nothing_of_it(kind):
    assert after_success(PENDING, step(kind), {}, actor="bob", at_s=9.0) == (None, ())


def test_a_start_journaled_twice_is_one_start():
    running, _ = after_success(PENDING, step(StepKind.START), {"pid": 9}, actor="bob", at_s=9.0)
    assert after_success(running, step(StepKind.START), {"pid": 9}, actor="bob", at_s=9.0) == (None, ())


@pytest.mark.parametrize(("reason", "code"), [("no-command", 127), ("not-executable", 126), ("no-user", None)])
def test_a_start_that_would_fail_again_ends_the_work(reason, code):
    error = StepError("no such command", reason=reason, command_exit_code=code, node="gpu01")
    workload, audit = after_failure(PENDING, step(StepKind.START), error, actor="bob", at_s=9.0)
    assert (workload.state, workload.exit_code, workload.ended_at_s) == (WorkloadState.FAILED, code, 9.0)
    assert [entry.kind for entry in audit] == ["step-failed"]


@pytest.mark.parametrize("error", [StepError("taken", reason="claimed"), UnreachableError("gpu01: refused")])
def test_any_other_failure_leaves_it_waiting_with_the_reason(error):
    workload, _ = after_failure(PENDING, step(StepKind.CLAIM), error, actor="bob", at_s=9.0)
    assert workload.state is WorkloadState.PENDING
    assert workload.reason == f"gpu01: {error.message.removeprefix('gpu01: ')}"
    assert workload.attempt == 2
    assert workload.revision == 5


def test_work_that_is_drained_waits_again_unless_it_ended_by_itself():
    running, _ = after_success(PENDING, step(StepKind.START), {"pid": 9}, actor="bob", at_s=9.0)
    stop = replace(step(StepKind.STOP), reason=StepReason.DRAIN)
    for facts in ({"end": {"exit_code": 143, "at_s": 11.5, "signal": 15, "oom": False, "reason": "released"}}, {}):
        waiting, audit = after_success(running, stop, facts, actor="ann", at_s=12.0)
        assert waiting == replace(
            PENDING, reason="drained from gpu01 by ann", revision=running.revision + 1, attempt=running.attempt
        )
        assert [entry.kind for entry in audit] == ["requeue"]
    facts = {"end": {"exit_code": 0, "at_s": 11.5, "signal": None, "oom": False, "reason": None}}
    ended, _ = after_success(running, stop, facts, actor="ann", at_s=12.0)
    assert ended.state is WorkloadState.FINISHED


def test_a_stop_records_the_end_the_node_tells():
    running, _ = after_success(PENDING, step(StepKind.START), {"pid": 9}, actor="bob", at_s=9.0)
    facts = {"end": {"exit_code": 143, "at_s": 11.5, "signal": 15, "oom": False, "reason": "released"}}
    ended, audit = after_success(running, step(StepKind.STOP), facts, actor="bob", at_s=12.0)
    assert (ended.state, ended.exit_code, ended.ended_at_s) == (WorkloadState.RELEASED, 143, 11.5)
    assert [entry.kind for entry in audit] == ["end"]


def test_a_stop_of_work_that_never_ran_makes_no_exit_code_up():
    running, _ = after_success(PENDING, step(StepKind.START), {"pid": 9}, actor="bob", at_s=9.0)
    ended, audit = after_success(running, step(StepKind.STOP), {"end": None}, actor="bob", at_s=12.0)
    assert (ended.state, ended.exit_code, ended.ended_at_s) == (WorkloadState.RELEASED, None, 12.0)
    assert audit[0].detail["exit_code"] is None


def test_a_start_of_unknown_time_is_told_when_it_was_learnt():
    _, audit = after_success(PENDING, step(StepKind.START), {"pid": 9}, actor="bob", at_s=9.0)
    assert audit[0].at_s == 9.0


def test_a_suspension_changes_the_state_and_tells_what_it_moved():
    running, _ = after_success(PENDING, step(StepKind.START), {"pid": 9}, actor="bob", at_s=9.0)
    facts = {"gpu_memory_mib": 8000, "left_mib": 0, "seconds": 1.5, "state": "suspended"}
    suspended, audit = after_success(running, step(StepKind.SUSPEND), facts, actor="bob", at_s=12.0)
    assert (suspended.state, suspended.allocation) == (WorkloadState.SUSPENDED, ALLOCATION)
    assert suspended.revision == running.revision + 1
    assert [(entry.kind, entry.detail["gpu_memory_mib"], entry.detail["seconds"]) for entry in audit] == [
        ("suspend", 8000, 1.5)
    ]
    assert after_success(suspended, step(StepKind.SUSPEND), facts, actor="bob", at_s=13.0) == (None, ())
    resumed, audit = after_success(suspended, step(StepKind.RESUME), {"seconds": 2}, actor="bob", at_s=14.0)
    assert resumed.state is WorkloadState.RUNNING
    assert [entry.kind for entry in audit] == ["resume"]


def test_a_suspension_taken_back_is_a_resumption_and_other_steps_leave_no_trace():
    running, _ = after_success(PENDING, step(StepKind.START), {"pid": 9}, actor="bob", at_s=9.0)
    suspended, _ = after_success(running, step(StepKind.SUSPEND), {}, actor="bob", at_s=12.0)
    back, audit = after_undo(suspended, step(StepKind.SUSPEND), {}, actor="bob", at_s=13.0)
    assert (back.state, [entry.kind for entry in audit]) == (WorkloadState.RUNNING, ["resume"])
    assert after_undo(running, step(StepKind.SUSPEND), {}, actor="bob", at_s=13.0) == (None, ())
    assert after_undo(suspended, step(StepKind.CLAIM), {}, actor="bob", at_s=13.0) == (None, ())
    assert after_undo(None, step(StepKind.SUSPEND), {}, actor="bob", at_s=13.0) == (None, ())
