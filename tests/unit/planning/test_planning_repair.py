"""Repairs: what is ours is made again, and nothing else is touched."""

import pytest
from fakes import scenes
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation, Claim, Grant, HeldBy, Hold, Limits, Share, WorkloadRecord
from gpualloc.model.desired import DesiredDevice, DeviceSettings
from gpualloc.model.inventory import MigInstance
from gpualloc.model.mig import MigProfile
from gpualloc.model.plan import StepKind, StepReason
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.planning.drift import differences
from gpualloc.planning.repair import repairs

OURS = "c" * 32
WORK = "w00000001"
GRANT = Grant("GPU-gpu01-0", Share.EXCLUSIVE)
CLAIM = Claim("GPU-gpu01-0", WORK, OURS, Share.EXCLUSIVE, None, 1.0, None, 1.0)
RUNNING = Workload(
    WORK,
    "x",
    "ann",
    Request(("train",)),
    WorkloadState.RUNNING,
    1.0,
    attempt=2,
    revision=5,
    allocation=Allocation(WORK, "gpu01", (GRANT,), cpus=2.0),
    held_by=HeldBy(gpu=Hold.SOFT, cpu=Hold.HARD),
)
PROFILES = (
    MigProfile("1g.10gb", 19, 1, (0, 1, 2, 3, 4, 5, 6), 9728, 16, 7),
    MigProfile("2g.20gb", 14, 2, (0, 2, 4), 19968, 32, 3),
    MigProfile("3g.40gb", 9, 4, (0, 4), 40192, 60, 2),
    MigProfile("7g.80gb", 0, 8, (0,), 80896, 132, 1),
)


def record(workload=WORK, **changes):
    found = WorkloadRecord(workload, OURS, 2, 4000, 1.0, None, bound=Limits(cpus=2.0))
    return replace(found, **changes)


def node(claims=(CLAIM,), workloads=None, **changes):
    seen = scenes.node("gpu01", devices=2)
    return replace(seen, claims=tuple(claims), workloads=workloads or (record(),), **changes)


def repaired(seen, works=(RUNNING,), desired=()):
    snapshot = scenes.snapshot(seen)
    found = differences(snapshot, works, desired, OURS, {})
    return repairs(found, snapshot, works, desired, OURS)


def told(made):
    return [(step.kind.value, step.reason) for step in made.steps], [(row.field, why) for row, why in made.left]


def test_nothing_differs_nothing_is_done():
    assert told(repaired(node())) == ([], [])


def test_claims_and_limits_of_running_work_are_set_again():
    made = repaired(node(claims=(), workloads=(record(bound=Limits(cpus=9.0)),)))
    assert [(step.kind, step.needs) for step in made.steps] == [(StepKind.CLAIM, ()), (StepKind.LIMIT, (1,))]
    for step in made.steps:
        assert (step.reason, step.allocation, step.attempt, step.revision) == (
            StepReason.REPAIR,
            RUNNING.allocation,
            2,
            5,
        )
        assert step.inverse is None


def test_claims_of_work_that_is_over_are_taken_away_and_those_of_others_never():
    theirs = replace(CLAIM, workload="w00000008", controller="d" * 32, device="GPU-gpu01-1")
    over = replace(CLAIM, workload="w00000009", device="GPU-gpu01-1")
    made = repaired(node(claims=(CLAIM, theirs, over)))
    assert [(step.kind, step.workload) for step in made.steps] == [(StepKind.UNCLAIM, "w00000009")]


def test_work_that_runs_keeps_its_claim_although_no_book_has_it():
    over = replace(CLAIM, workload="w00000009", device="GPU-gpu01-1")
    made = repaired(node(claims=(CLAIM, over), workloads=(record(), record("w00000009"))))
    assert told(made) == (
        [],
        [
            ("work", "work that our books do not have runs there, and is not ended"),
            ("claim", "work that our books do not have runs there, and is not ended"),
        ],
    )


def test_a_claim_of_waiting_work_may_be_about_to_be_used():
    waiting = replace(RUNNING, id="w00000009", state=WorkloadState.PENDING, allocation=None)
    claim = replace(CLAIM, workload="w00000009", device="GPU-gpu01-1")
    made = repaired(node(claims=(CLAIM, claim)), (RUNNING, waiting))
    assert told(made) == ([], [("claim", "its work waits, and may be about to use it")])


def test_an_observed_node_is_left_alone():
    made = repaired(node(claims=(), other_controllers=("slurmd",)))
    assert told(made) == ([], [("claim", "gpualloc only observes this node, or it does not answer")])


def device(*places, enabled=True, **changes):
    instances = tuple(
        MigInstance(f"MIG-{n}", place.partition("@")[0], int(place.partition("@")[2]), 1, 9856)
        for n, place in enumerate(places)
    )
    fields = {"mig_enabled": enabled, "mig_pending": enabled, "mig_instances": instances, "mig_profiles": PROFILES}
    return replace(scenes.device("gpu01", 0), **{**fields, "architecture": "hopper", **changes})


def on_device(live, layout, settings=None):
    wanted = DesiredDevice("gpu01", "GPU-gpu01-0", layout, settings or DeviceSettings())
    seen = replace(node(), devices=(live,), claims=(), workloads=())
    return repaired(replace(seen, workloads=()), (), (wanted,))


def test_after_a_reboot_mode_instances_and_settings_are_made_again_in_this_order():
    wanted = DeviceSettings(power_limit_w=300.0)
    live = device(enabled=False, settings=DeviceSettings(power_limit_w=700.0, persistence=True))
    made = on_device(live, "3g.40gb@0,2g.20gb@4", wanted)
    assert [(step.kind.value, step.place) for step in made.steps] == [
        ("mig-mode", None),
        ("mig-create", "3g.40gb@0"),
        ("mig-create", "2g.20gb@4"),
        ("set", None),
    ]
    assert made.left == ()
    assert {step.layout for step in made.steps[:3]} == {"3g.40gb@0,2g.20gb@4"}
    assert (made.steps[3].wanted, made.steps[3].before) == (wanted, DeviceSettings(power_limit_w=700.0))
    assert [step.needs for step in made.steps] == [(), (1,), (2,), (3,)]


@pytest.mark.parametrize(
    ("live", "layout", "made_again", "left"),
    [
        (device("3g.40gb@0"), "3g.40gb@0,2g.20gb@4", ["2g.20gb@4"], []),
        (device("1g.10gb@6"), "2g.20gb@4", ["2g.20gb@4"], [("mig-instance", "gpualloc did not make it")]),
        (device("3g.40gb@0", "1g.10gb@6"), "3g.40gb@0", [], [("mig-instance", "gpualloc did not make it")]),
    ],
)
def test_only_what_is_missing_is_made_and_nothing_is_destroyed(live, layout, made_again, left):
    made = on_device(live, layout)
    assert [step.place for step in made.steps] == made_again
    assert {step.kind for step in made.steps} <= {StepKind.MIG_CREATE}
    assert [(row.field, why) for row, why in made.left] == left


def test_a_foreign_instance_in_the_way_stays_and_is_named():
    made = on_device(device("1g.10gb@5"), "2g.20gb@4")
    assert made.steps == ()
    assert [(row.drift.value, why) for row, why in made.left] == [
        ("missing", "2g.20gb@4 and 1g.10gb@5 overlap: both take unit 5 of the placement axis"),
        ("foreign", "gpualloc did not make it"),
    ]


def test_a_device_that_is_gone_is_told():
    wanted = DesiredDevice("gpu01", "GPU-gone", None, DeviceSettings(power_limit_w=1.0))
    made = repaired(node(), desired=(wanted,))
    assert [row.field for row, _ in made.left] == ["device"]


PLACES = ["1g.10gb@0", "1g.10gb@6", "2g.20gb@4", "3g.40gb@0"]


@given(
    live=st.sets(st.sampled_from(PLACES), max_size=3),
    layout=st.none() | st.just("off") | st.sets(st.sampled_from(PLACES), max_size=3).map(",".join),
    enabled=st.booleans(),
    claimed=st.sets(st.sampled_from([WORK, "w00000008", "w00000009"])),
    running=st.sets(st.sampled_from([WORK, "w00000009"])),
)
def test_nothing_is_ever_destroyed_ended_or_taken_from_work_that_runs(live, layout, enabled, claimed, running):
    seen = replace(
        node(),
        devices=(device(*sorted(live), enabled=enabled), scenes.device("gpu01", 1)),
        claims=tuple(replace(CLAIM, workload=name) for name in sorted(claimed)),
        workloads=tuple(record(name) for name in sorted(running)),
    )
    made = repaired(seen, desired=(DesiredDevice("gpu01", "GPU-gpu01-0", layout, DeviceSettings(persistence=True)),))
    kinds = {StepKind.CLAIM, StepKind.LIMIT, StepKind.UNCLAIM, StepKind.MIG_MODE, StepKind.MIG_CREATE, StepKind.SET}
    assert {step.kind for step in made.steps} <= kinds
    assert {step.workload for step in made.steps if step.kind is StepKind.UNCLAIM}.isdisjoint({*running, WORK})
    assert all(step.mig_enabled is (layout != "off") for step in made.steps if step.kind is StepKind.MIG_MODE)
    assert [step.seq for step in made.steps] == list(range(1, len(made.steps) + 1))
