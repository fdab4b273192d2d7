"""What a step makes of what its device is meant to be, and what taking it back makes of that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.engine.outcome_device import desired_after, desired_before
from gpualloc.model.desired import DesiredDevice, DeviceSettings
from gpualloc.model.plan import Step, StepKind, StepReason

BASE = Step(1, StepKind.SET, "n1", None, "GPU 0", StepReason.OPERATOR, "", None, 0, 0, device="GPU-1")


def set_step(wanted, before):
    return replace(BASE, wanted=DeviceSettings(**wanted), before=DeviceSettings(**before))


def test_the_first_change_is_remembered_with_what_was_before():
    device = desired_after(None, set_step({"power_limit_w": 300.0}, {"power_limit_w": 700.0, "persistence": True}), 5.0)
    assert device == DesiredDevice(
        "n1", "GPU-1", None, DeviceSettings(power_limit_w=300.0), DeviceSettings(power_limit_w=700.0), 5.0
    )


def test_a_second_change_keeps_what_was_before_the_first():
    device = desired_after(None, set_step({"power_limit_w": 300.0}, {"power_limit_w": 700.0}), 5.0)
    device = desired_after(
        device, set_step({"power_limit_w": 200.0, "persistence": True}, {"power_limit_w": 300.0}), 6.0
    )
    assert device.settings == DeviceSettings(power_limit_w=200.0, persistence=True)
    assert device.before == DeviceSettings(power_limit_w=700.0)


watts = st.sampled_from([100.0, 200.0, 300.0, 700.0])


@given(first=watts, second=watts, own=watts)
def test_taken_back_one_after_the_other_nothing_is_ours(first, second, own):
    one = set_step({"power_limit_w": first}, {"power_limit_w": own})
    two = set_step({"power_limit_w": second}, {"power_limit_w": first})
    changed = desired_after(None, one, 1.0)
    back = desired_before(desired_after(changed, two, 2.0), two, 3.0)
    if first != own:
        assert (back.settings, back.before) == (changed.settings, changed.before)
    back = desired_before(changed, one, 4.0)
    assert (back.settings.empty, back.before.empty) == (True, True)


@pytest.mark.parametrize(
    ("kind", "more", "layout", "before"),
    [
        (StepKind.MIG_CREATE, {"place": "2g.20gb@4"}, "3g.40gb@0,2g.20gb@4", "3g.40gb@0"),
        (StepKind.MIG_CREATE, {"place": "3g.40gb@0"}, "3g.40gb@0", ""),
        (StepKind.MIG_DESTROY, {"place": "1g.10gb@2"}, "2g.20gb@0,2g.20gb@4", "2g.20gb@0,1g.10gb@2,2g.20gb@4"),
        (StepKind.MIG_DESTROY, {"place": "7g.80gb@0"}, "", "7g.80gb@0"),
        (StepKind.MIG_MODE, {"mig_enabled": True}, "", "off"),
        (StepKind.MIG_MODE, {"mig_enabled": False}, "off", ""),
    ],
)
def test_a_layout_is_that_of_the_step_and_taken_back_that_before_it(kind, more, layout, before):
    step = replace(BASE, kind=kind, layout=layout, **more)
    device = desired_after(None, step, 1.0)
    assert device.layout == layout
    assert desired_before(device, step, 2.0).layout == before
