"""`scale` as scripts and people call it."""

import json

import pytest
from fakes import sample_world
from fakes.memory_context import MemoryFleet, memory_context
from msgspec.structs import replace

from gpualloc.engine.context import Settings
from gpualloc.model.inventory import NodeState
from gpualloc.model.scaling import ScalingSettings, SpotRules

POOL = sample_world.SNAPSHOT.nodes[0].spec.pool


@pytest.fixture
def scaled(world):
    """Let the pool of the sample world be scaled by some settings."""

    def put(**changes):
        settings = Settings(scaling={POOL: replace(ScalingSettings(), **changes)})
        world.context = memory_context(settings=settings)

    put()
    return put


def test_what_would_be_done_is_told_and_nothing_is_done(run, scaled):
    ran = run("scale", "--json")
    assert ran.code == 0, ran.err
    data = json.loads(ran.out)["data"]
    (pool,) = data["pools"]
    assert pool.keys() == {
        "pool", "policy", "nodes", "ordered", "min_nodes", "max_nodes", "gpus_per_node", "demand_gpus", "complete",
        "unknown", "cpu_ratio", "load", "soon_gpus", "later_gpus", "change", "wished", "why", "offers", "drained",
        "held", "leaving", "empty", "applied", "orders",
    }  # fmt: skip
    assert (pool["pool"], pool["policy"], pool["applied"], pool["orders"]) == (POOL, "threshold", False, [])
    assert pool["demand_gpus"] > 0


def test_it_reads_well_on_a_terminal(run, scaled):
    scaled(min_nodes=9, max_nodes=9)
    ran = run("scale", POOL)
    assert ran.code == 0
    assert ran.out.startswith(f"{POOL}: ")
    assert "threshold: add " in ran.out
    assert "on-demand" in ran.out


def test_a_script_can_ask_whether_there_is_something_to_do(run, scaled):
    scaled(min_nodes=9, max_nodes=9)
    assert run("scale", "--detailed-exitcode").code == 10
    nodes = json.loads(run("scale", "--json").out)["data"]["pools"][0]["nodes"]
    scaled(min_nodes=nodes, max_nodes=nodes)
    assert run("scale", "--detailed-exitcode").code == 0


def test_prices_are_read_from_the_file_that_is_configured(run, scaled, tmp_path):
    prices = tmp_path / "prices.csv"
    prices.write_text("time_s,zone,price,interruptions_per_hour\n0,z7,0.01,0.1\n")
    scaled(min_nodes=9, max_nodes=9, spot=SpotRules(), prices=str(prices))
    offers = json.loads(run("scale", "--json").out)["data"]["pools"][0]["offers"]
    assert (offers[0]["purchase"], offers[0]["zone"], offers[-1]["purchase"]) == ("spot", "z7", "on-demand")
    prices.write_text("time_s,zone,price\n0,z7,cheap\n")
    ran = run("scale")
    assert ran.code == 2
    assert "line 2" in ran.err


def test_a_pool_that_does_not_answer_keeps_no_other_from_being_told(run, world):
    nodes = sample_world.SNAPSHOT.nodes
    far = replace(nodes[0], spec=replace(nodes[0].spec, name="far1", pool="far"), state=NodeState.UNREACHABLE)
    settings = Settings(scaling={POOL: ScalingSettings(), "far": ScalingSettings()})
    world.context = memory_context(settings=settings, fleet=MemoryFleet((*nodes, far)))
    ran = run("scale", "--json")
    answer = json.loads(ran.out)
    assert ran.code == 3
    assert [pool["pool"] for pool in answer["data"]["pools"]] == [POOL]
    assert [error["code"] for error in answer["errors"]] == ["unreachable"]
    assert run("scale", "far").code == 3
    assert run("scale", POOL).code == 0


def test_applying_takes_the_lock(run, scaled):
    ran = run("scale", "--apply")
    assert ran.code == 7
    assert "4711" in ran.err
    assert run("scale", "--interrupted", sample_world.SNAPSHOT.nodes[0].name).code == 7


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("other",), "is not scaled"),
        (("--in", "2m"), "--interrupted"),
        ((POOL, "--interrupted", "gpu01"), "leave pools"),
        (("--apply", "--interrupted", "gpu01"), "leave pools"),
        (("--interrupted", "gpu01", "--in", "soon"), "soon"),
    ],
)
def test_what_has_no_meaning_is_refused(run, scaled, arguments, said):
    ran = run("scale", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_without_any_scaled_pool_it_says_how_to_begin(run, world):
    ran = run("scale")
    assert ran.code == 2
    assert "docs/scaling.md" in ran.err
