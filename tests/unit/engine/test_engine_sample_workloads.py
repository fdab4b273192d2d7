"""What a tick keeps of running work: the readings of devices that are all its own, and nothing of those it shares."""

import pytest
from fakes.scenes import node

from gpualloc.engine.sample import samples_of
from gpualloc.model.allocation import WorkloadEnd, WorkloadRecord
from gpualloc.model.sample import SeriesKind

OURS, THEIRS = "w00000001", "w00000002"
BUSY = {"gpu_utilization_ratio": 0.9, "power_w": 400.0}
IDLE = {"gpu_utilization_ratio": 0.1, "power_w": 100.0}


def values(workload=OURS, end=None, **said):
    """The values of one workload on a node that is as said."""
    record = WorkloadRecord(workload, "ours", 1, 4000, 900.0, end)
    rows = samples_of([node("n", workloads=(record,), **said)], 1000)
    found = [row.values for row in rows if row.series.kind is SeriesKind.WORKLOAD]
    return found[0] if found else None


def test_work_alone_on_its_devices_has_their_mean_use_and_their_power_together():
    seen = values(devices=[BUSY, IDLE, {}], claims=[{"device": 0, "workload": OURS}, {"device": 1, "workload": OURS}])
    assert seen["gpu_utilization_ratio"] == pytest.approx(0.5)
    assert seen["power_w"] == 500.0


def test_part_of_a_device_is_known_as_long_as_nobody_else_is_there():
    alone = [{"device": 0, "workload": OURS, "share": "time-slice", "fraction": 0.5}]
    assert values(devices=[BUSY], claims=alone)["gpu_utilization_ratio"] == 0.9


@pytest.mark.parametrize(
    "other",
    [
        {"claims": [{"device": 0, "workload": THEIRS, "share": "time-slice", "fraction": 0.5}]},
        {"processes": [{"device": 0, "workload": THEIRS, "memory_mib": 5}]},
        {"processes": [{"device": 0, "workload": None, "memory_mib": 5}]},
    ],
    ids=["claimed too", "used too", "a stranger"],
)
def test_of_a_shared_device_only_the_memory_is_known(other):
    mine = {"device": 0, "workload": OURS, "share": "time-slice", "fraction": 0.5}
    own = {"device": 0, "workload": OURS, "memory_mib": 700}
    said = {"claims": [mine, *other.get("claims", ())], "processes": [own, *other.get("processes", ())]}
    seen = values(devices=[BUSY], **said)
    assert seen == {"gpu_memory_used_mib": 700, "gpu_utilization_ratio": None, "power_w": None}


def test_one_shared_device_of_several_leaves_the_whole_unknown():
    claims = [{"device": 0, "workload": OURS}, {"device": 1, "workload": OURS}, {"device": 1, "workload": THEIRS}]
    assert values(devices=[BUSY, BUSY], claims=claims)["gpu_utilization_ratio"] is None


def test_of_a_mig_instance_nothing_is_told_of_its_device():
    device = {**BUSY, "mig": ["1g.10gb"]}
    assert values(devices=[device], claims=[{"device": "0/0", "workload": OURS}])["gpu_utilization_ratio"] is None


def test_an_unknown_reading_is_no_zero():
    claims = [{"device": 0, "workload": OURS}, {"device": 1, "workload": OURS}]
    seen = values(devices=[BUSY, {"power_w": 50.0}], claims=claims)
    assert (seen["gpu_utilization_ratio"], seen["power_w"]) == (None, 450.0)


def test_work_without_devices_has_no_use_and_ended_work_no_sample():
    assert set(values(devices=[BUSY]).values()) == {None}
    assert values(devices=[BUSY], end=WorkloadEnd(0, 950.0)) is None
