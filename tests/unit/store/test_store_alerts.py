"""Alerts kept in history.db: a restart changes nothing, a full disk loses nothing, two that look agree."""

import sqlite3
from contextlib import closing, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.engine.alerts import Seen, step
from gpualloc.errors import StateError
from gpualloc.model.alert import (
    Alert,
    AlertKey,
    AlertRule,
    AlertState,
    Delivered,
    MetricTest,
    Notice,
    Silence,
    Transition,
    TroubleTest,
)
from gpualloc.model.health import Event, Severity, Trouble
from gpualloc.model.inventory import Device, Node, NodeSpec, NodeState
from gpualloc.ports import AlertChanges, Standing
from gpualloc.store.alerts import SqliteAlerts
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths

T0 = 1_800_000_000.0
ALERT = Alert(AlertKey("hot", "n1", "GPU-1"), AlertState.FIRING, T0, "it is hot", 91.5, T0 + 1, T0 + 2, None, None, T0)
TOLD = Transition(T0, "hot", "n1", "GPU-1", AlertState.FIRING, Severity.ERROR, "it is hot", 91.5, T0 - 60)
NOTICE = Notice("a" * 32, "pager", T0, '{"format": 1}')


@pytest.fixture
def alerts(paths):
    opened = []

    def open_():
        opened.append(SqliteAlerts(paths))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


def test_what_was_kept_is_read_by_the_next(alerts):
    first = alerts()
    assert first.standing() == Standing()
    assert first.keep(Standing(), T0, AlertChanges([ALERT], (), [TOLD, replace(TOLD, reminder=True)], [NOTICE]))
    second = alerts()
    assert second.standing() == Standing(T0, {ALERT.key: ALERT})
    assert second.transitions(T0) == (TOLD,)
    assert second.transitions(T0, rule="cold") == second.transitions(T0, node="n2") == second.transitions(T0 + 1) == ()
    assert second.waiting(T0) == (NOTICE,)
    assert second.waiting(T0 + 1) == ()
    second.ended([Delivered(NOTICE, None)])
    assert first.waiting(0) == ()
    assert second.keep(second.standing(), T0 + 10, AlertChanges(gone=[ALERT.key]))
    assert alerts().standing() == Standing(T0 + 10, {})


def test_two_that_look_at_once_do_not_both_tell(alerts):
    first, second = alerts(), alerts()
    seen = first.standing(), second.standing()
    assert first.keep(seen[0], T0, AlertChanges([ALERT], (), [TOLD]))
    assert not second.keep(seen[1], T0 + 1, AlertChanges([ALERT], (), [TOLD]))
    assert second.standing().alerts == {ALERT.key: ALERT}
    assert second.keep(second.standing(), T0 + 2, AlertChanges())
    assert len(first.transitions(0)) == 1


def test_silences_are_in_force_until_their_time(alerts):
    kept = alerts()
    made = kept.silence(Silence(0, "hot", None, T0 + 60, "fans", "ann", T0))
    other = kept.silence(Silence(0, None, "n1", T0 + 30, "", "bob", T0))
    assert alerts().silences(T0) == (other, made)
    assert kept.silences(T0 + 30) == (made,)
    kept.unsilence([made.id])
    assert kept.silences(T0) == (other,)


def test_the_past_goes_with_the_samples(alerts, paths):
    kept = alerts()
    kept.keep(Standing(), T0, AlertChanges([ALERT], (), [TOLD, replace(TOLD, at_s=T0 + 100)], [NOTICE]))
    kept.silence(Silence(0, "hot", None, T0 + 60, "fans", "ann", T0))
    history = SqliteHistory(paths)
    history.prune(T0 + 100)
    history.close()
    assert [each.at_s for each in kept.transitions(0)] == [T0 + 100]
    assert kept.silences(0) == kept.waiting(0) == ()
    assert kept.standing().alerts == {ALERT.key: ALERT}


def test_a_full_disk_is_told_and_forgets_nothing(mounted):
    paths = StatePaths(mounted("size=1m") / "state")
    kept = SqliteAlerts(paths)
    try:
        assert kept.keep(kept.standing(), T0, AlertChanges())
        block = paths.root / "block"
        with block.open("wb", buffering=0) as stream, suppress(OSError):
            while True:
                stream.write(b"x" * 4096)
        many = [replace(ALERT, key=AlertKey("hot", f"n{at}", "GPU-1")) for at in range(2000)]
        with pytest.raises(StateError, match="full"):
            kept.keep(kept.standing(), T0 + 1, AlertChanges(many, (), [TOLD]))
        assert len(kept.standing().alerts) == 2000
        with pytest.raises(StateError, match="full"):
            kept.keep(kept.standing(), T0 + 2, AlertChanges((), [many[0].key]))
        block.unlink()
        assert kept.keep(kept.standing(), T0 + 3, AlertChanges((), [many[1].key]))
        again = SqliteAlerts(paths)
        assert again.standing() == Standing(T0 + 3, {each.key: each for each in many[2:]})
        assert again.transitions(0) == (TOLD,)
        again.close()
    finally:
        kept.close()


def test_a_place_that_cannot_be_written_still_knows_what_it_told(paths, monkeypatch):
    SqliteAlerts(paths).close()
    monkeypatch.setattr("gpualloc.store.database.write_obstacle", lambda folder: "it is read-only")
    kept = SqliteAlerts(paths)
    with pytest.raises(StateError, match="read-only"):
        kept.keep(kept.standing(), T0, AlertChanges([ALERT]))
    assert kept.standing().alerts == {ALERT.key: ALERT}
    kept.close()


def test_files_of_before_get_the_tables(paths, alerts):
    SqliteHistory(paths).close()
    with closing(sqlite3.connect(paths.history_db)) as connection:
        for table in ("alert", "alert_look", "alert_transition", "alert_silence", "alert_notice"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("DELETE FROM _sqlite_migrations WHERE name = 'm004_alerts'")
        connection.execute("PRAGMA user_version = 3")
        connection.commit()
    assert alerts().keep(Standing(), T0, AlertChanges([ALERT]))


RULES = {
    "hot": AlertRule(
        "hot", MetricTest("temperature_c", 85, below=False, clear=80), for_s=30, clear_for_s=20, repeat_s=60
    ),
    "xid": AlertRule("xid", TroubleTest(Trouble.XID), clear_for_s=45),
}
LOOKS = st.lists(
    st.tuples(st.sampled_from([None, 75, 83, 90, "gone"]), st.booleans(), st.booleans()), min_size=1, max_size=25
)


@settings(max_examples=25, deadline=None)
@given(looks=LOOKS)
def test_stopped_and_begun_again_it_is_as_if_it_went_on(looks, tmp_path_factory):
    paths = StatePaths(tmp_path_factory.mktemp("alerts") / "state")
    straight, told, again = Standing(), [], []
    kept = SqliteAlerts(paths)
    for at, (value, xid, restarted) in enumerate(looks):
        if restarted:
            kept.close()
            kept = SqliteAlerts(paths)
        now_s = T0 + 10 * at
        devices = (Device("GPU-1", 0, "H100", 80, temperature_c=value),) if value != "gone" else ()
        node = Node(
            NodeSpec("n1", "p", "ssh"),
            NodeState.UNREACHABLE if value == "gone" else NodeState.OK,
            now_s,
            devices=devices,
        )
        event = Event(now_s, Trouble.XID, Severity.ERROR, "n1", "GPU-1", "Xid 79", None, str(at), 79)
        seen = Seen(now_s, {"n1": node.spec}, [node], events=[event] if xid else [])
        changes = step(RULES, straight, seen)
        straight = straight.after(now_s, changes)
        told += changes.transitions
        changes = step(RULES, kept.standing(), seen)
        assert kept.keep(kept.standing(), now_s, changes)
        again += changes.transitions
    assert again == told
    assert kept.standing() == straight
    assert kept.transitions(0) == tuple(each for each in told if not each.reminder)
    kept.close()
