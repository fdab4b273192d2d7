"""A sick driver, through the real binding in this process: what is told of each GPU, and what others suffer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pynvml
import pytest
from fakes.nvml_clock import Clock, standing_clock
from fakes.nvml_library import NvmlLibrary, installed
from fakes.nvml_sensors import MISSING, Sensors

from gpualloc.node.nvml import Nvml
from gpualloc.node.wire import Refused
from gpualloc.sim.catalog import find
from gpualloc.sim.gpu import FaultKind, GpuModel, GpuProcess
from gpualloc.sim.use import Pattern

COUNT = 4
PATIENT_S = 60.0


def uuid(number: int) -> str:
    return f"GPU-{number:08d}-0000-0000-0000-000000000000"


def process(pid: int) -> GpuProcess:
    return GpuProcess(pid, "ann", "python", 0.0, 100, Pattern.STEADY, None)


@pytest.fixture
def library() -> Iterator[NvmlLibrary]:
    gpus = [GpuModel(find("A100-40GB"), uuid(number), number) for number in range(COUNT)]
    with installed(NvmlLibrary(gpus, sensors={gpu.uuid: Sensors(near=10) for gpu in gpus})) as library:
        yield library


@pytest.fixture
def clock() -> Iterator[Clock]:
    with standing_clock() as clock:
        yield clock


def inventory(nvml: Nvml) -> dict[str, dict[str, Any]]:
    return {row["uuid"]: row for row in nvml.ask(lambda gpu: gpu.inventory(), lambda gpu: gpu.blank_inventory())}


def sample(nvml: Nvml) -> dict[str, dict[str, Any]]:
    return {row["uuid"]: row for row in nvml.ask(lambda gpu: gpu.sample(), lambda gpu: gpu.blank_sample())}


def processes(nvml: Nvml) -> dict[str, list[Any]]:
    rows = nvml.ask(lambda gpu: gpu.processes(), lambda gpu: {"uuid": gpu.uuid, "processes": []})
    return {row["uuid"]: row["processes"] for row in rows}


def states(rows: dict[str, dict[str, Any]]) -> dict[int, str]:
    return {int(name[4:12]): row["state"] for name, row in rows.items()}


def place(library: NvmlLibrary, *numbers: int) -> None:
    """Let the driver list these GPUs in that order."""
    known = {gpu.uuid: gpu for gpu in library.registered}
    library.gpus[:] = [known[uuid(number)] for number in numbers]
    for index, gpu in enumerate(library.gpus):
        gpu.index = index


# ---- lost


@pytest.mark.parametrize("calls", [0, 1, 5, 17, 40])
def test_a_gpu_that_is_lost_after_some_calls_is_lost_for_itself_alone(library: NvmlLibrary, calls: int) -> None:
    nvml = Nvml(PATIENT_S)
    before = inventory(nvml)
    library.lost_after[uuid(2)] = calls
    for _ in range(4):
        rows = sample(nvml)
    assert states(rows) == {0: "ok", 1: "ok", 2: "GPU lost", 3: "ok"}
    lost = rows[uuid(2)]
    assert lost["reason"]
    assert lost["power_w"] is None
    assert lost["unavailable"]["power_w"] == lost["unavailable"]["ecc.remap_pending"] == "lost"
    told = inventory(nvml)[uuid(2)]
    for name in ("board", "model", "memory_total_mib", "minor"):
        assert told[name] == before[uuid(2)][name], "what was once learnt still names it"
    assert processes(nvml)[uuid(2)] == []
    del library.lost_after[uuid(2)]
    assert states(sample(nvml)) == dict.fromkeys(range(COUNT), "ok")


def test_a_peer_that_is_lost_is_no_fault_of_the_others(library: NvmlLibrary, clock: Clock) -> None:
    nvml = Nvml(PATIENT_S)
    assert inventory(nvml)[uuid(0)]["peers"] == {uuid(number): "PIX" for number in (1, 2, 3)}
    library.faults[1] = FaultKind.LOST
    clock.now_s += 4000
    rows = inventory(nvml)
    assert states(rows) == {0: "ok", 1: "GPU lost", 2: "ok", 3: "ok"}
    assert set(inventory(nvml)[uuid(0)]["peers"]) == {uuid(2), uuid(3)}


# ---- hung


def test_a_call_that_hangs_for_ever_takes_one_row_and_one_deadline(library: NvmlLibrary) -> None:
    nvml = Nvml(1.0)
    inventory(nvml)
    gate = library.hang(uuid(1))
    try:
        rows = sample(nvml)
        assert states(rows) == {0: "ok", 1: "driver not answering", 2: "ok", 3: "ok"}
        assert rows[uuid(1)]["reason"].startswith("since ")
        assert set(rows[uuid(1)]["unavailable"].values()) == {"hung"}
        threads = threading.active_count()
        for ask in (sample, inventory):
            assert states(ask(nvml))[1] == "driver not answering"
        assert processes(nvml)[uuid(1)] == []
        assert threading.active_count() <= threads + 1, "no thread more for each look at it"
        with pytest.raises(Refused, match="does not answer"):
            nvml.change(uuid(1), lambda gpu: gpu.opened(), 0.1)
    finally:
        gate.set()
    until(lambda: states(sample(nvml))[1] == "ok")


def test_a_gpu_that_hangs_from_the_start_keeps_nobody_waiting_who_asks_for_peers(library: NvmlLibrary) -> None:
    gate = library.hang(uuid(3))
    try:
        rows = inventory(Nvml(5.0))
        assert [row["state"] for row in rows.values()] == ["ok"] * 3 + ["driver not answering"]
        assert set(rows[uuid(0)]["peers"]) == {uuid(1), uuid(2)}
    finally:
        gate.set()


def test_a_count_that_hangs_is_done_without(library: NvmlLibrary, clock: Clock) -> None:
    nvml = Nvml(PATIENT_S)
    inventory(nvml)
    gate = library.block("nvmlDeviceGetCount_v2")
    clock.now_s += 5
    assert states(sample(nvml)) == dict.fromkeys(range(COUNT), "ok")
    gate.set()


# ---- unplugged, and back at another place


def test_gpus_that_leave_and_come_back_elsewhere_keep_their_identity(library: NvmlLibrary, clock: Clock) -> None:
    nvml = Nvml(PATIENT_S)
    before = inventory(nvml)
    sample(nvml)
    library.gpus[1].processes.append(process(41))
    library.gpus[3].processes.append(process(43))
    place(library, 0, 2, 3)
    clock.now_s += 1
    rows = sample(nvml)
    assert states(rows) == {0: "ok", 1: "GPU lost", 2: "ok", 3: "ok"}
    assert "lists it no more" in rows[uuid(1)]["reason"]
    assert processes(nvml) == {uuid(0): [], uuid(1): [], uuid(2): [], uuid(3): [(43, None, 100, None)]}
    now = inventory(nvml)
    assert {name: row["index"] for name, row in now.items() if row["state"] == "ok"} == {
        uuid(0): 0,
        uuid(2): 1,
        uuid(3): 2,
    }
    assert now[uuid(1)]["board"] == before[uuid(1)]["board"]
    with pytest.raises(Refused) as refused:
        nvml.change(uuid(1), lambda gpu: gpu.opened(), 1.0)
    assert refused.value.reason == "gone"
    place(library, 1, 0, 3, 2)
    clock.now_s += 1
    assert states(sample(nvml)) == dict.fromkeys(range(COUNT), "ok")
    assert {name: row["index"] for name, row in inventory(nvml).items()} == {
        uuid(1): 0,
        uuid(0): 1,
        uuid(3): 2,
        uuid(2): 3,
    }
    assert processes(nvml)[uuid(1)] == [(41, None, 100, None)]


def test_a_newcomer_gets_a_row_and_is_a_peer(library: NvmlLibrary, clock: Clock) -> None:
    nvml = Nvml(PATIENT_S)
    inventory(nvml)
    library.gpus.append(GpuModel(find("H100-80GB"), uuid(9), COUNT))
    clock.now_s += 1
    rows = inventory(nvml)
    assert (rows[uuid(9)]["state"], rows[uuid(9)]["index"]) == ("ok", COUNT)
    clock.now_s += 1
    assert uuid(9) in inventory(nvml)[uuid(0)]["peers"]


def test_all_gpus_can_go_and_come(library: NvmlLibrary, clock: Clock) -> None:
    nvml = Nvml(PATIENT_S)
    sample(nvml)
    place(library)
    clock.now_s += 1
    assert states(sample(nvml)) == dict.fromkeys(range(COUNT), "GPU lost")
    place(library, 3, 1)
    clock.now_s += 1
    assert states(sample(nvml)) == {0: "GPU lost", 1: "ok", 2: "GPU lost", 3: "ok"}


def test_two_that_changed_places_while_nobody_looked_are_told_apart(library: NvmlLibrary, clock: Clock) -> None:
    nvml = Nvml(PATIENT_S)
    inventory(nvml)
    library.faults.update({0: FaultKind.LOST, 1: FaultKind.LOST})
    clock.now_s += 1
    assert states(sample(nvml)) == {0: "GPU lost", 1: "GPU lost", 2: "ok", 3: "ok"}
    library.faults.clear()
    place(library, 1, 0, 2, 3)
    clock.now_s += 1
    sample(nvml)
    assert states(sample(nvml)) == dict.fromkeys(range(COUNT), "ok")
    assert inventory(nvml)[uuid(0)]["index"] == 1


def test_the_library_is_opened_once_whatever_happens(library: NvmlLibrary, clock: Clock) -> None:
    nvml = Nvml(PATIENT_S)
    for numbers in ((0, 1), (1,), (), (2, 3, 0, 1)):
        place(library, *numbers)
        clock.now_s += 1
        sample(nvml)
        inventory(nvml)
    assert library.inits == 1


# ---- processes


def test_a_list_of_processes_that_grows_meanwhile_is_read_whole(library: NvmlLibrary) -> None:
    nvml = Nvml(PATIENT_S)
    library.gpus[0].processes.append(process(10))
    sample(nvml)
    later = [[process(100 + number) for number in range(20)], [process(200 + number) for number in range(60)]]
    library.arriving[uuid(0)] = later
    found = {pid for pid, *_ in processes(nvml)[uuid(0)]}
    assert found == {10, *range(100, 120), *range(200, 260)}


def test_longer_records_of_some_r535_drivers_are_not_taken_for_others(library: NvmlLibrary) -> None:
    library.long_processes = True
    library.gpus[0].processes += [process(41), process(42), process(43)]
    assert [pid for pid, *_ in processes(Nvml(PATIENT_S))[uuid(0)]] == [41, 42, 43]
    assert library.calls["nvmlDeviceGetComputeRunningProcesses_v2"] > 0


def test_processes_tell_their_use_once_and_nonsense_not_at_all(library: NvmlLibrary, clock: Clock) -> None:
    nvml = Nvml(PATIENT_S)
    library.gpus[0].processes += [process(pid) for pid in (41, 42, 43, 44)]
    now_us = 1_700_000_000_000_000
    use = ((41, 10, now_us - 900_000), (41, 30, now_us), (42, 4000, now_us), (43, 50, now_us - 5_000_000))
    library.sensors[uuid(0)] = Sensors(use=use)
    told = {pid: ratio for pid, _, _, ratio in processes(nvml)[uuid(0)]}
    assert told == {41: 0.3, 42: None, 43: None, 44: None}
    told = {pid: ratio for pid, _, _, ratio in processes(nvml)[uuid(0)]}
    assert set(told.values()) == {None}, "an old value is not told as a new one"
    clock.now_s += 1
    library.sensors[uuid(0)] = Sensors(use=(*use, (44, 70, now_us + 1_000_000)))
    assert {pid: ratio for pid, _, _, ratio in processes(nvml)[uuid(0)]}[44] == 0.7


# ---- older drivers


@pytest.mark.parametrize("branch", sorted(MISSING))
def test_older_drivers_tell_what_they_can_and_the_rest_has_its_reason(branch: str) -> None:
    sensors = Sensors(throttle_bits=4, energy_mj=5000, activity=(1.0, 1.0, 1.0, 1.0))
    gpu = GpuModel(find("H100-80GB"), uuid(0), 0, processes=[process(41)])
    with installed(NvmlLibrary([gpu], sensors={gpu.uuid: sensors}, without=MISSING[branch])):
        nvml = Nvml(PATIENT_S)
        row = sample(nvml)[uuid(0)]
        assert (row["state"], row["throttles"], row["energy_j"]) == ("ok", ["power cap"], 5.0)
        assert row["memory_used_mib"] > 0
        assert row["temperature_c"] > 0
        reason = "not supported" if branch in ("R470", "R510") else "not yet"
        assert row["unavailable"]["activity.sm_active_ratio"] == reason
        assert [pid for pid, *_ in processes(nvml)[uuid(0)]] == [41]
        assert inventory(nvml)[uuid(0)]["mig_profiles"]


# ---- permission


def test_a_gpu_that_tells_nothing_for_want_of_permission_says_so(library: NvmlLibrary) -> None:
    nvml = Nvml(PATIENT_S)
    library.faults[0] = FaultKind.NO_PERMISSION
    row = sample(nvml)[uuid(0)]
    assert row["state"] == "no permission"
    assert row["unavailable"]["power_w"] == "no permission"


def test_what_each_group_costs_is_counted(library: NvmlLibrary) -> None:
    nvml = Nvml(PATIENT_S)
    assert nvml.costs() == []
    for _ in range(3):
        inventory(nvml)
        sample(nvml)
        processes(nvml)
    told = {row["group"]: row for row in nvml.costs()}
    assert told["memory"]["calls"] >= 3 * COUNT
    assert told["ecc"]["every_s"] == 10
    assert told["memory"]["every_s"] is None
    assert all(0 < row["mean_s"] <= row["max_s"] for row in told.values())


def until(holds: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    pause = threading.Event()
    for _ in range(600):
        if holds():
            return
        pause.wait(0.1)
    pytest.fail("it never came about")


def test_an_error_of_the_whole_call_is_the_reason_of_each_of_its_fields(library: NvmlLibrary) -> None:
    nvml = Nvml(PATIENT_S)
    library.fail("nvmlDeviceGetFieldValues", pynvml.NVML_ERROR_NO_PERMISSION)
    missing = sample(nvml)[uuid(0)]["unavailable"]
    assert missing["memory_temperature_c"] == missing["ecc.enabled"] == "no permission"
