"""Which chains may begin: after what they need, few on a node, none where there is doubt; whatever fails."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.engine.schedule import Do, Schedule, asked_late
from gpualloc.model.plan import Step, StepKind, StepReason, StepState

DONE, FAILED, SKIPPED, UNDONE, INTENT = (
    StepState.DONE,
    StepState.FAILED,
    StepState.SKIPPED,
    StepState.UNDONE,
    StepState.INTENT,
)


def step(seq, chain, *needs, node="n1", kind=StepKind.CLAIM, device=None):
    return Step(seq, kind, node, chain, chain or "", StepReason.WAITING, "", None, 1, 1, needs=needs, device=device)


def finish(schedule, task, states):
    """Let a task end with these states of its steps, or all done."""
    for one in task.steps:
        schedule.moved(one, states.get(one.seq, DONE))
    schedule.ended(task)


@st.composite
def plans(draw):
    """Steps of several chains on several nodes, each needing some of those before it."""
    steps = []
    for seq in range(1, draw(st.integers(1, 14)) + 1):
        number = draw(st.integers(0, 4))
        needs = draw(st.sets(st.integers(1, seq - 1), max_size=2)) if seq > 1 else set()
        steps.append(step(seq, f"w{number}", *sorted(needs), node=f"n{number % 3}"))
    return steps


@given(steps=plans(), width=st.integers(1, 4), per_node=st.integers(1, 2), data=st.data())
def test_whatever_happens_the_order_holds_and_the_run_ends(steps, width, per_node, data):
    schedule = Schedule(steps, {}, width=width, per_node=per_node)
    by_seq = {one.seq: one for one in steps}
    under_way, doubted, begun = [], set(), set()
    for _ in range(10 * len(steps) + 10):
        while (task := schedule.next()) is not None:
            under_way.append(task)
            if task.do is Do.CARRY_OUT:
                assert not doubted.intersection(task.nodes)
                assert not begun & {one.seq for one in task.steps}
                begun |= {one.seq for one in task.steps}
                own = {one.seq for one in task.chain}
                needed = {need for one in task.steps for need in one.needs} - own
                assert all(schedule.states.get(need) is DONE for need in needed)
        assert len(under_way) <= width
        assert max(Counter(node for one in under_way for node in one.nodes).values(), default=0) <= per_node
        if not under_way:
            break
        task = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
        fate = data.draw(st.sampled_from(["done", "done", "done", "failed", "unknown"]))
        for one in task.steps:
            if task.do is Do.SKIP:
                schedule.moved(one, SKIPPED)
            elif task.do is Do.TAKE_BACK:
                if task.states.get(one.seq) is None:
                    schedule.moved(one, SKIPPED)
                elif task.states[one.seq] is DONE and one.seq not in task.kept:
                    schedule.moved(one, UNDONE)
            elif fate == "done":
                schedule.moved(one, DONE)
            else:
                schedule.moved(one, INTENT if fate == "unknown" else FAILED)
                if fate == "unknown":
                    schedule.doubt(one, "cut")
                    doubted.add(one.node)
                else:
                    schedule.failed(one)
                break
        schedule.ended(task)
    assert schedule.idle
    for one in steps:
        state = schedule.states.get(one.seq)
        if state is DONE:
            assert all(schedule.states.get(need) is DONE for need in one.needs if by_seq[need].chain != one.chain)
        if state is None:
            assert one.node in doubted


def test_what_waits_for_a_chain_that_is_given_up_later_in_the_order_is_taken_back():
    steps = [
        step(1, "w1", node="n1"),
        step(2, "w2", node="n2"),
        step(3, "w3", node="n2"),
        step(4, "w2", 3, node="n2"),
        step(5, "w1", 4, node="n1"),
    ]
    schedule = Schedule(steps, {}, width=1)
    for _ in range(2):
        finish(schedule, schedule.next(), {})
    cut = schedule.next()
    schedule.doubt(cut.steps[0], "cut")
    schedule.ended(cut)
    task = schedule.next()
    assert (task.do, [one.workload for one in task.chain]) == (Do.TAKE_BACK, ["w1", "w1"])


def test_a_chain_that_needs_what_failed_is_skipped_with_the_reason():
    schedule = Schedule([step(1, "w1"), step(2, "w2", 1, node="n2")], {}, width=4)
    first = schedule.next()
    assert schedule.next() is None
    finish(schedule, first, {1: FAILED})
    back, skip = schedule.next(), schedule.next()
    assert (back.do, skip.do) == (Do.TAKE_BACK, Do.SKIP)
    assert skip.why == "it needs step 1 (claim of w1), which is failed"


def test_chains_that_need_each_other_in_turn_are_given_out_in_pieces():
    steps = [step(1, "w1"), step(2, "w2", 1), step(3, "w1", 1, 2)]
    schedule = Schedule(steps, {}, width=4, per_node=4)
    pieces = []
    while (task := schedule.next()) is not None:
        pieces.append([one.seq for one in task.steps])
        finish(schedule, task, {})
    assert pieces == [[1], [2], [3]]


def test_what_other_work_stands_on_is_not_taken_back():
    steps = [step(1, "w1"), step(2, "w2", 1), step(3, "w1", 1, 2)]
    schedule = Schedule(steps, {}, width=4)
    for states in ({}, {}, {3: FAILED}):
        finish(schedule, schedule.next(), states)
    assert schedule.next().kept == {1}


@pytest.mark.parametrize("kind", [StepKind.MIG_CREATE, StepKind.SET, StepKind.MIG_MODE])
def test_nothing_more_is_begun_on_a_device_whose_change_failed(kind):
    steps = [step(1, None, kind=kind, device="GPU-1"), step(2, None, kind=kind, device="GPU-2")]
    more = [*steps, step(3, "w1", device="GPU-1"), step(4, "w2", device="GPU-2")]
    schedule = Schedule(more, {}, width=9, per_node=1)
    first = schedule.next()
    schedule.failed(first.steps[0])
    finish(schedule, first, {1: FAILED})
    done = {}
    while (task := schedule.next()) is not None:
        done[task.chain[0].seq] = task.do
        finish(schedule, task, {3: SKIPPED, 1: FAILED})
    assert done == {1: Do.TAKE_BACK, 2: Do.CARRY_OUT, 3: Do.SKIP, 4: Do.CARRY_OUT}


def test_nothing_more_is_begun_on_a_node_in_doubt():
    schedule = Schedule([step(1, "w1"), step(2, "w2"), step(3, "w3", node="n2")], {}, width=9)
    first, third = schedule.next(), schedule.next()
    schedule.moved(first.steps[0], INTENT)
    schedule.doubt(first.steps[0], "the connection was lost")
    schedule.ended(first)
    second = schedule.next()
    assert (third.do, second.do, second.why) == (Do.CARRY_OUT, Do.SKIP, "n1 is in doubt: the connection was lost")


def test_an_interrupted_chain_is_asked_from_its_beginning_and_a_finished_one_left_alone():
    steps = [step(1, "w1"), step(2, "w1", 1), step(3, "w2"), step(4, "w2", 3)]
    schedule = Schedule(steps, {1: DONE, 2: DONE, 3: DONE, 4: INTENT}, width=9, per_node=9)
    task = schedule.next()
    assert [one.seq for one in task.steps] == [3, 4]
    assert task.states == {3: INTENT, 4: INTENT}
    assert schedule.next() is None


@pytest.mark.parametrize("state", [FAILED, UNDONE, SKIPPED])
def test_an_interrupted_chain_that_was_going_back_goes_on_going_back(state):
    schedule = Schedule([step(1, "w1"), step(2, "w1", 1)], {1: DONE, 2: state}, width=9)
    task = schedule.next()
    assert (task.do if task else None) is (None if state is SKIPPED else Do.TAKE_BACK)


def test_what_comes_behind_a_step_that_reshapes_its_node_is_asked_late():
    steps = [
        step(1, "w1", kind=StepKind.STOP),
        step(2, "w1", 1, kind=StepKind.UNLIMIT),
        step(3, None, 1, kind=StepKind.MIG_CREATE, device="GPU-1"),
        step(4, "w2", 3),
        step(5, "w2", 4, kind=StepKind.START),
        step(6, "w3"),
    ]
    assert asked_late(steps) == {2, 3, 4, 5}
