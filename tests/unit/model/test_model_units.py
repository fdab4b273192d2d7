"""Sizes and lengths of time as people write them."""

import pytest

from gpualloc.errors import UsageError
from gpualloc.model.units import parse_duration_s, parse_memory_mib


@pytest.mark.parametrize("text", ["5ſ", "5\u212a", "1ſ30m"])
def test_letters_that_only_look_like_units_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_duration_s(text)
    with pytest.raises(UsageError):
        parse_memory_mib(text)
