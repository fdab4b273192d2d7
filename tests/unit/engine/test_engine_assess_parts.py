"""The parts of the report by themselves: days drawn again, blocks put together, times in ticks."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.engine.assess_days import Daily, a_week
from gpualloc.engine.assess_held import Holder, Stay
from gpualloc.engine.assess_rows import FREE, IDLE, UNKNOWN, USED, Row, Ticks, runs
from gpualloc.engine.assess_sharing import freed
from gpualloc.model.assessment import HolderKind, Span

TICKS = Ticks(0, 300, 48)
"""Four hours."""


def holder(name, kind=HolderKind.STRANGER):
    return Holder(kind, name, name, "ann")


def row(uuid, use=0.2, memory=10.0, held=(0, 48), holders=None, **changes):
    """A device with some use from one tick until another, and free before and after."""
    first, last = held
    there = [first <= tick < last for tick in range(TICKS.count)]
    fields = {
        "node": "n1",
        "uuid": uuid,
        "pool": "a",
        "price": 2.0,
        "model": "H100",
        "memory_total_mib": 100.0,
        "mean": array("d", [use if one else 0.0 for one in there]),
        "high": array("d", [use if one else 0.0 for one in there]),
        "memory": array("d", [memory if one else 1.0 for one in there]),
        "watts": array("d", [100.0] * TICKS.count),
    }
    made = Row(**{**fields, **changes})
    stays = [Stay(uuid, one, first * 300.0, last * 300.0) for one in holders or [holder(f"of {uuid}")]]
    made.settle(TICKS, stays)
    return made


def saved(rows, *, cautious=True):
    return sum(one.ticks for one in freed(rows, TICKS, cautious=cautious))


def test_a_stay_has_the_ticks_whose_middle_it_covers():
    ticks = Ticks(1000, 100, 5)
    assert list(ticks.within(1050, 1150)) == [0]
    assert list(ticks.within(1051, 1151)) == [1]
    assert list(ticks.within(0, 9999)) == [0, 1, 2, 3, 4]
    assert list(ticks.within(1300, 1200)) == []
    assert list(ticks.within(0, 10)) == []


@given(st.floats(0, 3000), st.floats(0, 1000), st.floats(0, 1000))
def test_stays_that_follow_each_other_share_no_tick(first, one, other):
    ticks = Ticks(1000, 100, 10)
    both = [*ticks.within(first, first + one), *ticks.within(first + one, first + one + other)]
    assert both == list(ticks.within(first, first + one + other))


def test_what_a_device_did():
    assert set(row("a", use=0.5).states) == {USED}
    assert set(row("a", use=0.01).states) == {IDLE}
    # Nobody has it, and its memory is in use; less than half an hour of that is use.
    assert set(row("a", use=0.0, memory=50.0, holders=[holder("b")]).states) == {IDLE}
    assert list(row("a", use=0.0, held=(0, 5)).states) == [USED] * 5 + [FREE] * 43
    assert set(row("a", high=array("d", [float("nan")] * 48)).states) == {UNKNOWN}
    assert list(runs(b"\1\1\2")) == [(1, range(2)), (2, range(2, 3))]


def test_a_device_whose_memory_is_not_known_is_not_free():
    unknown = row("a", held=(0, 0), memory=float("nan"), memory_total_mib=None)
    assert set(unknown.states) == {UNKNOWN}


def test_what_fits_together_frees_devices_while_both_are_there():
    assert saved([row("a"), row("b")]) == 48
    assert saved([row("a"), row("b", held=(24, 48))]) == 24
    assert saved([row("a", held=(0, 24)), row("b", held=(24, 48))]) == 0
    assert saved([row("a"), row("b"), row("c"), row("d")]) == 2 * 48
    assert saved([row("a"), row("b"), row("c"), row("d")], cautious=False) == 3 * 48


@pytest.mark.parametrize(
    "changes",
    [
        {"use": 0.6},
        {"memory": 85.0},
        {"memory_total_mib": None},
        {"model": "A100"},
        {"node": "n2"},
        {"pool": "b"},
        {"holders": [holder("of a")]},
        {"holders": [holder("unseen", HolderKind.UNSEEN)]},
        {"high": array("d", [0.2] * 47 + [float("nan")])},
        {"memory": float("nan")},
    ],
)
def test_what_does_not_fit_or_is_not_known_stays_alone(changes):
    assert saved([row("a"), row("b", **changes)]) == 0


def test_the_hopeful_look_goes_over_nodes_and_to_the_brim():
    assert saved([row("a"), row("b", node="n2")], cautious=False) == 48
    assert saved([row("a"), row("b", use=0.8)], cautious=False) == 48
    assert saved([row("a"), row("b", use=0.81)], cautious=False) == 0
    assert saved([row("a"), row("b", holders=[holder("unseen", HolderKind.UNSEEN)])], cautious=False) == 48


@given(
    st.lists(
        st.tuples(st.floats(0.05, 1), st.floats(1, 100), st.integers(0, 47), st.integers(1, 48)), min_size=1, max_size=6
    ),
    st.booleans(),
)
def test_no_more_is_freed_than_was_there(items, cautious):
    rows = [
        row(f"d{number}", use, memory, (first, min(48, first + length)))
        for number, (use, memory, first, length) in enumerate(items)
    ]
    busy = [sum(one.states[tick] in (USED, IDLE) for one in rows) for tick in range(48)]
    used = [sum(one.mean[tick] for one in rows) for tick in range(48)]
    assert 0 <= saved(rows, cautious=cautious) <= sum(max(0, many - 1) for many in busy)
    assert saved(rows, cautious=cautious) <= sum(many - one for many, one in zip(busy, used, strict=True)) + 1e-6


def days(*pairs):
    daily = Daily(len(pairs))
    for day, (low, high) in enumerate(pairs):
        daily.add(day, low, high)
    return daily


def test_equal_days_have_no_spread():
    assert a_week(days(*[(1.0, 2.0)] * 5), [24.0] * 5, 168.0, seed=0) == Span(pytest.approx(7), pytest.approx(14))


def test_days_of_which_little_is_known_are_not_enough():
    assert a_week(days(*[(1.0, 1.0)] * 2), [24.0] * 2, 168.0, seed=0) is None
    assert a_week(days(*[(1.0, 1.0)] * 3), [24.0, 24.0, 11.0], 168.0, seed=0) is None
    assert a_week(days(*[(1.0, 1.0)] * 3), [24.0, 24.0, 12.0], 168.0, seed=0) is not None
    assert a_week(days(), [], 168.0, seed=0) is None
    assert a_week(days((0.0, 0.0)), [0.0], 168.0, seed=0) is None


@given(st.lists(st.tuples(st.floats(0, 24), st.floats(0, 1)), min_size=3, max_size=14), st.integers(0, 3))
def test_a_week_lies_between_its_days_and_is_told_alike_each_time(spread, seed):
    daily = days(*[(high * part, high) for high, part in spread])
    known = [24.0] * len(spread)
    found = a_week(daily, known, 168.0, seed=seed)
    assert found == a_week(daily, known, 168.0, seed=seed)
    assert 7 * min(daily.low) - 1e-6 <= found.low <= found.high + 1e-6 <= 7 * max(daily.high) + 1e-3


def test_a_figure_is_kept_within_its_day():
    daily = days((3.0, 2.0), (1.0, 4.0))
    daily.at_least_cautious()
    assert (daily.low, daily.high) == ([3.0, 1.0], [3.0, 4.0])
    daily.within([2.5, 0.5])
    assert (daily.low, daily.high) == ([2.5, 0.5], [2.5, 0.5])
