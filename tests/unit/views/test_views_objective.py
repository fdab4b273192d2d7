"""What is told of the objective: in a plan's head, in the explanation of a place, and between plans side by side."""

from __future__ import annotations

import pytest
from fakes import scenes
from msgspec.structs import replace

from gpualloc.model.decision import Placed, Ranked
from gpualloc.model.objective import Objective
from gpualloc.model.plan import Plan
from gpualloc.model.workload import WorkloadState
from gpualloc.planning.figures import Figures
from gpualloc.planning.pareto import Choice
from gpualloc.policies.explanation import Explanation
from gpualloc.views.look import Look
from gpualloc.views.pareto import Comparison, comparison_data, comparison_text
from gpualloc.views.plan import plan_text
from gpualloc.views.text import duration
from gpualloc.views.why import Account, explanation_data, explanation_lines, why_text

LOOK = Look(width=80)
PLAN = Plan("p1", 1.0, "fgd", "1", 0, False, {}, "")
FIGURES = Figures(2, 4, 1, 9.6, None, 0.0, 1.5, 0)


def explained(objective: Objective, *ranked: Ranked) -> Explanation:
    work = scenes.workload("w1")
    answer = scenes.allocation("w1", ranked[0].node, "0")
    return Explanation(work, answer, (), 3, ranked, objective=objective)


DEAR = Ranked("dear", 9.0, ("GPU-dear-0",), "empty, 3.00 per GPU-hour")
CHEAP = Ranked("cheap", 1.0, ("GPU-cheap-0",), "in use, 1.00 per GPU-hour")


def test_the_head_of_a_plan_names_it() -> None:
    aimed = plan_text(replace(PLAN, objective=Objective.COST), {}, LOOK)
    assert aimed.splitlines()[0] == "plan p1, policy fgd 1, objective cost"
    assert plan_text(PLAN, {}, LOOK).splitlines()[0] == "plan p1, policy fgd 1"


def test_where_it_decided_the_place_with_the_higher_score_is_told() -> None:
    found = explained(Objective.COST, CHEAP, DEAR)
    text = " ".join(" ".join(explanation_lines(found, None, "fgd 1", {}, LOOK)).split())
    assert "best places by fgd 1 for cost" in text
    assert "the objective cost decided: cheap is in use, 1.00 per GPU-hour; dear" in text
    data = explanation_data(found)
    assert (data["objective"], data["overruled"]) == ("cost", "dear")


def test_where_both_agree_nothing_is_said() -> None:
    found = explained(Objective.COST, replace(CHEAP, score=9.0), replace(DEAR, score=1.0))
    assert "decided" not in " ".join(explanation_lines(found, None, "fgd 1", {}, LOOK))
    assert explanation_data(found)["overruled"] is None


def test_without_an_objective_it_reads_as_before() -> None:
    found = explained(Objective.BALANCED, replace(DEAR, objective=""), replace(CHEAP, objective=""))
    text = "\n".join(explanation_lines(found, None, "fgd 1", {}, LOOK))
    assert "objective" not in text
    assert "best places by fgd 1, of" in text


def test_work_that_runs_tells_for_what_it_was_placed() -> None:
    work = scenes.workload("w1", state=WorkloadState.RUNNING, allocation=scenes.allocation("w1", "a", "0"))
    placed = Placed(1.0, "ann", "p1", "fgd 1", Objective.ENERGY)
    assert "placed by fgd 1 for energy in plan p1" in why_text(Account(work, 2.0, False, "pack 1", placed=placed), LOOK)


def test_what_differs_is_a_column_and_the_rest_a_line() -> None:
    cost = Choice(replace(PLAN, objective=Objective.COST), FIGURES, ((Objective.ENERGY, "pack"),))
    fast = Choice(replace(PLAN, objective=Objective.JCT), replace(FIGURES, cost_per_hour=None, speed=3.0), ())
    text = comparison_text(Comparison((cost, fast), 16, 2, simulated=True), LOOK)
    assert text.splitlines()[1].split() == ["objective", "policy", "cost/h", "speed"]
    assert text.splitlines()[3].split() == ["jct", "fgd", "unknown", "3"]
    assert "each: placed 2, GPUs on 4, nodes on 1, watts unknown" in text
    assert "as cost fgd: energy pack" in text
    assert "simulated" in text
    assert text.endswith("gpualloc plan --objective jct --policy fgd -o FILE")
    assert comparison_data(Comparison((cost,), 16, 2, simulated=False))["plans"][0]["figures"]["watts"] is None  # type: ignore[index]


@pytest.mark.parametrize(
    ("own", "flags", "command"),
    [
        ("pack", "", "gpualloc plan --objective jct --policy fgd -o FILE"),
        ("fgd", "", "gpualloc plan --objective jct -o FILE"),
        ("fgd", "--policy-profile night", "gpualloc plan --objective jct --policy-profile night -o FILE"),
    ],
)
def test_the_command_makes_the_same_plan(own: str, flags: str, command: str) -> None:
    row = Choice(replace(PLAN, objective=Objective.JCT), FIGURES, ())
    text = comparison_text(Comparison((row,), 16, 2, simulated=False, own=own, own_flags=flags), LOOK)
    assert text.endswith(f"take one with: {command}")


def test_a_single_plan_is_all_in_one_line() -> None:
    text = comparison_text(Comparison((Choice(PLAN, FIGURES, ()),), 16, 2, simulated=False), LOOK)
    assert "it: placed 2, GPUs on 4, nodes on 1, cost/h 9.60" in text


def test_the_widest_figures_fit_80_columns() -> None:
    wide = Figures(10_000, 80_000, 10_000, 240_000.5, 56_000_000.0, 86_400.0, 1.25, 1000)
    other = Figures(9_999, 79_999, 9_999, None, None, None, None, 999)
    rows = tuple(
        Choice(replace(PLAN, policy="dot-product", objective=Objective.BALANCED), each, ()) for each in (wide, other)
    )
    text = comparison_text(Comparison(rows, 20, 10_000, simulated=True), LOOK)
    assert max(map(len, text.splitlines())) <= 80
    assert f"besides: wait {duration(86_400.0)}, speed 1.25, disturbed 1000" in text
