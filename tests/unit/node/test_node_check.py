"""Nothing of the wrong type or shape gets past the checks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.node import check
from gpualloc.node.wire import Refused

CONTROLLER = "0" * 32
START = {"kind": "start", "workload": "w12345678", "attempt": 1, "grants": [], "command": ["true"]}

json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def call(wanted, **changes):
    return check.call(dict({"run": "r", "seq": 1, "fence": 1, "controller": CONTROLLER, "step": wanted}, **changes))


def refuse(wanted, **changes):
    with pytest.raises(Refused) as refused:
        call(wanted, **changes)
    assert refused.value.reason == "bad-request"
    return refused.value.message


def test_a_whole_start_passes_with_its_controller():
    step = call(dict(START, cpus=0.5, env={"A": "1"}, at_most_s=3, unknown=1))["step"]
    assert step["controller"] == CONTROLLER
    assert step["cpus"] == 0.5
    assert step["cpuset"] is None
    assert "unknown" not in step


@pytest.mark.parametrize(
    "change",
    [
        {"workload": "../../etc"},
        {"workload": "w1234567i"},
        {"workload": "w12345678\n"},
        {"attempt": -1},
        {"attempt": True},
        {"command": []},
        {"command": ["a\0b"]},
        {"command": [1]},
        {"env": {"A=B": "1"}},
        {"env": {"": "1"}},
        {"env": {"A": None}},
        {"cwd": "/\0"},
        {"user": "-root"},
        {"user": "a/b"},
        {"cpus": 0},
        {"cpus": float("nan")},
        {"cpuset": "0;1"},
        {"memory_mib": 0},
        {"memory_mib": 1.5},
        {"pids": 0},
        {"at_most_s": -1},
        {"grants": None},
        {"grants": [{"device": "GPU-1", "share": "alone"}]},
        {"grants": [{"device": "GPU-1", "share": "mig"}]},
        {"grants": [{"device": "../x", "share": "exclusive"}]},
        {"grants": [{"device": "GPU-1", "share": "time-slice", "fraction": 0}]},
        {"kind": "reboot"},
    ],
)
def test_what_does_not_fit_is_refused(change):
    refuse(dict(START, **change))


@pytest.mark.parametrize("change", [{"controller": "x"}, {"controller": 1}, {"fence": -1}, {"fence": "1"}, {"step": 1}])
def test_a_call_needs_its_controller_and_fence(change):
    refuse(START, **change)


@given(json_values)
def test_arbitrary_json_is_refused_and_nothing_else(value):
    for candidate in (value, {"controller": CONTROLLER, "fence": 1, "step": value}):
        with pytest.raises(Refused) as refused:
            check.call(candidate)
        assert refused.value.reason == "bad-request"


@given(st.dictionaries(st.sampled_from(sorted({*START, "env", "cwd", "user", "cpus", "cpuset"})), json_values))
def test_any_field_of_a_start_is_checked(changes):
    try:
        step = call(dict(START, **changes))["step"]
    except Refused:
        return
    assert check.WORKLOAD_ID.fullmatch(step["workload"])


WHOLE = {"device": "GPU-1", "share": "exclusive"}
RESIZE = {**START, "kind": "resize", "grants": [WHOLE], "devices_before": ["GPU-2"], "grace_s": 60}


@pytest.mark.parametrize(
    "change",
    [
        {"grants": []},
        {"grants": [WHOLE, WHOLE]},
        {"grants": [{"device": "GPU-1", "share": "time-slice", "fraction": 0.5}]},
        {"devices_before": []},
        {"devices_before": ["GPU-2", "GPU-2"]},
        {"devices_before": ["../x"]},
        {"command": []},
        {"command": ["a\0b"]},
        {"env": {"A": 1}},
        {"grace_s": -1},
        {"grace_s": None},
        {"user": "-root"},
    ],
)
def test_a_resize_is_from_whole_devices_to_whole_devices_and_has_a_command(change):
    assert call(RESIZE)["step"]["require_hard"] is False
    refuse(dict(RESIZE, **change))
