"""The audit trail shows every change made to it."""

import sqlite3
from contextlib import closing

import pytest

from gpualloc.errors import StateError
from gpualloc.model.audit import GENESIS, entry_hash
from gpualloc.model.workload import WorkloadState

COPY = "SELECT {seq}, at_s, 'x', actor, workload, node, detail, hash, hash FROM audit WHERE seq = {of}"
UNLOCK = """
DROP TRIGGER audit_is_never_changed;
DROP TRIGGER audit_is_never_deleted;
DROP TRIGGER audit_is_never_replaced;
"""


@pytest.fixture
def trail(journal, make_entry):
    """A journal with five entries."""
    with journal.write("apply") as writer:
        writer.save([], [make_entry("submit", f"w{n}", 100.0 + n, n=n, nested={"a": [n, None]}) for n in (1, 2, 3)])
        writer.save([], [make_entry("end", "w1", 104), make_entry("end", "w2", 105)])
    return journal


def tamper(paths, sql):
    with closing(sqlite3.connect(paths.state_db)) as connection:
        connection.executescript(UNLOCK + sql)


def test_entries_are_chained(trail):
    entries = trail.audit()
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry.previous_hash for entry in entries] == [GENESIS, *[entry.hash for entry in entries[:-1]]]
    assert all(entry.hash == entry_hash(entry) for entry in entries)
    assert trail.verify_audit() is None


def test_an_empty_trail_is_whole(journal):
    assert journal.audit() == ()
    assert journal.verify_audit() is None


def test_selection(trail):
    assert [entry.seq for entry in trail.audit(since_s=103.0)] == [3, 4, 5]
    assert [entry.seq for entry in trail.audit(workload="w1")] == [1, 4]
    assert [entry.seq for entry in trail.audit(limit=2)] == [4, 5]
    assert [entry.seq for entry in trail.audit(workload="w2", since_s=104.0, limit=9)] == [5]


def test_whole_seconds_and_tuples_are_hashed_as_they_will_be_read(journal, make_entry):
    with journal.write("apply") as writer:
        writer.save([], [make_entry(at_s=7, devices=("a", "b"), state=WorkloadState.LOST)])
    assert journal.verify_audit() is None
    assert journal.audit()[0].detail == {"devices": ["a", "b"], "state": "lost"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_no_json_is_refused(journal, make_entry, value):
    with journal.write("apply") as writer, pytest.raises(ValueError, match="JSON"):
        writer.save([], [make_entry(value=value)])
    assert journal.audit() == ()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit SET actor = 'eve' WHERE seq = 2",
        "DELETE FROM audit WHERE seq = 5",
        "INSERT OR REPLACE INTO audit " + COPY.format(seq=3, of=3),
        "INSERT INTO audit " + COPY.format(seq=-1, of=3),
    ],
)
def test_the_database_refuses_changes(trail, paths, sql):
    with (
        closing(sqlite3.connect(paths.state_db)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        connection.execute(sql)
    assert trail.verify_audit() is None


@pytest.mark.parametrize(
    ("sql", "first"),
    [
        ("UPDATE audit SET actor = 'eve' WHERE seq = 3", 3),
        ("UPDATE audit SET at_s = at_s + 1 WHERE seq = 1", 1),
        ("UPDATE audit SET detail = '{}' WHERE seq = 2", 2),
        ("UPDATE audit SET detail = 'no json' WHERE seq = 2", 2),
        ("UPDATE audit SET detail = x'00' WHERE seq = 2", 2),
        ("UPDATE audit SET kind = x'00' WHERE seq = 4", 4),
        ("UPDATE audit SET hash = 'x' WHERE seq = 5", 5),
        ("DELETE FROM audit WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 1", 1),
        ("DELETE FROM audit WHERE seq > 3", 4),
        ("DELETE FROM audit", 1),
        ("INSERT INTO audit " + COPY.format(seq=6, of=5), 6),
        ("INSERT INTO audit " + COPY.format(seq=-6, of=5), 1),
        ("UPDATE meta SET value = 'x' WHERE key = 'audit_hash'", 5),
    ],
)
def test_what_was_done_behind_the_back_shows(trail, paths, sql, first):
    tamper(paths, sql + ";")
    assert trail.verify_audit() == first


def test_a_long_trail_is_checked_to_its_end(journal, paths, make_entry):
    with journal.write("apply") as writer:
        writer.save([], [make_entry(number=number) for number in range(2500)])
    assert journal.verify_audit() is None
    tamper(paths, "UPDATE audit SET actor = 'eve' WHERE seq = 2400;")
    assert journal.verify_audit() == 2400


@pytest.mark.parametrize(
    "sql", ["DELETE FROM meta WHERE key = 'audit_seq'", "UPDATE meta SET value = 'x' WHERE key = 'audit_seq'"]
)
def test_a_lost_head_is_named(trail, paths, sql):
    tamper(paths, sql + ";")
    with pytest.raises(StateError, match="audit_seq"):
        trail.verify_audit()
