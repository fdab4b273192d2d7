"""The workload table. The document column is the truth; the others exist to select by."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache

from gpualloc.errors import NotFoundError, StalePlanError
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.store.database import Database, Row
from gpualloc.store.document import dump, load

MIN_PREFIX_CHARS = 3
_SHOWN_CANDIDATES = 5
_REMEMBERED = 20_000
"""Documents whose value is kept in memory."""
_LAST_CHARACTER = "\U0010ffff"
_SELECT = "SELECT id, document FROM workload"
_INSERT = (
    "INSERT INTO workload (name, state, owner, node, submitted_at_s, started_at_s, ended_at_s, document, revision, id) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_UPDATE = (
    "UPDATE workload SET name = ?, state = ?, owner = ?, node = ?, submitted_at_s = ?, started_at_s = ?, "
    "ended_at_s = ?, document = ?, revision = ? WHERE id = ? AND revision = ?"
)
_ENDED = tuple(state for state in WorkloadState if state.ended)


def put(connection: sqlite3.Connection, workload: Workload) -> None:
    """Store a new workload (revision 1), or a change of the revision before, within the caller's transaction.

    Raises:
        StalePlanError: the stored revision is not the one before this one.
    """
    values = (
        workload.name,
        workload.state.value,
        workload.owner,
        workload.allocation.node if workload.allocation else None,
        workload.submitted_at_s,
        workload.started_at_s,
        _ended_at_s(workload),
        dump(workload),
        workload.revision,
        workload.id,
    )
    if workload.revision == 1:
        done = connection.execute(_INSERT, values)
    else:
        done = connection.execute(_UPDATE, (*values, workload.revision - 1))
    if done.rowcount != 1:
        raise _stale(connection, workload)


def select(
    database: Database, states: Iterable[WorkloadState] | None, ended_since_s: float | None
) -> tuple[Workload, ...]:
    """Workloads in those states (all when None), oldest first; of the ended ones only those ended since then."""
    wanted = tuple(WorkloadState if states is None else dict.fromkeys(states))
    if ended_since_s is None:
        where, values = f"state IN ({_marks(wanted)})", [*wanted]
        return _load_all(database.rows(f"{_SELECT} WHERE {where} ORDER BY submitted_at_s, id", values))
    active = [state for state in wanted if not state.ended]
    ended = [state for state in wanted if state.ended]
    rows = database.rows(
        f"{_SELECT} WHERE state IN ({_marks(active)}) OR (state IN ({_marks(ended)}) AND ended_at_s >= ?) "
        "ORDER BY submitted_at_s, id",
        [*active, *ended, ended_since_s],
    )
    return _load_all(rows)


def find(database: Database, reference: str) -> Workload:
    """The workload an operator means; see `ports.Journal.find`.

    A name of active work that is also the beginning of another's id is ambiguous, so that nothing is released
    by mistake.
    """
    if not _is_text(reference):
        raise _not_found(reference, ())
    exact = database.rows(f"{_SELECT} WHERE id = ?", (reference,))
    if exact:
        return _load_all(exact)[0]
    last = reference + _LAST_CHARACTER if len(reference) >= MIN_PREFIX_CHARS else reference
    candidates = database.rows(
        f"{_SELECT} WHERE (id > ? AND id < ?) OR (name = ? AND state NOT IN ({_marks(_ENDED)})) "
        "ORDER BY submitted_at_s, id",
        (reference, last, reference, *_ENDED),
    )
    candidates = candidates or database.rows(f"{_SELECT} WHERE name = ? ORDER BY submitted_at_s, id", (reference,))
    if len(candidates) == 1:
        return _load_all(candidates)[0]
    raise _not_found(reference, _load_all(candidates))


def _is_text(reference: str) -> bool:
    """Whether it can be stored at all; bytes of the command line that are no UTF-8 arrive as lone surrogates."""
    try:
        reference.encode()
    except UnicodeEncodeError:
        return False
    return True


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _load_all(rows: Sequence[Row]) -> tuple[Workload, ...]:
    return tuple(_loaded(workload_id, document) for workload_id, document in rows)


@lru_cache(maxsize=_REMEMBERED)
def _loaded(workload_id: str, document: str) -> Workload:
    """Frozen all through, and of this text always the same: ended work is read again at every cycle."""
    return load(Workload, document, f"workload {workload_id}")


def _ended_at_s(workload: Workload) -> float | None:
    """When it ended, to select by; where nobody knows, the last moment it was known not to have ended."""
    if not workload.state.ended:
        return None
    known = (workload.ended_at_s, workload.started_at_s, workload.submitted_at_s)
    return next(at_s for at_s in known if at_s is not None)


def _stale(connection: sqlite3.Connection, workload: Workload) -> StalePlanError:
    row = connection.execute("SELECT revision FROM workload WHERE id = ?", (workload.id,)).fetchone()
    stands = "is not in the state" if row is None else f"is at revision {row[0]}"
    return StalePlanError(
        f"workload {workload.id} {stands}; this change was based on revision {workload.revision - 1}",
        hint="something else changed it meanwhile; make a new plan",
    )


def _not_found(reference: str, candidates: Sequence[Workload]) -> NotFoundError:
    if not candidates:
        return NotFoundError(f"there is no workload {reference!r}", hint="gpualloc ps lists them")
    shown = [f"{workload.id} ({workload.name!r}, {workload.state})" for workload in candidates[:_SHOWN_CANDIDATES]]
    more = len(candidates) - len(shown)
    listed = ", ".join(shown) + (f" and {more} more" if more else "")
    return NotFoundError(f"{reference!r} means several workloads: {listed}", hint="name one by its id")
