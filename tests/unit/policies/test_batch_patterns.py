"""Paths of the arcs are exactly the ways to fill a GPU, and programmes say when they have no answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.errors import InfeasibleError
from gpualloc.policies.patterns.arcs import fill_arcs, step_milli
from gpualloc.policies.patterns.programme import Programme


def fillings(sizes, room):
    """All multisets of these sizes that fit, as descending tuples."""
    found = {()}
    for index, size in enumerate(sizes):
        if size <= room:
            found |= {(size, *rest) for rest in fillings(sizes[index:], room - size)}
    return found


def paths(arcs, sizes, position):
    found = {()}
    for item, tail, head in zip(arcs.item, arcs.tail, arcs.head, strict=True):
        if tail == position:
            found |= {tuple(sorted((sizes[item], *rest), reverse=True)) for rest in paths(arcs, sizes, head)}
    return found


@given(st.sets(st.integers(2, 12), max_size=4), st.sampled_from([(0,), (0, 3), (5,)]))
def test_paths_are_all_ways_to_fill_a_gpu(sizes, starts):
    sizes = sorted(sizes, reverse=True)
    arcs = fill_arcs(sizes, 12, starts)
    for start in starts:
        assert fillings(sizes, 12 - start) <= paths(arcs, sizes, start)
    assert all(sum(path) <= 12 - start for start in starts for path in paths(arcs, sizes, start))


@pytest.mark.parametrize(
    ("sizes", "starts", "step"),
    [
        ((810, 460, 190), (0,), 10),
        ((500, 250), (0,), 250),
        ((750, 500), (0, 125), 125),
        ((333,), (0,), 1),
        ((), (0,), 1000),
        (tuple(range(999, 3, -13)), (0,), 10),
    ],
)
def test_sizes_are_counted_exactly_unless_that_takes_too_many_arcs(sizes, starts, step):
    assert step_milli(sizes, starts) == step


def test_a_programme_gives_its_best_values():
    programme = Programme()
    columns = programme.add_columns(2, gain=[3.0, 2.0], upper=[5.0, 10.0])
    programme.add_entries(programme.add_rows(1, upper=9.0), columns, 2.0)
    assert programme.solve().values.tolist() == [4.5, 0.0]
    whole = programme.solve_integer(gap=0.0, nodes=100)
    assert (whole.gain, whole.values.tolist()) == (12.0, [4.0, 0.0])


def test_a_programme_that_cannot_be_satisfied_says_so():
    programme = Programme()
    columns = programme.add_columns(1, upper=1.0)
    programme.add_entries(programme.add_rows(1, lower=2.0), columns, 1.0)
    with pytest.raises(InfeasibleError, match="1 columns in 1 rows: Infeasible"):
        programme.solve()
