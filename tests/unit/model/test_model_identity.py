"""Ids have the shape that nodes accept."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.model.identity import ALPHABET, RANDOM_BYTES, new_id
from gpualloc.model.workload import ID_PATTERN

BYTES = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)


@given(random=BYTES)
def test_a_workload_id_fits_the_pattern(random):
    assert ID_PATTERN.fullmatch(new_id("w", random))


@given(one=BYTES, other=BYTES)
def test_different_bytes_give_different_ids(one, other):
    assert (new_id("p", one) == new_id("p", other)) == (one == other)


def test_the_ends_of_the_range():
    assert new_id("r", bytes(5)) == "r00000000"
    assert new_id("r", b"\xff" * 5) == "rzzzzzzzz"
    assert len(set(ALPHABET)) == 32


@pytest.mark.parametrize("count", [0, 4, 6])
def test_too_few_or_too_many_bytes_are_refused(count):
    with pytest.raises(ValueError, match="5 random bytes"):
        new_id("w", os.urandom(count))
