"""CPU lists."""

from hypothesis import given
from hypothesis import strategies as st

from gpualloc.model.cpus import cpu_list, cpu_numbers, highest_cpu, near_all


@given(st.sets(st.integers(0, 300), min_size=1))
def test_a_list_names_the_numbers_it_was_made_of(numbers):
    text = cpu_list(numbers)
    assert cpu_numbers(text) == numbers
    assert highest_cpu(text) == max(numbers)


def test_runs_are_folded():
    assert cpu_list([8, 0, 1, 2, 3, 10, 11]) == "0-3,8,10-11"


def test_near_several_devices_is_near_any_of_them_and_unknown_is_no_restriction():
    assert near_all(["0-3", "8-11", "2-5"]) == "0-5,8-11"
    assert near_all(["0-3", None]) is None
    assert near_all([]) is None
