"""What simulated GPUs and hosts tell beside their load, and how troubles show in it."""

from __future__ import annotations

import json
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.adapters.fleet import LinkedFleet
from gpualloc.adapters.simulated import SimulatedNodes
from gpualloc.errors import ConfigError
from gpualloc.model.inventory import DeviceState, Node
from gpualloc.model.readings import NO_ACTIVITY, Throttle
from gpualloc.node.wire import UNAVAILABLE, Refused
from gpualloc.sim.catalog import find, keys
from gpualloc.sim.cluster import ClusterSpec, Fault, HostSpec, Stranger, check_cluster
from gpualloc.sim.energy import EnergyMeter
from gpualloc.sim.gpu import FaultKind, GpuModel
from gpualloc.sim.rows import sample_row
from gpualloc.sim.state import SimulatedCluster
from gpualloc.sim.use import Pattern, mean_utilization, utilization

BOB = Stranger("bob", "python train.py", (0,), 1000, Pattern.STEADY)
SCALARS = (
    "memory_temperature_c", "memory_clock_mhz", "fan_ratio", "energy_j", "performance_state",
    "encoder_utilization_ratio", "decoder_utilization_ratio", "throttles", "nvlink_rx_bytes_per_s",
)  # fmt: skip


class Wall:
    """A wall clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def wall() -> Wall:
    return Wall()


def spec(*gpus: str, faults: tuple[Fault, ...] = (), **fields: object) -> ClusterSpec:
    host = replace(HostSpec("n1", gpus), **fields)  # type: ignore[arg-type]
    return ClusterSpec("test", (host,), faults=faults)


def see(tmp_path: Path, wall: Wall, cluster: ClusterSpec) -> Node:
    """The only node as the fleet sees it, decoded like any other."""
    nodes = SimulatedNodes(tmp_path, cluster, wall=wall)
    with closing(LinkedFleet([(nodes.specs()[0], lambda: nodes.link("n1"))], clock=nodes.clock)) as fleet:
        (node,) = fleet.observe()
    nodes.close()
    return node


@pytest.mark.parametrize("key", keys())
@pytest.mark.parametrize("sick", [False, True])
def test_every_reading_that_is_null_says_why(tmp_path: Path, wall: Wall, key: str, sick: bool) -> None:
    faults = (Fault("n1", FaultKind.LOST, gpu=0),) if sick else ()
    device = see(tmp_path, wall, spec(key, key, faults=faults, strangers=(BOB,))).devices[0]
    missing = {name for name in SCALARS if getattr(device, name) is None}
    for part in ("ecc", "pcie", "activity", "board"):
        row = getattr(device, part)
        missing |= {f"{part}.{name}" for name in row.__struct_fields__ if getattr(row, name) is None}
    assert missing <= set(device.unavailable)
    assert set(device.unavailable.values()) <= set(UNAVAILABLE)
    told = {name for name in device.unavailable if "." in name and not name.startswith("settings.")}
    assert told <= missing


@pytest.mark.parametrize(
    ("key", "count", "way", "up"),
    [
        ("H100-80GB", 8, "NV18", 18),
        ("A100-40GB", 4, "NV4", 12),
        ("A100-80GB", 8, "NV12", 12),
        ("A30-24GB", 2, "NV4", 4),
        ("T4", 2, "PIX", 0),
    ],
)
def test_how_gpus_reach_each_other_goes_by_the_model(
    tmp_path: Path, wall: Wall, key: str, count: int, way: str, up: int
) -> None:
    devices = see(tmp_path, wall, spec(*[key] * count)).devices
    assert {devices[0].peers[other.uuid] for other in devices[1:]} == {way}
    assert [sum(bool(link.up) for link in device.nvlinks) for device in devices] == [up] * count


def test_gpus_of_two_numa_nodes_are_far_from_each_other(tmp_path: Path, wall: Wall) -> None:
    devices = see(tmp_path, wall, spec(*["L4"] * 4, numa_nodes=2)).devices
    assert [devices[0].peers[other.uuid] for other in devices[1:]] == ["PIX", "SYS", "SYS"]


def test_real_use_is_told_from_hopper_on(tmp_path: Path, wall: Wall) -> None:
    old, new = see(tmp_path, wall, spec("A100-40GB", "H100-80GB", strangers=(replace(BOB, gpus=(0, 1)),))).devices
    assert old.activity == NO_ACTIVITY
    assert 0 < (new.activity.sm_active_ratio or 0) <= (new.gpu_utilization_ratio or 0)


def test_an_instance_tells_its_own_use(tmp_path: Path, wall: Wall) -> None:
    busy = replace(BOB, profile="2g.20gb")
    made = ((0, "2g.20gb"), (0, "1g.10gb"))
    (device,) = see(tmp_path, wall, spec("H100-80GB", mig=(0,), instances=made, strangers=(busy,))).devices
    used = {instance.profile: instance.activity.sm_active_ratio for instance in device.mig_instances}
    assert used["1g.10gb"] == 0.0
    assert (used["2g.20gb"] or 0) > 0.5
    assert device.unavailable["ecc.remap_pending"] == "mig"


def test_a_host_tells_its_ports_and_what_is_on_its_bus(tmp_path: Path, wall: Wall) -> None:
    host = see(tmp_path, wall, spec("L4", "L4", labels={"net": "ib"})).host
    assert [(port.name, port.kind, port.up) for port in host.ports] == [
        ("eth0", "ethernet", True),
        ("mlx5_0/1", "infiniband", True),
    ]
    assert (host.gpus_on_bus, host.swap_in_bytes_per_s, host.rdma_rx_bytes_per_s) == (2, 0, 0)
    assert see(tmp_path / "other", wall, spec("L4")).host.rdma_rx_bytes_per_s is None


def test_a_process_tells_what_it_uses(tmp_path: Path, wall: Wall) -> None:
    node = see(tmp_path, wall, spec("L4", strangers=(BOB,)))
    (process,) = node.processes
    assert process.gpu_utilization_ratio == node.devices[0].gpu_utilization_ratio
    assert (process.container, process.parent) == (None, 1)


class TestTroubles:
    def see(self, tmp_path: Path, wall: Wall, kind: FaultKind, code: int | None = None) -> Node:
        wall.now_s += 5
        fault = Fault("n1", kind, gpu=0, code=code)
        return see(tmp_path, wall, spec("H100-80GB", "H100-80GB", faults=(fault,)))

    def test_throttled(self, tmp_path: Path, wall: Wall) -> None:
        hot, well = self.see(tmp_path, wall, FaultKind.THROTTLED).devices
        assert Throttle.HW_THERMAL in (hot.throttles or ())
        assert (hot.temperature_c or 0) > (well.temperature_c or 0) + 10
        assert well.throttles == (Throttle.IDLE,)

    def test_pcie_degraded(self, tmp_path: Path, wall: Wall) -> None:
        narrow, well = self.see(tmp_path, wall, FaultKind.PCIE_DEGRADED).devices
        assert (narrow.pcie.width, narrow.pcie.width_max, well.pcie.width) == (8, 16, 16)

    def test_ghost_busy(self, tmp_path: Path, wall: Wall) -> None:
        node = self.see(tmp_path, wall, FaultKind.GHOST_BUSY)
        assert (node.devices[0].gpu_utilization_ratio, node.processes) == (1.0, ())

    def test_memory_errors(self, tmp_path: Path, wall: Wall) -> None:
        node = self.see(tmp_path, wall, FaultKind.ECC_ERRORS)
        assert [device.ecc.volatile_uncorrected for device in node.devices] == [2, 0]
        assert [message.code for message in node.kernel_messages] == [48]

    def test_a_row_that_waits(self, tmp_path: Path, wall: Wall) -> None:
        node = self.see(tmp_path, wall, FaultKind.REMAP_PENDING)
        assert [device.ecc.remap_pending for device in node.devices] == [True, False]
        assert [message.code for message in node.kernel_messages] == [63]

    def test_missing(self, tmp_path: Path, wall: Wall) -> None:
        node = self.see(tmp_path, wall, FaultKind.MISSING)
        assert ([device.index for device in node.devices], node.host.gpus_on_bus) == ([1], 2)

    def test_an_xid(self, tmp_path: Path, wall: Wall) -> None:
        node = self.see(tmp_path, wall, FaultKind.XID, code=31)
        (message,) = node.kernel_messages
        assert (message.code, message.pci_bus_id) == (31, node.devices[0].board.pci_bus_id)
        assert message.at_s == 1_790_000_005.0
        assert {device.state for device in node.devices} == {DeviceState.OK}

    def test_a_gpu_in_trouble_still_takes_work_and_a_missing_one_does_not(self, wall: Wall) -> None:
        faults = (Fault("n1", FaultKind.MISSING, 0), Fault("n1", FaultKind.THROTTLED, 1))
        host = SimulatedCluster.start(spec("L4", "L4", faults=faults), wall()).host("n1", wall())
        for index, takes in ((0, False), (1, True)):
            grant = {"device": host.gpus[index].uuid, "mig_instance": None}
            step = {"kind": "start", "workload": "w1", "command": ["true"], "cwd": None, "grants": [grant]}
            with nullcontext() if takes else pytest.raises(Refused, match="does not work"):
                host.preflight(step)


def test_lines_come_when_their_time_comes_in_order_and_go_with_a_reboot(tmp_path: Path, wall: Wall) -> None:
    faults = tuple(
        Fault("n1", FaultKind.XID, gpu=gpu, from_s=from_s, code=code)
        for gpu, from_s, code in [(1, 20.0, 13), (0, 10.0, 31), (0, 20.0, 79), (0, 9e9, 95)]
    )
    cluster = spec("L4", "L4", faults=faults)
    assert see(tmp_path, wall, cluster).kernel_messages == ()
    wall.now_s += 15
    assert [message.code for message in see(tmp_path, wall, cluster).kernel_messages] == [31]
    wall.now_s += 15
    told = see(tmp_path, wall, cluster).kernel_messages
    assert [message.code for message in told] == [31, 79, 13]
    assert [message.seq for message in told] == sorted({message.seq for message in told})
    nodes = SimulatedNodes(tmp_path, cluster, wall=wall)
    nodes.reboot("n1")
    nodes.close()
    assert see(tmp_path, wall, cluster).kernel_messages == ()


@pytest.mark.parametrize(
    "fault",
    [
        Fault("n1", FaultKind.XID, gpu=0),
        Fault("n1", FaultKind.HUNG, gpu=0, code=79),
        Fault("n1", FaultKind.XID, code=1),
    ],
)
def test_only_an_xid_has_a_code(fault: Fault) -> None:
    with pytest.raises(ConfigError):
        check_cluster(spec("L4", faults=(fault,)))


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=8), st.lists(st.floats(10, 700), min_size=8, max_size=8))
def test_energy_never_falls_and_goes_by_the_power(steps: list[float], powers: list[float]) -> None:
    meter, now_s, least, before = EnergyMeter(), 1e9, 0.0, 0.0
    meter.let_pass(now_s, powers[0])
    for step, power in zip(steps, powers, strict=False):
        now_s += step
        told = meter.at(now_s, power)
        meter.let_pass(now_s, power)
        assert told >= before
        assert meter.at(now_s, power) == pytest.approx(told, abs=0.01)
        before, least = meter.taken_j, least + step * 10
    assert meter.at(now_s, powers[0]) >= least - 10 * 10 - 1


def test_looking_does_not_change_what_is_stored() -> None:
    model = GpuModel(find("L4"), "GPU-1", 0)
    model.let_pass(1000.0)
    before = json.dumps(model.to_plain())
    sample_row(model, None, 1003.0)
    model.let_pass(1003.0)
    assert json.dumps(model.to_plain()) == before
    model.let_pass(1012.0)
    again = GpuModel.from_plain(json.loads(json.dumps(model.to_plain())))
    assert again.energy_j(1020.0) == model.energy_j(1020.0) == pytest.approx(20 * (model.mean_power_w or 0), abs=0.01)


def test_a_cluster_that_an_earlier_version_wrote_is_read(tmp_path: Path, wall: Wall) -> None:
    cluster = spec("L4", strangers=(BOB,))
    see(tmp_path, wall, cluster)
    file = tmp_path / "cluster.json"
    plain = json.loads(file.read_text())
    for gpu in plain["hosts"]["n1"]["gpus"]:
        del gpu["energy"]
    del plain["hosts"]["n1"]["booted_s"]
    file.write_text(json.dumps(plain))
    assert see(tmp_path, wall, cluster).devices[0].energy_j == 0.0


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(Pattern), st.integers(0, 1000))
def test_the_mean_of_a_pattern_is_about_right(pattern: Pattern, seed: int) -> None:
    day = [utilization(pattern, seed, second, second) for second in range(0, 864_000, 700)]
    assert sum(day) / len(day) == pytest.approx(mean_utilization(pattern), abs=0.08)
