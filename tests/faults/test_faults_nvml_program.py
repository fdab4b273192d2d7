"""A sick driver under a node program of its own: the C library through dlopen, real blocking calls, real pipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes.nvml_program import NodeProgram, running
from fakes.nvml_sensors import MISSING, Sensors
from fakes.nvml_stub import FakeGpu, environment, write_state
from msgspec.structs import replace

GPUS = [
    FakeGpu(
        index,
        uuid=f"GPU-{index:08d}-0000-0000-0000-000000000000",
        minor=index,
        processes=((4_000_000 + index, 100),),
        sensors=Sensors(serial=f"S{index}", near=20, throttle_bits=4),
    )
    for index in range(4)
]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "nvml"


def listed(state: Path, *numbers: int, **changes: Any) -> None:
    """Let the driver list these GPUs in that order, the first of them changed."""
    gpus = [replace(GPUS[number], index=index) for index, number in enumerate(numbers)]
    if changes:
        gpus[0] = replace(gpus[0], **changes)
    write_state(state, gpus)


def states(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {row["uuid"][11]: row["state"] for row in rows}


def test_a_hung_gpu_is_one_row_and_its_return_is_seen(state: Path, tmp_path: Path) -> None:
    listed(state, 2, 0, 1, 3)
    with running(environment(state), tmp_path / "node", deadline_s=1.0) as program:
        program.look()
        listed(state, 2, 0, 1, 3, fault="hang")
        _, sample, processes = program.look()
        assert states(sample["devices"]) == {"0": "ok", "1": "ok", "2": "driver not answering", "3": "ok"}
        inventory = program.ask("inventory")
        assert states(inventory["devices"]) == states(sample["devices"])
        assert {row["device"][11] for row in processes["processes"]} == {"0", "1", "3"}
        assert inventory["devices"][0]["board"]["serial"] == "S2"
        listed(state, 2, 0, 1, 3)
        wait_until_all_are_ok(program)


def wait_until_all_are_ok(program: NodeProgram) -> None:
    for _ in range(200):
        if set(states(program.devices("sample")).values()) == {"ok"}:
            return
    pytest.fail("it stays sick")


def test_gpus_that_leave_and_return_elsewhere_are_told_by_their_uuid(state: Path, tmp_path: Path) -> None:
    listed(state, 0, 1, 2, 3)
    with running(environment(state), tmp_path / "node") as program:
        program.look()
        listed(state, 0, 2, 3)
        rows = wait_for_indices(program, {"0": 0, "2": 1, "3": 2})
        assert states(list(rows.values())) == {"0": "ok", "1": "GPU lost", "2": "ok", "3": "ok"}
        assert rows["1"]["board"]["serial"] == "S1"
        assert {row["device"][11] for row in program.ask("processes")["processes"]} == {"0", "2", "3"}
        listed(state, 1, 0, 2, 3)
        wait_for_indices(program, {"1": 0, "0": 1, "2": 2, "3": 3})


def wait_for_indices(program: NodeProgram, wanted: dict[str, int]) -> dict[str, dict[str, Any]]:
    """The rows by the number of the GPU, once those that are well have these indices."""
    for _ in range(5000):
        program.ask("sample")
        rows = {row["uuid"][11]: row for row in program.devices("inventory")}
        if {name: row["index"] for name, row in rows.items() if row["state"] == "ok"} == wanted:
            return rows
    pytest.fail(f"the rows stay {rows}")


def test_a_program_that_starts_with_a_lost_gpu_tells_of_the_others(state: Path, tmp_path: Path) -> None:
    listed(state, 3, 1, fault="lost")
    with running(environment(state), tmp_path / "node") as program:
        first, second = program.devices("inventory")
        assert (first["state"], second["state"]) == ("GPU lost", "ok")
        assert first["uuid"].startswith("GPU-")
        assert first["memory_total_mib"] is None
        assert first["unavailable"]["board.serial"] == "lost"


def test_without_the_library_the_node_has_no_nvml(tmp_path: Path) -> None:
    with running({"LD_LIBRARY_PATH": str(tmp_path)}, tmp_path / "node") as program:
        nvml = program.ask("hello")["nvml"]
        assert (nvml["state"], "libnvidia-ml.so.1" in nvml["reason"]) == ("absent", True)
        assert [told.get("devices", told.get("processes")) for told in program.look()] == [[], [], []]
        assert "memory" not in {group["group"] for group in program.ask("cost")["groups"]}


@pytest.mark.parametrize(("code", "word"), [(9, "absent"), (18, "mismatch"), (999, "failed")])
def test_a_library_that_does_not_open_is_told_with_its_reason(
    state: Path, tmp_path: Path, code: int, word: str
) -> None:
    write_state(state, GPUS, init_code=code)
    with running(environment(state), tmp_path / "node") as program:
        nvml = program.ask("hello")["nvml"]
        assert nvml["state"] == word
        assert nvml["reason"]
        assert program.devices("sample") == []


@pytest.mark.parametrize("branch", sorted(MISSING))
def test_older_drivers_lack_functions_and_the_rest_is_told(state: Path, tmp_path: Path, branch: str) -> None:
    write_state(state, [replace(GPUS[0], mig_enabled=False)], long_processes=branch == "R535")
    with running(environment(state, without=MISSING[branch]), tmp_path / "node") as program:
        inventory, sample, processes = program.look()
        row = sample["devices"][0]
        assert (row["state"], row["temperature_c"], row["throttles"]) == ("ok", 35, ["power cap"])
        assert row["unavailable"]["activity.sm_active_ratio"] == "not supported"
        assert (inventory["devices"][0]["memory_total_mib"], inventory["devices"][0]["mig_enabled"]) == (40_960, False)
        assert [(one["pid"], one["gpu_memory_used_mib"]) for one in processes["processes"]] == [(4_000_000, 100)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"gpu_utilization_percent": 4000}, "gpu_utilization_ratio"),
        ({"memory_used_mib": 999_999}, "memory_used_mib"),
        ({"power_w": 4_294_967.0, "power_limit_w": 4_294_967.0}, "power_w"),
        ({"temperature_c": 255}, "temperature_c"),
        ({"sm_clock_mhz": 2_000_000_000}, "sm_clock_mhz"),
        ({"sensors": Sensors(energy_mj=2**63 - 1)}, "energy_j"),
        ({"sensors": Sensors(ecc_totals=(2**63 - 1, 0, 0, 0))}, "ecc.volatile_corrected"),
        ({"sensors": Sensors(remapped=(0, 0, 7, 0))}, "ecc.remap_pending"),
        ({"sensors": Sensors(pcie_link=(0, 16, 5, 16))}, "pcie.generation"),
        ({"sensors": Sensors(performance_state=32)}, "performance_state"),
        ({"sensors": Sensors(fan_percent=65_535)}, "fan_ratio"),
    ],
)
def test_a_value_that_cannot_be_is_no_reading(state: Path, tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    listed(state, 0, **changes)
    with running(environment(state), tmp_path / "node") as program:
        [row] = program.devices("sample")
        part, _, name = field.rpartition(".")
        assert (row[part] if part else row)[name] is None
        assert row["unavailable"][field] == "implausible"
        assert row["state"] == "ok"
