"""`--objective` and `plan --pareto`: what they print, what they refuse."""

import json

import pytest
from fakes.memory_context import memory_context

from gpualloc.policies.first_fit import FirstFit


@pytest.fixture(autouse=True)
def deciding(world):
    """A world whose policy decides."""
    world.context = memory_context(policy=FirstFit(), simulated=True)


def data(ran):
    assert ran.code == 0, ran.err
    return json.loads(ran.out)["data"]


@pytest.mark.parametrize("verb", [("plan",), ("apply",), ("rebalance", "--dry-run"), ("why", "w00000003")])
def test_the_flag_overrides_the_configuration(run, world, verb):
    run(*verb, "--objective", "cost")
    assert dict(world.options[-1].overrides) == {"objective": "cost"}


def test_a_plan_says_what_it_was_made_for(run):
    assert data(run("plan", "--json"))["objective"] == "balanced"
    assert "objective" not in run("plan").out


def test_plans_side_by_side(run):
    found = data(run("plan", "--pareto", "--json"))
    assert found["simulated"] is True
    assert found["tried"] == 20
    for each in found["plans"]:
        assert each["plan"]["objective"] == each["objective"]
        assert set(each["figures"]) == {
            "placed",
            "gpus_on",
            "nodes_on",
            "cost_per_hour",
            "watts",
            "start_delay_s",
            "speed",
            "disturbed",
        }
    out = run("plan", "--pareto").out
    assert "gpualloc plan --objective" in out
    assert "simulated" in out
    assert max(map(len, out.splitlines())) <= 80


def test_an_unknown_figure_is_shown_as_unknown(run):
    found = data(run("plan", "--pareto", "--json"))["plans"]
    assert {each["figures"]["speed"] for each in found} == {None}
    assert "speed unknown" in run("plan", "--pareto").out


@pytest.mark.parametrize("other", [("-o", "x.json"), ("--explain",), ("--objective", "cost")])
def test_what_does_not_go_together_is_refused(run, other):
    ran = run("plan", "--pareto", *other)
    assert ran.code == 2
    assert "--pareto" in ran.err
