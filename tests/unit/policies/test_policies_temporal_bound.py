"""Bounds never lie above what a packing needs, and reach it where they should."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.policies.temporal.bound import device_bound, interval_bounds, volume_bounds
from gpualloc.policies.temporal.patterns import fractional_devices

SIZES = st.sampled_from([0.0, 0.1, 0.2, 0.25, 1 / 3, 0.4, 0.5, 0.51, 0.6, 2 / 3, 0.75, 0.9, 1.0])


def fewest(used, held):
    """The least devices of any partition."""
    count = len(used)
    return min(
        len({*groups})
        for groups in itertools.product(range(count), repeat=count)
        if all(
            used[[g == group for g in groups]].sum() <= 1 + 1e-9
            and held[[g == group for g in groups]].sum() <= 1 + 1e-9
            for group in {*groups}
        )
    )


@given(st.lists(st.tuples(SIZES, SIZES), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_no_bound_lies_above_the_best_packing(items):
    used, held = np.array(items).T
    best = fewest(used, held)
    grids = used[:, None], held[:, None]
    assert volume_bounds(*grids)[0] <= interval_bounds(*grids)[0] <= best
    assert fractional_devices(used, held, 0) <= best + 1e-6
    bound = device_bound(np.ones((len(used), 1), bool), *grids)
    assert 1 <= bound.devices <= best


def test_sizes_see_what_volume_does_not():
    held = np.full((3, 1), 0.51)
    bound = device_bound(np.ones((3, 1), bool), np.full((3, 1), 0.1), held)
    assert (bound.devices, bound.kind) == (3, "sizes")


def test_patterns_see_what_sizes_do_not():
    # each of three fits with no other: by compute, by memory, or by both
    used, held = np.array([0.7, 0.45, 0.35]), np.array([0.35, 0.45, 0.7])
    assert interval_bounds(used[:, None], held[:, None])[0] == 2
    assert fractional_devices(used, held, 0) == pytest.approx(3, abs=1e-5)
    assert device_bound(np.ones((3, 1), bool), used[:, None], held[:, None]).kind == "patterns"


def test_it_is_the_worst_interval_that_counts():
    alive = np.array([[True, False, True], [False, True, True]])
    bound = device_bound(alive, np.full((2, 3), 0.8), np.full((2, 3), 0.1))
    assert (bound.devices, bound.interval) == (2, 2)
