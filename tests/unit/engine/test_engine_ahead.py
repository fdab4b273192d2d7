"""What is changed ahead of demand: power limits in troughs, MIG instances, and what an emptied device is worth."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.engine.ahead import made_ahead
from gpualloc.engine.observe import look
from gpualloc.engine.outlook import Outlook, expected_excess
from gpualloc.engine.plan import LIVE, problem_of
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.submit import submit
from gpualloc.engine.troughs import trough_moves
from gpualloc.engine.worth import demand_worth
from gpualloc.model.decision import Decision
from gpualloc.model.desired import DesiredDevice
from gpualloc.model.forecast import Band
from gpualloc.model.rebalancing import MoveKind, RebalanceRules
from gpualloc.model.workload import Request
from gpualloc.sim.cluster import ClusterSpec, HostSpec

RULES = RebalanceRules(trough_below=0.5)
POOL = "simulated"


@pytest.fixture
def ctx(made_context, wall):
    nodes = (
        HostSpec("n1", ("A100-40GB",) * 4, cpus=32, memory_gib=256),
        HostSpec("n2", ("A100-40GB",) * 4, cpus=32, memory_gib=256, mig=(0, 1)),
    )
    return made_context("first-fit", ClusterSpec("ahead", nodes), wall)


def expecting(high):
    """Demand of at most that many GPUs in an hour."""
    bands = (None,) if high is None else (Band(0.0, high / 2, high),)
    return Outlook(horizons_s=(3600.0,), demand={POOL: bands}, ages={})


def running(ctx, gpus):
    submit(ctx, "work", Request(("train",), gpus=gpus, nodes=("n1",)))
    rebalance(ctx)
    return problem_of(ctx, ctx.journal.workloads(LIVE), look(ctx)).running


def troughs(ctx, held, high, rules=RULES, **more):
    return trough_moves(look(ctx), more.pop("desired", ()), held, expecting(high), rules, **more)


def test_busy_devices_are_capped_in_a_trough_and_no_others(ctx):
    held = running(ctx, 2)
    moves = troughs(ctx, held, 3.0)
    assert {move.kind for move in moves} == {MoveKind.CAP}
    assert {move.device for move in moves} == {grant.device for item in held for grant in item.grants}
    devices = {device.uuid: device for node in look(ctx).nodes for device in node.devices}
    assert all(move.watts == round(0.7 * devices[move.device].power_limit_default_w) for move in moves)


@pytest.mark.parametrize(
    ("high", "rules", "more"),
    [
        (4.5, RULES, {}),
        (None, RULES, {}),
        (3.0, RebalanceRules(), {}),
        (3.0, RULES, {"budgeted": (POOL,)}),
    ],
    ids=["much is expected", "nothing can be told", "not asked for", "it has a budget"],
)
def test_nothing_is_capped_otherwise(ctx, high, rules, more):
    assert troughs(ctx, running(ctx, 2), high, rules, **more) == ()


def test_what_is_held_now_is_no_trough_whatever_is_expected(ctx):
    assert troughs(ctx, running(ctx, 4), 1.0) == ()


def test_caps_end_when_the_trough_is_over_and_not_at_its_edge(ctx):
    held = running(ctx, 2)
    device = held[0].grants[0].device
    capped = DesiredDevice("n1", device, None, cap_w=280.0, uncapped_w=400.0)
    assert troughs(ctx, held, 4.5, desired=(capped,)) == ()
    assert troughs(ctx, held, None, desired=(capped,)) == ()
    (move,) = troughs(ctx, held, 6.0, desired=(capped,))
    assert (move.kind, move.device, move.watts) == (MoveKind.UNCAP, device, 400.0)


def ahead(ctx, **expected):
    problem = problem_of(ctx, ctx.journal.workloads(LIVE), look(ctx))
    nothing = Decision("first-fit", "1", 0, (), ())
    outlook = Outlook(instances={name.replace("_", "."): Band(0.0, 0.0, high) for name, high in expected.items()})
    return made_ahead(problem, nothing, ctx.journal.desired(), outlook)


def test_instances_are_made_on_devices_in_mig_mode_up_to_what_is_expected(ctx):
    found = ahead(ctx, **{"2g_10gb": 2.0})
    assert sum(len(partition.target) for partition in found.partitions) == 2
    assert all(partition.device.mig_enabled for partition in found.partitions)
    assert {move.kind for move in found.moves} == {MoveKind.RESHAPE}
    assert len(found.moves) == len(found.partitions)


@pytest.mark.parametrize("expected", [{}, {"2g_10gb": 0.0}, {"9g_99gb": 3.0}])
def test_nothing_is_made_that_nobody_expects_or_nothing_can_hold(ctx, expected):
    found = ahead(ctx, **expected)
    assert (found.partitions, found.moves) == ((), ())


bands = st.lists(st.floats(0, 64), min_size=3, max_size=3).map(lambda edges: Band(*sorted(edges)))


@given(band=bands, level=st.floats(0, 80), more=st.floats(0, 8))
def test_excess_falls_with_the_level_and_is_never_negative(band, level, more):
    excess = expected_excess(band, level)
    assert excess >= 0.0
    assert expected_excess(band, level + more) <= excess + 1e-9
    if level >= band.high:
        assert excess == 0.0
    assert math.isclose(expected_excess(Band(5.0, 5.0, 5.0), 3.0), 0.9 * 2.0)


def test_an_emptied_device_is_worth_what_demand_would_find_without():
    outlook = Outlook(horizons_s=(1800.0, 3600.0), demand={"p": (Band(4, 4, 4), Band(8, 8, 8))})
    assert demand_worth(outlook, "p", 6.0, 0, 1) == pytest.approx(0.9 * 1800.0)
    assert demand_worth(outlook, "p", 2.0, 0, 1) == pytest.approx(0.9 * 3600.0)
    assert demand_worth(outlook, "p", 8.0, 0, 1) == 0.0
    assert demand_worth(replace(outlook, demand={}), "p", 0.0, 0, 1) == 0.0
