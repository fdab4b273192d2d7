"""The journal: what is stored comes back, in one piece or not at all."""

import os
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.errors import BrokenInputError, LockedError, NotFoundError, StalePlanError, StateError
from gpualloc.model.audit import AuditEntry
from gpualloc.model.identity import RANDOM_BYTES, new_id
from gpualloc.model.plan import RunState, StepState
from gpualloc.model.workload import Request, Workload, WorkloadState, check_name
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal


def raw(paths):
    """The file as another program would open it."""
    return closing(sqlite3.connect(paths.state_db, isolation_level=None))


@pytest.fixture
def filled(journal, make_workload, make_entry):
    """A journal with one workload of each state, the ended ones ended at 2000 + number."""
    for number, state in enumerate(WorkloadState, start=1):
        ended_at_s = 2000.0 + number if state.ended else None
        journal.submit(make_workload(number, state, ended_at_s=ended_at_s), make_entry(workload=f"w{number:08d}"))
    return journal


def test_a_submitted_workload_comes_back(journal, make_workload, make_entry):
    journal.submit(make_workload(), make_entry())
    assert journal.workloads() == (make_workload(),)
    assert journal.find("w00000001") == make_workload()


def test_a_second_process_sees_the_same(journal, paths, make_workload, make_entry):
    with closing(SqliteJournal(paths)) as other:
        journal.submit(make_workload(), make_entry())
        assert other.workloads() == (make_workload(),)
        assert other.controller == journal.controller


def test_every_state_has_an_id_of_its_own(journal, tmp_path, paths):
    with closing(SqliteJournal(paths.sim("demo"))) as simulated:
        assert len(bytes.fromhex(journal.controller)) == 16
        assert simulated.controller != journal.controller


def test_an_id_is_given_once(journal, make_workload, make_entry):
    journal.submit(make_workload(), make_entry())
    with pytest.raises(StalePlanError, match="is at revision 1"):
        journal.submit(make_workload(name="other"), make_entry())
    assert [workload.name for workload in journal.workloads()] == ["name 1"]
    assert len(journal.audit()) == 1


def test_workloads_are_selected_by_state_oldest_first(filled):
    assert [w.state for w in filled.workloads([WorkloadState.LOST, WorkloadState.PENDING])] == ["pending", "lost"]
    assert filled.workloads([]) == ()
    assert len(filled.workloads()) == len(WorkloadState)


def test_work_that_ended_long_ago_can_be_left_out(filled):
    listed = filled.workloads(ended_since_s=2006.0)
    assert [w.state for w in listed] == ["pending", "running", "suspended", "lost", "released"]
    assert [w.state for w in filled.workloads([WorkloadState.FINISHED], ended_since_s=2004.0)] == ["finished"]
    assert filled.workloads([WorkloadState.FINISHED], ended_since_s=2004.5) == ()


def test_an_unknown_end_counts_from_when_it_was_last_known_to_live(journal, make_workload, make_entry):
    journal.submit(make_workload(1, WorkloadState.LOST, started_at_s=1500.0), make_entry())
    assert len(journal.workloads(ended_since_s=1500.0)) == 1
    assert journal.workloads(ended_since_s=1500.5) == ()


def test_listing_recent_work_does_not_read_old_work(journal):
    queries = []
    journal._database._connection.set_trace_callback(queries.append)
    journal.workloads(ended_since_s=1.0)
    journal._database._connection.set_trace_callback(None)
    (query,) = queries
    how = " ".join(row[3] for row in journal._database.rows(f"EXPLAIN QUERY PLAN {query}"))
    assert "USING INDEX workload_state (state=? AND ended_at_s>?)" in how
    assert "SCAN workload" not in how


def test_save_takes_the_next_revision_only(journal, make_workload, make_entry):
    journal.submit(make_workload(), make_entry())
    running = make_workload(1, WorkloadState.RUNNING, revision=2)
    with journal.write("apply") as writer:
        writer.save([running, make_workload(2)], [make_entry("start", "w00000001")])
        assert journal.workloads() == (running, make_workload(2))
        for stale in (make_workload(revision=2), make_workload(revision=1), make_workload(revision=4)):
            with pytest.raises(StalePlanError, match="w00000001 is at revision 2"):
                writer.save([stale])
        with pytest.raises(StalePlanError, match="w00000003 is not in the state"):
            writer.save([make_workload(3, revision=2)])


def test_a_refused_save_stores_nothing_of_it(journal, make_workload, make_entry):
    with journal.write("apply") as writer, pytest.raises(StalePlanError):
        writer.save([make_workload(1), make_workload(2, revision=9)], [make_entry()])
    assert journal.workloads() == ()
    assert journal.audit() == ()


def test_two_writers_exclude_each_other(journal, paths):
    with (
        closing(SqliteJournal(paths)) as other,
        journal.write("apply"),
        pytest.raises(LockedError, match="apply"),
        other.write("rebalance"),
    ):
        pass


def test_find_by_prefix_and_name(filled):
    assert filled.find("name 3").id == "w00000003"
    assert filled.find("name 7").state is WorkloadState.RELEASED
    with pytest.raises(NotFoundError, match=r"means several workloads: w00000001 \('name 1', pending\).* and 2 more"):
        filled.find("w00")
    with pytest.raises(NotFoundError, match="there is no workload 'w0'"):
        filled.find("w0")
    with pytest.raises(NotFoundError, match=r"'\\x1b\[2J'"):
        filled.find("\x1b[2J")
    with pytest.raises(NotFoundError, match=r"'\\udcff'"):
        filled.find("\udcff")


def test_a_unique_prefix_is_enough(journal, make_workload, make_entry):
    journal.submit(make_workload(id="wabc00000"), make_entry())
    journal.submit(make_workload(id="wabd00000"), make_entry())
    assert journal.find("wabd").id == "wabd00000"


def test_a_name_is_looked_for_among_living_work_first(journal, make_workload, make_entry):
    journal.submit(make_workload(1, WorkloadState.FINISHED, name="train"), make_entry())
    assert journal.find("train").id == "w00000001"
    journal.submit(make_workload(2, name="train"), make_entry())
    assert journal.find("train").id == "w00000002"
    journal.submit(make_workload(3, name="train"), make_entry())
    with pytest.raises(NotFoundError, match=r"w00000002.*w00000003"):
        journal.find("train")


def test_a_name_that_begins_another_id_is_ambiguous(journal, make_workload, make_entry):
    journal.submit(make_workload(1, name="wab"), make_entry())
    journal.submit(make_workload(id="wabc00000"), make_entry())
    with pytest.raises(NotFoundError, match="means several"):
        journal.find("wab")


@pytest.fixture(scope="module")
def lasting_journal(tmp_path_factory):
    with closing(SqliteJournal(StatePaths(tmp_path_factory.mktemp("state")))) as journal:
        yield journal


@given(name=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_any_name_is_stored_unchanged_and_found(lasting_journal, name):
    workload_id = new_id("w", os.urandom(RANDOM_BYTES))
    workload = Workload(workload_id, check_name(name), "ann", Request(("true",)), WorkloadState.PENDING, 1.0)
    lasting_journal.submit(workload, AuditEntry(1.0, "submit", "ann", workload_id, None, {"name": name}))
    assert lasting_journal.find(workload_id) == workload
    assert lasting_journal.find(name) == workload
    with lasting_journal.write("release") as writer:
        # So that the same name means the next one, when it is drawn again.
        writer.save([replace(workload, state=WorkloadState.RELEASED, revision=2)])


def test_a_run_and_its_steps(journal, make_plan, make_workload, make_entry):
    plan = make_plan()
    claim, limit, start = plan.steps
    journal.submit(make_workload(), make_entry())
    journal.save_plan(plan)
    assert journal.applied(plan.id) is None
    with journal.write("apply") as writer:
        run = writer.open_run("r1", plan, "ann", 1000.0)
        assert journal.open_runs() == (run,)
        writer.record_step(run, claim, StepState.INTENT)
        writer.record_step(run, claim, StepState.DONE, result={"minor": 3, "list": [1]})
        writer.record_step(run, limit, StepState.INTENT)
        running = make_workload(1, WorkloadState.RUNNING, revision=2)
        writer.record_step(
            run, start, StepState.FAILED, error="no", workload=running, audit=[make_entry("step-failed")]
        )
        writer.record_step(run, claim, StepState.UNDONE)
        writer.close_run(run, RunState.FAILED, 1001.0)
    states = [(record.step, record.state, dict(record.result), record.error) for record in journal.steps("r1")]
    assert states == [
        (claim, StepState.UNDONE, {"minor": 3, "list": [1]}, None),
        (limit, StepState.INTENT, {}, None),
        (start, StepState.FAILED, {}, "no"),
    ]
    assert journal.open_runs() == ()
    assert journal.applied(plan.id) == replace(run, state=RunState.FAILED)
    assert journal.find("w00000001") == running
    assert [entry.kind for entry in journal.audit()] == ["submit", "step-failed"]


def test_a_step_is_not_recorded_without_its_workload(journal, make_plan, make_workload, make_entry):
    plan = make_plan()
    with journal.write("apply") as writer:
        run = writer.open_run("r1", plan, "ann", 1.0)
        with pytest.raises(StalePlanError):
            writer.record_step(
                run, plan.steps[0], StepState.DONE, workload=make_workload(revision=5), audit=[make_entry()]
            )
    assert journal.steps("r1") == ()
    assert journal.audit() == ()


def test_fences_only_rise(journal, make_plan):
    with journal.write("apply") as writer:
        first = writer.open_run("r1", make_plan("p1"), "ann", 1.0)
        second = writer.open_run("r2", make_plan("p2"), "ann", 2.0)
        again = writer.refence(first)
        assert (first.fence, second.fence, again.fence) == (1, 2, 3)
        assert journal.open_runs() == (again, second)
        with pytest.raises(NotFoundError):
            writer.refence(replace(first, id="r9"))
        with pytest.raises(NotFoundError):
            writer.close_run(replace(first, id="r9"), RunState.DONE, 3.0)


def test_a_plan_is_applied_once(journal, make_plan):
    with journal.write("apply") as writer:
        writer.open_run("r1", make_plan(), "ann", 1.0)
        with pytest.raises(StalePlanError, match="applied already, by run r1"):
            writer.open_run("r2", make_plan(), "ann", 2.0)
        assert writer.open_run("r3", make_plan("p2"), "ann", 3.0).fence == 2


def test_two_plans_do_not_share_an_id(journal, make_plan):
    journal.save_plan(make_plan())
    journal.save_plan(make_plan())
    with pytest.raises(BrokenInputError, match="not the one"):
        journal.save_plan(make_plan(created_at_s=5.0))


def test_plans_that_were_only_shown_are_forgotten(journal, paths, make_plan):
    month = 30 * 86400.0
    journal.save_plan(make_plan("p1", created_at_s=0.0))
    with journal.write("apply") as writer:
        writer.open_run("r1", make_plan("p2", created_at_s=0.0), "ann", 1.0)
    journal.save_plan(make_plan("p3", created_at_s=month + 1))
    with raw(paths) as connection:
        assert connection.execute("SELECT id FROM plan ORDER BY id").fetchall() == [("p2",), ("p3",)]


def test_the_last_rebalance(journal):
    assert journal.last_rebalance() is None
    with journal.write("rebalance") as writer:
        writer.mark_rebalance(1.0, "nothing")
        writer.mark_rebalance(2.5, "started 2")
    assert journal.last_rebalance() == (2.5, "started 2")


def test_the_data_version_changes_with_every_write(journal, paths, make_workload, make_entry):
    before = journal.data_version()
    assert journal.data_version() == before
    journal.submit(make_workload(1), make_entry())
    own = journal.data_version()
    with closing(SqliteJournal(paths)) as other:
        other.submit(make_workload(2), make_entry())
    foreign = journal.data_version()
    assert len({before, own, foreign}) == 3
    assert journal.data_version() == foreign


def test_secrets_are_in_the_workload_only(journal, paths, make_plan, make_workload, make_entry):
    plan = make_plan()
    journal.submit(make_workload(), make_entry(workload="w00000001"))
    with journal.write("apply") as writer:
        run = writer.open_run("r1", plan, "ann", 1.0)
        for step in plan.steps:
            running = make_workload(1, WorkloadState.RUNNING, revision=step.seq + 1)
            writer.record_step(run, step, StepState.DONE, workload=running, audit=[make_entry("start", "w00000001")])
    with raw(paths) as connection:
        holding = {
            table
            for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            if any("hunter2" in str(row) for row in connection.execute(f"SELECT * FROM {table}"))
        }
    assert holding == {"workload"}
    assert paths.state_db.stat().st_mode & 0o777 == 0o600


def test_a_document_changed_by_hand_is_named(journal, paths, make_workload, make_entry):
    journal.submit(make_workload(), make_entry())
    with raw(paths) as connection:
        connection.execute("UPDATE workload SET document = replace(document, 'revision', 'revolution')")
    with pytest.raises(StateError, match=r"record of workload w00000001 cannot be read: Workload|revision: is missing"):
        journal.workloads()
