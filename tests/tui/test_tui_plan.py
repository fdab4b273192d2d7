"""The plan view over a real simulated cluster: making, looking, choosing, comparing, applying, taking back."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot
from tui.plan_steering import FOREVER, answered, plan_view, world
from tui.steering import screen_text, text_of, until

from gpualloc.engine.cordon import cordon
from gpualloc.engine.plan import make_plan
from gpualloc.engine.read_only import read_only
from gpualloc.engine.submit import submit
from gpualloc.errors import StepError
from gpualloc.model.objective import Objective
from gpualloc.model.plan import StepKind, StepState
from gpualloc.model.workload import Preemption, Request, WorkloadState
from gpualloc.planning.document import load
from gpualloc.ports import HookOutcome
from gpualloc.tui.drafts import Origin
from gpualloc.tui.listings.plan import PlanRow
from gpualloc.tui.screens.confirm import ConfirmScreen
from gpualloc.tui.screens.fleet import FleetView
from gpualloc.tui.screens.plan import PlanView
from gpualloc.tui.screens.plan_comparison import ComparedTable, ComparisonScreen
from gpualloc.tui.screens.plan_policy import PolicyScreen
from gpualloc.tui.widgets.list_table import ListTable


def whole(pilot: Pilot[None]) -> str:
    return "\n".join(screen_text(pilot))


def steps_of(pilot: Pilot[None]) -> ListTable[PlanRow]:
    return pilot.app.screen.query_one("#plan-steps", ListTable)


def states(ctx: object) -> dict[str, WorkloadState]:
    return {work.name: work.state for work in ctx.journal.workloads()}  # type: ignore[attr-defined]


async def applied(pilot: Pilot[None], planner) -> None:  # type: ignore[no-untyped-def]
    """Apply what is shown, to its end."""
    await answered(pilot, "A")
    await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
    await answered(pilot, "y")
    await until(pilot, lambda: planner.applied is not None and not planner.applying)
    await until(pilot, lambda: planner.applied.report.run_id in text_of(pilot, "#plan-head"))


async def test_the_view_makes_a_plan_and_tells_what_it_would_do() -> None:
    with world() as ctx:
        async with plan_view(ctx, size=(120, 40)) as (pilot, planner):
            rows = steps_of(pilot).rows
            assert [(row.name, row.what, row.state) for row in rows if row.what in ("start", "no place")] == [
                ("bert", "start", "pending"),
                ("llama", "start", "pending"),
                ("huge", "no place", "waits"),
            ]
            head = text_of(pilot, "#plan-head")
            assert f"plan {planner.draft.plan.id}  by pack" in head
            assert "fresh" in head
            assert "2 starts" in head
            assert "1 waiting" in head
            assert "blast radius 2 workloads, 0 processes, 0 resets; disturbs nothing else" in head
            details = text_of(pilot, "#plan-detail")
            assert "Step 1: claim  pending" in details
            assert "taken back  by unclaim" in details
            assert "fir01 state: ok" in details


async def test_a_row_tells_why_its_work_gets_its_place_or_none() -> None:
    with world() as ctx:
        async with plan_view(ctx, size=(140, 60)) as (pilot, _):
            await until(pilot, lambda: "best places by pack" in text_of(pilot, "#plan-detail"))
            await pilot.press("G")
            await until(pilot, lambda: "what is in the way" in text_of(pilot, "#plan-detail"))
            details = text_of(pilot, "#plan-detail")
            assert "Gets no place now" in details
            assert "no capacity" in details


async def test_applying_asks_first_and_names_what_it_touches() -> None:
    with world() as ctx:
        async with plan_view(ctx) as (pilot, planner):
            await answered(pilot, "A")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
            text = whole(pilot)
            assert f"Apply plan {planner.draft.plan.id}" in text
            assert "+ start    bert on fir01: GPU" in text
            assert "gpualloc apply" in text
            await answered(pilot, "escape")
            assert isinstance(pilot.app.screen, PlanView)
            assert planner.course is None
            assert set(states(ctx).values()) == {WorkloadState.PENDING}


async def test_an_applied_plan_is_watched_to_its_end() -> None:
    with world() as ctx:
        async with plan_view(ctx) as (pilot, planner):
            await applied(pilot, planner)
            assert states(ctx) == {
                "bert": WorkloadState.RUNNING,
                "llama": WorkloadState.RUNNING,
                "huge": WorkloadState.PENDING,
            }
            await until(pilot, lambda: {row.state for row in steps_of(pilot).rows} == {"done", "waits"})
            assert "done: run " in text_of(pilot, "#plan-head")
            await answered(pilot, "A")
            await until(pilot, lambda: "this plan was applied; n makes a new one" in text_of(pilot, "#notice"))
            await answered(pilot, "n")
            await until(pilot, lambda: not planner.draft.plan.steps)
            await until(pilot, lambda: "nothing to apply" in text_of(pilot, "#plan-head"))


async def test_a_run_goes_on_when_its_view_is_left() -> None:
    with world() as ctx:
        async with plan_view(ctx) as (pilot, planner):
            await answered(pilot, "A")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
            await answered(pilot, "y", "escape")
            await until(pilot, lambda: isinstance(pilot.app.screen, FleetView))
            await until(pilot, lambda: planner.course is not None and not planner.applying)
            await answered(pilot, "7")
            await until(pilot, lambda: "done: run " in text_of(pilot, "#plan-head"))


async def test_another_policy_and_objective_make_another_plan() -> None:
    with world() as ctx:
        async with plan_view(ctx) as (pilot, planner):
            first = planner.draft.plan
            await answered(pilot, "o")
            await until(pilot, lambda: isinstance(pilot.app.screen, PolicyScreen))
            await until(pilot, lambda: "pack (configured)" in whole(pilot))
            await answered(pilot, "down", "down", "greater_than_sign", "enter")
            await until(pilot, lambda: planner.draft.plan is not first)
            plan = planner.draft.plan
            assert (plan.policy, plan.objective) == ("spread", Objective.COST)
            await answered(pilot, "A")
            await until(pilot, lambda: "gpualloc apply --policy spread --objective cost" in whole(pilot))


async def test_plans_are_compared_and_one_is_taken() -> None:
    waiting = [("small", Request(FOREVER, gpus=1, gpu_memory_mib=10_000))]
    with world(waiting) as ctx:
        async with plan_view(ctx) as (pilot, planner):
            shown = planner.draft.plan
            await answered(pilot, "d")
            await until(pilot, lambda: isinstance(pilot.app.screen, ComparisonScreen))
            table = pilot.app.screen.query_one(ComparedTable)
            await until(pilot, lambda: table.rows)
            assert table.rows[0].choice.plan is shown
            assert "this is the plan that is shown" in text_of(pilot, "#difference")
            others = [row for row in table.rows if row.word == ""]
            assert others
            await answered(pilot, "end")
            await until(pilot, lambda: "this is the plan" not in text_of(pilot, "#difference"))
            await answered(pilot, "enter")
            await until(pilot, lambda: planner.draft.plan is others[-1].choice.plan)
            assert planner.before is not None
            assert planner.before.plan is shown
            assert "fresh" in text_of(pilot, "#plan-head")


async def test_a_plan_that_the_world_left_behind_is_refused_with_what_changed() -> None:
    with world() as ctx:
        async with plan_view(ctx, size=(140, 40)) as (pilot, planner):
            cordon(ctx, ["fir01"], None, reason="maintenance")
            planner._asked_s = None
            await until(pilot, lambda: planner.stale is not None)
            await until(pilot, lambda: "STALE: plan" in text_of(pilot, "#plan-head"))
            assert "fir01: cordoned" in text_of(pilot, "#plan-head")
            await answered(pilot, "A")
            assert isinstance(pilot.app.screen, PlanView)
            assert "n makes a new plan" in text_of(pilot, "#notice")
            await answered(pilot, "n")
            await until(pilot, lambda: planner.stale is None and "fresh" in text_of(pilot, "#plan-head"))
            assert [row.name for row in steps_of(pilot).rows if row.what == "start"] == ["llama"]


async def test_a_plan_that_goes_stale_while_it_is_confirmed_changes_nothing() -> None:
    with world() as ctx:
        async with plan_view(ctx, size=(140, 40)) as (pilot, planner):
            await answered(pilot, "A")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
            cordon(ctx, ["fir01"], None, reason="maintenance")
            await answered(pilot, "y")
            await until(pilot, lambda: planner.stale is not None)
            await until(pilot, lambda: "STALE: plan" in text_of(pilot, "#plan-head"))
            assert planner.course is None
            assert {row.state for row in steps_of(pilot).rows} == {"pending", "waits"}
            assert set(states(ctx).values()) == {WorkloadState.PENDING}


async def test_a_step_that_fails_tells_which_what_was_undone_and_what_to_do() -> None:
    with world() as ctx:
        error = StepError("fir01: the disk is full", reason="failed", node="fir01", hint="free some space")

        def start_on_fir(call: object) -> bool:
            return call.step.kind is StepKind.START and call.step.node == "fir01"  # type: ignore[attr-defined]

        failing = replace(ctx, fleet=Failing(ctx.fleet, start_on_fir, error))
        async with plan_view(failing, size=(120, 40)) as (pilot, planner):
            await applied(pilot, planner)
            found = {(row.name, row.what): row.state for row in steps_of(pilot).rows if row.step is not None}
            assert found["bert", "start"] == "FAILED"
            assert found["bert", "claim"] == found["bert", "limit"] == "undone"
            assert found["llama", "start"] == "done"
            head = text_of(pilot, "#plan-head")
            assert "start on fir01, failed: fir01: the disk is full" in head
            assert "taken back: steps" in head
            assert "in force: steps" in head
            assert "what to do: free some space" in head


class Failing:
    """The real fleet but for the steps that it fails to do."""

    def __init__(self, fleet, wanted, error) -> None:  # type: ignore[no-untyped-def]
        self._fleet, self._wanted, self._error = fleet, wanted, error

    def __getattr__(self, name):  # type: ignore[no-untyped-def]
        return getattr(self._fleet, name)

    def do(self, call):  # type: ignore[no-untyped-def]
        if self._wanted(call):
            raise self._error
        return self._fleet.do(call)


async def test_an_applied_plan_is_taken_back() -> None:
    with world() as ctx:
        async with plan_view(ctx, size=(120, 40)) as (pilot, planner):
            await applied(pilot, planner)
            run = planner.course.report.run_id
            await answered(pilot, "u")
            await until(pilot, lambda: planner.draft.origin is Origin.UNDO)
            await until(pilot, lambda: f"undo of run {run}" in text_of(pilot, "#plan-head"))
            assert [row.name for row in steps_of(pilot).rows if row.what == "stop"] == ["llama", "bert"]
            await answered(pilot, "A")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
            assert f"gpualloc undo {run}" in whole(pilot)
            assert "stops 2 workloads: what is not saved is lost" in whole(pilot)
            await answered(pilot, "y")
            await until(pilot, lambda: planner.course.draft.origin is Origin.UNDO and not planner.applying)
            assert set(states(ctx).values()) == {WorkloadState.PENDING}


async def test_read_only_shows_plans_and_applies_none() -> None:
    with world() as ctx:
        why = "started with --read-only"
        async with plan_view(read_only(ctx, why), read_only=why) as (pilot, planner):
            assert planner.draft.plan.steps
            await answered(pilot, "b")
            await until(pilot, lambda: planner.draft.origin is Origin.REBALANCE)
            await answered(pilot, "A")
            assert isinstance(pilot.app.screen, PlanView)
            assert "nothing may be changed: started with --read-only" in text_of(pilot, "#notice")


async def test_nothing_that_waits_is_told() -> None:
    with world(()) as ctx:
        async with plan_view(ctx) as (pilot, _):
            assert "no changes" in text_of(pilot, "#plan-head")
            assert "nothing to do" in whole(pilot)
            await answered(pilot, "A")
            assert "there is nothing to apply" in text_of(pilot, "#notice")


async def test_rebalance_is_proposed_and_changes_nothing_by_itself() -> None:
    with world() as ctx:
        async with plan_view(ctx) as (pilot, planner):
            await answered(pilot, "b")
            await until(pilot, lambda: planner.draft.origin is Origin.REBALANCE)
            await until(pilot, lambda: "rebalance, plan" in text_of(pilot, "#plan-head"))
            assert set(states(ctx).values()) == {WorkloadState.PENDING}
            await answered(pilot, "A")
            await until(pilot, lambda: "gpualloc rebalance" in whole(pilot))


async def test_a_plan_is_written_and_can_be_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with world() as ctx:
        async with plan_view(ctx) as (pilot, planner):
            await answered(pilot, "w", "enter")
            await until(pilot, lambda: "written to" in text_of(pilot, "#notice"))
            plan = planner.draft.plan
            assert load((tmp_path / f"{plan.id}.plan").read_text()) == plan
            await answered(pilot, "w", "enter")
            await until(pilot, lambda: "exists already" in text_of(pilot, "#notice"))


async def test_an_interrupted_run_is_told_and_brought_to_its_end() -> None:
    with world() as ctx:
        interrupted(ctx)
        async with plan_view(ctx, size=(140, 40)) as (pilot, planner):
            await until(pilot, lambda: "interrupted: run" in text_of(pilot, "#plan-head"))
            await answered(pilot, "R")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
            assert "gpualloc apply --resume" in whole(pilot)
            await answered(pilot, "y")
            await until(pilot, lambda: planner.course is not None and not planner.applying)
            await until(pilot, lambda: "interrupted" not in text_of(pilot, "#plan-head"))
            assert states(ctx)["bert"] is WorkloadState.RUNNING


async def test_an_interrupted_run_is_taken_back() -> None:
    with world() as ctx:
        interrupted(ctx)
        async with plan_view(ctx, size=(140, 40)) as (pilot, planner):
            await until(pilot, lambda: "interrupted: run" in text_of(pilot, "#plan-head"))
            await answered(pilot, "B")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
            await answered(pilot, "y")
            await until(pilot, lambda: planner.course is not None and not planner.applying)
            assert StepState.UNDONE in planner.course.states.values()
            assert set(states(ctx).values()) == {WorkloadState.PENDING}
            assert ctx.journal.open_runs() == ()


async def test_an_interrupted_run_is_given_up() -> None:
    with world() as ctx:
        interrupted(ctx)
        async with plan_view(ctx, size=(140, 40)) as (pilot, _):
            await until(pilot, lambda: "interrupted: run" in text_of(pilot, "#plan-head"))
            await answered(pilot, "X")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
            assert "whatever was done stays as it is" in whole(pilot)
            await answered(pilot, "y")
            await until(pilot, lambda: ctx.journal.open_runs() == ())
            await until(pilot, lambda: "given up" in text_of(pilot, "#notice"))


def interrupted(ctx) -> None:  # type: ignore[no-untyped-def]
    """A run that a signal ended after its first step."""
    from gpualloc.engine.apply import apply

    done: list[int] = []

    def on_step(step: object, state: StepState, error: object, total: int) -> None:
        if state is StepState.DONE:
            done.append(1)

    report = apply(replace(ctx, stopped=lambda: bool(done)), make_plan(ctx), on_step=on_step)
    assert report.left


async def test_a_run_is_stopped_between_its_steps() -> None:
    with world() as ctx:
        allowed = threading.Event()
        held = replace(ctx, fleet=Held(ctx.fleet, allowed))
        async with plan_view(held, size=(120, 40)) as (pilot, planner):
            await answered(pilot, "A")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
            await answered(pilot, "y")
            await until(pilot, lambda: any(row.state == "doing" for row in steps_of(pilot).rows))
            assert "applying" in text_of(pilot, "#plan-head")
            await answered(pilot, "n", "A")
            assert isinstance(pilot.app.screen, PlanView)
            assert planner.making is None
            await answered(pilot, "x")
            await until(pilot, lambda: "STOPPING after the steps under way" in text_of(pilot, "#plan-head"))
            allowed.set()
            await until(pilot, lambda: not planner.applying)
            assert planner.course.report.left
            await until(pilot, lambda: "what to do: gpualloc apply --resume" in text_of(pilot, "#plan-head"))
            await until(pilot, lambda: "interrupted: run" in text_of(pilot, "#plan-head"))


class Held:
    """The real fleet; a step is done once that is allowed."""

    def __init__(self, fleet, allowed) -> None:  # type: ignore[no-untyped-def]
        self._fleet, self._allowed = fleet, allowed

    def __getattr__(self, name):  # type: ignore[no-untyped-def]
        return getattr(self._fleet, name)

    def do(self, call):  # type: ignore[no-untyped-def]
        assert self._allowed.wait(30)
        return self._fleet.do(call)


async def test_no_node_answers_is_told_instead_of_a_plan() -> None:
    with world() as ctx:
        silent = replace(ctx, fleet=Silent(ctx.fleet))
        async with plan_view(silent) as (pilot, planner):
            assert planner.draft is None
            await until(pilot, lambda: "no node answered" in text_of(pilot, "#plan-head"))


class Silent:
    """A fleet in which no node answers."""

    def __init__(self, fleet) -> None:  # type: ignore[no-untyped-def]
        self._fleet = fleet

    def __getattr__(self, name):  # type: ignore[no-untyped-def]
        return getattr(self._fleet, name)

    def observe(self, names=None, near=()):  # type: ignore[no-untyped-def]
        from gpualloc.model.inventory import NodeState

        for node in self._fleet.observe(names, near):
            yield replace(node, state=NodeState.UNREACHABLE, reason="no route to host", devices=())


async def test_small_terminals_keep_the_steps() -> None:
    with world() as ctx:
        async with plan_view(ctx, size=(20, 5)) as (pilot, _):
            await answered(pilot, "down", "n")
            assert len(screen_text(pilot)) == 5
        async with plan_view(ctx, size=(80, 24)) as (pilot, _):
            assert "+ start" in whole(pilot)
            assert all(len(line.rstrip()) <= 80 for line in screen_text(pilot))


async def test_the_list_is_filtered_like_any_other() -> None:
    with world() as ctx:
        async with plan_view(ctx) as (pilot, _):
            await answered(pilot, "slash", *"bert", "enter")
            assert {row.name for row in steps_of(pilot).rows} == {"bert"}


async def test_work_that_came_since_is_told() -> None:
    with world() as ctx:
        async with plan_view(ctx) as (pilot, planner):
            submit(ctx, "latecomer", Request(FOREVER, gpus=1, nodes=("oak01",)))
            await until(pilot, lambda: "1 workload came since and waits: latecomer" in text_of(pilot, "#plan-head"))
            await answered(pilot, "n")
            await until(pilot, lambda: "came since" not in text_of(pilot, "#plan-head"))
            assert "latecomer" in planner.draft.names.values()


async def test_nothing_that_can_be_taken_back_is_told_in_a_notice() -> None:
    with world() as ctx:
        async with plan_view(ctx) as (pilot, planner):
            shown = planner.draft
            await answered(pilot, "u")
            await until(pilot, lambda: "no run that could be taken back" in text_of(pilot, "#notice"))
            assert planner.draft is shown
            assert planner.problem is None


async def test_quitting_while_a_plan_is_applied_asks_and_ends_between_steps() -> None:
    with world() as ctx:
        allowed = threading.Event()
        held = replace(ctx, fleet=Held(ctx.fleet, allowed))
        async with plan_view(held, size=(120, 40)) as (pilot, planner):
            await answered(pilot, "A")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
            await answered(pilot, "y")
            await until(pilot, lambda: planner.applying)
            await answered(pilot, "q")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
            assert f"apply of {planner.draft.plan.id} is being carried out" in whole(pilot)
            await answered(pilot, "y")
            allowed.set()
            await until(pilot, lambda: not planner.applying)
            await until(pilot, lambda: not pilot.app.is_running)
        (run,) = ctx.journal.open_runs()
        assert run.plan.id == planner.draft.plan.id


async def test_what_an_undo_leaves_is_listed_with_why() -> None:
    waiting = [
        ("stays", Request(FOREVER, gpus=1, nodes=("fir01",), preempt=Preemption.NEVER)),
        ("goes", Request(FOREVER, gpus=1, nodes=("fir01",))),
    ]
    with world(waiting) as ctx:
        async with plan_view(ctx, size=(140, 40)) as (pilot, planner):
            await applied(pilot, planner)
            await answered(pilot, "u")
            await until(pilot, lambda: planner.draft.origin is Origin.UNDO)
            await until(pilot, lambda: "stays" in {row.state for row in steps_of(pilot).rows})
            await answered(pilot, "G")
            await until(pilot, lambda: "Not taken back" in text_of(pilot, "#plan-detail"))
            assert "asked never to give way" in text_of(pilot, "#plan-detail")
            await applied(pilot, planner)
            assert states(ctx) == {"stays": WorkloadState.RUNNING, "goes": WorkloadState.PENDING}
            await until(pilot, lambda: "waits again; n makes a plan for it" in text_of(pilot, "#plan-head"))


async def test_a_plan_that_was_not_begun_can_be_tried_again() -> None:
    with world() as ctx:
        careful = replace(ctx, hooks=Forbidding())
        async with plan_view(careful, size=(120, 40)) as (pilot, planner):
            await answered(pilot, "A")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
            await answered(pilot, "y")
            await until(pilot, lambda: "hook pre_apply: exit code 3" in text_of(pilot, "#plan-head"))
            assert planner.course is None
            assert {row.state for row in steps_of(pilot).rows} == {"pending", "waits"}
            await answered(pilot, "A")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))


class Forbidding:
    """Hooks of which the one before every run fails."""

    def run(self, name, event):  # type: ignore[no-untyped-def]
        return HookOutcome("exit code 3", "not on Fridays", 0.0) if name == "pre_apply" else None


async def test_actions_are_upon_the_workloads_of_the_rows() -> None:
    with world() as ctx:
        async with plan_view(ctx) as (pilot, _):
            view = pilot.app.screen
            assert isinstance(view, PlanView)
            await answered(pilot, "space", "space")
            assert [target.name for target in view.targets()] == ["bert"]  # type: ignore[union-attr]
            await answered(pilot, "escape", "G")
            assert [target.name for target in view.targets()] == ["huge"]  # type: ignore[union-attr]
