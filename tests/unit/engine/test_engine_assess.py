"""The report on GPU use: figures against small histories worked out by hand, over a real database."""

import math
from contextlib import closing

import pytest
from fakes import sample_world
from fakes.memory_context import FixedClock, MemoryFleet, MemoryJournal, memory_context
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.engine.assess import assess
from gpualloc.engine.assess_rows import bridged
from gpualloc.engine.sizes import sizes
from gpualloc.model.allocation import Allocation, Claim, Grant, Share
from gpualloc.model.assessment import HolderKind, Lever
from gpualloc.model.audit import AuditEntry
from gpualloc.model.enforcement import Sighting
from gpualloc.model.inventory import Device, Node, NodeSpec, NodeState, Process, Snapshot
from gpualloc.model.sample import Sample, SeriesKey, SeriesKind
from gpualloc.model.workload import Preemption, Request, Workload, WorkloadState
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths

NOW_S = 1_800_000_000
HOUR_S = 3600
DAY_S = 86_400
TOTAL_MIB = 80_000
assert NOW_S % 900 == 0


def node(name="n1", devices=2, price=2.0, model="H100", processes=(), **changes):
    spec = NodeSpec(name, "a", "ssh", price_per_gpu_hour=price)
    found = tuple(Device(f"{name}-{index}", index, model, TOTAL_MIB) for index in range(devices))
    fields = {"devices": found, "processes": tuple(processes), "driver_version": "570.86.10", **changes}
    return Node(spec, NodeState.OK, NOW_S, **fields)


def work(identity="w00000001", devices=("n1-0",), started_h=None, ended_h=None, submitted_h=None, **request):
    """A workload by hours before now; without `started_h` it waits."""
    grants = tuple(Grant(device, Share.EXCLUSIVE, fraction=request.get("fraction", 1.0)) for device in devices)
    state = WorkloadState.PENDING if started_h is None else WorkloadState.RUNNING
    begun_h = started_h if submitted_h is None else submitted_h
    return Workload(
        identity,
        "train",
        "ann",
        Request(("train",), **{"gpus": max(1, len(devices)), **request}),
        state if ended_h is None else WorkloadState.FINISHED,
        NOW_S - begun_h * HOUR_S,
        allocation=None if started_h is None else Allocation(identity, "n1", grants),
        started_at_s=None if started_h is None else NOW_S - started_h * HOUR_S,
        ended_at_s=None if ended_h is None else NOW_S - ended_h * HOUR_S,
    )


class Books(MemoryJournal):
    def __init__(self, workloads=(), audit=(), sightings=()):
        super().__init__(workloads=tuple(workloads), audit=tuple(audit))
        self._sightings = tuple(sightings)

    def sightings(self):
        return self._sightings


class Look:
    """A history that is written and then reported on."""

    def __init__(self, history):
        self.history = history

    def sampled(self, device, from_h, to_h, every_s=60, use=None, memory=500, watts=None, **more):
        """Samples of a device from so many hours before now until so many."""
        values = {
            "gpu_utilization_ratio": use,
            "gpu_memory_used_mib": memory,
            "gpu_memory_total_mib": TOTAL_MIB,
            "power_w": watts,
            **more,
        }
        key = SeriesKey(SeriesKind.DEVICE, device.split("-")[0], device)
        first, last = NOW_S - round(from_h * HOUR_S), NOW_S - round(to_h * HOUR_S)
        self.history.append([Sample(key, at_s, values) for at_s in range(first, last, every_s)])

    def world(self, nodes=None, **books):
        seen = (node(),) if nodes is None else tuple(nodes)
        clock = FixedClock()
        clock.now_s = lambda: NOW_S
        journal = Books(**books)
        context = memory_context(fleet=MemoryFleet(nodes=seen), journal=journal, history=self.history, clock=clock)
        return context, Snapshot(NOW_S, seen)

    def report(self, days=1.0, **said):
        return assess(*self.world(**said), days * DAY_S)


@pytest.fixture
def look(tmp_path):
    with closing(SqliteHistory(StatePaths(tmp_path / "state"))) as history:
        yield Look(history)


def lever(report, kind):
    return next(one for one in report.savings if one.lever is kind)


def parts(report):
    total = report.total
    return [pytest.approx(hours) for hours in (total.used_h, total.held_idle_h, total.free_h, total.unknown_h)]


def test_nothing_sampled_is_told_as_nothing(look):
    report = look.report()
    assert report.empty
    assert (report.devices, report.total.all_h, report.savings) == (0, 0, ())
    assert report.unknown == ("nothing: no device was sampled in this time",)


def test_the_time_goes_to_use_idle_holding_and_freedom(look):
    # Four hours: one in use, two held at rest, one free again; the second device is free all the time.
    look.sampled("n1-0", 4, 3, use=0.8, memory=40_960, watts=500.0)
    look.sampled("n1-0", 3, 1, use=0.0, memory=40_960, watts=100.0)
    look.sampled("n1-0", 1, 0, use=0.0, memory=100, watts=50.0)
    look.sampled("n1-1", 4, 0, use=0.0, memory=100, watts=50.0)
    report = look.report(workloads=[work(started_h=4, ended_h=1)])
    assert parts(report) == [1, 2, 5, 0]
    total = report.total
    assert total.use_ratio == pytest.approx(0.8 / 8)
    assert total.idle_memory_gib_h == pytest.approx(80)
    assert (total.energy_kwh, total.held_idle_kwh, total.free_kwh) == pytest.approx((0.95, 0.2, 0.25))
    assert (total.cost, total.held_idle_cost, total.free_cost) == pytest.approx((16, 4, 10))
    (held,) = report.holdings
    assert (held.kind, held.id, held.owner, held.devices) == (HolderKind.WORKLOAD, "w00000001", "ann", 1)
    assert (held.held_h, held.idle_h, held.use_ratio) == pytest.approx((3, 2, 0.8 / 3))
    assert (held.idle_memory_gib_h, held.idle_cost) == pytest.approx((80, 4))
    # Idle for two hours, given back after half an hour; 50 W more than free ones.
    assert lever(report, Lever.SUSPEND).gpu_h.low == lever(report, Lever.SUSPEND).gpu_h.high == pytest.approx(1.5)
    assert lever(report, Lever.SUSPEND).cost.high == pytest.approx(3)
    assert lever(report, Lever.CLOCKS).gpu_h is None
    assert (lever(report, Lever.CLOCKS).kwh.low, lever(report, Lever.CLOCKS).kwh.high) == (0, pytest.approx(0.1))


def test_a_gap_is_unknown_and_never_idle(look):
    look.sampled("n1-0", 4, 3, use=0.5)
    look.sampled("n1-0", 1, 0, use=0.5)
    report = look.report(workloads=[work(started_h=4)])
    assert parts(report) == [2, 0, 0, 2]
    assert any("50 % of the GPU time" in sentence for sentence in report.unknown)
    assert [moment.unknown for moment in report.moments].count(1.0) == pytest.approx(len(report.moments) / 2, abs=1)
    assert report.total.use_ratio == pytest.approx(0.5)


def test_time_before_the_first_sample_is_not_told_of(look):
    look.sampled("n1-0", 2, 0, use=0.5)
    report = look.report(days=7)
    assert report.to_s - report.from_s == 2 * HOUR_S
    assert report.total.all_h == pytest.approx(2)
    assert any("the first 6.9 days of the 7.0 days asked for" in sentence for sentence in report.unknown)


def test_unknown_readings_are_no_use_and_no_rest(look):
    look.sampled("n1-0", 2, 0, use=None, memory=70_000)
    report = look.report(workloads=[work(started_h=2)])
    assert parts(report) == [0, 0, 0, 2]
    assert report.total.use_ratio is None
    assert report.holdings == ()
    assert report.empty


@pytest.mark.parametrize(("rest_minutes", "idle_h"), [(29, 0.0), (30, 0.5), (31, 31 / 60)])
def test_a_short_rest_belongs_to_the_use(look, rest_minutes, idle_h):
    look.sampled("n1-0", 2, 1, use=0.9)
    look.sampled("n1-0", 1, 1 - rest_minutes / 60, use=0.049)
    look.sampled("n1-0", 1 - rest_minutes / 60, 0, use=0.9)
    report = look.report(workloads=[work(started_h=2)])
    assert report.total.held_idle_h == pytest.approx(idle_h)
    assert report.total.used_h == pytest.approx(2 - idle_h)


def test_one_busy_reading_in_a_tick_is_use(look):
    look.sampled("n1-0", 4, 0, use=0.0)
    # One reading of the five in a tick of seven days.
    look.sampled("n1-0", 4, 0, every_s=300, use=0.05)
    assert parts(look.report(days=7, workloads=[work(started_h=4)])) == [4, 0, 0, 0]


def test_samples_from_cron_stand_until_the_next(look):
    look.sampled("n1-0", 4, 0, every_s=600, use=0.5)
    # The last one stands for its own tick only.
    assert parts(look.report()) == [pytest.approx(4 - 9 / 60), 0, 0, pytest.approx(9 / 60)]


def test_samples_too_far_apart_say_nothing_of_the_time_between(look):
    look.sampled("n1-0", 4, 0, every_s=1800, use=0.5)
    assert parts(look.report()) == [pytest.approx(8 / 60), 0, 0, pytest.approx(4 - 8 / 60)]


def test_strangers_are_named_by_their_account(look):
    look.sampled("n1-0", 3, 0, use=0.0, memory=40_000)
    stranger = Process(4711, "n1-0", None, 40_000, "mal", "python x", NOW_S - 2 * HOUR_S, None)
    report = look.report(nodes=[node(processes=[stranger])])
    held = {one.kind: one for one in report.holdings}
    assert set(held) == {HolderKind.STRANGER, HolderKind.UNSEEN}
    assert (held[HolderKind.STRANGER].id, held[HolderKind.STRANGER].owner) == ("n1:4711", "mal")
    assert held[HolderKind.STRANGER].idle_h == pytest.approx(2)
    assert held[HolderKind.UNSEEN].idle_h == pytest.approx(1)
    # Nothing of it is ours to suspend.
    suspend = lever(report, Lever.SUSPEND).gpu_h
    assert (suspend.low, suspend.high) == (0, pytest.approx(2.5))
    assert [owner.owner for owner in report.owners] == ["mal", None]


def test_work_of_another_gpualloc_and_processes_that_are_gone_hold_devices(look):
    look.sampled("n1-0", 4, 0, use=0.0, memory=100)
    look.sampled("n1-1", 4, 0, use=0.0, memory=100)
    claim = Claim("n1-0", "w0000000x", "d" * 32, Share.EXCLUSIVE, None, 1.0, None, NOW_S - HOUR_S)
    gone = Sighting("n1", None, "n1-1", None, 7, None, NOW_S - 3 * HOUR_S, NOW_S - HOUR_S)
    report = look.report(nodes=[node(claims=(claim,))], sightings=[gone])
    assert {one.id: one.idle_h for one in report.holdings} == pytest.approx({"w0000000x": 1, "n1:7": 2})


def test_two_who_share_a_device_have_equal_parts_of_it(look):
    look.sampled("n1-0", 2, 0, use=0.0)
    both = [work(f"w0000000{number}", started_h=2, fraction=0.5) for number in (1, 2)]
    report = look.report(workloads=both)
    assert [one.idle_h for one in report.holdings] == pytest.approx([1, 1])
    assert sum(one.held_h for one in report.holdings) == pytest.approx(report.total.held_idle_h)


@pytest.mark.parametrize(
    ("asked", "changes"),
    [
        ({"preempt": Preemption.NEVER}, {}),
        ({"preempt": Preemption.STOP}, {}),
        ({"share_asked": Share.MPS, "fraction": 0.5}, {}),
        ({"gang": True}, {}),
        ({}, {"driver_version": "565.57"}),
        ({}, {"driver_version": None}),
    ],
)
def test_work_that_cannot_give_way_is_not_counted_as_sure(look, asked, changes):
    look.sampled("n1-0", 2, 0, use=0.0)
    report = look.report(nodes=[node(**changes)], workloads=[work(started_h=2, **asked)])
    suspend = lever(report, Lever.SUSPEND).gpu_h
    assert (suspend.low, suspend.high) == (0, pytest.approx(1.5))


def entry(kind, hours, **detail):
    return AuditEntry(NOW_S - hours * HOUR_S, kind, "ann", "w00000001", "n1", detail)


def test_the_audit_trail_tells_of_every_stay(look):
    for device in ("n1-0", "n1-1"):
        look.sampled(device, 8, 0, use=0.0)
    moved = work(devices=("n1-1",), started_h=3, submitted_h=8)
    trail = [
        entry("submit", 8),
        entry("start", 7, devices=["n1-0"]),
        entry("suspend", 6, devices=["n1-0"]),
        entry("resume", 5, devices=["n1-0"]),
        entry("requeue", 4),
        entry("start", 3, devices=["n1-1"]),
    ]
    report = look.report(workloads=[moved], audit=trail)
    (held,) = report.holdings
    assert (held.devices, held.idle_h) == (2, pytest.approx(1 + 1 + 3))
    # It waited from 8 to 7 and from 4 to 3, and both devices were free then.
    assert (report.waits.workloads, report.waits.wait_h, report.waits.longest_h) == (1, *map(pytest.approx, (2, 1)))
    assert report.waits.fitted_h == pytest.approx(2)
    assert report.total.free_waited_h == pytest.approx(4)


def test_suspended_and_lost_work_holds_nothing_that_is_not_known(look):
    look.sampled("n1-0", 4, 0, use=0.0)
    suspended = replace(work(started_h=4), state=WorkloadState.SUSPENDED)
    lost = replace(work("w00000002", started_h=4), state=WorkloadState.LOST)
    assert look.report(workloads=[suspended, lost]).holdings == ()


def test_waiting_is_told_by_what_was_free_meanwhile(look):
    two = [node("n1"), node("n2")]
    for device in ("n1-0", "n2-0"):
        look.sampled(device, 4, 0, use=0.9)
    for device in ("n1-1", "n2-1"):
        look.sampled(device, 4, 1, use=0.0, memory=100)
    waiting = [
        work("w00000001", devices=(), submitted_h=3, gpus=1),
        work("w00000002", devices=(), submitted_h=3, gpus=2),
        work("w00000003", devices=(), submitted_h=2, gpus=3),
        work("w00000004", devices=(), submitted_h=2, fraction=0.5),
        work("w00000005", devices=(), submitted_h=2, gpus=1, gpu_model="A100"),
        work("w00000006", devices=(), submitted_h=2, gpus=0),
    ]
    waits = look.report(nodes=two, workloads=waiting).waits
    assert waits.workloads == 5
    assert waits.fitted_h == pytest.approx(2)
    assert waits.scattered_h == pytest.approx(2)
    # For the one that asks for a model that is not there the last hour is as clear as the one before.
    assert waits.full_h == pytest.approx(1 + 2)
    # The last hour of four of them, and the first of the one that asks for a part.
    assert waits.unknown_h == pytest.approx(1 + 1 + 1 + 2)
    assert waits.wait_h == pytest.approx(waits.fitted_h + waits.scattered_h + waits.full_h + waits.unknown_h)


def test_what_another_controller_owns_is_told_of_and_not_free_to_give(look):
    look.sampled("n1-0", 4, 0, use=0.0, memory=100)
    report = look.report(
        nodes=[node(other_controllers=("slurmd",))], workloads=[work(devices=(), submitted_h=2, gpus=1)]
    )
    assert report.total.free_h == pytest.approx(4)
    assert (report.waits.fitted_h, report.waits.full_h) == (0, pytest.approx(2))
    assert any("what may be changed on n1" in sentence for sentence in report.unknown)


def test_idle_clocks_are_not_told_without_a_free_device_to_compare_with(look):
    look.sampled("n1-0", 4, 0, use=0.0, watts=100.0)
    look.sampled("n1-1", 4, 0, use=0.9, watts=500.0)
    busy = [work(started_h=4), work("w00000002", ("n1-1",), started_h=4)]
    assert lever(look.report(workloads=busy), Lever.CLOCKS).kwh is None
    look.sampled("n1-0", 4, 0, use=0.9, watts=500.0)
    assert lever(look.report(workloads=busy), Lever.CLOCKS).kwh.high == 0


def test_a_request_far_from_its_use_is_told_with_what_it_costs(look):
    look.sampled("n1-0", 10, 0, use=0.9)
    look.sampled("n1-1", 10, 0, use=0.0)
    report = look.report(workloads=[work(devices=("n1-0", "n1-1"), started_h=10)])
    (size,) = report.sizes
    assert (size.id, size.asked, size.proposed) == ("w00000001", "--gpus 2", "--gpus 1")
    assert (size.observed_h, size.saved_gpu_h) == (pytest.approx(10), pytest.approx(10))
    saving = lever(report, Lever.RIGHT_SIZE)
    assert (saving.gpu_h.low, saving.gpu_h.high, saving.cost.high) == tuple(map(pytest.approx, (10, 10, 20)))


def test_running_work_far_from_its_use_is_told_to_those_who_would_change_it(look):
    for name, use in (("n1-0", 0.9), ("n1-1", 0.0), ("n2-0", 0.9), ("n2-1", 0.0)):
        look.sampled(name, 10, 0, use=use)
    running = work(devices=("n1-0", "n1-1"), started_h=10)
    ended = work("w00000002", ("n2-0", "n2-1"), started_h=10, ended_h=1)
    (found,) = sizes(*look.world(workloads=[ended, running]))
    assert (found.id, found.asked, found.proposed) == (running.id, "--gpus 2", "--gpus 1")
    assert sizes(*look.world()) == ()


def test_a_device_that_was_never_sampled_keeps_its_work_from_being_judged(look):
    look.sampled("n1-0", 10, 0, use=0.0)
    look.sampled("n1-1", 10, 0, use=0.9)
    several = work(devices=("n1-0", "n1-1", "n1-2"), started_h=10)
    assert look.report(workloads=[several]).sizes == ()


def test_a_part_of_a_device_is_judged_by_the_memory_of_its_work(look):
    look.sampled("n1-0", 10, 0, use=0.9, memory=70_000)
    key = SeriesKey(SeriesKind.WORKLOAD, "n1", "w00000001")
    look.history.append(
        [Sample(key, NOW_S - hours * HOUR_S, {"gpu_memory_used_mib": 10_000}) for hours in range(1, 10)]
    )
    asked = work(started_h=10, fraction=0.5, gpu_memory_mib=40_000)
    (size,) = look.report(workloads=[asked]).sizes
    assert (size.asked, size.proposed) == ("--gpu-memory 40000MiB", "--gpu-memory 11520MiB")
    assert size.saved_gpu_h == 0


def test_small_use_fits_on_fewer_devices(look):
    for index in range(4):
        look.sampled(f"n1-{index}", 8, 0, use=0.2, memory=16_000)
    alone = [work(f"w0000000{index}", devices=(f"n1-{index}",), started_h=8) for index in range(4)]
    share = lever(look.report(nodes=[node(devices=4)], workloads=alone), Lever.SHARE).gpu_h
    # Three of 0.2 stay within 0.7 for 4 hours; four of them fill 0.8 of the compute and 0.8 of the memory.
    assert (share.low, share.high) == (pytest.approx(16), pytest.approx(24))


def test_work_on_several_devices_is_not_put_together(look):
    for index in range(2):
        look.sampled(f"n1-{index}", 8, 0, use=0.2, memory=16_000)
    share = lever(look.report(workloads=[work(devices=("n1-0", "n1-1"), started_h=8)]), Lever.SHARE).gpu_h
    assert (share.low, share.high) == (0, 0)


def test_shares_are_brought_together(look):
    for name in ("n1-0", "n1-1", "n2-0"):
        look.sampled(name, 2, 0, use=0.9)
    parts_of = [
        work("w00000001", ("n1-0",), 2, fraction=0.5),
        work("w00000002", ("n1-1",), 2, fraction=0.5),
        work("w00000003", ("n2-0",), 2, fraction=0.6),
    ]
    report = look.report(nodes=[node("n1"), node("n2")], workloads=parts_of)
    both = lever(report, Lever.CONSOLIDATE).gpu_h
    # One of the two of n1 is enough; 0.6 goes with neither. Nothing gives back more than was not computed.
    assert (both.low, both.high) == (pytest.approx(0.6), pytest.approx(0.6))
    assert report.total.known_h - report.total.computed_h == pytest.approx(0.6)


def test_idle_nodes_could_be_off(look):
    for index in range(2):
        look.sampled(f"n1-{index}", 6, 0, use=0.0, memory=100, watts=50.0)
        look.sampled(f"n2-{index}", 6, 0, use=0.0, memory=100, watts=50.0)
    rests = SeriesKey(SeriesKind.NODE, "n1", "")
    look.history.append(
        [Sample(rests, at_s, {"cpu_utilization_ratio": 0.02}) for at_s in range(NOW_S - 6 * HOUR_S, NOW_S, 60)]
    )
    here = node("n2")
    off = lever(look.report(nodes=[node("n1"), here]), Lever.OFF)
    # 6 hours less 70 minutes, on two devices; the CPUs of n2 are not known.
    each_h = 2 * (6 - 70 / 60)
    assert (off.gpu_h.low, off.gpu_h.high) == (pytest.approx(each_h), pytest.approx(2 * each_h))
    assert (off.kwh.low, off.kwh.high) == (pytest.approx(each_h / 20), pytest.approx(each_h / 10))
    assert off.cost.high == pytest.approx(4 * each_h)
    local = replace(here, spec=replace(here.spec, transport="local"))
    assert lever(look.report(nodes=[node("n1"), local]), Lever.OFF).gpu_h.high == pytest.approx(each_h)
    # The other node is not to be turned off, so that its price says nothing.
    assert lever(look.report(nodes=[node("n1", price=None), local]), Lever.OFF).cost is None


def test_a_node_whose_cpus_work_stays_on(look):
    look.sampled("n1-0", 6, 0, use=0.0, memory=100)
    key = SeriesKey(SeriesKind.NODE, "n1", "")
    look.history.append(
        [Sample(key, at_s, {"cpu_utilization_ratio": 0.9}) for at_s in range(NOW_S - 6 * HOUR_S, NOW_S, 60)]
    )
    assert lever(look.report(), Lever.OFF).gpu_h.high == 0


def test_a_week_is_projected_from_three_days_on(look):
    look.sampled("n1-0", 72, 0, every_s=300, use=0.0, memory=40_000)
    report = look.report(days=3, workloads=[work(started_h=72)])
    suspend = lever(report, Lever.SUSPEND)
    assert suspend.gpu_h.high == pytest.approx(71.5)
    # Two of three days drawn are the first, which lost half an hour; or none of them is.
    assert (suspend.a_week.low, suspend.a_week.high) == (pytest.approx(71 / 72 * 168), pytest.approx(168))
    assert lever(look.report(days=2, workloads=[work(started_h=72)]), Lever.SUSPEND).a_week is None


def test_prices_and_power_that_are_not_known_are_not_zero(look):
    look.sampled("n1-0", 4, 0, use=0.0, memory=40_000, watts=None)
    report = look.report(nodes=[node(price=None)], workloads=[work(started_h=4)])
    assert (report.total.priced_h, report.total.energy_known_h) == (0, 0)
    assert report.holdings[0].idle_cost is None
    assert lever(report, Lever.SUSPEND).cost is None
    assert lever(report, Lever.CLOCKS).kwh is None
    assert any("the cost of 1 of 1 GPUs" in sentence for sentence in report.unknown)
    assert any("the power of 100 %" in sentence for sentence in report.unknown)


def test_devices_in_mig_mode_and_never_sampled_are_told_of(look):
    look.sampled("n1-0", 4, 0, use=None)
    seen = node(devices=2)
    partitioned = replace(seen.devices[0], mig_enabled=True)
    report = look.report(nodes=[replace(seen, devices=(partitioned, seen.devices[1]))])
    assert any("1 in MIG mode" in sentence for sentence in report.unknown)
    assert any("1 GPUs that are there now and were never sampled" in sentence for sentence in report.unknown)


def test_a_node_that_does_not_answer_is_told_of_by_its_samples(look):
    look.sampled("n1-0", 4, 0, use=0.5)
    away = Node(node().spec, NodeState.UNREACHABLE, NOW_S)
    report = look.report(nodes=[away])
    assert parts(report) == [4, 0, 0, 0]
    assert any("who has the GPUs of n1 now: no answer" in sentence for sentence in report.unknown)


def test_a_node_that_left_the_configuration_is_told_of(look):
    look.sampled("n9-0", 4, 0, use=0.0, memory=100)
    report = look.report()
    assert [(one.node, one.pool) for one in report.nodes] == [("n9", None)]


def test_bridges_are_built_only_over_usual_distances():
    nan = math.nan

    def read(*values):
        from array import array

        return [None if math.isnan(value) else value for value in bridged(array("d", values), 60)]

    assert read(1.0, nan, 2.0, nan, 3.0, nan) == [1, 1, 2, 2, 3, None]
    assert read(1.0, 2.0, nan, 3.0) == [1, 2, None, 3]
    assert read(1.0, nan, 2.0, nan, nan, nan, 3.0, nan, 4.0) == [1, 1, 2, None, None, None, 3, 3, 4]
    assert read(nan, nan) == [None, None]


def test_everything_adds_up_in_the_sample_world(look):
    assert look.report(nodes=sample_world.SNAPSHOT.nodes).empty


SPELLS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 47),
        st.integers(1, 24),
        st.none() | st.sampled_from([0.0, 0.02, 0.3, 0.6, 1.0]),
        st.none() | st.sampled_from([100, 20_000, 70_000]),
        st.none() | st.sampled_from([50.0, 400.0]),
    ),
    max_size=12,
)
WORKS = st.lists(
    st.tuples(
        st.sets(st.integers(0, 3), max_size=3),
        st.integers(1, 24),
        st.integers(0, 23),
        st.none() | st.sampled_from([0.25, 0.5]),
    ),
    max_size=5,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SPELLS, WORKS)
def test_the_parts_are_all_and_no_saving_is_more_than_what_was_wasted(tmp_path_factory, spells, works):
    with closing(SqliteHistory(StatePaths(tmp_path_factory.mktemp("state")))) as history:
        look = Look(history)
        for device, first, length, use, memory, watts in spells:
            from_h = 24 - first / 2
            look.sampled(
                f"n{device // 2 + 1}-{device % 2}", from_h, max(0, from_h - length / 2), 300, use, memory, watts
            )
        workloads = []
        for number, (devices, started_h, ended_h, fraction) in enumerate(works):
            names = tuple(f"n{device // 2 + 1}-{device % 2}" for device in sorted(devices))
            held = {"started_h": started_h, "ended_h": ended_h if ended_h < started_h else None} if names else {}
            part = {} if fraction is None else {"fraction": fraction}
            workloads.append(work(f"w0000000{number}", names, submitted_h=24, **held, **part))
        report = look.report(nodes=[node("n1"), node("n2", price=None)], workloads=workloads)
    total = report.total
    assert total.all_h == pytest.approx(report.devices * (report.to_s - report.from_s) / HOUR_S)
    assert total.used_h + total.held_idle_h + total.free_h + total.unknown_h == pytest.approx(total.all_h)
    assert sum(one.ledger.all_h for one in report.nodes) == pytest.approx(total.all_h)
    assert sum(one.held_h for one in report.holdings) == pytest.approx(total.used_h + total.held_idle_h)
    assert sum(one.idle_h for one in report.owners) == pytest.approx(total.held_idle_h)
    assert 0 <= total.computed_h <= total.used_h + 0.05 * total.known_h + 1e-6
    for moment in report.moments:
        assert moment.used + moment.held_idle + moment.free + moment.unknown == pytest.approx(report.devices)
    # The most that anything could have saved.
    not_computed_h = total.known_h - total.computed_h
    for one in report.savings:
        for span in filter(None, (one.gpu_h, one.kwh, one.cost)):
            assert -1e-9 <= span.low <= span.high + 1e-9
        if one.gpu_h is not None:
            assert one.gpu_h.high <= max(0.0, not_computed_h) + 1e-6
        if one.kwh is not None:
            assert one.kwh.high <= total.held_idle_kwh + total.free_kwh + 1e-9
    assert report.at_most_h <= max(0.0, not_computed_h) + 1e-6
    assert lever(report, Lever.SUSPEND).gpu_h.high <= total.held_idle_h + 1e-9 if report.savings else True
    waits = report.waits
    assert waits.fitted_h + waits.scattered_h + waits.full_h + waits.unknown_h == pytest.approx(waits.wait_h)
