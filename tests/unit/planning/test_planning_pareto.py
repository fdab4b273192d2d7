"""Which plans are shown: none that is dominated; any other is dominated by, or costs the same as, a shown one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpualloc.planning.pareto import dominates, front

_TOLL = st.one_of(st.none(), st.integers(0, 3).map(float))
_CHOICES = st.integers(1, 4).flatmap(lambda width: st.lists(st.tuples(*[_TOLL] * width), max_size=12))


@given(_CHOICES)
def test_no_shown_choice_is_dominated(choices: list[tuple[float | None, ...]]) -> None:
    for first, *_ in front(choices):
        assert not any(dominates(other, choices[first]) for other in choices)


@given(_CHOICES)
def test_every_choice_left_out_is_dominated_by_a_shown_one(choices: list[tuple[float | None, ...]]) -> None:
    groups = front(choices)
    shown = [index for group in groups for index in group]
    assert len(shown) == len(set(shown))
    for index in set(range(len(choices))) - set(shown):
        assert any(dominates(choices[first], choices[index]) for first, *_ in groups)


@given(_CHOICES)
def test_those_that_cost_the_same_are_together(choices: list[tuple[float | None, ...]]) -> None:
    for group in front(choices):
        assert list(group) == [index for index, tolls in enumerate(choices) if tolls == choices[group[0]]]


@given(st.lists(st.tuples(_TOLL, _TOLL, _TOLL), min_size=3, max_size=3))
def test_nothing_dominates_itself_in_a_circle(three: list[tuple[float | None, ...]]) -> None:
    one, two, last = three
    assert not dominates(one, one)
    if dominates(one, two) and dominates(two, last):
        assert dominates(one, last)


def test_what_is_not_known_is_no_advantage() -> None:
    assert dominates((1.0, 1.0), (2.0, None))
    assert not dominates((1.0, None), (2.0, 5.0))
    assert front([(1.0, None), (2.0, 5.0), (2.0, 6.0)]) == ((0,), (1,))


def test_one_choice_is_shown() -> None:
    assert front([(None, 1.0)]) == ((0,),)
    assert front([]) == ()
