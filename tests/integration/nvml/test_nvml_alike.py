"""Both driver libraries of tests/fakes go through the same changes alike."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pynvml
import pytest
from fakes import nvml_moves
from fakes.nvml_library import NvmlLibrary, installed
from fakes.nvml_sensors import MISSING, SWITCH, Link, Sensors
from fakes.nvml_stub import environment, fake_gpu, write_state
from msgspec.structs import replace

from gpualloc.sim.catalog import find
from gpualloc.sim.gpu import GpuModel, GpuProcess
from gpualloc.sim.use import Pattern

READER = Path(__file__).parent / "nvml_reader.py"
LENGTH = 600


def moves(gpu: GpuModel, chance: random.Random) -> list[str]:
    """A random walk through changes, many of which can be made and many of which cannot."""
    table = gpu.kind.mig
    assert table is not None
    walk = ["switch(0, 1)"]
    for _ in range(LENGTH):
        profile, gi = chance.choice(table.profiles), chance.choice(gpu.gi_order()[:4])
        walk += chance.choices(
            [
                [f"make(0, {profile.id}, {chance.choice([*profile.starts, 1, 9])})"],
                [f"finish(0, {gi}, {chance.randint(0, 8)})"],
                [f"compute_profiles(0, {gi})"],
                [f"strip(0, {gi})", f"drop(0, {gi})"],
                [f"drop(0, {gi})"],
                ["devices(0)", f"capacity(0, {profile.id})"],
                [f"switch(0, {chance.choice([0, 1, 1, 1])})"],
                [f"limit(0, {chance.randint(0, 800_000)})", f"clocks(0, {chance.choice([0, 300])}, 300)"],
                [f"compute_mode(0, {chance.randint(0, 4)})", f"persistence(0, {chance.randint(0, 1)})"],
            ],
            weights=[20, 30, 5, 5, 10, 5, 4, 5, 5],
        )[0]
    return walk


@pytest.mark.parametrize("model", ["A100-40GB", "A30-24GB", "H100-80GB", "RTX-PRO-6000-96GB"])
def test_both_libraries_answer_a_walk_of_changes_alike(tmp_path: Path, model: str) -> None:
    gpu = GpuModel(find(model), "GPU-0", 0, seed=4)
    walk = moves(gpu, random.Random(model))
    state = tmp_path / "nvml"
    write_state(state, [fake_gpu(gpu, 0.0)])
    through_c = subprocess.run(
        [sys.executable, str(READER)],
        env={**os.environ, **environment(state), "PYTHONPATH": str(Path(__file__).parents[2])},
        input="\n".join(walk) + "\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout.splitlines()
    with installed(NvmlLibrary([gpu])):
        pynvml.nvmlInit()
        through_python = [eval(move, vars(nvml_moves)) for move in walk]
        pynvml.nvmlShutdown()
    answers: list[Any] = [json.loads(line) for line in through_c]
    assert list(zip(walk, answers, strict=True)) == list(zip(walk, through_python, strict=True))
    told = set(map(str, through_python))
    assert {"NVMLError_InsufficientResources", "NVMLError_InUse", "NVMLError_InvalidArgument"} <= told


READS = [
    *(
        f"nvmlDeviceGet{name}(gpu(0))"
        for name in (
            *("Name", "UUID", "MinorNumber", "Architecture", "PowerUsage", "EnforcedPowerLimit"),
            *("TotalEnergyConsumption", "FanSpeed", "PerformanceState", "EncoderUtilization", "DecoderUtilization"),
            *("CurrentClocksEventReasons", "CurrentClocksThrottleReasons", "EccMode", "RemappedRows"),
            *("CurrPcieLinkGeneration", "CurrPcieLinkWidth", "MaxPcieLinkGeneration", "MaxPcieLinkWidth"),
            *("PcieReplayCounter", "Serial", "VbiosVersion", "InforomImageVersion"),
        )
    ),
    "nvmlDeviceGetPciInfo(gpu(0)).busId",
    "nvmlDeviceGetMemoryInfo(gpu(0)).used",
    "nvmlDeviceGetMemoryInfo(gpu(0), nvmlMemory_v2).total",
    "nvmlDeviceGetUtilizationRates(gpu(0)).memory",
    "nvmlDeviceGetTemperatureV(gpu(0), 0)",
    "nvmlDeviceGetTemperature(gpu(0), 0)",
    *(f"nvmlDeviceGetClockInfo(gpu(0), {clock})" for clock in (1, 2)),
    *(f"nvmlDeviceGetTotalEccErrors(gpu(0), {kind}, {counter})" for kind in (0, 1, 2) for counter in (0, 1)),
    *(f"nvmlDeviceGetPcieThroughput(gpu(0), {counter})" for counter in (0, 1, 2)),
    *(f"nvmlDeviceGetNvLinkState(gpu(0), {link})" for link in range(4)),
    *(f"nvmlDeviceGetNvLinkRemoteDeviceType(gpu(0), {link})" for link in range(4)),
    *(f"nvmlDeviceGetNvLinkRemotePciInfo(gpu(0), {link}).busId" for link in range(4)),
    *(f"nvmlDeviceGetNvLinkErrorCounter(gpu(0), {link}, {counter})" for link in range(4) for counter in range(5)),
    "fields(0, [1, 2, 3, 4, 5, 6, 7, 82, 83, 94, 142, 143, 144, 145, 185])",
    "fields(0, [(138, 4294967295), (139, 4294967295), (138, 0)])",
    "fields(0, [(field, link) for link in range(4) for field in (161, 162, 163)])",
    "nvmlDeviceGetTopologyCommonAncestor(gpu(0), gpu(1))",
    "[nvmlDeviceGetP2PStatus(gpu(0), gpu(1), 2)]",
    "nvmlDeviceGetP2PStatus(gpu(0), gpu(1), 1)",
    "[[one.pid, one.usedGpuMemory] for one in nvmlDeviceGetComputeRunningProcesses(gpu(0))]",
    "[[one.pid, one.usedGpuMemory] for one in nvmlDeviceGetComputeRunningProcesses_v2(gpu(0))]",
    "nvmlDeviceGetGraphicsRunningProcesses(gpu(0))",
    *(f"[[one.pid, one.smUtil] for one in nvmlDeviceGetProcessUtilization(gpu(0), {seen})]" for seen in (0, 7, 9)),
    "nvmlGpmQueryDeviceSupport(gpu(0)).isSupportedDevice",
    "gpm(0, None)",
    "gpm(0, 2)",
    "gpm(0, None, 0)",
    "nvmlDeviceGetNumFans(gpu(0))",
]
SENSORS = {
    "all": Sensors(
        memory_temperature_c=61,
        memory_clock_mhz=2619,
        fan_percent=30,
        energy_mj=2**40,
        performance_state=0,
        encoder_percent=3,
        decoder_percent=4,
        throttle_bits=2**33 + 5,
        ecc_modes=(1, 0),
        ecc_totals=(1, 2, 3, 2**40),
        remapped=(5, 6, 1, 0),
        pcie_link=(4, 8, 5, 16),
        pcie_replays=9,
        pcie_kb=(123, 456),
        nvlinks=(Link(remote="00000000:3B:00.0", replays=1, crc=2), Link(up=False), Link(remote=SWITCH, crc=None)),
        nvlink_kib=(77, 2**41),
        serial="1650123456789",
        vbios="96.00.74.00.01",
        inforom="G520.0200.00.05",
        pci_bus_id="00010000:E1:00.0",
        near=20,
        over_nvlink=True,
        activity=(50.0, 25.5, 12.25, 1.0),
        use=((41, 7, 5), (42, 93, 8)),
    ),
    "nothing": Sensors(),
    "links to nowhere": Sensors(nvlinks=(Link(), Link(remote=SWITCH, replays=None, flit_crc=3)), ecc_modes=(1, 1)),
}


@pytest.mark.parametrize("told", sorted(SENSORS))
@pytest.mark.parametrize("branch", sorted(MISSING))
def test_both_libraries_answer_every_reading_alike(tmp_path: Path, told: str, branch: str) -> None:
    gpus = [GpuModel(find("H100-80GB"), f"GPU-{index}", index) for index in range(2)]
    gpus[0].processes += [GpuProcess(pid, "ann", "python", 0.0, pid, Pattern.STEADY, None) for pid in (41, 42)]
    state = tmp_path / "nvml"
    write_state(
        state, [replace(fake_gpu(gpus[0], 0.0), sensors=SENSORS[told]), fake_gpu(gpus[1], 0.0)], long_processes=True
    )
    through_c = subprocess.run(
        [sys.executable, str(READER)],
        env={
            **os.environ,
            **environment(state, without=MISSING[branch]),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        input="\n".join(READS) + "\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout.splitlines()
    library = NvmlLibrary(gpus, sensors={"GPU-0": SENSORS[told]}, without=MISSING[branch], long_processes=True)
    with installed(library):
        pynvml.nvmlInit()
        names = {**vars(pynvml), **vars(nvml_moves), "gpu": pynvml.nvmlDeviceGetHandleByIndex}
        through_python = [json.loads(json.dumps(nvml_moves.answered(read, names))) for read in READS]
        pynvml.nvmlShutdown()
    assert library.samples == {}
    assert list(zip(READS, map(json.loads, through_c), strict=True)) == list(zip(READS, through_python, strict=True))
