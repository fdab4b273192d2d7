"""Field by field: what the node program tells of a GPU is what nvidia-ml-py answers, whatever state the GPU is in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pynvml
import pytest
from fakes.nvml_clock import standing_clock
from fakes.nvml_direct import RATES, THROTTLES, Why, expected_inventory, expected_sample, flat
from fakes.nvml_library import NvmlLibrary, installed
from fakes.nvml_sensors import MISSING, SWITCH, Link, Sensors
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.model.readings import Activity, Board, Ecc, Pcie, Throttle
from gpualloc.node.costs import Costs
from gpualloc.node.gpu import Gpu
from gpualloc.sim.catalog import find
from gpualloc.sim.gpu import GpuModel

UUID = "GPU-11111111-0000-0000-0000-000000000000"
WILD = st.sampled_from([0, 1, 99, 100, 101, 4000, 2**31, 2**32 - 1])
LONG = st.one_of(st.integers(0, 10**12), st.sampled_from([2**48, 2**63 - 1, 9_223_372_036_854_775_000]))
BIT = st.sampled_from([0, 1, 2])


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


LINKS = st.builds(
    Link,
    up=st.booleans(),
    remote=st.sampled_from([None, SWITCH, "00000000:3B:00.0", "00010000:01:00.0"]),
    replays=maybe(LONG),
    recoveries=st.integers(0, 9),
    crc=maybe(st.integers(0, 9)),
    flit_crc=st.integers(0, 9),
    data_crc=maybe(st.integers(0, 9)),
)
SENSORS = st.builds(
    Sensors,
    memory_temperature_c=maybe(WILD),
    memory_clock_mhz=maybe(WILD),
    fan_percent=maybe(WILD),
    energy_mj=maybe(LONG),
    performance_state=maybe(st.sampled_from([0, 8, 15, 16, 32])),
    encoder_percent=maybe(WILD),
    decoder_percent=maybe(WILD),
    throttle_bits=maybe(st.integers(0, 2**12)),
    ecc_modes=maybe(st.tuples(BIT, BIT)),
    ecc_totals=maybe(st.tuples(LONG, LONG, LONG, LONG)),
    remapped=maybe(st.tuples(st.integers(0, 600), st.integers(0, 600), BIT, BIT)),
    pcie_link=maybe(st.tuples(*[st.sampled_from([0, 1, 4, 5, 16, 17, 32, 33, 999])] * 4)),
    pcie_replays=maybe(WILD),
    pcie_kb=maybe(st.tuples(WILD, WILD)),
    nvlinks=st.lists(LINKS, max_size=4).map(tuple),
    nvlink_kib=maybe(st.tuples(LONG, LONG)),
    serial=maybe(st.just("1650123456789")),
    vbios=maybe(st.just("96.00.74.00.01")),
    inforom=maybe(st.just("G520.0200.00.05")),
    pci_bus_id=st.sampled_from(["", "00000000:3B:00.0", "00010000:E1:00.0"]),
    activity=maybe(st.tuples(*[st.sampled_from([0.0, 12.5, 100.0, 100.5, -1.0])] * 4)),
)
LOADS = st.fixed_dictionaries(
    {
        "memory_used_mib": st.sampled_from([0, 5, 20_000, 999_999, 2**43]),
        "gpu_utilization_ratio": maybe(st.sampled_from([0.0, 0.5, 1.0, 1.01, 42.0])),
        "memory_utilization_ratio": st.sampled_from([0.0, 1.0, 7.0]),
        "power_w": maybe(st.sampled_from([0.0, 71.5, 9999.0, 4_294_967.0])),
        "temperature_c": st.sampled_from([0, 35, 150, 151, 255]),
        "sm_clock_mhz": maybe(st.sampled_from([0, 1980, 30_000])),
    }
)


@contextmanager
def one_gpu(model: str, sensors: Sensors, *, mig: bool = False, branch: str = "R580") -> Iterator[tuple[Any, ...]]:
    gpu = GpuModel(find(model), UUID, 0)
    gpu.mig_enabled = gpu.mig_pending = mig
    library = NvmlLibrary([gpu], sensors={UUID: sensors}, without=MISSING[branch])
    with installed(library), standing_clock() as clock:
        pynvml.nvmlInit()
        yield library, clock, Gpu(0, Costs(), lambda _gpu: [])
        pynvml.nvmlShutdown()


@settings(max_examples=150, deadline=None)
@given(
    model=st.sampled_from(["H100-80GB", "A100-40GB", "T4"]),
    mig=st.booleans(),
    branch=st.sampled_from(sorted(MISSING)),
    sensors=SENSORS,
    load=LOADS,
    codes=st.dictionaries(
        st.sampled_from(
            [
                "nvmlDeviceGetPowerUsage",
                "nvmlDeviceGetSerial",
                "nvmlDeviceGetFanSpeed",
                "nvmlDeviceGetPersistenceMode",
                "nvmlDeviceGetMemoryInfo",
                "nvmlDeviceGetMemoryInfo_v2",
                "nvmlDeviceGetNvLinkState",
            ]
        ),
        st.sampled_from([pynvml.NVML_ERROR_NO_PERMISSION, pynvml.NVML_ERROR_UNKNOWN, pynvml.NVML_ERROR_NOT_SUPPORTED]),
        max_size=3,
    ),
)
def test_every_field_is_what_the_driver_answers(
    model: str, mig: bool, branch: str, sensors: Sensors, load: dict[str, Any], codes: dict[str, int]
) -> None:
    with one_gpu(model, sensors, mig=mig and model != "T4", branch=branch) as (library, _clock, gpu):
        library.load[UUID] = replace(library.gpus[0].readings(0.0), **load)
        for function, code in codes.items():
            library.fail(function, code)
        inventory, sample = flat(gpu.inventory()), flat(gpu.sample())
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        wanted = expected_inventory(handle)
        assert {name: inventory[name] for name in wanted} == wanted
        wanted = expected_sample(handle)
        assert {name: sample[name] for name in wanted} == wanted
        later = {name for name in sample if name.startswith(("activity.", "pcie.rx", "pcie.tx")) or name in RATES}
        assert set(sample) == set(wanted) | later
        gpu.let_go()
        assert library.samples == {}


@settings(max_examples=60, deadline=None)
@given(sensors=SENSORS, more=st.tuples(st.integers(-5, 10**9), st.integers(-5, 10**9)))
def test_rates_and_means_come_with_the_second_look(sensors: Sensors, more: tuple[int, int]) -> None:
    before = (10**6, 10**6)
    sensors = replace(sensors, nvlink_kib=before)
    with one_gpu("H100-80GB", sensors) as (library, clock, gpu):
        first = flat(gpu.sample())
        assert {first[name] for name in RATES} == {Why("not yet")}
        assert first["pcie.rx_bytes_per_s"] == Why("not yet")
        assert first["activity.sm_active_ratio"] == Why("not yet" if sensors.activity else "not supported")
        after = tuple(count + extra for count, extra in zip(before, more, strict=True))
        library.sensors[UUID] = replace(sensors, nvlink_kib=after)
        clock.now_s += 2.0
        second = flat(gpu.sample())
        tx, rx = (Why("implausible") if extra < 0 else extra * 1024 / 2 for extra in more)
        assert (second["nvlink_rx_bytes_per_s"], second["nvlink_tx_bytes_per_s"]) == (rx, tx)
        for name, place in (("pcie.tx_bytes_per_s", 0), ("pcie.rx_bytes_per_s", 1)):
            kb = None if sensors.pcie_kb is None else sensors.pcie_kb[place]
            plausible = Why("not supported") if kb is None else kb * 1000 if kb <= 2**30 * 1.024 else Why("implausible")
            assert second[name] == plausible
        for place, name in enumerate(Activity.__struct_fields__):
            percent = None if sensors.activity is None else sensors.activity[place]
            ratio = Why("not supported") if percent is None else percent / 100
            assert second[f"activity.{name}"] == (Why("implausible") if percent in (100.5, -1.0) else ratio)
        gpu.let_go()
        assert library.samples == {}


def test_the_words_and_parts_are_those_of_the_model() -> None:
    assert [*THROTTLES, "another reason"] == [throttle.value for throttle in Throttle]
    with one_gpu("H100-80GB", Sensors(throttle_bits=2**10 - 1)) as (_library, _clock, gpu):
        sample, inventory = gpu.sample(), gpu.inventory()
    assert sample["throttles"] == [throttle.value for throttle in Throttle]
    for row, part, noun in (
        (sample, "ecc", Ecc),
        (sample, "pcie", Pcie),
        (sample, "activity", Activity),
        (inventory, "board", Board),
    ):
        assert set(row[part]) == set(noun.__struct_fields__)


def test_dear_readings_stand_for_ten_seconds_and_no_longer() -> None:
    sensors = Sensors(ecc_totals=(1, 0, 1, 0), pcie_kb=(5, 6), pcie_replays=1, memory_temperature_c=50)
    with one_gpu("H100-80GB", sensors) as (library, clock, gpu):
        gpu.sample()
        clock.now_s += 1
        gpu.sample()
        library.sensors[UUID] = replace(
            sensors, ecc_totals=(2, 0, 2, 0), pcie_kb=(7, 8), pcie_replays=2, memory_temperature_c=51
        )
        clock.now_s += 8.5
        kept = gpu.sample()
        assert (kept["ecc"]["volatile_corrected"], kept["pcie"]["replays"], kept["pcie"]["tx_bytes_per_s"]) == (
            1,
            1,
            5e3,
        )
        assert kept["memory_temperature_c"] == 51, "what is cheap is read at each look"
        clock.now_s += 2
        due = gpu.sample()
        assert (due["ecc"]["volatile_corrected"], due["pcie"]["replays"], due["pcie"]["tx_bytes_per_s"]) == (2, 2, 7e3)


def test_what_failed_is_asked_again_at_the_next_look() -> None:
    with one_gpu("H100-80GB", Sensors(pcie_replays=4)) as (library, _clock, gpu):
        library.fail("nvmlDeviceGetPcieReplayCounter", pynvml.NVML_ERROR_UNKNOWN, times=2)
        assert flat(gpu.sample())["pcie.replays"] == Why("failed")
        assert flat(gpu.sample())["pcie.replays"] == 4


def test_what_the_driver_does_not_have_is_asked_for_once_a_minute() -> None:
    with one_gpu("H100-80GB", Sensors()) as (library, clock, gpu):
        for _ in range(5):
            gpu.sample()
            clock.now_s += 5
        assert library.calls["nvmlDeviceGetFanSpeed"] == 1
        library.sensors[UUID] = Sensors(fan_percent=30)
        clock.now_s += 60
        assert gpu.sample()["fan_ratio"] == 0.3


def test_another_mig_mode_makes_everything_due() -> None:
    sensors = Sensors(remapped=(1, 0, 0, 0), encoder_percent=5)
    with one_gpu("H100-80GB", sensors) as (library, clock, gpu):
        assert flat(gpu.sample())["ecc.remapped_corrected"] == 1
        library.gpus[0].mig_enabled = library.gpus[0].mig_pending = True
        clock.now_s += 1
        row = flat(gpu.sample())
        assert row["ecc.remapped_corrected"] == row["encoder_utilization_ratio"] == Why("mig")
        library.gpus[0].mig_enabled = library.gpus[0].mig_pending = False
        clock.now_s += 1
        row = flat(gpu.sample())
        assert (row["ecc.remapped_corrected"], row["encoder_utilization_ratio"]) == (1, 0.05)


def test_instances_tell_their_own_use_and_their_samples_are_given_back() -> None:
    percent = (50.0, 20.0, 10.0, 5.0)
    with one_gpu("H100-80GB", Sensors(), mig=True) as (library, clock, gpu):
        made = [library.gpus[0].create_instance("1g.10gb") for _ in range(2)]
        library.sensors[UUID] = Sensors(instance_activity=((made[0].gi, percent),))
        gpu.sample()
        clock.now_s += 1
        row = gpu.sample()
        told = {instance["uuid"]: instance["activity"]["sm_active_ratio"] for instance in row["mig_instances"]}
        assert told == {made[0].uuid: 0.5, made[1].uuid: None}
        assert row["unavailable"]["activity.sm_active_ratio"] == "mig"
        library.gpus[0].destroy_instance(made[0].uuid)
        clock.now_s += 1
        gpu.sample()
        gpu.let_go()
        assert library.samples == {}


@pytest.mark.parametrize("error", [pynvml.NVML_ERROR_NO_PERMISSION, pynvml.NVML_ERROR_UNKNOWN])
def test_a_list_of_processes_that_is_not_told_has_its_reason_in_the_sample(error: int) -> None:
    with one_gpu("H100-80GB", Sensors()) as (library, _clock, gpu):
        library.fail("nvmlDeviceGetComputeRunningProcesses_v3", error)
        reason = "no permission" if error == pynvml.NVML_ERROR_NO_PERMISSION else "failed"
        assert gpu.sample()["unavailable"]["processes"] == reason
        assert gpu.processes()["processes"] == []
        library.fail("nvmlDeviceGetComputeRunningProcesses_v3", error, times=0)
        gpu.processes()
        assert "processes" not in gpu.sample()["unavailable"]
