"""The fleet as it was: out of a real history, a real journal and real events, and nothing that nobody knew."""

from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fakes import fleet_readings as fleet
from fakes.memory_context import MemoryFleet, memory_context
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from gpualloc.adapters.recording import Recorder
from gpualloc.engine.events import record
from gpualloc.engine.observe import observe
from gpualloc.engine.past_devices import NOT_KEPT, NOT_KNOWN, NOT_SAMPLED, READINGS
from gpualloc.engine.past_look import HistoryChronicle, chronicle
from gpualloc.engine.past_nodes import GONE, LIMITED, UNSAMPLED
from gpualloc.engine.sample import sample, samples_of
from gpualloc.model.allocation import Allocation, Grant, Share
from gpualloc.model.health import Trouble
from gpualloc.model.inventory import DeviceState, HostReading, NodeState
from gpualloc.model.sample import METRICS, Sample, SeriesKey, SeriesKind
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.store.events import SqliteEvents
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal
from gpualloc.wiring import Options, open_context

AT_S = 1_790_000_000
FULL = fleet.FULL_NODE
TODAY = (FULL,)


class Clock:
    """A time that a test moves."""

    def __init__(self, at_s=AT_S):
        self.at_s = at_s

    def now_s(self):
        return float(self.at_s)


@contextmanager
def world(nodes=TODAY):
    with TemporaryDirectory() as folder, ExitStack() as opened:
        paths = StatePaths(Path(folder))
        parts = [opened.enter_context(closing(make(paths))) for make in (SqliteHistory, SqliteJournal, SqliteEvents)]
        history, journal, events = parts
        yield memory_context(fleet=MemoryFleet(nodes), history=history, journal=journal, events=events, clock=Clock())


@pytest.fixture
def ctx():
    with world() as ctx:
        yield ctx


def keep(ctx, node, at_s):
    ctx.history.append(list(samples_of([node], at_s)))


def look(ctx, at_s, today=TODAY):
    return HistoryChronicle(ctx).look(at_s, today)


def the_node(ctx, at_s, today=TODAY, name="full"):
    return {node.name: node for node in look(ctx, at_s, today).nodes}[name]


def read(device, name):
    """A reading by its name in `unavailable`."""
    for part in name.split("."):
        device = getattr(device, part)
    return device


def stored(ctx, metric, at_s, key):
    found = [one for series in ctx.history.read(METRICS[metric], at_s, at_s, key=key) for one in series.points]
    return found[0][1] if found else None


def every_none(value, prefix=""):
    """Names of the readings of a device that are None."""
    for field in value.__struct_fields__:
        inner, name = getattr(value, field), prefix + field
        if inner is None:
            yield name
        elif isinstance(inner, Struct):
            yield from every_none(inner, f"{name}.")


def test_at_a_samples_own_time_it_is_what_was_stored(ctx):
    keep(ctx, FULL, AT_S)
    ctx.history.append([Sample(SeriesKey(SeriesKind.NODE, "full", ""), AT_S + 10, {})])
    node = the_node(ctx, AT_S)
    assert (node.state, node.reason, node.at_s) == (NodeState.OK, None, AT_S)
    for device in node.devices:
        for name, metric in READINGS.items():
            assert read(device, name) == stored(ctx, metric, AT_S, device.uuid), name
    first, second = node.devices
    assert (first.uuid, first.index, first.model) == (fleet.FULL_UUID, 0, "NVIDIA H100 80GB HBM3")
    assert (first.power_w, first.memory_used_mib, first.temperature_c) == (650.5, 40000, 71)
    assert (second.power_w, second.memory_total_mib) == (None, None)
    (instance,) = first.mig_instances
    kept = replace(fleet.FULL.mig_instances[0].activity, sm_occupancy_ratio=None)
    assert instance == replace(fleet.FULL.mig_instances[0], activity=kept)
    assert node.host == replace(FULL.host, swap_out_bytes_per_s=None, ports=(), gpus_on_bus=None)


def test_what_was_not_kept_is_unknown_and_says_so(ctx):
    keep(ctx, FULL, AT_S)
    node = the_node(ctx, AT_S)
    assert (node.processes, node.limited, node.manageable) == ((), LIMITED, False)
    assert (node.boot_id, node.driver_version, node.clock_offset_s) == (None, None, None)
    full, bare = node.devices
    assert full.unavailable["power_limit_w"] == full.unavailable["processes"] == NOT_KEPT
    assert full.unavailable["throttles"] == f"{NOT_KEPT}; something held the clocks down"
    assert (bare.unavailable["power_w"], bare.unavailable["throttles"]) == (NOT_KNOWN, NOT_KEPT)
    assert "power_w" not in full.unavailable


@pytest.mark.parametrize("at_s", [AT_S, AT_S + 7200])
def test_each_reading_that_is_none_has_a_reason(ctx, at_s):
    keep(ctx, FULL, AT_S)
    board = {"state", "reason", "cordon", "minor", "architecture", "cpus", "numa_node"}
    board |= {"power_limit_default_w", "power_limit_min_w", "power_limit_max_w", "pcie.generation_max"}
    board |= {"pcie.width_max", *(f"board.{name}" for name in fleet.FULL.board.__struct_fields__)}
    board |= {f"settings.{name}" for name in fleet.FULL.settings.__struct_fields__}
    for device in the_node(ctx, at_s).devices:
        none = set(every_none(device)) - board
        assert none <= device.unavailable.keys()
        readable = {name for name in device.unavailable if name not in ("nvlinks", "settings", "processes")}
        assert none == readable


def test_a_node_that_was_not_sampled_then_is_stale_and_keeps_its_boards(ctx):
    keep(ctx, FULL, AT_S)
    node = the_node(ctx, AT_S + 7200)
    assert (node.state, node.reason) == (NodeState.STALE, UNSAMPLED)
    assert [device.uuid for device in node.devices] == [fleet.FULL_UUID, fleet.BARE_UUID]
    assert node.host == HostReading(64, memory_total_mib=515_000, disk_total_mib=900_000)
    (full, _) = node.devices
    assert (full.power_w, full.unavailable["power_w"]) == (None, NOT_SAMPLED)
    assert look(ctx, AT_S + 7200).sampled_s == AT_S
    assert look(ctx, AT_S - 1).sampled_s is None


def test_a_board_that_is_gone_and_a_node_that_is_not_configured_are_shown_as_they_were(ctx):
    keep(ctx, FULL, AT_S)
    keep(ctx, fleet.STALE_NODE, AT_S)
    keep(ctx, replace(FULL, spec=replace(FULL.spec, name="old")), AT_S)
    today = (replace(FULL, devices=(fleet.BARE,)),)
    gone = [device for device in the_node(ctx, AT_S, today).devices if device.uuid == fleet.FULL_UUID]
    assert [(device.index, device.model, device.power_w) for device in gone] == [(2, "unknown", 650.5)]
    assert the_node(ctx, AT_S, today, "old").spec.transport == GONE


def test_how_far_apart_samples_were_decides_what_was_seen(ctx):
    for minute in range(4):
        keep(ctx, FULL, AT_S + 300 * minute)
    keep(ctx, replace(FULL, spec=replace(FULL.spec, name="old")), AT_S)
    then = look(ctx, AT_S + 400)
    assert (then.sampled_s, then.period_s) == (AT_S + 300, 300)
    assert {node.name: node.state for node in then.nodes} == {"full": NodeState.OK, "old": NodeState.OK}
    assert [node.name for node in look(ctx, AT_S + 700).nodes] == ["full"]


def test_rollups_are_told_to_be_means(ctx):
    for at_s, watts in ((AT_S, 100.0), (AT_S + 10, 300.0)):
        keep(ctx, replace(FULL, devices=(replace(fleet.FULL, power_w=watts),)), at_s // 60 * 60 + at_s % 60)
    ctx.history.prune(AT_S + 7200, minutes_before_s=AT_S - 7200, hours_before_s=AT_S - 7200)
    then = look(ctx, AT_S + 15)
    assert then.note is not None
    assert then.note.startswith("means of a minute")
    assert the_node(ctx, AT_S + 15).devices[0].power_w == 200.0


def work(number, state, **changes):
    grant = Grant(fleet.FULL_UUID, Share.EXCLUSIVE)
    workload = Workload(
        f"w{number:08d}", f"work {number}", "ann", Request(("true",)), state, float(AT_S - 1000),
        allocation=Allocation(f"w{number:08d}", "full", (grant,)),
    )  # fmt: skip
    return replace(workload, **changes)


def test_work_stands_as_it_stood(ctx):
    made = [
        work(1, WorkloadState.FINISHED, started_at_s=AT_S - 500.0, ended_at_s=AT_S + 500.0, exit_code=0),
        work(2, WorkloadState.RUNNING, started_at_s=AT_S + 100.0),
        work(3, WorkloadState.FAILED, started_at_s=AT_S - 900.0, ended_at_s=AT_S - 800.0, exit_code=1),
        work(4, WorkloadState.RUNNING, started_at_s=AT_S + 100.0),
        replace(work(5, WorkloadState.PENDING, allocation=None), submitted_at_s=AT_S + 1.0),
    ]
    with ctx.journal.write("test") as writer:
        writer.save(made)
    keep(ctx, FULL, AT_S)
    ctx.history.append([Sample(SeriesKey(SeriesKind.WORKLOAD, "full", made[3].id), AT_S, {})])
    then = {one.id: one for one in look(ctx, AT_S).workloads}
    assert then[made[0].id] == replace(made[0], state=WorkloadState.RUNNING, ended_at_s=None, exit_code=None)
    waiting = then[made[1].id]
    assert (waiting.state, waiting.allocation, waiting.started_at_s) == (WorkloadState.PENDING, None, None)
    assert then[made[2].id] == made[2]
    assert (then[made[3].id].state, then[made[3].id].allocation) == (WorkloadState.RUNNING, None)
    assert made[4].id not in then
    (claim,) = the_node(ctx, AT_S).claims
    assert (claim.workload, claim.device, claim.controller) == (made[0].id, fleet.FULL_UUID, ctx.journal.controller)


def test_what_was_wrong_then_is_told_of_then(ctx):
    lost = replace(fleet.FULL, state=DeviceState.LOST, reason="fell off the bus")
    for at_s, device in ((AT_S, fleet.FULL), (AT_S + 100, lost), (AT_S + 200, fleet.FULL)):
        ctx.clock.at_s = at_s
        node = replace(FULL, devices=(device, fleet.BARE), kernel_messages=())
        record(ctx, [node])
        keep(ctx, node, at_s)
    chronicle_ = HistoryChronicle(ctx)

    def states(at_s):
        (node,) = chronicle_.look(at_s, TODAY).nodes
        return [device.state for device in node.devices]

    assert states(AT_S) == [DeviceState.OK, DeviceState.OK]
    assert states(AT_S + 100) == [DeviceState.LOST, DeviceState.OK]
    assert states(AT_S + 200) == [DeviceState.OK, DeviceState.OK]
    troubles = [one.trouble for one in chronicle_.look(AT_S + 150, TODAY).conditions]
    assert Trouble.DEVICE_STATE in troubles
    ctx.clock.at_s = AT_S + 300
    record(ctx, [replace(FULL, devices=(lost, fleet.BARE), kernel_messages=())])
    keep(ctx, FULL, AT_S + 300)
    assert states(AT_S + 300) == [DeviceState.LOST, DeviceState.OK]
    assert states(AT_S + 200) == [DeviceState.OK, DeviceState.OK]
    events = chronicle_.look(AT_S + 100, TODAY).events
    assert max(event.at_s for event in events) == AT_S + 100


def test_a_node_that_was_down_says_what_was_said_of_it(ctx):
    keep(ctx, FULL, AT_S)
    record(ctx, [FULL])
    ctx.clock.at_s = AT_S + 600
    record(ctx, [replace(fleet.DOWN_NODE, spec=FULL.spec)])
    node = the_node(ctx, AT_S + 1000)
    assert (node.state, node.reason) == (NodeState.UNREACHABLE, "connection refused")


VALUES = st.one_of(st.none(), st.just(0.0), st.integers(0, 100_000).map(float))


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(READINGS.values())), VALUES))
def test_nothing_unknown_becomes_zero(values):
    with world() as ctx:
        ctx.history.append([Sample(SeriesKey(SeriesKind.DEVICE, "full", fleet.FULL_UUID), AT_S, values)])
        (device,) = the_node(ctx, AT_S).devices
        for name, metric in READINGS.items():
            assert read(device, name) == values.get(metric)
            assert (name in device.unavailable) is (values.get(metric) is None)


def test_without_a_recording_the_past_is_that_of_the_history(ctx):
    assert isinstance(chronicle(ctx), HistoryChronicle)
    assert chronicle(ctx).span() is None
    assert chronicle(ctx).neighbours(AT_S) == (None, None)
    (node,) = chronicle(ctx).look(AT_S, ()).nodes
    assert (node.state, node.devices) == (NodeState.STALE, ())


def test_the_past_of_a_recording_is_what_it_has(tmp_path):
    recorder = Recorder(tmp_path / "a.rec", [FULL.spec], began_s=AT_S, every_s=10.0, commands=True)
    for number in range(3):
        told = replace(FULL, spec=FULL.spec, at_s=float(AT_S + 10 * number), user=f"tick {number}")
        recorder.tick(float(AT_S + 10 * number), [told])
    recorder.close()
    with open_context(Options(sim=str(tmp_path / "a.rec"), state_dir=tmp_path / "state")) as ctx:
        past = chronicle(ctx)
        assert past.span() == (AT_S, AT_S + 20)
        assert past.neighbours(AT_S + 10) == (AT_S, AT_S + 20)
        then = past.look(AT_S + 15, ())
        assert (then.sampled_s, then.period_s) == (AT_S + 10, 10.0)
        (node,) = then.nodes
        assert (node.user, node.processes, node.limited) == ("tick 1", FULL.processes, None)


def test_a_whole_cluster_stands_as_it_stood_when_it_was_sampled(tmp_path):
    with open_context(Options(sim="demo", state_dir=tmp_path)) as ctx:
        snapshot = observe(ctx)
        sample(ctx, snapshot)
        _, newest_s = chronicle(ctx).span()
        then = chronicle(ctx).look(newest_s, snapshot.nodes)
    assert [node.name for node in then.nodes] == [node.name for node in snapshot.nodes]
    assert any(device.mig_instances for node in snapshot.nodes for device in node.devices)
    for was, node in zip(snapshot.nodes, then.nodes, strict=True):
        assert (node.state, node.reason) == (was.state, was.reason)
        assert [shown(device) for device in node.devices] == [shown(device) for device in was.devices]


def shown(device):
    """What a list of devices shows of one."""
    instances = sorted((one.uuid, one.profile, one.start, one.memory_used_mib) for one in device.mig_instances)
    return (
        device.uuid,
        device.index,
        device.model,
        device.state,
        device.memory_used_mib,
        device.temperature_c,
        instances,
    )
