"""The recurrence against every way there is."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.policies.temporal.recurrence import cheapest_path

COSTS = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0, 5.0, np.inf])


@st.composite
def paths(draw):
    """Stage costs, entering prices, a price of moves, fresh intervals and an origin."""
    intervals, devices = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    stage = np.array(draw(st.lists(COSTS, min_size=intervals * devices, max_size=intervals * devices)))
    enter = np.array(draw(st.lists(st.sampled_from([0.0, 0.5]), min_size=devices, max_size=devices)))
    fresh = np.array(draw(st.lists(st.booleans(), min_size=intervals, max_size=intervals)))
    origin = draw(st.integers(-1, devices - 1))
    return stage.reshape(intervals, devices), enter, draw(st.sampled_from([0.0, 0.3, 1.0])), fresh, origin


def cost_of(way, stage, enter, move, fresh, origin):
    total, at = 0.0, origin
    for interval, device in enumerate(way):
        anew = fresh[interval] or at == -1
        if anew or device != at:
            total += enter[device] + (0.0 if anew else move)
        total += stage[interval, device]
        at = device
    return total


@given(paths())
def test_it_is_the_cheapest_of_all_ways(problem):
    stage, enter, move, fresh, origin = problem
    found = cheapest_path(stage, enter, move, fresh, origin)
    ways = itertools.product(range(stage.shape[1]), repeat=stage.shape[0])
    least = min(cost_of(way, *problem) for way in ways)
    assert found.cost == least or abs(found.cost - least) < 1e-9
    if np.isfinite(least):
        assert abs(cost_of(found.devices.tolist(), *problem) - least) < 1e-9


def test_among_equals_it_stays_where_it_is():
    path = cheapest_path(np.zeros((3, 4)), np.zeros(4), 0.0, np.zeros(3, bool), 2)
    assert path.devices.tolist() == [2, 2, 2]


def test_without_devices_there_is_no_way():
    path = cheapest_path(np.zeros((2, 0)), np.zeros(0), 0.1, np.zeros(2, bool))
    assert (path.devices.tolist(), path.cost) == ([-1, -1], np.inf)
