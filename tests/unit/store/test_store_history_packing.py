"""Whatever whole numbers are packed come back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gpualloc.store.database import DamagedError
from gpualloc.store.history_packing import carried, pack, unpack, unpack_time

SHAPES = st.tuples(st.integers(1, 20), st.integers(1, 100))
WIDEST = (1 << 63) - 1
NUMBERS = st.one_of(
    st.integers(-WIDEST, WIDEST), st.integers(0, 100).map(lambda number: number * 100), st.integers(-(1 << 40), 1 << 40)
)


@given(arrays.arrays(np.int64, SHAPES, elements=NUMBERS))
def test_whole_numbers_come_back(values):
    found, known = unpack(pack(values))
    assert known is None
    assert np.array_equal(found, values)


@given(arrays.arrays(np.float64, SHAPES, elements=st.floats(allow_nan=False)))
def test_doubles_come_back(values):
    assert np.array_equal(unpack(pack(values))[0], values)


@given(SHAPES.flatmap(lambda shape: st.tuples(arrays.arrays(np.int64, shape), arrays.arrays(np.bool_, shape))))
def test_what_is_known_comes_back_and_nothing_else_does(both):
    values, known = both
    values = np.clip(values, -WIDEST, WIDEST)
    found, mask = unpack(pack(carried(values, known), known))
    assert np.array_equal(mask, known)
    assert np.array_equal(found[known], values[known])


MATRICES = SHAPES.flatmap(
    lambda shape: st.tuples(
        st.one_of(
            arrays.arrays(np.int64, shape, elements=NUMBERS),
            arrays.arrays(np.int64, shape, elements=st.integers(-300, 900)).map(lambda steps: steps.cumsum(axis=1) * 7),
            arrays.arrays(np.float64, shape, elements=st.floats(allow_nan=False)),
        ),
        st.one_of(st.none(), arrays.arrays(np.bool_, shape)),
        st.integers(0, shape[1] - 1),
    )
)


@given(MATRICES)
def test_one_time_is_as_it_is_among_all(case):
    values, mask, place = case
    data = pack(values, mask)
    whole, known = unpack(data)
    one, certain = unpack_time(data, place)
    assert one.dtype == whole.dtype
    assert np.array_equal(one, whole[:, place])
    assert certain is None if known is None else np.array_equal(certain, known[:, place])


@pytest.mark.parametrize(
    ("values", "at_most"),
    [(np.full((128, 90), 81_559), 32), (np.arange(128 * 90).reshape(128, 90), 400), (np.arange(90)[None, :] * 10, 60)],
)
def test_what_hardly_changes_takes_hardly_any_room(values, at_most):
    assert len(pack(values.astype(np.int64))) <= at_most


def test_noise_takes_no_more_than_it_must():
    percent = np.random.default_rng(1).integers(0, 101, (128, 90)) * 100
    assert len(pack(percent)) < 128 * 90 * 0.9


def test_damage_is_noticed():
    data = pack(np.random.default_rng(1).integers(0, 1000, (8, 8)))
    for damaged in (b"", data[:30], data[: len(data) // 2], data[:22] + b"\xff" * (len(data) - 22)):
        with pytest.raises(DamagedError, match="cannot be read"):
            unpack(damaged)
        with pytest.raises(DamagedError, match="cannot be read"):
            unpack_time(damaged, 3)
