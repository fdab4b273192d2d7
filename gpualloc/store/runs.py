"""The plan, run and step tables: what was planned, what was applied, and how far it came."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from msgspec.structs import replace

from gpualloc.errors import BrokenInputError, NotFoundError, StalePlanError
from gpualloc.model.plan import Plan, Run, RunState, Step, StepRecord, StepState
from gpualloc.store import meta
from gpualloc.store.database import Database, Row
from gpualloc.store.document import dump, load

KEEP_SHOWN_PLANS_S = 30 * 24 * 3600.0
"""How long a plan that was never applied is remembered, in seconds."""
_SELECT = (
    "SELECT run.id, plan.id, plan.document, run.fence, run.state, run.started_at_s, run.actor "
    "FROM run JOIN plan ON plan.id = run.plan "
)


def put_plan(connection: sqlite3.Connection, plan: Plan) -> None:
    """Remember a plan and forget old ones that were never applied, within the caller's transaction.

    Raises:
        BrokenInputError: another plan of that id is remembered.
    """
    connection.execute(
        "DELETE FROM plan WHERE created_at_s < ? AND id NOT IN (SELECT plan FROM run)",
        (plan.created_at_s - KEEP_SHOWN_PLANS_S,),
    )
    document = dump(plan)
    connection.execute(
        "INSERT INTO plan VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (plan.id, plan.created_at_s, document)
    )
    (stored,) = connection.execute("SELECT document FROM plan WHERE id = ?", (plan.id,)).fetchone()
    if stored != document:
        raise BrokenInputError(f"plan {plan.id} is not the one that was made under this id", hint="make a new plan")


def open_run(connection: sqlite3.Connection, run_id: str, plan: Plan, actor: str, at_s: float) -> Run:
    """Record the beginning of a run with the next fence, within the caller's transaction.

    Raises:
        StalePlanError: the plan was applied before.
        BrokenInputError: another plan of that id is remembered.
    """
    put_plan(connection, plan)
    before = connection.execute("SELECT id FROM run WHERE plan = ?", (plan.id,)).fetchone()
    if before is not None:
        raise StalePlanError(f"plan {plan.id} was applied already, by run {before[0]}", hint="make a new plan")
    run = Run(run_id, plan, _next_fence(connection), RunState.OPEN, at_s, actor)
    connection.execute(
        "INSERT INTO run (id, plan, fence, state, actor, started_at_s) VALUES (?, ?, ?, ?, ?, ?)",
        (run.id, plan.id, run.fence, run.state, actor, at_s),
    )
    return run


def refence(connection: sqlite3.Connection, run: Run) -> Run:
    """Give the run the next fence, within the caller's transaction; raises NotFoundError."""
    fence = _next_fence(connection)
    _change(connection, run, "UPDATE run SET fence = ? WHERE id = ?", (fence, run.id))
    return replace(run, fence=fence)


def close_run(connection: sqlite3.Connection, run: Run, state: RunState, at_s: float) -> None:
    """Record how the run ended, within the caller's transaction; raises NotFoundError."""
    _change(connection, run, "UPDATE run SET state = ?, ended_at_s = ? WHERE id = ?", (state, at_s, run.id))


def put_step(connection: sqlite3.Connection, record: StepRecord, *, keep_result: bool) -> None:
    """Record how a step stands, within the caller's transaction.

    Args:
        connection: in a transaction.
        record: the step; its result may be empty.
        keep_result: leave the result that was recorded for it earlier.
    """
    connection.execute(
        "INSERT INTO step (run, seq, state, result, error, document) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (run, seq) DO UPDATE SET state = excluded.state, error = excluded.error, "
        "document = excluded.document, result = CASE WHEN ? THEN result ELSE excluded.result END",
        (record.run, record.step.seq, record.state, dump(record.result), record.error, dump(record.step), keep_result),
    )


def applied(database: Database, plan_id: str) -> Run | None:
    """The run that applied the plan, or None."""
    row = database.row(_SELECT + "WHERE plan.id = ?", (plan_id,))
    return None if row is None else _run(row)


def in_states(database: Database, states: Sequence[RunState]) -> tuple[Run, ...]:
    """Runs in one of those states, oldest first."""
    marks = ", ".join("?" * len(states))
    rows = database.rows(_SELECT + f"WHERE run.state IN ({marks}) ORDER BY run.started_at_s, run.id", tuple(states))
    return tuple(map(_run, rows))


def steps(database: Database, run_id: str) -> tuple[StepRecord, ...]:
    """The journaled steps of a run, by seq."""
    rows = database.rows(
        "SELECT run, seq, state, result, error, document FROM step WHERE run = ? ORDER BY seq", (run_id,)
    )
    return tuple(map(_step_record, rows))


def _next_fence(connection: sqlite3.Connection) -> int:
    fence = meta.read_count(connection, meta.FENCE) + 1
    meta.write(connection, meta.FENCE, fence)
    return fence


def _change(connection: sqlite3.Connection, run: Run, statement: str, values: tuple[object, ...]) -> None:
    if connection.execute(statement, values).rowcount != 1:
        raise NotFoundError(f"run {run.id} is not in the state")


def _run(row: Row) -> Run:
    run_id, plan_id, document, fence, state, started_at_s, actor = row
    return Run(run_id, load(Plan, document, f"plan {plan_id}"), fence, RunState(state), started_at_s, actor)


def _step_record(row: Row) -> StepRecord:
    run_id, seq, state, result, error, document = row
    where = f"step {seq} of run {run_id}"
    facts = load(dict[str, object], result, where)
    return StepRecord(run_id, load(Step, document, where), StepState(state), facts, error)
