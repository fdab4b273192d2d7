"""What a plan comes to: what is known is added up, what is not stays unknown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fakes import scenes
from msgspec.structs import replace

from gpualloc.engine.decide import decide
from gpualloc.model.allocation import Allocation
from gpualloc.model.inventory import Node
from gpualloc.model.objective import Objective
from gpualloc.model.workload import Workload
from gpualloc.planning.figures import Figures, figures_of
from gpualloc.planning.plan import build
from gpualloc.policies.first_fit import FirstFit


def figures(nodes: Sequence[Node], work: Sequence[Workload] = (), running: Sequence[Allocation] = ()) -> Figures:
    """Figures of the plan of first fit."""
    problem = replace(scenes.problem(nodes, work, running), objective=Objective.BALANCED)
    decision = decide(problem, FirstFit())
    works = {one.id: one for one in work}
    plan = build(decision, problem.snapshot, works, plan_id="p1", created_at_s=1.0, simulated=False)
    return figures_of(plan, problem.snapshot, problem.running, None)


def node(name: str, **said: Any) -> Node:
    of = {"power_w": 60.0, "power_limit_w": 400.0, **said.pop("device", {})}
    return scenes.node(name, devices=[{**of, "count": 2}], **said)


def test_nothing_on_costs_nothing() -> None:
    found = figures([node("a", price=2.0)])
    assert (found.placed, found.gpus_on, found.nodes_on, found.cost_per_hour, found.watts) == (0, 0, 0, 0.0, 0.0)


def test_a_node_that_is_on_costs_all_its_gpus() -> None:
    found = figures(
        [node("a", price=2.0), node("b", price=9.0)], [scenes.workload("w1"), scenes.workload("w2", gpus=9)]
    )
    assert (found.placed, found.gpus_on, found.nodes_on, found.cost_per_hour) == (1, 1, 1, 4.0)


def test_work_that_begins_counts_with_the_limit_and_the_rest_as_measured() -> None:
    running = [scenes.allocation("w9", "a", "0")]
    found = figures([node("a", price=2.0)], [scenes.workload("w1")], running)
    assert (found.gpus_on, found.watts) == (2, 460.0)
    other = {"power_w": None, "power_limit_w": None, "power_limit_default_w": 350.0}
    assert figures([node("a", device=other)], [scenes.workload("w1")], running).watts == 700.0


def test_what_nobody_tells_is_unknown() -> None:
    silent = {"power_w": None, "power_limit_w": None}
    found = figures([node("a", device=silent)], [scenes.workload("w1")])
    assert (found.cost_per_hour, found.watts, found.speed) == (None, None, None)
    assert figures([node("a", price=1.0), node("b")], [scenes.workload("w1")]).cost_per_hour == 2.0


def test_speed_is_that_of_the_nodes_where_work_begins() -> None:
    nodes = [node("a", labels={"speed": "3"}), node("b", labels={"speed": "1"})]
    work = [scenes.workload(f"w{number}") for number in range(4)]
    assert figures(nodes, work).speed == 2.0
    assert figures(nodes, [scenes.workload("w1", gang=True, gpus=4)]).speed == 1.0
    assert figures(nodes).speed is None


def test_strangers_and_claims_are_on() -> None:
    found = figures([node("a", price=1.0, processes=[{"device": "1", "memory_mib": 100}])])
    assert (found.gpus_on, found.nodes_on, found.cost_per_hour, found.watts) == (1, 1, 2.0, 60.0)


def test_lower_tolls_are_better() -> None:
    one = Figures(3, 4, 2, 8.0, 900.0, 60.0, 2.0, 0)
    better = Figures(4, 3, 1, 7.0, 800.0, 0.0, 3.0, 0)
    assert all(mine <= its for mine, its in zip(better.tolls, one.tolls, strict=True) if mine is not None and its)
