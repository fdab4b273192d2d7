"""What changed between two pictures: nothing is lost on the way, and little is sent."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.node.delta import difference, merged
from gpualloc.node.wire import WireError

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3)
)
PICTURES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=4),
    max_leaves=20,
)


def exact(value):
    """As JSON tells it apart: 1 is not True and not 1.0."""
    return json.dumps(value, sort_keys=True)


@given(PICTURES, PICTURES)
def test_the_change_makes_the_new_picture_of_the_old(old, new):
    patch = difference(old, new)
    if patch is None:
        assert exact(old) == exact(new)
    else:
        sent = json.loads(json.dumps(patch))
        assert exact(merged(old, sent)) == exact(new)


@given(PICTURES)
def test_nothing_is_sent_where_nothing_changed(picture):
    assert difference(picture, json.loads(json.dumps(picture))) is None


@given(PICTURES, PICTURES)
def test_any_patch_is_taken_or_refused(old, patch):
    try:
        merged(old, patch)
    except WireError:
        pass


def test_what_did_not_change_is_the_same_object():
    old = {"devices": [{"uuid": "a", "n": 1}, {"uuid": "b", "n": 1}], "claims": [1, 2]}
    new = {"devices": [{"uuid": "a", "n": 1}, {"uuid": "b", "n": 2}], "claims": [1, 2]}
    after = merged(old, difference(old, new))
    assert after == new
    assert after["claims"] is old["claims"]
    assert after["devices"][0] is old["devices"][0]


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        ([1, 2, 3], [2, 3, 4], {"s": 1, "a": [4]}),
        ([1, 2], [1, 2, 3], {"a": [3]}),
        ([1, 2, 3], [3], {"s": 2}),
        ([{"u": "a", "p": 1.0}], [{"u": "a", "p": 2.0}], {"l": {"0": {"=": {"p": 2.0}}}}),
        ({"a": 1, "b": 2}, {"a": 1, "c": 3}, {"=": {"c": 3}, "x": ["b"]}),
        ([1], [], {"v": []}),
    ],
)
def test_changes_are_short(old, new, patch):
    assert difference(old, new) == patch
    assert merged(old, patch) == new
