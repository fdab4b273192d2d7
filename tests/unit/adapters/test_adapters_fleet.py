"""The fleet over scripted node programs: what works, and that a sick node is only sick itself."""

from __future__ import annotations

import threading
import time

import pytest
from fakes.scripted_node import ANSWERS, ScriptedLaunch

from gpualloc.adapters.backoff import BackOff
from gpualloc.adapters.fleet import LinkedFleet
from gpualloc.adapters.link import Failure, LinkDownError
from gpualloc.adapters.pipe_link import PipeLink
from gpualloc.errors import FencedError, NotFoundError, StateError, StepError, UnknownOutcomeError, UnreachableError
from gpualloc.model.allocation import Allocation
from gpualloc.model.inventory import NodeSpec, NodeState
from gpualloc.model.plan import Step, StepKind, StepReason
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.node.wire import answer, refusal
from gpualloc.ports import StepCall


class TalkingLink:
    """A link in process, as simulated nodes have it: `talk` gets each request and returns its end record."""

    def __init__(self, talk):
        self.talk = talk
        self.connection = 1
        self.asked = []
        self.closed = False

    def exchange(self, requests, deadline_s):
        self.asked += [request["verb"] for request in requests]
        return [self.talk(request) for request in requests]

    def close(self):
        self.closed = True


def healthy(request):
    return answer(request["id"], ANSWERS[request["verb"]])


def spec(name: str) -> NodeSpec:
    return NodeSpec(name, "pool", "simulated")


def call_of(kind: StepKind = StepKind.UNCLAIM, node: str = "n1") -> StepCall:
    step = Step(1, kind, node, "w0123abcd", "", StepReason.WAITING, "", Allocation("w0123abcd", node, ()), 1, 1)
    workload = Workload("w0123abcd", "w", "ada", Request(("true",)), WorkloadState.PENDING, 0.0)
    return StepCall("run", 1, 1, "c" * 32, step, workload)


@pytest.fixture
def fleet_of():
    fleets = []

    def make(links, **settings):
        nodes = [(spec(name), lambda link=link: link) for name, link in links.items()]
        fleets.append(LinkedFleet(nodes, **settings))
        return fleets[-1]

    yield make
    for fleet in fleets:
        fleet.close()


def test_specs_are_sorted_whatever_the_order_of_the_configuration(fleet_of):
    fleet = fleet_of({name: TalkingLink(healthy) for name in ("b", "c", "a")})
    assert [spec.name for spec in fleet.specs()] == ["a", "b", "c"]


def test_hello_is_asked_once_for_each_connection(fleet_of):
    link = TalkingLink(healthy)
    fleet = fleet_of({"n1": link})
    for _ in range(3):
        assert next(fleet.observe()).hostname == "scripted"
    assert link.asked.count("hello") == 1
    link.connection = 2
    assert next(fleet.observe()).hostname == "scripted"
    assert link.asked.count("hello") == 2


def test_a_node_program_replaced_in_the_middle_of_a_look_introduces_itself(fleet_of):
    def replaced(request):
        if request["verb"] == "inventory":
            link.connection += 1
        return healthy(request)

    link = TalkingLink(healthy)
    fleet = fleet_of({"n1": link})
    next(fleet.observe())
    link.talk = replaced
    assert next(fleet.observe()).state is NodeState.OK
    assert link.asked.count("hello") == 2


def test_only_the_named_nodes_are_looked_at(fleet_of):
    links = {name: TalkingLink(healthy) for name in ("a", "b", "c")}
    fleet = fleet_of(links)
    assert {node.name for node in fleet.observe(["a", "c", "a"])} == {"a", "c"}
    assert links["b"].asked == []
    with pytest.raises(NotFoundError, match="'x'"):
        fleet.observe(["x"])


def test_every_node_is_yielded_once_with_fewer_threads_than_nodes(fleet_of):
    fleet = fleet_of({f"n{number:03}": TalkingLink(healthy) for number in range(100)}, width=7)
    assert sorted(node.name for node in fleet.observe()) == [f"n{number:03}" for number in range(100)]


def test_a_node_that_hangs_delays_only_itself(fleet_of):
    let_go = threading.Event()

    def hang(request):
        let_go.wait()
        return healthy(request)

    fleet = fleet_of({"hung": TalkingLink(hang), **{f"n{n}": TalkingLink(healthy) for n in range(5)}})
    nodes = fleet.observe()
    assert {next(nodes).name for _ in range(5)} == {f"n{n}" for n in range(5)}
    let_go.set()
    assert next(nodes).name == "hung"


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (UnreachableError("n1: unreachable: switched off"), NodeState.UNREACHABLE),
        (LinkDownError(Failure(NodeState.NO_PYTHON, "switched off", "try x"), "n1"), NodeState.NO_PYTHON),
        (UnknownOutcomeError("switched off"), NodeState.UNREACHABLE),
    ],
)
def test_a_node_that_fails_is_data(fleet_of, error, state):
    def fail(request):
        raise error

    node = next(fleet_of({"n1": TalkingLink(fail)}).observe())
    assert node.state is state
    assert (node.reason or "").startswith("switched off")
    assert node.devices == ()
    assert not node.manageable


def test_what_is_wrong_with_our_own_files_is_raised_not_shown_as_a_node(fleet_of):
    def broken(request):
        raise StateError("the cluster's file cannot be read")

    fleet = fleet_of({"a": TalkingLink(broken), "b": TalkingLink(healthy)})
    with pytest.raises(StateError):
        list(fleet.observe())
    with pytest.raises(StateError):
        fleet.wait_for_event(3600)


def test_a_node_that_talks_nonsense_is_failed_and_named(fleet_of):
    def nonsense(request):
        return answer(request["id"], {"devices": 7} if request["verb"] == "sample" else ANSWERS[request["verb"]])

    node = next(fleet_of({"n1": TalkingLink(nonsense)}).observe())
    assert node.state is NodeState.FAILED
    assert "sample.host" in (node.reason or "") or "sample.devices" in (node.reason or "")


def test_a_node_that_cannot_answer_a_verb_is_failed(fleet_of):
    def refusing(request):
        if request["verb"] == "processes":
            return refusal(request["id"], "failed", "no /proc")
        return healthy(request)

    node = next(fleet_of({"n1": TalkingLink(refusing)}).observe())
    assert (node.state, node.reason) == (NodeState.FAILED, "no /proc")


def test_steps_travel_with_their_call_and_bring_facts_back(fleet_of):
    seen = []

    def talk(request):
        seen.append((request["verb"], request["args"]["call"]["step"]["kind"]))
        return answer(request["id"], {"holds": False, "pid": 7} if request["verb"] == "verify" else {"pid": 7})

    fleet = fleet_of({"n1": TalkingLink(talk)})
    fleet.preflight(call_of(StepKind.START))
    assert fleet.do(call_of(StepKind.START)).facts == {"pid": 7}
    assert not fleet.verify(call_of(StepKind.START)).holds
    assert fleet.undo(call_of(StepKind.START)).holds
    assert seen == [(verb, "start") for verb in ("preflight", "do", "verify", "undo")]


@pytest.mark.parametrize(
    ("reason", "kind", "exit_code"),
    [
        ("no-command", StepError, 127),
        ("not-executable", StepError, 126),
        ("memory", StepError, None),
        ("fenced", FencedError, None),
        ("of-another-world", StepError, None),
    ],
)
def test_refusals_become_errors_that_the_engine_knows(fleet_of, reason, kind, exit_code):
    fleet = fleet_of({"n1": TalkingLink(lambda request: refusal(request["id"], reason, "because"))})
    with pytest.raises(kind, match="n1: because") as caught:
        fleet.do(call_of())
    assert caught.value.command_exit_code == exit_code
    assert caught.value.reason == (reason if reason != "of-another-world" else "failed")
    assert caught.value.node == "n1"


@pytest.mark.parametrize("error", ["text", None, {}, {"reason": 7, "message": ["x"]}])
def test_refusals_that_make_no_sense_are_refusals(fleet_of, error):
    fleet = fleet_of({"n1": TalkingLink(lambda request: {"id": request["id"], "error": error})})
    with pytest.raises(StepError) as caught:
        fleet.do(call_of())
    assert caught.value.reason == "failed"


def test_a_step_answered_with_nonsense_may_have_happened(fleet_of):
    fleet = fleet_of({"n1": TalkingLink(lambda request: {"id": request["id"], "ok": {"holds": "maybe"}})})
    with pytest.raises(UnknownOutcomeError):
        fleet.do(call_of())


def test_a_program_that_dies_in_a_step_leaves_the_outcome_unknown_and_is_replaced(fleet_of):
    launch = ScriptedLaunch(dies_at="do")
    fleet = fleet_of({"n1": PipeLink("n1", launch, BackOff(0.0, 0.0))})
    with pytest.raises(UnknownOutcomeError):
        fleet.do(call_of())
    assert next(fleet.observe()).state is NodeState.OK


def test_unknown_nodes_and_workloads_are_not_found(fleet_of):
    fleet = fleet_of({"n1": TalkingLink(lambda request: refusal(request["id"], "gone", "no such workload"))})
    with pytest.raises(NotFoundError, match="no node 'x'"):
        fleet.logs("x", "w0123abcd", 0)
    with pytest.raises(NotFoundError, match="no such workload"):
        fleet.logs("n1", "w0123abcd", 0)


def test_logs_are_read_from_an_offset(fleet_of):
    def talk(request):
        assert request["args"] == {"workload": "w0123abcd", "offset": 3, "limit": 5}
        return answer(request["id"], {"data": "aGVsbG8=", "next_offset": 8, "ended": False})

    chunk = fleet_of({"n1": TalkingLink(talk)}).logs("n1", "w0123abcd", 3, limit=5)
    assert (chunk.data, chunk.next_offset, chunk.ended) == (b"hello", 8, False)


def test_a_change_on_one_node_ends_the_wait(fleet_of):
    def changed(request):
        return answer(request["id"], {"changed": True})

    fleet = fleet_of({"a": TalkingLink(healthy), "b": TalkingLink(changed), "c": TalkingLink(healthy)})
    list(fleet.observe())
    assert fleet.wait_for_event(3600)


def test_a_node_that_was_never_asked_is_not_woken_by_a_wait(fleet_of):
    link = TalkingLink(healthy)
    assert not fleet_of({"a": link}).wait_for_event(0.1)
    assert link.asked == []


def test_a_wait_without_a_change_ends_at_its_time(fleet_of):
    link = TalkingLink(healthy)
    fleet = fleet_of({"a": link})
    list(fleet.observe())
    assert not fleet.wait_for_event(0.2)
    assert 1 <= link.asked.count("events") <= 2


def test_a_node_that_comes_back_ends_the_wait(fleet_of):
    down = True

    def talk(request):
        if down:
            raise UnreachableError("down")
        return healthy(request)

    fleet = fleet_of({"a": TalkingLink(talk)})
    assert next(fleet.observe()).state is NodeState.UNREACHABLE
    assert not fleet.wait_for_event(0.1)
    down = False
    assert fleet.wait_for_event(3600)


def test_a_change_told_a_moment_too_late_ends_the_next_wait(fleet_of):
    over = threading.Event()

    def talk(request):
        if request["verb"] != "events" or link.asked.count("events") > 1:
            return healthy(request)
        over.wait()
        return answer(request["id"], {"changed": True})

    link = TalkingLink(talk)
    fleet = fleet_of({"a": link})
    list(fleet.observe())
    assert not fleet.wait_for_event(0.05)
    over.set()
    assert fleet.wait_for_event(3600)
    assert not fleet.wait_for_event(0.05), "it is told once"


def test_close_ends_a_wait_and_lets_go_of_every_node(fleet_of):
    link = TalkingLink(healthy)
    fleet = fleet_of({"a": link})
    list(fleet.observe())
    answers = []
    thread = threading.Thread(target=lambda: answers.append(fleet.wait_for_event(3600)))
    thread.start()
    while "events" not in link.asked:
        time.sleep(0.01)
    fleet.close()
    thread.join()
    assert answers == [False]
    assert link.closed


def test_close_does_not_wait_for_a_node_that_will_not_let_go(fleet_of):
    let_go = threading.Event()
    link = TalkingLink(healthy)
    link.close = let_go.wait
    fleet = fleet_of({"a": link, "b": TalkingLink(healthy)})
    list(fleet.observe())
    fleet.close()
    assert not let_go.is_set()
    let_go.set()


def test_links_are_made_when_they_are_needed():
    made = []

    def connect():
        made.append(1)
        return TalkingLink(healthy)

    fleet = LinkedFleet([(spec("a"), connect)])
    assert not made
    fleet.close()
    assert next(fleet.observe()).reason == "the fleet is closed"
    assert not made
