"""The audit table: appended to in the transaction of what it tells of, checked against its own chain."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from gpualloc.errors import StateError
from gpualloc.model.audit import GENESIS, AuditEntry, entry_hash
from gpualloc.store import meta
from gpualloc.store.database import Database, Row
from gpualloc.store.document import dump, load

_SELECT = "SELECT seq, at_s, kind, actor, workload, node, detail, previous_hash, hash FROM audit"
_CHUNK = 1000
_BEFORE_ALL = -(1 << 63)


def append(connection: sqlite3.Connection, entries: Sequence[AuditEntry]) -> None:
    """Chain the entries to the trail, within the caller's transaction."""
    if not entries:
        return
    seq, previous = meta.read_count(connection, meta.AUDIT_SEQ), meta.read(connection, meta.AUDIT_HASH)
    rows = []
    for entry in entries:
        seq += 1
        detail = dump(entry.detail)
        # What is hashed is what a reader will get back: the time as a float, the detail after its trip through JSON.
        chained = replace(
            entry, seq=seq, at_s=float(entry.at_s), detail=_load_detail(detail, seq), previous_hash=previous
        )
        own_hash = entry_hash(chained)
        rows.append(
            (seq, chained.at_s, entry.kind, entry.actor, entry.workload, entry.node, detail, previous, own_hash)
        )
        previous = own_hash
    connection.executemany("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    meta.write(connection, meta.AUDIT_SEQ, seq)
    meta.write(connection, meta.AUDIT_HASH, previous)


def select(
    database: Database, *, since_s: float | None, workload: str | None, limit: int | None
) -> tuple[AuditEntry, ...]:
    """Entries, oldest first; with a limit, the newest that many."""
    conditions = {"at_s >= ?": since_s, "workload = ?": workload}
    wanted = {condition: value for condition, value in conditions.items() if value is not None}
    where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
    rows = database.rows(
        _SELECT + where + " ORDER BY seq DESC LIMIT ?", (*wanted.values(), -1 if limit is None else limit)
    )
    return tuple(_entry(row) for row in reversed(rows))


def begun_at_s(database: Database) -> float | None:
    """When the first entry was written; None when there is none."""
    row = database.row("SELECT at_s FROM audit ORDER BY seq LIMIT 1")
    return None if row is None else float(row[0])


def first_broken(database: Database) -> int | None:
    """The seq of the first entry that is missing, changed or not chained to the one before; None when whole."""
    with database.snapshot() as connection:
        last_seq, last_hash = meta.read_count(connection, meta.AUDIT_SEQ), meta.read(connection, meta.AUDIT_HASH)
        seq, previous = 0, GENESIS
        for row in _all_rows(database):
            seq += 1
            own_hash = row[-1]
            if seq > last_seq or not _fits(row, seq, previous) or (seq == last_seq and own_hash != last_hash):
                return seq
            previous = own_hash
        return None if seq == last_seq else seq + 1


def _all_rows(database: Database) -> Iterator[Row]:
    seq = _BEFORE_ALL
    while rows := database.rows(_SELECT + " WHERE seq > ? ORDER BY seq LIMIT ?", (seq, _CHUNK)):
        yield from rows
        seq = rows[-1][0]


def _fits(row: Row, seq: int, previous: str) -> bool:
    try:
        entry = _entry(row)
        return entry.seq == seq and entry.previous_hash == previous and entry.hash == entry_hash(entry)
    except (StateError, TypeError):
        # Its detail is no JSON object any more, or a column holds bytes.
        return False


def _entry(row: Row) -> AuditEntry:
    seq, at_s, kind, actor, workload, node, detail, previous_hash, own_hash = row
    return AuditEntry(at_s, kind, actor, workload, node, _load_detail(detail, seq), seq, previous_hash, own_hash)


def _load_detail(text: str, seq: int) -> dict[str, object]:
    return load(dict[str, object], text, f"audit entry {seq}")
