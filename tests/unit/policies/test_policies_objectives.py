"""What places are chosen for: each objective on small fleets, under every policy that goes by the shared board."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import scenes
from msgspec.structs import replace

from gpualloc.engine.decide import decide
from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Problem, Rejection
from gpualloc.model.inventory import Node
from gpualloc.model.objective import Objective
from gpualloc.model.workload import Workload
from gpualloc.policies import registry
from gpualloc.policies.session import BoardSession

POLICIES = registry.names()


def placed(policy: str, objective: Objective, nodes: tuple[Node, ...], *work: Workload) -> list[str | None]:
    """Where each of the workloads goes, as `node/device index,...`; None for none."""
    problem = replace(scenes.problem(nodes, work), objective=objective)
    decision = decide(problem, registry.load(policy))
    assert decision.objective is objective
    found = {each.workload: each for each in decision.allocations}
    return [where(found[one.id]) if one.id in found else None for one in work]


def where(allocation: Allocation) -> str:
    return f"{allocation.node}/{','.join(grant.device.rpartition('-')[2] for grant in allocation.grants)}"


def one(number: int = 1, **asked: Any) -> Workload:
    return scenes.workload(f"w{number:08d}", **asked)


def claimed(name: str, devices: int = 2, **said: Any) -> Node:
    """A node with other work on its first device."""
    return scenes.node(name, devices=devices, claims=[{"device": "0"}], **said)


def shared(name: str, **said: Any) -> Node:
    """A node with other work on a part of its first device."""
    claim = {"device": "0", "share": "time-slice", "fraction": 0.25, "memory_mib": 1000}
    return scenes.node(name, devices=2, claims=[claim], **said)


@pytest.mark.parametrize("policy", POLICIES)
class TestEveryPolicy:
    def test_cost_takes_the_cheaper_of_empty_nodes(self, policy: str) -> None:
        for dear, cheap in (("a", "b"), ("b", "a")):
            nodes = scenes.node(dear, devices=2, price=3.0), scenes.node(cheap, devices=2, price=1.0)
            assert placed(policy, Objective.COST, nodes, one())[0] in (f"{cheap}/0", f"{cheap}/1")

    def test_cost_begins_no_node_with_a_price_while_one_in_use_would_do(self, policy: str) -> None:
        for empty, used in (("a", "b"), ("b", "a")):
            nodes = scenes.node(empty, devices=2, price=1.0), claimed(used, price=3.0)
            assert placed(policy, Objective.COST, nodes, one()) == [f"{used}/1"]

    def test_cost_begins_a_node_that_costs_nothing(self, policy: str) -> None:
        for free, used in (("a", "b"), ("b", "a")):
            nodes = scenes.node(free, devices=1, price=0.0), claimed(used, price=3.0)
            assert placed(policy, Objective.COST, nodes, one()) == [f"{free}/0"]

    def test_a_price_that_nobody_told_is_not_cheap(self, policy: str) -> None:
        for unknown, known in (("a", "b"), ("b", "a")):
            nodes = scenes.node(unknown, devices=1), scenes.node(known, devices=1, price=9.0)
            assert placed(policy, Objective.COST, nodes, one()) == [f"{known}/0"]

    def test_energy_begins_no_idle_gpu_for_a_part(self, policy: str) -> None:
        for empty, used in (("a", "b"), ("b", "a")):
            nodes = scenes.node(empty, devices=2), shared(used)
            assert placed(policy, Objective.ENERGY, nodes, one(fraction=0.25)) == [f"{used}/0"]

    def test_energy_takes_the_gpu_that_may_draw_less(self, policy: str) -> None:
        for hungry, frugal in (("a", "b"), ("b", "a")):
            nodes = (
                scenes.node(hungry, devices=[{"power_limit_w": 700.0}]),
                scenes.node(frugal, devices=[{"power_limit_default_w": 300.0}]),
            )
            assert placed(policy, Objective.ENERGY, nodes, one()) == [f"{frugal}/0"]

    def test_energy_counts_watts_by_what_a_gpu_does_where_all_tell_their_speed(self, policy: str) -> None:
        for hungry, frugal in (("a", "b"), ("b", "a")):
            nodes = (
                scenes.node(hungry, devices=[{"power_limit_w": 700.0}], labels={"speed": "10"}),
                scenes.node(frugal, devices=[{"power_limit_w": 300.0}], labels={"speed": "2"}),
            )
            assert placed(policy, Objective.ENERGY, nodes, one()) == [f"{hungry}/0"]

    def test_jct_takes_the_faster_gpu(self, policy: str) -> None:
        for slow, fast in (("a", "b"), ("b", "a")):
            nodes = (
                scenes.node(slow, devices=1, labels={"speed": "1"}),
                scenes.node(fast, devices=1, labels={"speed": "2.5"}),
                scenes.node("c", devices=1),
            )
            assert placed(policy, Objective.JCT, nodes, one()) == [f"{fast}/0"]

    def test_jct_gives_a_part_a_whole_gpu_while_there_are_enough(self, policy: str) -> None:
        for empty, used in (("a", "b"), ("b", "a")):
            nodes = scenes.node(empty, devices=2), shared(used)
            found = placed(policy, Objective.JCT, nodes, one(fraction=0.25))
            assert found[0] in (f"{empty}/0", f"{empty}/1", f"{used}/1")

    def test_a_gang_goes_no_farther_than_it_must(self, policy: str) -> None:
        for dear, cheap in (("a", "b"), ("b", "a")):
            nodes = (scenes.node(dear, devices=2, price=3.0), scenes.node(cheap, devices=2, price=1.0))
            assert placed(policy, Objective.COST, nodes, one(gang=True, gpus=2)) == [f"{cheap}/0,1"]
            both = placed(policy, Objective.COST, nodes, one(gang=True, gpus=4))
            assert both != [None]

    def test_mig_instances_go_where_the_objective_has_least_against(self, policy: str) -> None:
        for dear, cheap in (("a", "b"), ("b", "a")):
            device = {"mig": ["1g.10gb", "1g.10gb"]}
            nodes = (
                scenes.node(dear, devices=[{**device, "power_limit_w": 700.0}], price=3.0),
                scenes.node(cheap, devices=[{**device, "power_limit_w": 300.0}], price=1.0, labels={"speed": "2"}),
            )
            for objective in (Objective.COST, Objective.ENERGY, Objective.JCT):
                assert placed(policy, objective, nodes, one(mig_profile="1g.10gb")) == [f"{cheap}/0"]

    def test_what_does_not_fit_the_best_node_goes_to_the_next(self, policy: str) -> None:
        nodes = scenes.node("a", devices=2, price=1.0, memory_mib=1000), scenes.node("b", devices=2, price=3.0)
        assert placed(policy, Objective.COST, nodes, one(memory_mib=4000)) in (["b/0"], ["b/1"])


def test_jct_leaves_whole_gpus_to_those_who_wait_for_them() -> None:
    nodes = scenes.node("a", devices=1), scenes.node("b", devices=1)
    work = one(1, fraction=0.25), one(2, fraction=0.25), one(3)
    assert None not in placed("pack", Objective.JCT, nodes, *work)
    spread = placed("pack", Objective.JCT, (*nodes, scenes.node("c", devices=1)), *work)
    assert len(set(spread)) == 3


def test_energy_fills_one_node_before_it_begins_the_next() -> None:
    nodes = tuple(scenes.node(f"n{number}", devices=2) for number in range(4))
    for policy in POLICIES:
        found = placed(policy, Objective.ENERGY, nodes, *(one(number, fraction=0.5) for number in range(1, 5)))
        assert len({str(each).partition("/")[0] for each in found}) == 1
        assert len(set(found)) == 2


def test_the_policy_decides_among_equals() -> None:
    nodes = shared("a", price=1.0), scenes.node("b", devices=2, price=1.0, claims=[{"device": "0"}])
    asked = one(fraction=0.25)
    assert placed("gpu-packing", Objective.COST, nodes, asked) == ["a/0"]
    assert placed("spread", Objective.COST, nodes, asked) != ["a/0"]


@pytest.mark.parametrize("label", ["", "fast", "-1", "0", "nan", "inf", "1e99"])
def test_a_label_that_is_no_speed_tells_none(label: str) -> None:
    nodes = scenes.node("a", devices=1, labels={"speed": label}), scenes.node("b", devices=1, labels={"speed": "0.1"})
    assert placed("pack", Objective.JCT, nodes, one()) == ["b/0"]


class TestRanking:
    def ranked(self, objective: Objective, count: int = 5) -> Any:
        nodes = claimed("a", price=3.0), scenes.node("b", devices=1, price=1.0), scenes.node("c", devices=4)
        problem = replace(scenes.problem(nodes, [one()]), objective=objective)
        session = registry.load("spread").begin(problem)
        assert isinstance(session, BoardSession)
        return session.ranking(problem.requests[0], count)

    def test_those_come_first_that_the_objective_has_least_against(self) -> None:
        found = self.ranked(Objective.COST)
        assert [each.node for each in found] == ["a", "b", "c"]
        assert [each.objective for each in found] == [
            "in use, 3.00 per GPU-hour",
            "empty, 1.00 per GPU-hour",
            "empty, no price told",
        ]

    def test_the_highest_score_is_there_however_few_are_asked_for(self) -> None:
        highest = max(self.ranked(Objective.BALANCED), key=lambda each: each.score)
        assert highest.node == "c"
        assert [each.node for each in self.ranked(Objective.COST, 2)] == ["a", "c"]
        assert [each.node for each in self.ranked(Objective.COST, 1)] == ["a"]

    def test_nodes_without_host_memory_take_nobodys_place(self) -> None:
        poor = tuple(scenes.node(f"a{number}", devices=1, price=0.5, memory_mib=1000) for number in range(5))
        nodes = (*poor, scenes.node("b", devices=1, price=1.0), scenes.node("c", devices=1, price=2.0))
        problem = replace(scenes.problem(nodes, [one(memory_mib=4000)]), objective=Objective.COST)
        session = registry.load("pack").begin(problem)
        assert isinstance(session, BoardSession)
        assert [each.node for each in session.ranking(problem.requests[0], 5)] == ["b", "c"]

    def test_without_one_nothing_is_said(self) -> None:
        assert {each.objective for each in self.ranked(Objective.BALANCED)} == {""}


def test_infeasible_work_is_refused_the_same() -> None:
    nodes = (scenes.node("a", devices=1, price=1.0),)
    for policy in POLICIES:
        answers = []
        for objective in Objective:
            problem: Problem = replace(scenes.problem(nodes, [one(gpus=4)]), objective=objective)
            answers.append(registry.load(policy).begin(problem).place(problem.requests[0]))
        assert all(isinstance(answer, Rejection) and answer == answers[0] for answer in answers)
