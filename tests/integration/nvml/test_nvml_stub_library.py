"""The C library of tests/fakes as others see it: nvidia-ml-py, nvitop and gpustat, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fakes.nvml_stub import FakeGpu, FakeMigInstance, FakeMigProfile, environment, without_plans, write_state
from msgspec.structs import replace

READER = Path(__file__).parent / "nvml_reader.py"
PROFILE_1G = FakeMigProfile("1g.5gb", 0, 19, 1, 7, 14, 4864, tuple((start, 1) for start in range(7)), nvdec=0)
PROFILE_3G = FakeMigProfile("3g.20gb", 2, 9, 3, 2, 42, 20_096, ((0, 4), (4, 4)), copy_engines=3, nvdec=2)
MIG_GPU = FakeGpu(
    0,
    mig_enabled=True,
    mig_profiles=(PROFILE_1G, PROFILE_3G),
    mig_instances=(
        FakeMigInstance("MIG-aaaa", 2, 9, 4, 4, 20_096, 700),
        FakeMigInstance("MIG-bbbb", 7, 19, 0, 1, 4864),
    ),
    processes=((4321, 650, 2),),
)


class Reader:
    """A child with nvidia-ml-py loaded that evaluates one expression per line and answers JSON."""

    def __init__(self, state: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(READER)],
            env={**os.environ, **environment(state)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, expression: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(expression + "\n")
        self.process.stdin.flush()

    def answer(self) -> object:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, expression: str) -> object:
        self.send(expression)
        return self.answer()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "nvml"


@pytest.fixture
def reader(state: Path) -> Iterator[Reader]:
    write_state(state, [])
    reader = Reader(state)
    yield reader
    reader.close()


def run(command: Sequence[str], state: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **environment(state)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_nvitop_lists_devices_and_processes(state: Path) -> None:
    write_state(
        state, [FakeGpu(0, memory_used_mib=2500, processes=((os.getpid(), 2048),)), FakeGpu(1, name="NVIDIA L4")]
    )
    shown = run(["-m", "nvitop", "-1", "--colorful"], state)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "2500MiB / 40.00GiB" in shown.stdout
    assert "570.133.20" in shown.stdout
    assert str(os.getpid()) in shown.stdout
    assert "2048MiB" in shown.stdout


def test_gpustat_lists_devices_and_processes(state: Path) -> None:
    write_state(
        state, [FakeGpu(0, memory_used_mib=2500, processes=((os.getpid(), 2048),)), FakeGpu(1, temperature_c=None)]
    )
    shown = run(["-m", "gpustat", "--json"], state)
    gpus = json.loads(shown.stdout)["gpus"]
    assert [(gpu["uuid"], gpu["memory.used"], gpu["temperature.gpu"]) for gpu in gpus] == [
        (FakeGpu(0).full_uuid, 2500, 35),
        (FakeGpu(1).full_uuid, 0, None),
    ]
    assert [process["pid"] for process in gpus[0]["processes"]] == [os.getpid()]


def test_state_is_read_again_when_it_changes(state: Path, reader: Reader) -> None:
    assert reader.ask("nvmlDeviceGetCount()") == 0
    write_state(state, [FakeGpu(0, memory_used_mib=7)])
    assert reader.ask("nvmlDeviceGetMemoryInfo(gpu(0)).used >> 20") == 7
    write_state(state, [FakeGpu(0, memory_used_mib=8)])
    assert reader.ask("nvmlDeviceGetMemoryInfo(gpu(0), nvmlMemory_v2).used >> 20") == 8


@pytest.mark.parametrize(
    ("expression", "field"),
    [
        ("nvmlDeviceGetMemoryInfo(gpu(0)).used", "memory_used_mib"),
        ("nvmlDeviceGetUtilizationRates(gpu(0)).gpu", "gpu_utilization_percent"),
        ("nvmlDeviceGetPowerUsage(gpu(0))", "power_w"),
        ("nvmlDeviceGetPowerManagementLimit(gpu(0))", "power_limit_w"),
        ("nvmlDeviceGetTemperatureV(gpu(0), NVML_TEMPERATURE_GPU)", "temperature_c"),
        ("nvmlDeviceGetTemperature(gpu(0), NVML_TEMPERATURE_GPU)", "temperature_c"),
        ("nvmlDeviceGetClockInfo(gpu(0), NVML_CLOCK_SM)", "sm_clock_mhz"),
        ("nvmlDeviceGetMigMode(gpu(0))", "mig_enabled"),
    ],
)
def test_what_is_not_told_is_not_supported(state: Path, reader: Reader, expression: str, field: str) -> None:
    write_state(state, [replace(FakeGpu(0), **{field: None})])
    assert reader.ask(expression) == {"error": "NVMLError_NotSupported"}


def test_what_is_not_modelled_is_absent(state: Path, reader: Reader) -> None:
    write_state(state, [FakeGpu(0)])
    assert reader.ask("nvmlDeviceGetNumFans(gpu(0))") == {"error": "NVMLError_FunctionNotFound"}
    assert reader.ask("nvmlDeviceGetFanSpeed(gpu(0))") == {"error": "NVMLError_NotSupported"}


@pytest.mark.parametrize(
    ("fault", "reading", "lookup"),
    [
        ("lost", "NVMLError_GpuIsLost", {"error": "NVMLError_GpuIsLost"}),
        ("needs-reset", "NVMLError_ResetRequired", FakeGpu(0).full_uuid),
        ("no-permission", "NVMLError_NoPermission", FakeGpu(0).full_uuid),
    ],
)
def test_a_sick_gpu_says_so_and_the_others_stay(
    state: Path, reader: Reader, fault: str, reading: str, lookup: object
) -> None:
    write_state(state, [FakeGpu(0), FakeGpu(1)])
    assert reader.ask("keep('handle', gpu(0))") is True
    write_state(state, [FakeGpu(0, fault=fault), FakeGpu(1)])
    assert reader.ask("nvmlDeviceGetPowerUsage(kept['handle'])") == {"error": reading}
    assert reader.ask("nvmlDeviceGetUUID(gpu(0))") == lookup
    assert reader.ask("nvmlDeviceGetCount()") == 2
    assert reader.ask("nvmlDeviceGetPowerUsage(gpu(1))") == 60_000


def test_a_hung_gpu_blocks_readings_until_the_fault_is_gone(state: Path, reader: Reader) -> None:
    write_state(state, [FakeGpu(0, fault="hang"), FakeGpu(1)])
    assert reader.ask("nvmlDeviceGetUUID(gpu(0))") == FakeGpu(0).full_uuid
    reader.send("in_thread('nvmlDeviceGetPowerUsage(gpu(0))')")
    assert reader.answer() == "started"
    assert reader.ask("nvmlDeviceGetPowerUsage(gpu(1))") == 60_000, "the other GPU answers meanwhile"
    assert reader.ask("thread_answer") is None
    write_state(state, [FakeGpu(0, power_w=77.0), FakeGpu(1)])
    assert reader.ask("joined_answer()") == 77_000


def test_a_slow_gpu_takes_its_time_for_each_reading(state: Path, reader: Reader) -> None:
    write_state(state, [FakeGpu(0, call_delay_ms=50.0), FakeGpu(1)])
    asked_s = time.monotonic()
    assert reader.ask("[nvmlDeviceGetPowerUsage(gpu(0)) for _ in range(4)]") == [60_000] * 4
    assert time.monotonic() - asked_s >= 0.2


@pytest.mark.parametrize(("code", "error"), [(9, "NVMLError_DriverNotLoaded"), (18, "NVMLError_LibRmVersionMismatch")])
def test_init_can_fail(state: Path, code: int, error: str) -> None:
    write_state(state, [FakeGpu(0)], init_code=code)
    reader = Reader(state)
    assert reader.ask("nvmlDeviceGetCount()") == {"error": error}
    reader.close()


def test_a_forked_child_is_uninitialized(state: Path, reader: Reader) -> None:
    write_state(state, [FakeGpu(0)])
    assert reader.ask("forked('nvmlDeviceGetCount()')") == {"error": "NVMLError_Uninitialized"}
    assert reader.ask("nvmlDeviceGetCount()") == 1


def test_mig_devices_are_listed_with_place_memory_and_processes(state: Path, reader: Reader) -> None:
    write_state(state, [MIG_GPU])
    assert reader.ask("nvmlDeviceGetMigMode(gpu(0))") == [1, 1]
    assert reader.ask("[nvmlDeviceGetUUID(mig(0, i)) for i in range(2)]") == ["MIG-aaaa", "MIG-bbbb"]
    assert reader.ask("nvmlDeviceGetMigDeviceHandleByIndex(gpu(0), 2)") == {"error": "NVMLError_NotFound"}
    assert reader.ask("nvmlDeviceGetName(mig(0, 1))") == "NVIDIA A100-SXM4-40GB MIG 1g.5gb"
    assert reader.ask("nvmlDeviceGetMemoryInfo(mig(0, 0)).used >> 20") == 700
    assert reader.ask("nvmlDeviceGetAttributes(mig(0, 0)).multiprocessorCount") == 42
    assert reader.ask("[nvmlDeviceGetGpuInstanceId(mig(0, i)) for i in range(2)]") == [2, 7]
    assert reader.ask("nvmlDeviceGetUUID(nvmlDeviceGetDeviceHandleFromMigDeviceHandle(mig(0, 1)))") == MIG_GPU.full_uuid
    assert reader.ask("place(0, 2)") == [9, 4, 4]
    assert reader.ask("[p.pid for p in nvmlDeviceGetComputeRunningProcesses(mig(0, 0))]") == [4321]
    assert reader.ask("nvmlDeviceGetComputeRunningProcesses(mig(0, 1))") == []
    assert reader.ask("nvmlDeviceGetUtilizationRates(gpu(0))") == {"error": "NVMLError_NotSupported"}


def test_mig_profiles_and_placements(state: Path, reader: Reader) -> None:
    write_state(state, [replace(MIG_GPU, mig_profiles=(PROFILE_1G, replace(PROFILE_3G, nvdec=None)))])
    assert reader.ask("nvmlDeviceGetGpuInstanceProfileInfo(gpu(0), 0).name") == "MIG 1g.5gb"
    assert reader.ask("nvmlDeviceGetGpuInstanceProfileInfo(gpu(0), 0, version=1).memorySizeMB") == 4864
    unknown_engines = reader.ask("nvmlDeviceGetGpuInstanceProfileInfo(gpu(0), 2).id")
    assert unknown_engines == {"error": "NVMLError_NotSupported"}
    assert reader.ask("nvmlDeviceGetGpuInstanceProfileInfo(gpu(0), 18).id") == {"error": "NVMLError_InvalidArgument"}
    assert reader.ask("placements(0, 9)") == [[0, 4], [4, 4]]


def test_the_nth_call_of_a_process_can_be_planned_to_fail(state: Path, reader: Reader) -> None:
    write_state(state, [FakeGpu(0)], plans=[("nvmlDeviceSetPersistenceMode", 2, 999)])
    switch = "nvmlDeviceSetPersistenceMode(gpu(0), 1) or nvmlDeviceGetPersistenceMode(gpu(0))"
    assert [reader.ask(switch) for _ in range(3)] == [1, {"error": "NVMLError_Unknown"}, 1]


def test_a_change_can_be_planned_to_hang_until_the_plan_is_gone(state: Path, reader: Reader) -> None:
    write_state(state, [FakeGpu(0)], plans=[("nvmlDeviceSetComputeMode", 1, "hang")])
    reader.send("in_thread('nvmlDeviceSetComputeMode(gpu(0), 3)')")
    assert reader.answer() == "started"
    assert reader.ask("nvmlDeviceGetComputeMode(gpu(0))") == 0
    without_plans(state)
    assert reader.ask("joined_answer()") is None
    assert reader.ask("nvmlDeviceGetComputeMode(gpu(0))") == 3


def test_changes_need_the_right(state: Path, reader: Reader) -> None:
    write_state(state, [MIG_GPU], privileged=False)
    for change in ("nvmlDeviceSetMigMode(gpu(0), 0)", "nvmlDeviceSetPowerManagementLimit(gpu(0), 200000)"):
        assert reader.ask(change) == {"error": "NVMLError_NoPermission"}
