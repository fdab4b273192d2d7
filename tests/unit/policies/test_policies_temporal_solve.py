"""Plans over time: limits, determinism, fixed points, deadlines, unknowns, and how far from the optimum."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.policies.temporal import Cause, Prices, TemporalProblem, solve
from gpualloc.policies.temporal.genetic import solve_genetic

SOLVERS = pytest.mark.parametrize("solver", [solve, solve_genetic])


def problem_of(compute, memory, alive=None, devices=None, **more):
    """A problem with devices of 80 GiB."""
    compute = np.array(compute, float)
    count, intervals = compute.shape
    memory = np.broadcast_to(np.array(memory, float).reshape(-1, 1), compute.shape)
    devices = count if devices is None else devices
    return TemporalProblem(
        items=tuple(f"i{number}" for number in range(count)),
        hours=np.ones(intervals),
        alive=np.ones(compute.shape, bool) if alive is None else np.array(alive, bool),
        compute=compute,
        memory=memory,
        devices=tuple(f"g{number}" for number in range(devices)),
        device_memory=np.full(devices, 80.0),
        **more,
    )


@st.composite
def problems(draw, unknown=False, running=False):
    """Small problems, some of whose items are somewhere already."""
    count, intervals = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    rows = lambda values: draw(  # noqa: E731
        st.lists(st.lists(values, min_size=intervals, max_size=intervals), min_size=count, max_size=count)
    )
    compute = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.6, 0.9, 1.0] + ([np.nan] if unknown else []))
    memory = draw(st.lists(st.sampled_from([0.0, 10.0, 30.0, 40.0, 41.0, 80.0]), min_size=count, max_size=count))
    alive = np.array(rows(st.booleans()), bool)
    place = draw(st.lists(st.integers(-1, count - 1), min_size=count, max_size=count)) if running else None
    if place is not None:
        alive[:, 0] |= np.array(place) >= 0
    values = np.array(rows(compute))
    upper = np.minimum(values + draw(st.sampled_from([0.0, 0.2])), 1.0) if draw(st.booleans()) else None
    prices = Prices(
        overload=np.inf if upper is None and not running else 10.0, needed=draw(st.sampled_from([0.0, 50.0]))
    )
    return problem_of(
        values,
        memory,
        alive,
        upper=upper,
        place=None if place is None else np.array(place),
        prices=prices,
    )


def held(problem, place):
    """(T, D) memory that is kept on each device."""
    total = np.zeros((len(problem.hours), len(problem.devices)))
    for item, interval in np.argwhere(problem.alive & (place >= 0)):
        total[interval, place[item, interval]] += problem.memory[item, interval]
    return total


@SOLVERS
@given(problem=problems())
@settings(max_examples=60, deadline=None)
def test_memory_and_hard_compute_are_never_exceeded_and_all_have_a_place(solver, problem):
    plan = solver(problem)
    assert (plan.place[~problem.alive] == -1).all()
    assert (plan.place[problem.alive] >= 0).all()
    assert (held(problem, plan.place) <= 80 + 1e-6).all()
    assert plan.unplaced == plan.short == ()
    assert plan.complete
    if np.isinf(problem.prices.overload):
        assert plan.costs.overload_hours < 1e-6


@SOLVERS
@given(problem=problems())
@settings(max_examples=25, deadline=None)
def test_an_equal_problem_has_an_equal_plan(solver, problem):
    one, other = solver(problem, seed=3), solver(problem, seed=3)
    assert np.array_equal(one.place, other.place)
    assert (one.costs, one.moves) == (other.costs, other.moves)


@given(problem=problems(running=True), data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_order_of_items_is_of_no_account(problem, data):
    order = np.array(data.draw(st.permutations(range(len(problem.items)))))
    turned = replace(
        problem,
        items=tuple(problem.items[number] for number in order),
        alive=problem.alive[order],
        compute=problem.compute[order],
        memory=problem.memory[order],
        upper=None if problem.upper is None else problem.upper[order],
        place=problem.place[order],
    )
    assert np.array_equal(solve(turned).place, solve(problem).place[order])


@given(problem=problems(running=True))
@settings(max_examples=120, deadline=None)
def test_once_everything_is_where_the_plan_says_nothing_moves(problem):
    plan = solve(problem)
    now = np.where(problem.alive[:, 0], plan.place[:, 0], problem.place)
    again = solve(replace(problem, place=now))
    assert [move for move in again.moves if move.interval == 0] == []


@given(problem=problems(running=True), ticks=st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_a_deadline_leaves_a_valid_plan(problem, ticks):
    clock = itertools.count()
    plan = solve(problem, deadline=float(ticks), clock=lambda: float(next(clock)))
    beyond = held(problem, plan.place) > 80 + 1e-6
    for interval, device in np.argwhere(beyond):
        there = np.flatnonzero((plan.place[:, interval] == device) & problem.alive[:, interval])
        assert device in plan.short
        assert (problem.place[there] == device).all()
    lost = (problem.alive & (plan.place < 0)).any(axis=1)
    assert tuple(np.flatnonzero(lost)) == plan.unplaced


@given(problem=problems(unknown=True, running=True))
@settings(max_examples=120, deadline=None)
def test_what_is_unknown_moves_nothing(problem):
    plan = solve(problem)
    unknown = (np.isnan(problem.compute) & problem.alive).any(axis=1) & (problem.place >= 0)
    closed = {*problem.place[unknown].tolist()}
    assert [move for move in plan.moves if move.source in closed or move.target in closed] == []


def test_waves_that_alternate_share_a_device_and_peaks_do_not():
    day, night = [0.9, 0.1], [0.1, 0.9]
    plan = solve(problem_of([day, night], 30))
    assert plan.costs.needed == 1
    assert plan.moves == ()


def test_a_move_is_explained_by_the_forecast_that_causes_it():
    plan = solve(
        problem_of([[0.2, 0.2, 0.2, 0.9], [0.3, 0.3, 0.3, 0.3]], 30, prices=Prices(np.inf), place=np.array([0, 0]))
    )
    (move,) = plan.moves
    assert (move.cause, move.interval, move.when) == (Cause.OVERLOAD, 3, 3)
    assert move.forecast == 0
    assert move.load == pytest.approx(1.2)


def test_a_device_is_emptied_as_a_whole_when_that_pays_for_the_moves():
    compute = [[0.3] * 8] * 4
    plan = solve(problem_of(compute, 10, place=np.array([0, 0, 1, 1])))
    assert plan.costs.needed == 2  # 1.2 devices of compute
    quiet = solve(problem_of([[0.2] * 8] * 4, 10, place=np.array([0, 0, 1, 1])))
    assert quiet.costs.needed == 1
    assert {move.cause for move in quiet.moves} <= {Cause.EMPTIED, Cause.CHEAPER}
    dear = solve(problem_of([[0.2] * 8] * 4, 10, place=np.array([0, 0, 1, 1]), move_price=np.full(4, 9.0)))
    assert dear.moves == ()


def test_devices_differ_in_memory_price_and_who_may_be_there():
    problem = problem_of([[0.2] * 4] * 2, [70, 20], devices=3)
    varied = replace(
        problem,
        device_memory=np.array([40.0, 80.0, 80.0]),
        on_price=np.array([1.0, 5.0, 2.0]),
        enter_price=np.array([0.0, 0.0, 0.5]),
    )
    assert solve(varied).place[:, 0].tolist() == [2, 0]  # 2 + 0.5 is cheaper than 5; 20 GiB do not fit beside 70
    kept = solve(replace(varied, place=np.array([1, -1]), move_price=np.full(2, 100.0)))
    assert kept.place[:, 0].tolist() == [1, 0]


def test_what_is_pinned_or_not_allowed_stays_out():
    kind = np.array([0, 1])
    allowed = np.array([[True, False], [True, True]])
    plan = solve(
        problem_of(
            [[0.2] * 8] * 2, 10, devices=2, kind=kind, allowed=allowed, place=np.array([0, 1]),
            pinned=np.array([False, True]),
        )
    )  # fmt: skip
    assert plan.place[:, 0].tolist() == [0, 1]


def test_an_item_that_fits_nowhere_is_told_and_one_that_runs_stays():
    plan = solve(problem_of([[0.1]], 81))
    assert (plan.unplaced, plan.place.tolist()) == ((0,), [[-1]])
    plan = solve(problem_of([[0.1]], 81, place=np.array([0])))
    assert (plan.unplaced, plan.short, plan.place.tolist()) == ((), (0,), [[0]])


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_small_cases_need_no_more_devices_than_the_best_packing_of_the_worst_interval(data):
    count = data.draw(st.integers(2, 6))
    compute = data.draw(st.lists(st.lists(st.sampled_from([0.2, 0.35, 0.5, 0.65, 0.8]), min_size=3, max_size=3),
                                 min_size=count, max_size=count))  # fmt: skip
    memory = np.array(data.draw(st.lists(st.sampled_from([10, 26, 39, 41, 55]), min_size=count, max_size=count)))
    problem = problem_of(compute, memory, prices=Prices(np.inf, 1000.0))
    best = max(fewest(np.array(compute)[:, interval], memory) for interval in range(3))
    assert solve(problem).costs.needed == best


def fewest(compute, memory):
    """The least devices of any partition."""
    return min(
        len({*groups})
        for groups in itertools.product(range(len(compute)), repeat=len(compute))
        if all(
            compute[[g == group for g in groups]].sum() <= 1 + 1e-9 and memory[[g == group for g in groups]].sum() <= 80
            for group in {*groups}
        )
    )


def test_arrays_that_do_not_belong_together_are_refused():
    problem = problem_of([[0.1, 0.2]], 10)
    with pytest.raises(ValueError, match="shape"):
        solve(replace(problem, alive=np.ones((1, 3), bool)))
    with pytest.raises(ValueError, match="twice"):
        solve(replace(problem_of([[0.1], [0.2]], [1, 1]), items=("a", "a")))
    with pytest.raises(ValueError, match="clock"):
        solve(problem, deadline=1.0)
