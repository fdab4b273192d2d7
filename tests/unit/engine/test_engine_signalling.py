"""Signals through the engine: who gets one is settled before anybody agrees, and nobody else ever gets it."""

import pytest
from msgspec.structs import replace

from gpualloc.engine.doubt import doubtful_nodes
from gpualloc.engine.observe import look
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.signalling import Chosen, address, send
from gpualloc.engine.submit import submit
from gpualloc.errors import (
    InfeasibleError,
    NotFoundError,
    PartlyAppliedError,
    StepError,
    StoppedError,
    UnknownOutcomeError,
    UnreachableError,
    UsageError,
)
from gpualloc.model.inventory import NodeState
from gpualloc.model.plan import StepKind
from gpualloc.model.signals import ProcessSignal, ProcessState, parse_signal
from gpualloc.model.workload import Request
from gpualloc.node.wire import SIGNALS, WORK_SIGNALS


class Fleet:
    """The real fleet; `verb` of a signal raises the error, before or after it is done, from the nth call on."""

    def __init__(self, fleet, verb, error, *, late=False, at=1):
        self._fleet, self._verb, self._error, self._late, self._at = fleet, verb, error, late, at
        self.calls = 0

    def __getattr__(self, name):
        asked = getattr(self._fleet, name)
        if name != self._verb:
            return asked

        def answer(call):
            self.calls += call.step.kind is StepKind.SIGNAL
            if call.step.kind is not StepKind.SIGNAL or self.calls < self._at:
                return asked(call)
            if self._late:
                asked(call)
            raise self._error

        return answer


def processes(ctx, node=None):
    return [(one.name, each) for one in look(ctx).nodes for each in one.processes if node in (None, one.name)]


def alive(ctx):
    return {(node, process.pid) for node, process in processes(ctx)}


def strangers(ctx):
    found = sorted({(node, each.pid) for node, each in processes(ctx) if each.workload is None})
    return [Chosen(node, pid) for node, pid in found]


def entries(ctx, kind="signal"):
    return [entry for entry in ctx.journal.audit() if entry.kind == kind]


@pytest.fixture
def order(ctx):
    """A signal to two processes on two nodes."""
    first, second = strangers(ctx)[:2]
    assert first.node != second.node
    return address(ctx, ProcessSignal.TERM, [first, second, first])


def test_head_and_node_know_the_same_signals():
    assert [signal.value for signal in ProcessSignal] == list(SIGNALS)
    assert [signal.value for signal in ProcessSignal if signal.for_work] == list(WORK_SIGNALS)


@pytest.mark.parametrize("text", ["TERM", "term", "SIGTERM", "SigTerm", "15"])
def test_a_signal_has_several_names(text):
    assert parse_signal(text) is ProcessSignal.TERM


@pytest.mark.parametrize(
    "text", ["", "SIG", "0", "-15", "015", "15 ", "11", "SEGV", "SIGSIGTERM", "1" * 5000, "²", "T\0"]
)
def test_other_texts_are_no_signal(text):
    with pytest.raises(UsageError, match="no signal that can be sent"):
        parse_signal(text)


def test_what_will_be_touched_is_told_before(ctx, order):
    seen = {(node, process.pid): process for node, process in processes(ctx)}
    assert len(order.to) == 2, "one that is named twice gets it once"
    for to in order.to:
        process = seen[to.node, to.pid]
        assert (to.user, to.command, to.started_at_s) == (process.user, process.command, process.started_at_s)
        assert {device for device, _, _ in to.devices} == {
            process.device for node, process in processes(ctx, to.node) if process.pid == to.pid
        }
    assert entries(ctx) == []


def test_those_and_no_others_get_it(ctx, order):
    before, seen = alive(ctx), []
    sent = send(ctx, order, on_step=lambda step, state, _error, total: seen.append((step.seq, state.value, total)))
    assert [(one.sent, one.state, one.error) for one in sent.deliveries] == [(True, ProcessState.GONE, None)] * 2
    assert (sent.error, before - alive(ctx)) == (None, {(to.node, to.pid) for to in order.to})
    assert sorted(seen) == [(1, "done", 2), (1, "intent", 2), (2, "done", 2), (2, "intent", 2)]
    assert [(entry.actor, entry.node, entry.detail["pid"]) for entry in entries(ctx)] == [
        ("ann", to.node, to.pid) for to in order.to
    ]
    assert ctx.journal.verify_audit() is None


def test_another_process_of_the_same_pid_is_not_addressed(ctx):
    chosen = strangers(ctx)[0]
    (began_s,) = {each.started_at_s for node, each in processes(ctx, chosen.node) if each.pid == chosen.pid}
    assert address(ctx, ProcessSignal.KILL, [replace(chosen, started_at_s=began_s)]).to[0].started_at_s == began_s
    with pytest.raises(NotFoundError, match="another one has its number now"):
        address(ctx, ProcessSignal.KILL, [replace(chosen, started_at_s=began_s - 60.0)])


def test_one_that_ended_while_somebody_thought_about_it_is_told(ctx, order):
    send(ctx, replace(order, to=order.to[:1]))
    sent = send(ctx, order)
    assert [one.sent for one in sent.deliveries] == [False, True]
    assert isinstance(sent.error, PartlyAppliedError)
    assert "1 of 2 processes got the signal" in sent.error.message
    again = send(ctx, order)
    assert isinstance(again.error, StepError)
    assert (again.error.reason, again.error.exit_code) == ("gone", 1)
    assert again.error.hint == "gpualloc processes shows what runs now"


def test_another_one_with_its_pid_by_then_gets_nothing(ctx, order):
    before = alive(ctx)
    stale = replace(order, to=tuple(replace(to, started_at_s=to.started_at_s - 60.0) for to in order.to))
    assert [one.sent for one in send(ctx, stale).deliveries] == [False, False]
    assert alive(ctx) == before


@pytest.mark.parametrize("signal", list(ProcessSignal))
def test_work_is_told_what_to_use_instead(ctx, signal):
    submit(ctx, "work", Request(("python", "train.py"), gpus=1, memory_mib=1024))
    rebalance(ctx)
    work = ctx.journal.find("work")
    chosen = [Chosen(work.allocation.node, work.pid)]
    if signal.for_work:
        assert send(ctx, address(ctx, signal, chosen)).deliveries[0].state is ProcessState.RUNNING
        assert entries(ctx)[0].workload == work.id
    else:
        with pytest.raises(UsageError, match=f"belongs to workload {work.id}") as refused:
            address(ctx, signal, chosen)
        assert f"gpualloc release {work.id}" in refused.value.hint
    rebalance(ctx)
    assert ctx.journal.find("work").state.value == "running"


def test_a_stopped_process_uses_nothing_and_goes_on(ctx):
    chosen = strangers(ctx)[:1]

    def use():
        rows = [each for _, each in processes(ctx, chosen[0].node) if each.pid == chosen[0].pid]
        return max(each.gpu_utilization_ratio for each in rows)

    def state_after(signal):
        (delivery,) = send(ctx, address(ctx, signal, chosen)).deliveries
        return delivery.state

    busy = use()
    assert state_after(ProcessSignal.STOP) is ProcessState.STOPPED
    assert (busy > 0.0, use()) == (True, 0.0)
    assert state_after(ProcessSignal.TERM) is ProcessState.STOPPED
    assert state_after(ProcessSignal.CONT) is ProcessState.RUNNING
    assert use() > 0.0
    assert state_after(ProcessSignal.HUP) is ProcessState.RUNNING
    assert state_after(ProcessSignal.KILL) is ProcessState.GONE


def test_who_cannot_be_addressed(ctx):
    node = strangers(ctx)[0].node
    for wrong, error in (
        (Chosen("nowhere", 5), NotFoundError),
        (Chosen(node, 999), NotFoundError),
        (Chosen(node, 1), UsageError),
    ):
        with pytest.raises(error):
            address(ctx, ProcessSignal.TERM, [wrong])
    assert ctx.journal.audit() == ()


class LookedAt:
    """The real fleet, every node of which is seen otherwise."""

    def __init__(self, fleet, **seen):
        self._fleet, self._seen = fleet, seen

    def __getattr__(self, name):
        return getattr(self._fleet, name)

    def observe(self, *args, **more):
        return (replace(node, **self._seen) for node in self._fleet.observe(*args, **more))


@pytest.mark.parametrize(
    ("seen", "error", "why"),
    [
        ({"other_controllers": ("slurmd",)}, InfeasibleError, "slurmd"),
        ({"limited": "it has no python3"}, InfeasibleError, "it has no python3"),
        ({"state": NodeState.UNREACHABLE}, UnreachableError, "no node answered"),
    ],
)
def test_a_node_that_cannot_be_changed_is_left_alone(ctx, order, seen, error, why):
    watched = replace(ctx, fleet=LookedAt(ctx.fleet, **seen))
    for act in (
        lambda: address(watched, ProcessSignal.TERM, [Chosen(order.to[0].node, order.to[0].pid)]),
        lambda: send(watched, order),
    ):
        with pytest.raises(error, match=why):
            act()
    assert {(to.node, to.pid) for to in order.to} <= alive(ctx)


def test_an_older_node_program_refuses_and_says_what_helps(ctx, order):
    unknown = StepError("n1: no such kind of step: 'signal'", reason="bad-request", node="n1")
    sent = send(replace(ctx, fleet=Fleet(ctx.fleet, "preflight", unknown)), order)
    assert [one.sent for one in sent.deliveries] == [False, False]
    assert sent.error.exit_code == 1
    assert "older than this gpualloc" in sent.error.hint


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_connection_that_went_away_is_asked_about_and_nothing_is_sent_late(ctx, order, late):
    lost = UnknownOutcomeError("the connection went away", node=order.to[0].node)
    one = replace(order, to=order.to[:1])
    sent = send(replace(ctx, fleet=Fleet(ctx.fleet, "do", lost, late=late)), one)
    assert (sent.deliveries[0].sent, sent.error.exit_code) == (False, 3)
    assert list(doubtful_nodes(ctx)) == [one.to[0].node]
    rebalance(ctx)
    assert ((one.to[0].node, one.to[0].pid) in alive(ctx)) is not late
    assert (doubtful_nodes(ctx), ctx.journal.open_runs()) == ({}, ())
    assert [entry.detail["state"] for entry in entries(ctx)] == (["gone"] if late else [])


def test_while_the_node_is_away_it_stays_doubtful(ctx, order):
    lost = UnknownOutcomeError("the connection went away", node=order.to[0].node)
    one = replace(order, to=order.to[:1])
    send(replace(ctx, fleet=Fleet(ctx.fleet, "do", lost)), one)
    away = replace(ctx, fleet=Fleet(ctx.fleet, "verify", UnreachableError("nobody there")))
    rebalance(away)
    assert list(doubtful_nodes(ctx)) == [one.to[0].node]
    rebalance(ctx)
    assert doubtful_nodes(ctx) == {}


@pytest.mark.parametrize("after", [0, 1])
def test_whoever_interrupts_it_does_not_get_the_rest_later(ctx, order, after):
    fleet = Fleet(ctx.fleet, "do", None, at=99)
    going = replace(ctx, fleet=fleet, stopped=lambda: fleet.calls >= after)
    if after == 0:
        with pytest.raises(StoppedError):
            send(going, order)
    else:
        sent = send(going, order)
        assert [one.sent for one in sent.deliveries] == [True, False]
        assert isinstance(sent.error, PartlyAppliedError | StoppedError)
        assert sent.error.exit_code == StoppedError.exit_code
    assert ctx.journal.open_runs() == ()
    rebalance(ctx)
    assert len({(to.node, to.pid) for to in order.to} & alive(ctx)) == 2 - after
    assert len(entries(ctx)) == after
