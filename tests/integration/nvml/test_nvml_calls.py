"""How many calls into the driver a look costs, and what the groups of readings say they cost."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.nvml_program import counted, running
from fakes.nvml_sensors import SWITCH, Link, Sensors
from fakes.nvml_stub import FakeGpu, environment, write_state
from msgspec.structs import replace

from gpualloc.node.groups import EVERY_S

NVITOP = 22
"""Calls that nvitop makes of each GPU at each look."""
FULL = FakeGpu(
    0,
    name="NVIDIA H100 80GB HBM3",
    architecture=9,
    mig_enabled=False,
    processes=((41, 2048),),
    sensors=Sensors(
        memory_temperature_c=61,
        memory_clock_mhz=2619,
        energy_mj=2**40,
        performance_state=0,
        encoder_percent=3,
        decoder_percent=4,
        throttle_bits=5,
        ecc_modes=(1, 1),
        ecc_totals=(1, 2, 3, 4),
        remapped=(5, 6, 1, 0),
        pcie_link=(4, 8, 5, 16),
        pcie_replays=9,
        pcie_kb=(123, 456),
        nvlinks=(Link(remote=SWITCH),) * 18,
        nvlink_kib=(77, 2**41),
        serial="1650123456789",
        over_nvlink=True,
        activity=(50.0, 25.5, 12.25, 1.0),
        use=((41, 7, 5),),
    ),
)
"""A GPU that has all there is to read but a fan, with a process on it."""


@pytest.mark.parametrize("count", [1, 4])
def test_a_look_in_the_steady_state_makes_fewer_calls_than_nvitop(tmp_path: Path, count: int) -> None:
    state, log = tmp_path / "nvml", tmp_path / "calls"
    write_state(state, [replace(FULL, index=index) for index in range(count)])
    with running(environment(state, calls=log), tmp_path / "node") as program:
        program.look()
        first = counted(log)
        program.look()
        counted(log)
        # At the third look nothing waits for a second one any more, and all that is dear was read a moment ago.
        _, sample, _ = program.look()
        steady = counted(log)
    assert sum(steady.values()) / count < NVITOP, dict(steady)
    assert sum(first.values()) / count < 110, dict(first)
    assert first["nvmlDeviceGetPcieThroughput"] == 0, "it blocks, and the first look is often the only one"
    assert first["nvmlDeviceGetCount_v2"] == first["nvmlInitWithFlags"] == 1
    for dear in ("nvmlDeviceGetPcieThroughput", "nvmlDeviceGetNvLinkState", "nvmlDeviceGetSerial"):
        assert steady[dear] == 0
    assert sample["devices"][0]["pcie"]["tx_bytes_per_s"] == 123_000
    print(
        f"{count} GPUs: {sum(first.values()) / count:g} calls per GPU at first, {sum(steady.values()) / count:g} then"
    )


def test_the_cost_of_each_group_is_told(tmp_path: Path) -> None:
    state = tmp_path / "nvml"
    write_state(state, [FULL])
    with running(environment(state), tmp_path / "node") as program:
        for _ in range(2):
            program.look()
        told = {row["group"]: row for row in program.ask("cost")["groups"] if row["group"] in EVERY_S}
    assert {row["every_s"] for row in told.values()} == {EVERY_S[name] for name in told}
    assert {"memory", "utilization", "ecc", "pcie link", "nvlink", "activity", "processes", "settings"} <= set(told)
    for row in told.values():
        assert row["calls"] > 0
        assert 0 < row["mean_s"] <= row["max_s"]


def test_gpus_say_how_they_reach_each_other(tmp_path: Path) -> None:
    state = tmp_path / "nvml"
    addresses = [f"00000000:{bus:02X}:00.0" for bus in (0x1B, 0x3B, 0x86)]
    to_second = (Link(remote=addresses[1]),) * 4
    to_first = (Link(remote=addresses[0]),) * 4
    write_state(
        state,
        [
            FakeGpu(0, sensors=Sensors(pci_bus_id=addresses[0], nvlinks=(*to_second, Link(up=False)), near=50)),
            FakeGpu(1, sensors=Sensors(pci_bus_id=addresses[1], nvlinks=to_first, near=40)),
            FakeGpu(2, sensors=Sensors(pci_bus_id=addresses[2])),
        ],
    )
    with running(environment(state), tmp_path / "node") as program:
        rows = program.devices("inventory")
        links = program.devices("sample")[0]["nvlinks"]
    uuids = [row["uuid"] for row in rows]
    assert [row["board"]["pci_bus_id"] for row in rows] == ["0000:1b:00.0", "0000:3b:00.0", "0000:86:00.0"]
    assert [row["peers"] for row in rows] == [
        {uuids[1]: "NV4", uuids[2]: "SYS"},
        {uuids[0]: "NV4", uuids[2]: "NODE"},
        {},
    ]
    assert [(link["up"], link["remote"]) for link in links] == [(True, "0000:3b:00.0")] * 4 + [(False, None)]


def test_gpus_at_a_switch_reach_each_other_over_it_when_the_driver_says_so(tmp_path: Path) -> None:
    state = tmp_path / "nvml"
    sensors = Sensors(nvlinks=(Link(remote=SWITCH),) * 6, near=20, over_nvlink=True)
    write_state(state, [FakeGpu(0, sensors=sensors), FakeGpu(1, sensors=replace(sensors, over_nvlink=False))])
    with running(environment(state), tmp_path / "node") as program:
        first, second = program.devices("inventory")
    assert first["peers"] == {second["uuid"]: "NV6"}
    assert second["peers"] == {first["uuid"]: "PXB"}
