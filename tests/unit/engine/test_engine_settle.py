"""What a node's record of an end makes of the workload."""

import pytest
from msgspec.structs import replace

from gpualloc.engine.settle import settle
from gpualloc.model.allocation import Allocation, Claim, Share, WorkloadEnd, WorkloadRecord
from gpualloc.model.inventory import Node, NodeSpec, NodeState, Snapshot
from gpualloc.model.workload import Request, Workload, WorkloadState

CONTROLLER = "c" * 32


def running(**changes):
    fields = {
        "id": "w00000001",
        "name": "train",
        "owner": "ann",
        "request": Request(command=("sleep", "9"), gpus=0),
        "state": WorkloadState.RUNNING,
        "submitted_at_s": 1.0,
        "attempt": 1,
        "allocation": Allocation("w00000001", "gpu01", ()),
        "pid": 77,
        "started_at_s": 2.0,
    }
    return Workload(**{**fields, **changes})


def seen(*records, state=NodeState.OK):
    spec = NodeSpec("gpu01", "default", "ssh")
    return Snapshot(100.0, (Node(spec, state, 100.0, workloads=tuple(records)),))


def record(end, attempt=1):
    return WorkloadRecord("w00000001", CONTROLLER, attempt, 77, 2.0, end)


@pytest.mark.parametrize(
    ("end", "state", "exit_code", "word"),
    [
        (WorkloadEnd(0, 50.0), WorkloadState.FINISHED, 0, None),
        (WorkloadEnd(3, 50.0), WorkloadState.FAILED, 3, "exit code 3"),
        (WorkloadEnd(137, 50.0, signal=9, oom=True), WorkloadState.FAILED, 137, "memory limit"),
        (WorkloadEnd(143, 50.0, signal=15), WorkloadState.FAILED, 143, "signal 15"),
        (WorkloadEnd(143, 50.0, signal=15, reason="at-most"), WorkloadState.FAILED, 143, "--at-most"),
        (WorkloadEnd(143, 50.0, signal=15, reason="released"), WorkloadState.RELEASED, 143, "released"),
        (WorkloadEnd(0, 50.0, reason="checkpointed"), WorkloadState.RELEASED, 0, "stopped after its checkpoint"),
        (WorkloadEnd(255, 50.0, reason="adopted"), WorkloadState.FINISHED, None, "exit code unknown, it was adopted"),
        (WorkloadEnd(255, 50.0, oom=True, reason="adopted"), WorkloadState.FAILED, None, "memory limit"),
        (WorkloadEnd(255, 50.0, reason="let-go"), WorkloadState.RELEASED, None, "let go: it runs on"),
        (WorkloadEnd(255, 50.0, reason="rebooted"), WorkloadState.LOST, None, "rebooted"),
        (WorkloadEnd(255, 50.0, reason="keeper-lost"), WorkloadState.LOST, None, "keeper"),
    ],
)
def test_an_end_decides_state_exit_code_and_reason(end, state, exit_code, word):
    changed, audit = settle([running()], seen(record(end)))
    assert [(work.state, work.exit_code, work.ended_at_s) for work in changed] == [(state, exit_code, 50.0)]
    assert changed[0].revision == 2
    assert (word in (changed[0].reason or "")) if word else changed[0].reason is None
    assert [(entry.kind, entry.workload, entry.node) for entry in audit] == [("end", "w00000001", "gpu01")]


def test_work_still_running_stays():
    assert settle([running()], seen(record(None))) == ((), ())


@pytest.mark.parametrize("state", [state for state in NodeState if state is not NodeState.OK])
def test_a_node_that_was_not_reached_says_nothing(state):
    assert settle([running()], seen(record(WorkloadEnd(0, 50.0)), state=state)) == ((), ())


def test_a_reached_node_without_a_record_lost_the_work():
    changed, _ = settle([running()], seen())
    assert changed[0].state is WorkloadState.LOST
    assert changed[0].exit_code is None


@pytest.mark.parametrize(
    ("offset_s", "times", "lost"),
    [
        (None, {"started_at_s": 99.0}, False),
        (None, {"started_at_s": 101.0}, False),
        (None, {"started_at_s": 90.0}, True),
        (3600.0, {"started_at_s": 3699.0}, False),
        (3600.0, {"started_at_s": 3690.0}, True),
        (-3600.0, {"started_at_s": -3501.0}, False),
        (None, {"started_at_s": 2.0, "submitted_at_s": 99.0, "adopted": True}, False),
        (None, {"started_at_s": 2.0, "submitted_at_s": 90.0, "adopted": True}, True),
    ],
)
def test_what_a_node_told_before_a_start_is_no_end(offset_s, times, lost):
    """A dashboard hears of nodes while another command starts work there, and clocks of nodes may be off."""
    node = replace(seen().nodes[0], clock_offset_s=offset_s)
    changed, _ = settle([running(**times)], Snapshot(100.0, (node,)))
    assert [work.state for work in changed] == ([WorkloadState.LOST] if lost else [])


def test_a_claim_that_stands_keeps_it_though_the_record_is_out_of_sight():
    claim = Claim("GPU-1", "w00000001", CONTROLLER, Share.EXCLUSIVE, None, 1.0, None, 2.0)
    snapshot = seen()
    held = Snapshot(100.0, (replace(snapshot.nodes[0], claims=(claim,)),))
    assert settle([running()], held) == ((), ())


def test_the_record_of_an_older_attempt_is_not_this_one():
    changed, _ = settle([running(attempt=2)], seen(record(WorkloadEnd(0, 50.0), attempt=1)))
    assert changed[0].state is WorkloadState.LOST


def test_waiting_work_is_never_settled():
    assert settle([running(state=WorkloadState.PENDING)], seen(record(WorkloadEnd(0, 5.0)))) == ((), ())


def test_another_program_of_the_node_cannot_tell_that_work_is_lost():
    ours, theirs = (replace(seen().nodes[0], state_dir=folder) for folder in ("/var/lib/gpualloc", "/home/ann/node"))
    work = running(state_dir="/home/ann/node")
    (unseen,), audit = settle([work], Snapshot(100.0, (ours,)))
    assert (unseen.state, unseen.revision, audit) == (WorkloadState.RUNNING, 2, ())
    assert unseen.reason == (
        "whether it still runs is not known: its records are in /home/ann/node, "
        "and the program that answers now has /var/lib/gpualloc"
    )
    assert settle([unseen], Snapshot(101.0, (ours,))) == ((), ())
    back = replace(theirs, workloads=(record(None),))
    (seen_again,), _ = settle([unseen], Snapshot(102.0, (back,)))
    assert (seen_again.state, seen_again.reason, seen_again.revision) == (WorkloadState.RUNNING, None, 3)
    (lost,), _ = settle([unseen], Snapshot(102.0, (theirs,)))
    assert lost.state is WorkloadState.LOST


def test_a_node_that_is_read_without_its_node_program_cannot_tell_that_work_is_lost():
    limited = replace(seen().nodes[0], limited="no python3 there")
    work = running(state_dir="/home/ann/node")
    (unseen,), audit = settle([work], Snapshot(100.0, (limited,)))
    assert (unseen.state, audit) == (WorkloadState.RUNNING, ())
    assert unseen.reason == (
        "whether it still runs is not known: its records are in /home/ann/node, and no node program can read them now"
    )
    (back,), _ = settle([unseen], seen(record(None)))
    assert (back.state, back.reason) == (WorkloadState.RUNNING, None)
