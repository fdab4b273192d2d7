"""Demand and arrivals from the books, against a plain loop; which series a piece of work belongs to."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.engine.demand_series import gpu_milli, pool_of, series_at
from gpualloc.model.allocation import Allocation, Gang, Grant, Member, Share
from gpualloc.model.foresight import ANY_POOL, By, Subject
from gpualloc.model.inventory import NodeSpec
from gpualloc.model.workload import Request, Workload, WorkloadState

SPECS = (
    NodeSpec("a1", "a", "ssh", labels={"rack": "r1"}),
    NodeSpec("a2", "a", "ssh"),
    NodeSpec("b1", "b", "ssh", labels={"rack": "r1"}),
)
DEMAND, ARRIVALS = Subject("demand", By.ALL), Subject("arrivals", By.ALL)
GPU = Grant("GPU-1", Share.EXCLUSIVE)


def work(number=1, submitted=0.0, ended=None, state=None, request=None, node=None, **changes):
    chosen = state or (WorkloadState.PENDING if ended is None else WorkloadState.FINISHED)
    allocation = Allocation(f"w{number:08d}", node, (GPU,)) if node else None
    fields = {"allocation": allocation, "ended_at_s": ended, **changes}
    return Workload(f"w{number:08d}", "x", "ann", request or Request(("x",)), chosen, submitted, **fields)


def series(workloads, times, subject=DEMAND, step_s=10.0):
    return series_at(workloads, SPECS, subject, times, step_s)


WORK = st.builds(
    lambda submitted, lasts, gpus, fraction, owner: replace(
        work(submitted=submitted, ended=None if lasts is None else submitted + lasts),
        request=Request(("x",), gpus=gpus, fraction=fraction),
        owner=owner,
    ),
    st.integers(0, 100),
    st.none() | st.integers(0, 50),
    st.integers(0, 8),
    st.none() | st.sampled_from([0.25, 0.5]),
    st.sampled_from(["ann", "bob"]),
)


@settings(deadline=None)
@given(st.lists(WORK, max_size=20))
def test_demand_is_what_a_plain_loop_finds(workloads):
    times = [float(at_s) for at_s in range(0, 160, 7)]
    found = series(workloads, times, Subject("demand", By.TENANT))
    for owner in ("ann", "bob"):
        plain = [
            sum(
                one.request.gpus * (one.request.fraction or 1.0)
                for one in workloads
                if one.owner == owner
                and one.submitted_at_s <= at_s
                and (one.ended_at_s is None or at_s < one.ended_at_s)
            )
            for at_s in times
        ]
        assert found.get(owner, [0.0] * len(times)) == pytest.approx(plain)


@settings(deadline=None)
@given(st.lists(WORK, max_size=20))
def test_every_request_for_gpus_arrives_once(workloads):
    (arrivals,) = series(workloads, [float(at_s) for at_s in range(10, 120, 10)], ARRIVALS).values()
    late = [one for one in workloads if one.submitted_at_s > 0 and one.request.gpus]
    assert sum(arrivals) == len(late)


def test_work_that_waits_and_work_that_runs_both_count_until_it_ends():
    ran = work(1, 10.0, 60.0, started_at_s=40.0, node="a1")
    waits = work(2, 30.0)
    assert series([ran, waits], [0.0, 10.0, 50.0, 60.0, 99.0]) == {"all": [0.0, 1.0, 2.0, 1.0, 1.0]}


def test_suspended_work_still_counts():
    assert series([work(1, 10.0, state=WorkloadState.SUSPENDED, node="a1")], [20.0]) == {"all": [1.0]}


def test_where_nobody_knows_the_end_it_counts_for_as_long_as_it_was_known_to_run():
    lost = work(1, 10.0, state=WorkloadState.LOST, started_at_s=40.0, node="a1")
    assert series([lost], [10.0, 39.0, 40.0]) == {"all": [1.0, 1.0, 0.0]}


def test_work_without_gpus_is_no_demand_and_no_arrival():
    cpu = work(1, 10.0, request=Request(("x",), gpus=0))
    assert series([cpu], [20.0]) == {"all": [0.0]}
    assert series([cpu], [15.0], ARRIVALS) == {"all": [0.0]}


@pytest.mark.parametrize(
    ("request_", "milli"),
    [
        (Request(("x",), gpus=3), 3000),
        (Request(("x",), gpus=2, fraction=0.25), 500),
        (Request(("x",), mig_profile="2g.20gb"), 286),
        (Request(("x",), mig_profile="7g.80gb"), 1000),
        (Request(("x",), gpus=2, mig_profile="1g.10gb+me"), 286),
        (Request(("x",), share_asked=Share.MIG, gpu_memory_mib=9000), 1000),
    ],
)
def test_parts_of_gpus_are_counted_in_thousandths(request_, milli):
    assert gpu_milli(work(request=request_)) == milli


def test_a_placed_instance_tells_its_profile():
    grant = Grant("GPU-1", Share.MIG, place="3g.40gb@4")
    asked = work(request=Request(("x",), share_asked=Share.MIG, gpu_memory_mib=9000))
    placed = replace(asked, allocation=Allocation(asked.id, "a1", (grant,)))
    assert gpu_milli(placed) == 429
    assert list(series([asked], [0.0], Subject("demand", By.PROFILE))) == ["mig"]
    assert list(series([placed], [0.0], Subject("demand", By.PROFILE))) == ["3g.40gb"]


def test_other_work_is_told_by_how_it_shares():
    found = series([work(1), work(2, request=Request(("x",), fraction=0.5))], [5.0], Subject("demand", By.PROFILE))
    assert found == {"exclusive": [1.0], "time-slice": [0.5]}


def member(rank, node):
    return Member(rank, node, (GPU,))


@pytest.mark.parametrize(
    ("workload", "pool"),
    [
        (work(node="b1"), "b"),
        (work(node="gone"), ANY_POOL),
        (work(request=Request(("x",))), ANY_POOL),
        (work(request=Request(("x",), nodes=("a1", "a2"))), "a"),
        (work(request=Request(("x",), nodes=("a1", "b1"))), ANY_POOL),
        (work(request=Request(("x",), labels=(("rack", "r1"),))), ANY_POOL),
        (work(request=Request(("x",), labels=(("rack", "r1"),), nodes=("b1",))), "b"),
        (work(request=Request(("x",), nodes=("gone",))), ANY_POOL),
    ],
)
def test_the_pool_of_work_is_where_it_is_or_the_only_one_it_could_be_in(workload, pool):
    assert pool_of(workload, SPECS) == pool


def test_a_gang_over_two_pools_is_in_no_single_one():
    gang = Gang(2, 2, (member(0, "a1"), member(1, "b1")))
    spread = replace(work(), allocation=Allocation("w00000001", "a1", (GPU, GPU), gang=gang))
    assert pool_of(spread, SPECS) == ANY_POOL


def test_pools_are_there_before_anything_is_asked_of_them():
    assert series([], [0.0, 1.0], Subject("demand", By.POOL)) == {"a": [0.0, 0.0], "b": [0.0, 0.0]}
    assert series([], [0.0], Subject("arrivals", By.POOL, "b")) == {"b": [0.0]}
    assert series([], [0.0], Subject("demand", By.TENANT)) == {}


def test_a_pool_can_be_told_by_tenant():
    workloads = [work(1, node="a1"), replace(work(2, node="a2"), owner="bob"), replace(work(3, node="b1"), owner="cy")]
    assert series(workloads, [5.0], Subject("demand", By.TENANT, "a")) == {"ann": [1.0], "bob": [1.0]}


def test_work_in_no_single_pool_has_a_series_of_its_own():
    found = series([work(1, node="a1"), work(2)], [5.0], Subject("demand", By.POOL))
    assert found == {"a": [1.0], "b": [0.0], ANY_POOL: [1.0]}
    assert math.isclose(sum(value for (value,) in found.values()), 2.0)
