"""On a real GPU: what the node program tells of it is what nvidia-ml-py answers, and what each group of calls costs."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pynvml
import pytest
from fakes.nvml_direct import RATES, Why, expected_inventory, expected_sample, flat

from gpualloc.node.groups import EVERY_S
from gpualloc.node.nvml import Nvml

pytestmark = pytest.mark.gpu

LOOKS = 20
MOVING = frozenset(
    {
        *("memory_used_mib", "gpu_utilization_ratio", "memory_utilization_ratio", "power_w", "temperature_c"),
        *("memory_temperature_c", "sm_clock_mhz", "memory_clock_mhz", "fan_ratio", "energy_j", "performance_state"),
        *("encoder_utilization_ratio", "decoder_utilization_ratio", "throttles", "pcie.generation", "pcie.width"),
        *("pcie.replays", "nvlinks"),
    }
)
"""What may be another value a moment later: for these only whether it is told, and of what type."""


@pytest.fixture(scope="module")
def nvml(handles: list[Any]) -> Nvml:
    assert handles, "the driver lists no GPU"
    return Nvml(30.0)


def inventory(nvml: Nvml) -> list[dict[str, Any]]:
    return nvml.ask(lambda gpu: gpu.inventory(), lambda gpu: gpu.blank_inventory())


def sample(nvml: Nvml) -> list[dict[str, Any]]:
    return nvml.ask(lambda gpu: gpu.sample(), lambda gpu: gpu.blank_sample())


def processes(nvml: Nvml) -> list[dict[str, Any]]:
    return nvml.ask(lambda gpu: gpu.processes(), lambda gpu: {"uuid": gpu.uuid, "processes": []})


def compare(told: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name, value in wanted.items():
        if name in MOVING and not isinstance(value, Why):
            assert type(told[name]) is type(value), (name, told[name], value)
        else:
            assert told[name] == value, name


def test_what_stays_the_same_is_what_the_driver_answers(nvml: Nvml, handles: list[Any]) -> None:
    rows = inventory(nvml)
    assert [row["state"] for row in rows] == ["ok"] * len(handles)
    for row, handle in zip(rows, handles, strict=True):
        compare(flat(row), expected_inventory(handle))
        assert set(row["peers"]) <= {other["uuid"] for other in rows} - {row["uuid"]}


def test_the_load_is_what_the_driver_answers(nvml: Nvml, handles: list[Any]) -> None:
    for row, handle in zip(sample(nvml), handles, strict=True):
        compare(flat(row), expected_sample(handle))


def test_rates_and_means_come_with_the_second_look(nvml: Nvml) -> None:
    sample(nvml)
    time.sleep(0.2)  # what the driver's counters need between two samples
    for row in sample(nvml):
        told = flat(row)
        for name in (*RATES, *(name for name in told if name.startswith("activity."))):
            assert told[name] != Why("not yet")
            assert isinstance(told[name], Why) or told[name] >= 0


def test_processes_are_those_that_the_driver_lists(nvml: Nvml, handles: list[Any]) -> None:
    for row, handle in zip(processes(nvml), handles, strict=True):
        modes = row["processes"] and pynvml.nvmlDeviceGetComputeRunningProcesses_v2(handle)
        assert {one.pid for one in modes or []} <= {pid for pid, *_ in row["processes"]}


def test_the_cost_of_each_group_is_written_down(nvml: Nvml, handles: list[Any]) -> None:
    for _ in range(LOOKS):
        inventory(nvml)
        sample(nvml)
        processes(nvml)
        time.sleep(0.6)  # so that what is kept for half a second is read again
    groups = nvml.costs()
    assert {row["group"] for row in groups} <= set(EVERY_S)
    report = {
        "driver": pynvml.nvmlSystemGetDriverVersion(),
        "library": pynvml.nvmlSystemGetNVMLVersion(),
        "binding": getattr(pynvml, "__version__", None),
        "models": [pynvml.nvmlDeviceGetName(handle) for handle in handles],
        "groups": groups,
        "not_told": sorted({f"{name}: {why}" for row in sample(nvml) for name, why in row["unavailable"].items()}),
    }
    if "GPUALLOC_GPU_REPORT" in os.environ:
        Path(os.environ["GPUALLOC_GPU_REPORT"]).write_text(json.dumps(report, indent=2) + "\n")
    print(f"\n{report['models']}, driver {report['driver']}; not told: {report['not_told']}")
    print(f"{'group':<20}{'every s':>8}{'calls':>7}{'mean us':>10}{'max us':>10}")
    for row in groups:
        every = "look" if row["every_s"] is None else f"{row['every_s']:g}"
        print(f"{row['group']:<20}{every:>8}{row['calls']:>7}{row['mean_s'] * 1e6:>10.1f}{row['max_s'] * 1e6:>10.1f}")
