"""Plans side by side over the demo cluster: what is made, what is shown, and that nothing is kept."""

from __future__ import annotations

from msgspec.structs import replace

from gpualloc.engine.apply import apply, failure
from gpualloc.engine.context import Context
from gpualloc.engine.pareto import OBJECTIVES, POLICIES, choices
from gpualloc.engine.plan import make_plan
from gpualloc.engine.submit import submit
from gpualloc.engine.why import explained_plan, why
from gpualloc.model.objective import Objective
from gpualloc.model.workload import Request
from gpualloc.planning.pareto import dominates
from gpualloc.policies.registry import load


def _ask(ctx: Context, count: int, **said: object) -> None:
    for number in range(count):
        submit(ctx, f"work {number}", Request(command=("sleep", "1000"), **said))  # type: ignore[arg-type]


def _aimed(ctx: Context, objective: Objective) -> Context:
    return replace(ctx, settings=replace(ctx.settings, objective=objective))


def test_none_of_those_shown_is_better_than_another(ctx: Context) -> None:
    _ask(ctx, 3, fraction=0.25)
    _ask(ctx, 2, gpus=2)
    found = choices(ctx)
    assert found.tried == len(OBJECTIVES) * len(POLICIES)
    assert found.waiting == 5
    tolls = [choice.figures.tolls for choice in found.shown]
    assert not any(dominates(one, other) for one in tolls for other in tolls)
    told = [(choice.plan.objective, choice.plan.policy) for choice in found.shown]
    told += [pair for choice in found.shown for pair in choice.also]
    assert len(told) == len(set(told))


def test_a_shown_plan_is_the_one_that_plan_makes(ctx: Context) -> None:
    _ask(ctx, 3, fraction=0.25)
    for choice in choices(ctx).shown:
        own = replace(_aimed(ctx, choice.plan.objective), policy=load(choice.plan.policy))
        made = make_plan(own)
        assert (made.steps, made.rejections, made.objective) == (
            choice.plan.steps,
            choice.plan.rejections,
            choice.plan.objective,
        )


def test_the_configured_policy_goes_first(made_context) -> None:
    ctx = made_context("first-fit")
    found = choices(ctx)
    assert found.tried == len(OBJECTIVES) * (len(POLICIES) + 1)
    assert (found.shown[0].plan.objective, found.shown[0].plan.policy) == (Objective.BALANCED, "first-fit")
    assert len(found.shown) == 1


def test_nothing_is_kept(ctx: Context) -> None:
    _ask(ctx, 2)
    before = ctx.journal.workloads()
    audit = ctx.journal.audit()
    choices(ctx)
    assert ctx.journal.workloads() == before
    assert ctx.journal.audit() == audit


def test_a_plan_tells_what_it_was_made_for(ctx: Context) -> None:
    _ask(ctx, 1)
    plan, told, _ = explained_plan(_aimed(ctx, Objective.COST))
    assert plan.objective is Objective.COST
    assert {each.objective for each in told} == {Objective.COST}
    assert all(place.objective for each in told for place in each.ranked)
    assert make_plan(ctx).objective is Objective.BALANCED


def test_work_that_runs_tells_what_its_place_was_chosen_for(ctx: Context) -> None:
    _ask(ctx, 1)
    plan = make_plan(_aimed(ctx, Objective.ENERGY))
    assert failure(apply(ctx, plan)) is None
    placed = why(ctx, plan.steps[0].workload or "").placed
    assert placed is not None
    assert (placed.plan, placed.objective) == (plan.id, Objective.ENERGY)
