"""Recording what happened: nodes in, events and conditions in a real history.db."""

from __future__ import annotations

from contextlib import closing

import pytest
from fakes.memory_context import memory_context
from msgspec.structs import replace

from gpualloc.engine.events import record
from gpualloc.engine.events_told import Wanted, events_of, new_events
from gpualloc.engine.health_look import forget, look_at_health
from gpualloc.errors import NotFoundError
from gpualloc.model.health import KernelMessage, Severity, Trouble
from gpualloc.model.inventory import Device, DeviceState, HostReading, Node, NodeSpec, NodeState
from gpualloc.model.readings import Board, Ecc
from gpualloc.model.sample import Sample, SeriesKey, SeriesKind
from gpualloc.store.events import SqliteEvents
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths

NOW = 1_790_000_000.0
GPU = Device("GPU-0", 3, "NVIDIA L4", 23034, gpu_utilization_ratio=0.0, board=Board("0000:3b:00.0"))
NODE = Node(
    NodeSpec("gpu01", "p", "ssh"),
    NodeState.OK,
    NOW,
    boot_id="b1",
    driver_version="580.95.05",
    nvml_state="ok",
    clock_offset_s=0.0,
    host=HostReading(swap_in_bytes_per_s=0.0),
    devices=(GPU,),
)
SICK = replace(NODE, devices=(replace(GPU, ecc=Ecc(volatile_uncorrected=2)),))


def line(seq, code=79, at_s=NOW - 5, text="NVRM: Xid"):
    return KernelMessage(seq, at_s, Trouble.XID, code, "0000:3b:00", text)


class Fleet:
    """Answers with whatever nodes a test puts in."""

    def __init__(self):
        self.nodes = (NODE,)

    def specs(self):
        return tuple(node.spec for node in self.nodes)

    def observe(self, names=None, near=()):
        return iter([node for node in self.nodes if names is None or node.name in names])


class Clock:
    """A time that a test moves."""

    def __init__(self):
        self.at_s = NOW

    def now_s(self):
        return self.at_s


@pytest.fixture
def paths(tmp_path):
    return StatePaths(tmp_path)


@pytest.fixture
def ctx(paths):
    with closing(SqliteEvents(paths)) as events:
        yield memory_context(fleet=Fleet(), clock=Clock(), events=events)


def told(ctx, **wanted):
    return [(event.trouble, event.over, event.what) for event in ctx.events.events(0, **wanted)]


def test_a_condition_begins_and_ends_as_events(ctx):
    (begun,) = record(ctx, [SICK])
    assert (begun.at_s, begun.severity, begun.device, begun.over) == (NOW, Severity.ERROR, "GPU-0", False)
    assert [each.trouble for each in ctx.events.conditions()] == [Trouble.ECC_ERRORS]
    ctx.clock.at_s += 60
    well = replace(NODE, devices=(replace(GPU, ecc=Ecc(volatile_uncorrected=0)),))
    (over,) = record(ctx, [well])
    assert (over.at_s, over.over, over.what) == (NOW + 60, True, f"over: {begun.what}")
    assert ctx.events.conditions() == ()
    assert [event.key for event in ctx.events.events(0)] == [begun.key, over.key]


def test_recording_the_same_again_changes_and_writes_nothing(ctx, paths):
    nodes = [replace(SICK, kernel_messages=(line(1), line(2)))]
    record(ctx, [NODE])
    assert len(record(ctx, nodes)) == 3
    files = {file.name: file.stat().st_mtime_ns for file in paths.root.iterdir()}
    ctx.clock.at_s += 1000
    assert record(ctx, nodes) == ()
    assert {file.name: file.stat().st_mtime_ns for file in paths.root.iterdir()} == files
    assert len(told(ctx)) == 3


def test_a_suspicion_is_kept_and_not_told(ctx):
    busy = replace(NODE, devices=(replace(GPU, gpu_utilization_ratio=0.9),))
    assert record(ctx, [busy]) == ()
    assert ctx.events.conditions() == ()
    assert [each.confirmed for each in ctx.events.conditions(suspected=True)] == [False]
    ctx.clock.at_s += 60
    (begun,) = record(ctx, [busy])
    assert (begun.trouble, begun.at_s) == (Trouble.GHOST_BUSY, NOW)
    assert record(ctx, [busy]) == ()


def test_what_grows_worse_is_told(ctx):
    record(ctx, [Node(NODE.spec, NodeState.STALE, NOW)])
    (worse,) = record(ctx, [Node(NODE.spec, NodeState.UNREACHABLE, NOW)])
    assert (worse.severity, worse.trouble) == (Severity.CRITICAL, Trouble.NODE_STATE)
    assert record(ctx, [Node(NODE.spec, NodeState.STALE, NOW)]) == ()


def test_nodes_come_one_by_one(ctx):
    other = replace(SICK, spec=NodeSpec("gpu02", "p", "ssh"), boot_id="b2")
    record(ctx, [SICK, other])
    assert len(ctx.events.conditions()) == 2
    record(ctx, [replace(NODE, devices=(replace(GPU, ecc=Ecc(volatile_uncorrected=0)),))])
    assert [each.node for each in ctx.events.conditions()] == ["gpu02"]
    assert [each.node for each in ctx.events.conditions(["gpu02", "gpu03"])] == ["gpu02"]
    assert ctx.events.conditions(["gpu01"]) == ()


def test_a_node_that_was_never_reached_is_told_once(ctx):
    away = Node(NODE.spec, NodeState.UNREACHABLE, NOW, reason="no route")
    assert len(record(ctx, [away])) == 1
    assert record(ctx, [away]) == ()
    assert ctx.events.heard() == {}
    ctx.clock.at_s += 60
    assert [event.over for event in record(ctx, [NODE])] == [True]


class TestKernelLog:
    def test_the_log_of_a_new_node_is_kept_with_its_dates_and_is_no_news(self, ctx):
        old = tuple(line(seq, at_s=NOW - 3600 + seq) for seq in (1, 2))
        assert record(ctx, [replace(NODE, kernel_messages=old)]) == ()
        assert [(event.at_s, event.news) for event in ctx.events.events(0)] == [
            (NOW - 3599, False),
            (NOW - 3598, False),
        ]

    def test_a_new_line_is_an_event_of_its_device_with_meaning_and_advice(self, ctx):
        record(ctx, [NODE])
        (event,) = record(ctx, [replace(NODE, kernel_messages=(line(7),))])
        assert (event.key, event.device, event.code, event.severity) == ("b1:7", "GPU-0", 79, Severity.CRITICAL)
        assert event.what.startswith("Xid 79: the GPU fell off the bus")
        assert event.advice
        assert event.at_s == NOW - 5

    def test_the_same_code_twice_is_two_events(self, ctx):
        record(ctx, [NODE])
        assert len(record(ctx, [replace(NODE, kernel_messages=(line(7), line(8)))])) == 2
        assert len(record(ctx, [replace(NODE, kernel_messages=(line(8), line(9)))])) == 1

    def test_a_gpu_that_left_the_list_is_still_known_by_its_place(self, ctx):
        record(ctx, [NODE])
        events = record(ctx, [replace(NODE, devices=(), kernel_messages=(line(7),))])
        assert {(event.trouble, event.device) for event in events} == {
            (Trouble.XID, "GPU-0"),
            (Trouble.GPU_MISSING, "GPU-0"),
        }

    def test_a_line_about_another_place_is_of_the_node(self, ctx):
        record(ctx, [NODE])
        stranger = replace(line(7), pci_bus_id="0000:5e:00.0")
        (event,) = record(ctx, [replace(NODE, kernel_messages=(stranger,))])
        assert event.device is None

    @pytest.mark.parametrize("domain", ["0000:3b:00.0", "00000000:3B:00.0", "0000:3b:00"])
    def test_however_the_place_is_written(self, ctx, domain):
        record(ctx, [NODE])
        (event,) = record(ctx, [replace(NODE, kernel_messages=(replace(line(7), pci_bus_id=domain),))])
        assert event.device == "GPU-0"

    def test_the_time_of_a_node_whose_clock_is_off_is_turned_into_ours(self, ctx):
        record(ctx, [NODE])
        ahead = replace(NODE, clock_offset_s=3600.0, kernel_messages=(line(7, at_s=NOW + 3590),))
        found = [event for event in record(ctx, [ahead]) if event.trouble is Trouble.XID]
        assert [event.at_s for event in found] == [NOW - 10]

    def test_no_event_is_later_than_now(self, ctx):
        record(ctx, [NODE])
        (event,) = record(ctx, [replace(NODE, kernel_messages=(line(7, at_s=NOW + 20),))])
        assert event.at_s == NOW

    def test_the_log_begins_anew_with_a_boot(self, ctx):
        record(ctx, [replace(NODE, kernel_messages=(line(100),))])
        rebooted = replace(NODE, boot_id="b2", kernel_messages=(line(3),))
        assert [(event.trouble, event.key) for event in record(ctx, [rebooted])] == [
            (Trouble.XID, "b2:3"),
            (Trouble.RESTARTED, "gpu01/restarted/b2"),
        ]
        assert record(ctx, [rebooted]) == ()


def test_a_driver_that_was_changed_is_good_to_know(ctx):
    record(ctx, [NODE])
    (event,) = record(ctx, [replace(NODE, driver_version="590.48.01")])
    assert (event.trouble, event.severity) == (Trouble.DRIVER, Severity.INFO)
    assert event.what == "the driver is 590.48.01, it was 580.95.05"


def test_a_gpu_that_was_only_sampled_is_missed_at_the_first_look(ctx, paths):
    with closing(SqliteHistory(paths)) as history:
        recent_s = int(ctx.clock.now_s()) - 86_400
        history.append([Sample(SeriesKey(SeriesKind.DEVICE, "gpu01", "GPU-old"), recent_s, {"power_w": 1.0})])
        history.append([Sample(SeriesKey(SeriesKind.DEVICE, "gpu01", "GPU-older"), 1000, {"power_w": 1.0})])
    (event,) = record(ctx, [NODE])
    assert (event.trouble, event.device) == (Trouble.GPU_MISSING, "GPU-old")
    assert event.what.startswith("a GPU that was sampled here is gone")


class TestForgetting:
    @pytest.mark.parametrize("part", ["GPU-0", "3"])
    def test_a_gpu_that_was_taken_out_is_no_longer_missed(self, ctx, part):
        ctx.fleet.nodes = (NODE,)
        look_at_health(ctx)
        ctx.fleet.nodes = (replace(NODE, devices=()),)
        assert [each.trouble for each in look_at_health(ctx).conditions] == [Trouble.GPU_MISSING]
        assert forget(ctx, "gpu01", part) == "GPU-0"
        assert look_at_health(ctx).conditions == ()

    def test_what_is_not_expected_cannot_be_forgotten(self, ctx):
        look_at_health(ctx)
        with pytest.raises(NotFoundError, match="'GPU-9' is expected"):
            forget(ctx, "gpu01", "GPU-9")
        with pytest.raises(NotFoundError, match="no node 'gpu99'"):
            forget(ctx, "gpu99", "GPU-0")


class TestReading:
    def test_by_severity_node_and_index(self, ctx):
        record(ctx, [NODE])
        record(ctx, [replace(NODE, kernel_messages=(line(1, code=43), line(2)))])
        assert [event.code for event in events_of(ctx, Wanted(), 3600).events] == [43, 79]
        assert [event.code for event in events_of(ctx, Wanted(Severity.ERROR), 3600).events] == [79]
        assert len(events_of(ctx, Wanted(node="gpu01", device="3"), 3600).events) == 2
        assert events_of(ctx, Wanted(device="GPU-9"), 3600).events == ()
        assert events_of(ctx, Wanted(), 3600).indices == {"GPU-0": 3}

    def test_following_tells_what_is_there_and_then_what_comes(self, ctx):
        record(ctx, [NODE])
        record(ctx, [replace(NODE, kernel_messages=(line(1),))])
        later = iter([[replace(NODE, kernel_messages=(line(1), line(2)))], [SICK], []])

        def wait():
            nodes = next(later)
            if nodes:
                record(ctx, nodes)
            return bool(nodes)

        found = [event for event, _indices in new_events(ctx, Wanted(), 3600, wait)]
        assert [event.trouble for event in found] == [Trouble.XID, Trouble.XID, Trouble.ECC_ERRORS]

    def test_an_old_log_of_a_new_node_is_not_followed(self, ctx):
        later = iter([[replace(NODE, kernel_messages=(line(1, at_s=NOW - 9e5),))], []])

        def wait():
            nodes = next(later)
            record(ctx, nodes)
            return bool(nodes)

        assert list(new_events(ctx, Wanted(), 3600, wait)) == []
        assert len(told(ctx)) == 1


def test_what_was_seen_sick_stays_so_while_the_node_is_away(ctx):
    ctx.fleet.nodes = (SICK,)
    assert [each.trouble for each in look_at_health(ctx).conditions] == [Trouble.ECC_ERRORS]
    ctx.fleet.nodes = (Node(NODE.spec, NodeState.UNREACHABLE, NOW),)
    ctx.clock.at_s += 10
    found = look_at_health(ctx)
    assert [(each.trouble, each.since_s) for each in found.conditions] == [
        (Trouble.NODE_STATE, NOW + 10),
        (Trouble.ECC_ERRORS, NOW),
    ]
    assert found.recent == 2
    assert found.indices == {"GPU-0": 3}


def test_a_device_state_is_told_with_the_node_it_is_on(ctx):
    lost = replace(NODE, devices=(replace(GPU, state=DeviceState.LOST),))
    (event,) = record(ctx, [lost])
    assert (event.node, event.device, event.trouble) == ("gpu01", "GPU-0", Trouble.DEVICE_STATE)
