"""The real nvidia-ml-py over callbacks into the simulated GPU, and that all fakes tell the same."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pynvml
import pytest
from fakes.nvml_library import NvmlLibrary, installed
from fakes.nvml_stub import environment, fake_gpu, write_state

from gpualloc.sim.catalog import find
from gpualloc.sim.gpu import FaultKind, GpuModel, GpuProcess
from gpualloc.sim.rows import sample_row
from gpualloc.sim.use import Pattern

READER = Path(__file__).parent / "nvml_reader.py"


def gpu(index: int = 0, model: str = "A100-40GB", *, mig: bool = False) -> GpuModel:
    return GpuModel(find(model), f"GPU-{index}", index, mig_enabled=mig, mig_pending=mig)


def process(pid: int = 42, instance: str | None = None) -> GpuProcess:
    return GpuProcess(pid, "ann", "python", 0.0, 2048, Pattern.STEADY, instance)


@pytest.fixture
def library() -> Iterator[NvmlLibrary]:
    with installed(NvmlLibrary([gpu(0, mig=True), gpu(1), gpu(2, "T4")])) as library:
        pynvml.nvmlInit()
        yield library
        pynvml.nvmlShutdown()


def handle(index: int) -> Any:
    return pynvml.nvmlDeviceGetHandleByIndex(index)


def create(device: Any, profile: int, start: int | None = None) -> Any:
    if start is None:
        return pynvml.nvmlDeviceCreateGpuInstance(device, profile)
    place = pynvml.c_nvmlGpuInstancePlacement_t(start=start, size=0)
    return pynvml.nvmlDeviceCreateGpuInstanceWithPlacement(device, profile, ctypes.byref(place))


def compute_instances(instance: Any) -> list[Any]:
    found: list[Any] = []
    for number in range(pynvml.NVML_COMPUTE_INSTANCE_PROFILE_COUNT):
        room, count = (pynvml.c_nvmlComputeInstance_t * 8)(), ctypes.c_uint()
        pynvml.nvmlGpuInstanceGetComputeInstances(instance, number, room, ctypes.byref(count))
        found += room[: count.value]
    return found


def test_the_private_names_of_the_binding_are_where_we_think() -> None:
    """When this fails, nvidia-ml-py moved them: see `installed` in tests/fakes/nvml_library.py."""
    assert hasattr(pynvml, "nvmlLib")
    assert isinstance(pynvml._nvmlGetFunctionPointer_cache, dict)
    with installed(NvmlLibrary([])) as library:
        pynvml.nvmlInit()
        assert pynvml.nvmlDeviceGetCount() == 0
        assert library.calls["nvmlDeviceGetCount_v2"] == 1
        pynvml.nvmlShutdown()
    assert not isinstance(pynvml.nvmlLib, NvmlLibrary)


def test_nothing_answers_before_init() -> None:
    with installed(NvmlLibrary([gpu()])), pytest.raises(pynvml.NVMLError_Uninitialized):
        pynvml.nvmlDeviceGetCount()


def test_readings_pass_through_the_binding(library: NvmlLibrary) -> None:
    library.gpus[1].processes.append(process())
    device = handle(1)
    assert pynvml.nvmlDeviceGetUUID(device) == "GPU-1"
    assert pynvml.nvmlDeviceGetName(device) == "NVIDIA A100-SXM4-40GB"
    assert pynvml.nvmlDeviceGetMemoryInfo(device).used >> 20 == 2052
    assert pynvml.nvmlDeviceGetMemoryInfo(device, pynvml.nvmlMemory_v2).total >> 20 == 40_960
    assert pynvml.nvmlDeviceGetUtilizationRates(device).gpu >= 80
    assert [(each.pid, each.usedGpuMemory >> 20) for each in pynvml.nvmlDeviceGetComputeRunningProcesses(device)] == [
        (42, 2048)
    ]


def test_an_older_driver_lacks_functions() -> None:
    with installed(NvmlLibrary([gpu()], without=["nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetTemperatureV"])):
        pynvml.nvmlInit()
        with pytest.raises(pynvml.NVMLError_FunctionNotFound):
            pynvml.nvmlDeviceGetMemoryInfo(handle(0), pynvml.nvmlMemory_v2)
        with pytest.raises(pynvml.NVMLError_FunctionNotFound):
            pynvml.nvmlDeviceGetTemperatureV(handle(0), pynvml.NVML_TEMPERATURE_GPU)
        assert pynvml.nvmlDeviceGetMemoryInfo(handle(0)).total >> 20 == 40_960
        pynvml.nvmlShutdown()


def test_planned_errors_come_and_go(library: NvmlLibrary) -> None:
    library.fail("nvmlDeviceGetPowerUsage", pynvml.NVML_ERROR_UNKNOWN, after=1, times=1)
    device = handle(1)
    before = pynvml.nvmlDeviceGetPowerUsage(device)
    with pytest.raises(pynvml.NVMLError_Unknown):
        pynvml.nvmlDeviceGetPowerUsage(device)
    assert pynvml.nvmlDeviceGetPowerUsage(device) == before


def test_a_lost_gpu_is_lost_in_every_call_and_the_count_stays(library: NvmlLibrary) -> None:
    device = handle(1)
    library.faults[1] = FaultKind.LOST
    for ask in (lambda: handle(1), lambda: pynvml.nvmlDeviceGetUUID(device)):
        with pytest.raises(pynvml.NVMLError_GpuIsLost):
            ask()
    assert pynvml.nvmlDeviceGetCount() == 3
    assert pynvml.nvmlDeviceGetUUID(handle(2)) == "GPU-2"


def test_a_blocked_call_lasts_while_others_go_on(library: NvmlLibrary) -> None:
    free = library.block("nvmlDeviceGetPowerUsage")
    answers: list[int] = []
    blocked = threading.Thread(target=lambda: answers.append(pynvml.nvmlDeviceGetPowerUsage(handle(1))))
    blocked.start()
    assert pynvml.nvmlDeviceGetTemperature(handle(1), pynvml.NVML_TEMPERATURE_GPU) > 0
    assert answers == []
    free.set()
    blocked.join(timeout=60)
    assert len(answers) == 1


def test_mig_mode_answers_its_activation_as_a_number_and_raises_nothing(library: NvmlLibrary) -> None:
    library.gpus[1].processes.append(process())
    assert pynvml.nvmlDeviceSetMigMode(handle(1), 1) == pynvml.NVML_ERROR_IN_USE
    assert pynvml.nvmlDeviceGetMigMode(handle(1)) == [0, 1]
    library.gpus[1].processes.clear()
    assert pynvml.nvmlDeviceSetMigMode(handle(1), 1) == pynvml.NVML_SUCCESS
    with pytest.raises(pynvml.NVMLError_NotSupported):
        pynvml.nvmlDeviceSetMigMode(handle(2), 1)
    library.privileged = False
    with pytest.raises(pynvml.NVMLError_NoPermission):
        pynvml.nvmlDeviceSetMigMode(handle(1), 0)
    assert pynvml.nvmlDeviceGetMigMode(handle(1)) == [1, 1]


def test_instances_are_made_found_and_destroyed(library: NvmlLibrary) -> None:
    device = handle(0)
    made = create(device, 9)
    info = pynvml.nvmlGpuInstanceGetInfo(made)
    assert (info.profileId, info.placement.start, info.placement.size) == (9, 4, 4)
    create(device, 14, 0)
    assert pynvml.nvmlDeviceGetGpuInstanceRemainingCapacity(device, 19) == 2
    with pytest.raises(pynvml.NVMLError_InsufficientResources):
        create(device, 5)
    with pytest.raises(pynvml.NVMLError_NotFound):
        pynvml.nvmlDeviceGetMigDeviceHandleByIndex(device, 0)
    for instance in list(library.gpus[0].instances):
        found = pynvml.nvmlDeviceGetGpuInstanceById(device, instance.gi)
        whole = {9: pynvml.NVML_COMPUTE_INSTANCE_PROFILE_3_SLICE, 14: pynvml.NVML_COMPUTE_INSTANCE_PROFILE_2_SLICE}
        number = pynvml.nvmlGpuInstanceGetComputeInstanceProfileInfo(found, whole[instance.profile.id], 0).id
        pynvml.nvmlGpuInstanceCreateComputeInstance(found, number)
    mig = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(device, 0)
    assert pynvml.nvmlDeviceGetName(mig).startswith("NVIDIA A100-SXM4-40GB MIG ")
    with pytest.raises(pynvml.NVMLError_NotFound):
        pynvml.nvmlDeviceGetMigDeviceHandleByIndex(device, 2)
    library.gpus[0].processes.append(process(instance=library.gpus[0].instances[0].uuid))
    used = pynvml.nvmlDeviceGetGpuInstanceById(device, library.gpus[0].instances[0].gi)
    [compute] = compute_instances(used)
    with pytest.raises(pynvml.NVMLError_InUse):
        pynvml.nvmlComputeInstanceDestroy(compute)
    library.gpus[0].processes.clear()
    with pytest.raises(pynvml.NVMLError_InUse):
        pynvml.nvmlGpuInstanceDestroy(used)
    pynvml.nvmlComputeInstanceDestroy(compute)
    pynvml.nvmlGpuInstanceDestroy(used)
    with pytest.raises(pynvml.NVMLError_InvalidArgument):
        pynvml.nvmlDeviceGetUUID(mig)


def test_profiles_are_probed_upwards_to_the_end(library: NvmlLibrary) -> None:
    names, index = [], 0
    while True:
        try:
            names.append(pynvml.nvmlDeviceGetGpuInstanceProfileInfo(handle(0), index).name)
        except pynvml.NVMLError_NotSupported:
            pass
        except pynvml.NVMLError_InvalidArgument:
            break
        index += 1
    assert names[:2] == ["MIG 1g.5gb", "MIG 2g.10gb"]
    assert len(names) == 7


@pytest.mark.parametrize("model", ["A100-40GB", "H100-80GB", "T4", "B200-180GB", "B300"])
def test_the_library_the_c_library_and_the_simulator_tell_the_same(tmp_path: Path, model: str) -> None:
    one = gpu(0, model)
    one.processes.append(process())
    state = tmp_path / "nvml"
    write_state(state, [fake_gpu(one, 100.0)])
    questions = (
        "nvmlDeviceGetUUID(gpu(0))",
        "nvmlDeviceGetName(gpu(0))",
        "nvmlDeviceGetMemoryInfo(gpu(0)).used",
        "nvmlDeviceGetUtilizationRates(gpu(0)).gpu",
        "nvmlDeviceGetPowerUsage(gpu(0))",
        "nvmlDeviceGetTemperatureV(gpu(0), NVML_TEMPERATURE_GPU)",
        "nvmlDeviceGetClockInfo(gpu(0), NVML_CLOCK_SM)",
        "nvmlDeviceGetMigMode(gpu(0))",
        "nvmlDeviceGetGpuInstanceProfileInfo(gpu(0), 2).multiprocessorCount",
        "[p.pid for p in nvmlDeviceGetComputeRunningProcesses(gpu(0))]",
    )
    through_c = subprocess.run(
        [sys.executable, str(READER)],
        env={**os.environ, **environment(state)},
        input="\n".join(questions) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.splitlines()
    library = NvmlLibrary([one])
    library.at_s = 100.0
    with installed(library):
        pynvml.nvmlInit()
        through_python = [answer(question) for question in questions]
        pynvml.nvmlShutdown()
    assert [json.loads(line) for line in through_c] == through_python
    assert sample_row(one, None, 100.0)["memory_used_mib"] == through_python[2] >> 20


def answer(question: str) -> Any:
    names = {**vars(pynvml), "gpu": handle}
    try:
        return eval(question, names)
    except pynvml.NVMLError as error:
        return {"error": type(error).__name__}
