"""What a request should have asked for: far from use, measured long enough, and never less than what was used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.model.allocation import Share
from gpualloc.model.workload import Request, check_request
from gpualloc.planning.right_size import (
    LONG_ENOUGH_S,
    DeviceUse,
    Proposal,
    Used,
    high_quantile,
    right_size,
    saved_milli,
)

LONG_S = 2 * LONG_ENOUGH_S
BUSY = DeviceUse(0.97, 1.0, 70_000, 80_000)
RESTING = DeviceUse(0.0, 0.01, 500, 80_000)
SMALL = DeviceUse(0.2, 0.4, 10_000, 80_000)
UNKNOWN = DeviceUse(None, None, None, None)


def resized(request, proposal):
    """The request with what is proposed; a range stays, since its number is changed while it runs."""
    changed = request
    if proposal.gpus is not None and request.gpus_max is None:
        changed = replace(changed, gpus=proposal.gpus)
    if proposal.fraction is not None:
        share = None if request.share_asked is Share.EXCLUSIVE else request.share_asked
        changed = replace(changed, fraction=proposal.fraction, share_asked=share)
    if proposal.gpu_memory_mib is not None:
        changed = replace(changed, gpu_memory_mib=proposal.gpu_memory_mib)
    if proposal.cpus is not None:
        changed = replace(changed, cpus=proposal.cpus)
    return changed if proposal.memory_mib is None else replace(changed, memory_mib=proposal.memory_mib)


def request(**changes):
    return Request(("train",), **changes)


def proposed(asked, *devices, observed_s=LONG_S, **host):
    return right_size(asked, Used(observed_s, devices, **host))


def test_devices_that_never_computed_are_given_back():
    found = proposed(request(gpus=4), BUSY, RESTING, BUSY, RESTING)
    assert found == Proposal(gpus=2, why=("2 of its 4 GPUs never computed",))
    assert saved_milli(request(gpus=4), found, 4) == 2000
    assert resized(request(gpus=4), found).gpus == 2


def test_one_that_does_not_fill_its_device_gets_a_part_of_it():
    found = proposed(request(share_asked=Share.EXCLUSIVE), SMALL)
    # 0.2 × 1.25, and 10,000 × 1.15 = 11,500 MiB rounded up to 256 MiB.
    assert (found.gpus, found.fraction, found.gpu_memory_mib) == (None, 0.25, 11_520)
    assert saved_milli(request(), found, 1) == 750
    changed = check_request(resized(request(share_asked=Share.EXCLUSIVE), found))
    assert (changed.share, changed.fraction) == (Share.TIME_SLICE, 0.25)


@pytest.mark.parametrize(
    ("asked", "devices"),
    [
        (request(), [DeviceUse(0.65, 0.9, 10_000, 80_000)]),  # 0.82 of it is within a fifth of all of it
        (request(), [DeviceUse(0.2, 0.4, 60_000, 80_000)]),  # its memory leaves no room for others
        (request(), [DeviceUse(0.2, 0.4, None, 80_000)]),
        (request(), [DeviceUse(None, None, 10_000, 80_000)]),
        (request(), [RESTING]),
        (request(gpus=2), [RESTING, RESTING]),
        (request(gpus=2), [SMALL, SMALL]),
        (request(gpus=2), [BUSY, UNKNOWN]),
        (request(gpus=8), [BUSY] * 7 + [RESTING]),  # an eighth is near
        (request(gpus=4, gang=True), [BUSY, BUSY, RESTING, RESTING]),
        (request(fraction=0.5), [SMALL]),
        (request(gpus=0), []),
        (request(gpu_memory_mib=12_000, fraction=0.5), [DeviceUse(None, None, 10_000, 80_000)]),
    ],
)
def test_nothing_is_proposed(asked, devices):
    assert proposed(asked, *devices) is None


def test_a_short_look_says_nothing():
    assert proposed(request(gpus=2), BUSY, RESTING, observed_s=LONG_ENOUGH_S - 1) is None
    assert proposed(request(gpus=2), BUSY, RESTING, observed_s=LONG_ENOUGH_S) is not None


def test_of_a_range_the_least_stays():
    asked = request(gpus=2, gpus_max=8, resize_command=("tell",))
    assert proposed(asked, BUSY, *[RESTING] * 5).gpus == 2
    assert proposed(asked, BUSY, BUSY, BUSY, *[RESTING] * 3).gpus == 3
    assert resized(asked, Proposal(gpus=3, why=("x",))) == asked


def test_booked_memory_follows_what_was_used_both_ways():
    shared = request(fraction=0.5, gpu_memory_mib=40_000)
    assert proposed(shared, DeviceUse(None, None, 10_000, 80_000)).gpu_memory_mib == 11_520
    less = request(fraction=0.5, gpu_memory_mib=8_000)
    assert proposed(less, DeviceUse(None, None, 10_000, 80_000)).gpu_memory_mib == 11_520
    profile = request(mig_profile="1g.10gb", gpu_memory_mib=40_000)
    assert proposed(profile, DeviceUse(None, None, 1000, 80_000)) is None


def test_the_host_is_looked_at_where_it_is_limited():
    found = proposed(request(gpus=0, cpus=16.0, memory_mib=65_536), cpus=2.0, memory_mib=10_000)
    assert (found.cpus, found.memory_mib, len(found.why)) == (2.5, 11_520, 2)
    changed = resized(request(gpus=0, cpus=16.0, memory_mib=65_536), found)
    assert (changed.cpus, changed.memory_mib) == (2.5, 11_520)
    assert proposed(request(gpus=0), cpus=2.0, memory_mib=10_000) is None
    assert proposed(request(gpus=0, cpus=3.0), cpus=2.0) is None


def test_the_high_quantile_is_a_value_that_was_seen():
    assert high_quantile([]) is None
    assert high_quantile([0.3]) == 0.3
    assert high_quantile([*[0.1] * 99, 1.0]) == 0.1
    assert high_quantile([*[0.1] * 98, 0.9, 1.0]) == 0.9


ratios = st.none() | st.floats(0, 1)
uses = st.builds(
    lambda high, peak, mib: DeviceUse(None if high is None or peak is None else min(high, peak), peak, mib, 80_000),
    ratios,
    ratios,
    st.none() | st.integers(0, 80_000),
)
requests = st.one_of(
    st.builds(request, gpus=st.integers(1, 8), gpu_memory_mib=st.none() | st.integers(1, 80_000)),
    st.builds(request, gpus=st.just(1), fraction=st.integers(1, 999).map(lambda milli: milli / 1000)),
)


@given(requests, st.data(), st.floats(0, 1e6))
def test_no_proposal_is_below_use_and_none_follows_it(asked, data, observed_s):
    devices = tuple(data.draw(uses) for _ in range(asked.gpus))
    found = right_size(asked, Used(observed_s, devices))
    if found is None:
        return
    assert observed_s >= LONG_ENOUGH_S
    assert saved_milli(asked, found, asked.gpus) >= 0
    known = [use.memory_mib for use in devices if use.memory_mib is not None]
    assert found.gpu_memory_mib is None or found.gpu_memory_mib >= max(known)
    assert found.fraction is None or found.fraction >= devices[0].high_ratio
    if found.gpus is not None:
        working = [use for use in devices if use.peak_ratio is None or use.peak_ratio >= 0.05]
        assert len(working) == found.gpus < asked.gpus
        devices = tuple(working)
    changed = check_request(resized(asked, found))
    # Of a shared device nothing is this work's alone but its memory.
    if changed.share is not Share.EXCLUSIVE:
        devices = tuple(DeviceUse(None, None, use.memory_mib, use.memory_total_mib) for use in devices)
    follows = right_size(changed, Used(observed_s, devices))
    assert follows is None or (found.gpus is not None and follows.gpus is None)


def test_no_part_without_memory_is_proposed_for_work_that_holds_none():
    found = right_size(request(), Used(LONG_S, (DeviceUse(0.0, 1.0, 0, 80_000),)))
    assert found.gpu_memory_mib == 256
    assert check_request(resized(request(), found))
