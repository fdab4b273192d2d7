"""Counters and the rates they make, whatever the counters do and whatever was kept of them."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpualloc.node.counters import MAX_WINDOW_S, Counters, from_kept, total

_UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

VALUES = st.dictionaries(st.sampled_from("abc"), st.integers(0, 1 << 70))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@_UNHURRIED
@given(VALUES, VALUES, st.floats(-10, 10))
def test_a_rate_is_what_passed_or_unknown(before, after, elapsed_s):
    earlier, now = Counters(before, 100.0), Counters(after, 100.0 + elapsed_s)
    for name in "abc":
        rose = name in before and name in after and after[name] >= before[name]
        rate = now.rate(name, earlier)
        assert (rate is not None) == (rose and now.at_s > earlier.at_s)
        assert rate is None or rate >= 0


@_UNHURRIED
@given(VALUES, st.floats(0, 2 * MAX_WINDOW_S))
def test_what_was_kept_comes_back_while_it_is_young(values, age_s):
    found = from_kept(json.loads(json.dumps(Counters(values, 50.0).kept())), 50.0 + age_s)
    if found is not None:
        assert (found.at_s, found.values) == (50.0, values)
    assert (found is not None) == (bool(values) and (50.0 + age_s) - 50.0 <= MAX_WINDOW_S)


@_UNHURRIED
@given(st.fixed_dictionaries({}, optional={"at_s": JSON, "values": JSON}))
def test_nothing_that_a_file_may_hold_breaks_a_look(content):
    found = from_kept(content, 100.0)
    assert found is None or all(isinstance(value, int) for value in found.values.values())


def test_a_sum_is_known_when_all_its_parts_are():
    assert total([1.0, 2.0]) == 3.0
    assert total([1.0, None]) is None
    assert total([]) is None
