"""The parts of the plan view that need no screen."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from fakes.sample_world import step
from msgspec.structs import replace
from tui.steering import plain_text

from gpualloc.engine.chain import Report
from gpualloc.engine.open_runs import OpenRun
from gpualloc.engine.undo import Stays
from gpualloc.errors import StepError, UnreachableError
from gpualloc.model.decision import Rejection, RejectionReason
from gpualloc.model.objective import Objective
from gpualloc.model.plan import BlastRadius, Plan, Run, RunState, Step, StepKind, StepReason, StepState
from gpualloc.model.rebalancing import HeldBack, Move, MoveKind
from gpualloc.planning.base import facts_for
from gpualloc.planning.document import load
from gpualloc.policies.registry import load as load_policy
from gpualloc.tui.cells import width_of
from gpualloc.tui.drafts import Aim, Course, Draft, Origin
from gpualloc.tui.export import as_csv
from gpualloc.tui.listings.plan import PLAN, plan_rows
from gpualloc.tui.plan_changes import disturbance
from gpualloc.tui.plan_details import row_lines
from gpualloc.tui.plan_questions import write_plan
from gpualloc.tui.plan_told import _course_lines, _interrupted_lines, blast_line, head_lines
from gpualloc.tui.planner import Interrupted, Planner
from gpualloc.tui.rows import Moment
from gpualloc.tui.seen import Seen
from gpualloc.tui.state import State

MOMENT = Moment(0.0, 1_000.0, 2.0)


def three() -> tuple[Step, ...]:
    kinds = (StepKind.CLAIM, StepKind.LIMIT, StepKind.START)
    return tuple(
        replace(step(seq, kind), node="gpu01", workload="w1", needs=(seq - 1,) if seq > 1 else (), detail="it fits")
        for seq, kind in enumerate(kinds, 1)
    )


def plan(*steps: Step, **more: object) -> Plan:
    return Plan("p1", 900.0, "pack", "1", 0, True, {}, "abc", steps or three(), **more)  # type: ignore[arg-type]


def draft(**more: object) -> Draft:
    return Draft(plan(), Origin.PLAN, names={"w1": "bert"}, **more)  # type: ignore[arg-type]


def course(*moves: tuple[int, StepState, str | None]) -> Course:
    found = Course(draft(), "apply")
    for seq, state, error in moves:
        found.moved(found.draft.plan.steps[seq - 1], state, error)
    return found


def words(found: Course) -> list[str]:
    return [row.state for row in plan_rows(found.draft, found)]


def test_a_step_stands_as_its_run_tells() -> None:
    found = course((1, StepState.DONE, None), (2, StepState.INTENT, None))
    assert words(found) == ["done", "doing", "pending"]
    assert (found.settled, found.at) == (1, 2)
    found.moved(found.draft.plan.steps[1], StepState.FAILED, "no room")
    found.moved(found.draft.plan.steps[0], StepState.UNDONE, None)
    found.moved(found.draft.plan.steps[2], StepState.SKIPPED, None)
    assert words(found) == ["undone", "FAILED", "skipped"]


def test_a_step_without_an_answer_is_in_doubt() -> None:
    assert words(course((1, StepState.INTENT, "gpu01 does not answer")))[0] == "in doubt"
    broken = course((1, StepState.INTENT, None))
    broken.broke(UnreachableError("gone"))
    assert words(broken)[0] == "in doubt"


def test_steps_of_another_run_are_told_apart_from_its_own() -> None:
    found = course()
    found.moved(replace(three()[0], node="gpu99"), StepState.DONE, None)
    assert found.states == {}
    assert "claim of" in found.first
    assert "on gpu99: done" in found.first
    found.moved(three()[0], StepState.DONE, None)
    assert found.first == ""


def test_what_the_plan_does_not_do_comes_last() -> None:
    move = Move(MoveKind.RELOCATE, "gpu02", "frees two", (), 900.0, 600.0, 1, workload="w7")
    rejection = Rejection("w9", RejectionReason.FRAGMENTED, "2 free, not together")
    found = Draft(
        plan(rejections=(rejection,)),
        Origin.UNDO,
        names={"w1": "bert"},
        held_back=(HeldBack(move, "cool-down", "moved 2 minutes ago"),),
        stays=(Stays(step(4, StepKind.STOP), "it ended"),),
    )
    rows = plan_rows(found, None)
    assert [(row.glyph, row.state, row.what) for row in rows] == [
        ("+", "pending", "claim"),
        ("~", "pending", "limit"),
        ("+", "pending", "start"),
        ("!", "waits", "no place"),
        ("!", "held back", "relocate"),
        ("!", "stays", "stop"),
    ]
    assert len({row.key for row in rows}) == len(rows)
    details = [plain_text(tuple(row_lines(row, found, None, None, 60))) for row in rows[3:]]
    assert "Gets no place now" in details[0]
    assert "gains 900 GPU-seconds, costs 600" in details[1]
    assert "Not taken back" in details[2]


def test_rows_are_exported_with_their_values() -> None:
    rows = plan_rows(draft(), None)
    lines = as_csv(PLAN, rows, MOMENT, simulated=True).splitlines()
    assert lines[0].startswith("simulated,step (count),state,do,node,workload")
    assert lines[2].startswith("True,2,pending,limit,gpu01,bert") or ",2,pending,limit,gpu01,bert" in lines[2]


def test_models_are_listed_without_their_maker() -> None:
    step = replace(three()[0], target="GPU 6,7 (NVIDIA A100-SXM4-80GB, NVIDIA H100 80GB HBM3)")
    [row] = plan_rows(Draft(plan(step), Origin.PLAN), None)
    target = PLAN.field("target")
    assert target.draw is not None
    assert plain_text((target.draw(row, MOMENT, 30),)) == "GPU 6,7 (A100-SXM4-80GB, H100 80GB HBM3)"
    assert target.value(row, MOMENT) == step.target


def test_untrusted_texts_are_escaped_wherever_they_are_drawn() -> None:
    evil = replace(three()[0], detail="\x1b[2J", target="GPU \x07", blast_radius=BlastRadius(users=("ann\x1b",)))
    shown = Draft(plan(evil), Origin.PLAN, names={"w1": "be\x1brt"})
    rows = plan_rows(shown, None)
    text = plain_text(tuple(row_lines(rows[0], shown, None, None, 60)))
    cells = [field.draw(rows[0], MOMENT, 20) for field in PLAN.fields if field.draw is not None]
    assert "\x1b" not in text + plain_text(tuple(cells))
    assert "\\x1b[2J" in text


def test_a_failure_tells_which_step_what_was_undone_and_what_to_do() -> None:
    found = course(
        (1, StepState.DONE, None),
        (2, StepState.FAILED, "no cgroup"),
        (1, StepState.UNDONE, None),
        (3, StepState.SKIPPED, None),
    )
    error = StepError("gpu01: no cgroup", reason="failed", node="gpu01", hint="mount cgroup2")
    found.ended(Report("r1", failed=[(three()[1], error)], skipped=[three()[2]]))
    text = plain_text(tuple(_course_lines(found, 100)))
    assert "step 2, limit on gpu01, failed: no cgroup" in text
    assert "taken back: step 1; not tried: step 3" in text
    assert "what to do: mount cgroup2" in text


def test_a_run_under_way_is_told_with_its_step_and_how_many_are_over() -> None:
    text = plain_text(tuple(_course_lines(course((1, StepState.DONE, None), (2, StepState.INTENT, None)), 100)))
    assert "applying" in text
    assert "1/3  step 2: limit on gpu01, doing" in text


@pytest.mark.parametrize(
    ("state", "holder", "told"),
    [
        (RunState.OPEN, None, "R goes on with it  B takes it back  X gives it up"),
        (RunState.OPEN, "apply by bob since 3s", "under way? apply by bob since 3s"),
        (RunState.ABANDONED, None, "doubtful until `gpualloc reconcile`"),
    ],
)
def test_an_interrupted_run_tells_what_can_be_done(state: RunState, holder: str | None, told: str) -> None:
    run = Run("r1", plan(), 3, state, 0.0, "ann")
    text = plain_text(tuple(_interrupted_lines(Interrupted((OpenRun(run, 1, 1, three()[1:2]),), holder), 120)))
    assert "run r1, begun 1970-01-01 00:00:00Z by ann: 1 of 3 steps done, 1 never begun, 1 in doubt" in text
    assert told in text


def test_the_blast_radius_counts_everybody_once_and_says_when_it_is_too_much() -> None:
    hit = BlastRadius(("w1", "w2"), ("ann",), ("GPU-1",))
    steps = [replace(one, kind=StepKind.STOP, reason=StepReason.REBALANCE, blast_radius=hit) for one in three()]
    told = plan_text(plan(*steps), 10)
    assert "blast radius 2 workloads, 0 processes, 1 reset" in told
    assert "disturbs 3 that nobody named" in told
    assert "at most 2 are allowed: gpualloc apply --max-disturbed 3" in plan_text(plan(*steps), 2)
    assert "stops 1 workload" in (disturbance(plan(*steps)) or "")
    assert disturbance(plan()) is None


def plan_text(shown: Plan, most: int) -> str:
    return plain_text((blast_line(shown, most),))


def test_an_aim_says_itself_on_a_command_line_and_decides_so() -> None:
    assert Aim().flags == ()
    aim = Aim("spread", Objective.COST)
    assert draft(aim=aim).command == ("apply", "--policy", "spread", "--objective", "cost")
    assert load_policy("spread").name == "spread"
    assert Draft(plan(), Origin.UNDO, run="r1").command == ("undo", "r1")


def test_a_written_plan_is_the_plan_and_no_file_is_written_over(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from gpualloc.errors import GpuallocError, UsageError
    from gpualloc.planning.base import base_digest

    whole = replace(draft(), plan=replace(plan(), base_digest=base_digest({})))
    file = tmp_path / "one.plan"
    assert f"gpualloc apply {file}" in write_plan(whole, str(file))
    assert load(file.read_text()) == whole.plan
    with pytest.raises(GpuallocError, match="exists already"):
        write_plan(whole, str(file))
    with pytest.raises(UsageError):
        write_plan(whole, "  ")


def test_a_step_rests_on_the_facts_of_its_own_places() -> None:
    facts = {
        "node/gpu01/state": "ok",
        "node/gpu02/state": "ok",
        "node/gpu01/device/GPU-9/state": "ok",
        "workload/w1": "pending revision 1",
        "workload/w2": "pending revision 1",
    }
    found = dict(facts_for(facts, replace(three()[0], device="GPU-9")))
    assert found == {"gpu01 state": "ok", "GPU-9 state": "ok", "w1": "pending revision 1"}


def test_a_step_of_a_move_tells_its_price() -> None:
    move = Move(MoveKind.RELOCATE, "gpu01", "makes room for w9", (), 1200.0, 300.0, 1, workload="w1")
    moving = Draft(plan(), Origin.REBALANCE, moves=(move,))
    text = plain_text(tuple(row_lines(plan_rows(moving, None)[0], moving, None, None, 80)))
    assert "gains 1200 GPU-seconds, costs 300" in text


def test_the_past_is_told_over_a_plan_of_now() -> None:
    planner = Planner(None, None, lambda: 0.0, draft=draft())  # type: ignore[arg-type]
    planner.ctx = SimpleNamespace(settings=SimpleNamespace(max_disturbed=10))  # type: ignore[assignment]
    past = State.of(Seen(()), MOMENT, live=False)
    assert "shows the past; a plan is of now" in plain_text(tuple(head_lines(planner, past, 0.0, 80)))
    now = plain_text(tuple(head_lines(planner, State.of(Seen(()), MOMENT), 0.0, 80)))
    assert "past" not in now
    assert "fresh" in now


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_no_line_over_a_plan_is_wider_than_the_terminal(width: int) -> None:
    planner = Planner(None, None, lambda: 0.0, draft=draft())  # type: ignore[arg-type]
    planner.ctx = SimpleNamespace(settings=SimpleNamespace(max_disturbed=10))  # type: ignore[assignment]
    planner.stale = StepError("a" * 300, reason="failed")
    planner.interrupted = Interrupted((OpenRun(Run("r1", plan(), 3, RunState.OPEN, 0.0, "ann"), 1, 1, ()),))
    lines = head_lines(planner, State.of(Seen(()), MOMENT), 0.0, width)
    assert max(width_of(line) for line in lines) <= width
