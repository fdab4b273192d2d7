"""Alerts of a look: kept before they are told, told once, and delivered whatever the state or a channel does."""

import json

import pytest
from fakes.memory_context import MemoryFleet, memory_context
from msgspec.structs import replace

from gpualloc.engine.alerting import alerting, raise_alerts, send_test, silence, standing_now, unsilence
from gpualloc.engine.alerts_notice import MAX_ALERTS, MAX_TEXT_CHARS, notices_of
from gpualloc.engine.context import Settings
from gpualloc.errors import NotFoundError, StateError, UsageError
from gpualloc.model.alert import (
    AlertRule,
    AlertSettings,
    AlertState,
    Channel,
    Delivered,
    MetricTest,
    Silence,
    Transition,
)
from gpualloc.model.health import Severity
from gpualloc.model.inventory import Device, Node, NodeSpec, NodeState
from gpualloc.ports import Standing
from gpualloc.store.alerts import SqliteAlerts
from gpualloc.store.paths import StatePaths

T0 = 1_800_000_000.0
HOT = AlertRule(
    "hot", MetricTest("temperature_c", 85, below=False, clear=80), Severity.ERROR, deliver=("log", "pager", "chat")
)


class Clock:
    def __init__(self):
        self.at_s = T0

    def now_s(self):
        return self.at_s


class KeptMessenger:
    """Keeps what is to be delivered, and ends what it is told to."""

    def __init__(self):
        self.begun, self.to_end, self.rested, self.problem = [], [], [], None

    def begin(self, notices):
        self.begun += notices

    def ended(self):
        ended, self.to_end = self.to_end, []
        return tuple(ended)

    def rest(self, wait_s):
        self.rested.append(wait_s)
        return True

    def attempt(self, notice):
        self.begun.append(notice)
        return Delivered(notice, self.problem)


def node(name="n1", temperature_c=90):
    found = (Device("GPU-1", 0, "H100", 80, temperature_c=temperature_c),)
    return Node(NodeSpec(name, "train", "ssh"), NodeState.OK, T0, devices=found)


@pytest.fixture
def world(tmp_path):
    """A context with one rule and two channels, over a real history.db."""
    alerts = SqliteAlerts(StatePaths(tmp_path / "state"))
    channels = {name: Channel(name, command=("/bin/true",)) for name in ("pager", "chat")}
    said, lost = [], []
    context = replace(
        memory_context(fleet=MemoryFleet((node(), node("n2")))),
        clock=Clock(),
        alerts=alerts,
        messenger=KeptMessenger(),
        settings=Settings(alerts=AlertSettings({"hot": HOT}, channels)),
        on_alert=said.append,
        on_undelivered=lost.append,
    )
    yield context, said, lost
    alerts.close()


def look(context, *nodes, later_s=10.0):
    context.clock.at_s += later_s
    return raise_alerts(context, nodes or (node(),), (), ())


def test_a_transition_is_kept_said_and_sent_to_each_channel(world):
    context, said, _ = world
    told = look(context)
    assert [(each.state, each.node) for each in told] == [(AlertState.FIRING, "n1")]
    assert said == list(told) == list(context.alerts.transitions(0))
    assert [each.channel for each in context.messenger.begun] == ["chat", "pager"]
    document = json.loads(context.messenger.begun[0].document)
    assert document == {
        "format": 1,
        "id": context.messenger.begun[0].id,
        "at_s": T0 + 10,
        "simulated": False,
        "test": False,
        "firing": 1,
        "alerts": [
            {
                "id": f"hot/n1/GPU-1/firing/{T0 + 10:.3f}",
                "at_s": T0 + 10,
                "rule": "hot",
                "state": "firing",
                "severity": "error",
                "node": "n1",
                "device": "GPU-1",
                "what": "temperature_c is 90 °C, above 85",
                "value": 90,
                "since_s": T0 + 10,
                "reminder": False,
            }
        ],
    }
    assert look(context) == ()
    assert [each.state for each in look(context, node(temperature_c=70))] == [AlertState.RESOLVED]


def test_a_look_at_many_is_one_document(world):
    context, _, _ = world
    look(context, node("n1"), node("n2"))
    assert [json.loads(each.document)["firing"] for each in context.messenger.begun] == [2, 2]


def test_what_was_not_delivered_is_begun_again_by_the_next_run(world):
    context, _, lost = world
    with alerting(context, 3.0):
        look(context)
        pager = next(each for each in context.messenger.begun if each.channel == "pager")
        context.messenger.to_end = [Delivered(pager, None)]
    assert context.messenger.rested == [3.0]
    again = replace(context, messenger=KeptMessenger())
    with alerting(again):
        assert [each.channel for each in again.messenger.begun] == ["chat"]
        again.messenger.to_end = [Delivered(again.messenger.begun[0], "answered 404")]
    assert [each.problem for each in lost] == ["answered 404"]
    last = replace(context, messenger=KeptMessenger())
    with alerting(last):
        assert last.messenger.begun == []


def test_old_news_is_not_delivered(world):
    context, _, _ = world
    look(context)
    context.clock.at_s += 86_401
    again = replace(context, messenger=KeptMessenger())
    with alerting(again):
        assert again.messenger.begun == []


def test_a_state_that_cannot_be_written_keeps_nobody_from_being_told_once(world, monkeypatch):
    context, said, _ = world
    context.alerts.standing()

    def full():
        raise StateError("the disk is full")

    monkeypatch.setattr(context.alerts._database, "require_writable", full)
    assert len(look(context)) == 1
    assert look(context) == ()
    assert len(said) == 1
    assert len(context.messenger.begun) == 2


def test_another_process_that_looks_meanwhile_is_heard(world, tmp_path):
    context, said, _ = world
    other = SqliteAlerts(StatePaths(tmp_path / "state"))
    twin = replace(context, alerts=other, messenger=KeptMessenger())
    other.standing()
    look(context)
    assert look(twin) == ()
    assert look(context, node(temperature_c=70)) != ()
    assert look(twin, node(temperature_c=70)) == ()
    assert len(said) == 2
    other.close()


def test_silenced_alerts_are_watched_and_not_told(world):
    context, said, _ = world
    made = silence(context, "hot", None, 60.0, " new fans ")
    assert (made.reason, made.actor, made.until_s) == ("new fans", context.actor, T0 + 60)
    (told,) = look(context)
    assert told.silenced
    assert not said
    assert not context.messenger.begun
    _, ((alert, rule, silenced),) = standing_now(context)
    assert (alert.state, rule, silenced) == (AlertState.FIRING, HOT, made)
    assert unsilence(context, "hot", None) == (made,)
    (told,) = look(context)
    assert told.reminder
    assert said == [told]


def test_the_worst_comes_first(world):
    context, _, _ = world
    rules = {
        "pending": replace(HOT, name="pending", for_s=60, severity=Severity.CRITICAL),
        "mild": replace(HOT, name="mild", severity=Severity.WARNING),
        "bad": replace(HOT, name="bad"),
        "quiet": replace(HOT, name="quiet", severity=Severity.CRITICAL),
    }
    context = replace(context, settings=Settings(alerts=AlertSettings(rules)))
    silence(context, "quiet", None, 60.0, None)
    look(context)
    looked_s, found = standing_now(context)
    assert [alert.key.rule for alert, _, _ in found] == ["bad", "mild", "quiet", "pending"]
    assert looked_s == T0 + 10


def test_silences_name_what_is_there(world):
    context, _, _ = world
    for rule, node_name, error in (
        (None, None, UsageError),
        ("cold", None, NotFoundError),
        (None, "n9", NotFoundError),
    ):
        with pytest.raises(error):
            silence(context, rule, node_name, 60.0, None)
    with pytest.raises(UsageError):
        silence(context, "hot", None, 60.0, "two\nlines")
    with pytest.raises(UsageError):
        unsilence(context, None, None)
    silence(context, "hot", "n1", 60.0, None)
    with pytest.raises(NotFoundError):
        unsilence(context, "hot", None)
    assert len(unsilence(context, "hot", "n1")) == 1


def test_a_test_goes_through_every_channel_of_its_rule(world):
    context, said, _ = world
    context.messenger.problem = "answered 500"
    answers = send_test(context, "hot")
    assert [(each.notice.channel, each.problem) for each in answers] == [
        ("chat", "answered 500"),
        ("pager", "answered 500"),
        ("log", None),
    ]
    assert json.loads(context.messenger.begun[0].document)["test"] is True
    assert "this is a test of the alert rule hot" in said[0].what
    assert context.alerts.standing() == Standing()
    assert context.alerts.waiting(0) == ()
    with pytest.raises(NotFoundError, match="cold"):
        send_test(context, "cold")


def told(at, **changes):
    known = Transition(T0, "hot", f"n{at:04}", None, AlertState.FIRING, Severity.ERROR, "hot", None, T0)
    return replace(known, **changes)


def test_documents_are_bounded_and_their_ids_are_those_of_what_they_tell():
    many = [told(at, what="x" * 5000) for at in range(MAX_ALERTS + 1)]
    notices = notices_of(many, {"hot": replace(HOT, deliver=("pager",))}, simulated=True)
    assert [len(json.loads(each.document)["alerts"]) for each in notices] == [MAX_ALERTS, 1]
    assert len(json.loads(notices[0].document)["alerts"][0]["what"]) == MAX_TEXT_CHARS
    assert json.loads(notices[0].document)["simulated"] is True
    assert notices == notices_of(many, {"hot": replace(HOT, deliver=("pager",))}, simulated=True)
    assert len({each.id for each in notices}) == 2


def test_nothing_is_sent_of_what_is_silenced_or_without_a_rule():
    assert notices_of([told(1, silenced=True), told(2, rule="gone")], {"hot": HOT}, simulated=False) == ()


def test_silence_covers_what_it_names():
    key = (("hot", "n1", ""),)
    quiet = Silence(1, None, "n1", 0, "", "", 0)
    from gpualloc.model.alert import AlertKey

    assert quiet.covers(AlertKey(*key[0]))
    assert not replace(quiet, rule="cold").covers(AlertKey(*key[0]))
    assert not replace(quiet, node="n2").covers(AlertKey(*key[0]))
