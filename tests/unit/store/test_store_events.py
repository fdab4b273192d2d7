"""Events, conditions and what is remembered of nodes in history.db."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest
from msgspec.structs import replace

from gpualloc.errors import StateError
from gpualloc.model.health import Condition, Event, Heard, Looked, SeenDevice, Severity, Trouble
from gpualloc.store.events import SqliteEvents

HEARD = Heard(
    "n1", "b1", "580", 7, (SeenDevice("GPU-1", 0, "0000:3b:00.0", 5, 12.5), SeenDevice("GPU-2", None, None)), ("ib0",)
)
CONDITION = Condition(Trouble.THROTTLED, Severity.WARNING, "n1", "GPU-1", "hot \x1b", None, 1000.25, confirmed=False)
EVENT = Event(1000.5, Trouble.XID, Severity.CRITICAL, "n1", None, "Xid 79", "reboot", "b1:1", 79, news=False)


@pytest.fixture
def events(paths):
    with closing(SqliteEvents(paths)) as events:
        yield events


def test_what_a_look_came_to_comes_back_as_it_was(events, paths):
    looked = Looked(("n1",), (HEARD,), (CONDITION, replace(CONDITION, device=None, confirmed=True)), (EVENT,))
    assert events.keep(looked) == (EVENT,)
    assert events.keep(looked) == ()
    with closing(SqliteEvents(paths)) as again:
        assert again.heard() == again.heard(["n1"]) == again.heard(["n1", "n2"]) == {"n1": HEARD}
        assert again.heard(["n2"]) == {}
        assert again.conditions(suspected=True) == (looked.conditions[1], CONDITION)
        assert again.conditions() == (looked.conditions[1],)
        assert again.events(1000.5, 1000.5) == (EVENT,)


def test_only_the_conditions_of_the_nodes_looked_at_are_replaced(events):
    other = replace(CONDITION, node="n2")
    events.keep(Looked(("n1", "n2"), (), (CONDITION, other), ()))
    events.keep(Looked(("n1",), (), (), ()))
    assert events.conditions(suspected=True) == (other,)


def test_a_mark_stands_behind_what_was_kept(events):
    assert events.kept_after(events.mark()) == ((), 0)
    first, second = replace(EVENT, key="a", at_s=5.0), replace(EVENT, key="b", at_s=1.0)
    events.note([first])
    mark = events.mark()
    events.note([first, second])
    kept, after = events.kept_after(mark)
    assert kept == (second,)
    assert events.kept_after(after) == ((), after)


def test_what_is_forgotten_is_gone_with_its_conditions(events):
    events.keep(Looked(("n1",), (HEARD,), (CONDITION,), ()))
    assert events.forget("n1", "GPU-1")
    assert events.forget("n1", "ib0")
    assert not events.forget("n1", "GPU-1")
    assert not events.forget("n9", "GPU-1")
    assert events.heard()["n1"] == replace(HEARD, devices=HEARD.devices[1:], ports=())
    assert events.conditions(suspected=True) == ()


def test_all_or_nothing_is_kept(events, paths):
    events.keep(Looked(("n1",), (HEARD,), (CONDITION,), ()))
    twice = Looked(("n1",), (replace(HEARD, boot_id="b2"),), (CONDITION, CONDITION), (EVENT,))
    with pytest.raises((StateError, sqlite3.Error)):
        events.keep(twice)
    assert events.heard()["n1"] == HEARD
    assert events.conditions(suspected=True) == (CONDITION,)
    assert events.events(0) == ()


def test_a_place_that_cannot_be_written_says_so_and_reads_as_empty(common_folder):
    from gpualloc.store.paths import StatePaths

    away = common_folder / "missing"
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        code = 1
        try:
            with closing(SqliteEvents(StatePaths(away))) as events:
                assert events.conditions() == ()
                assert events.heard() == {}
                assert events.mark() == 0
                try:
                    events.keep(Looked((), (), (), (EVENT,)))
                except StateError:
                    code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
