"""NVML through the real binding: what is told, and what is told when it is not."""

import threading
import time
from types import SimpleNamespace

import pynvml
import pytest

from gpualloc.node import mig
from gpualloc.node.nvml import Nvml, deadline_s


def inventory(nvml):
    return nvml.ask(lambda gpu: gpu.inventory(), lambda gpu: gpu.blank_inventory())


def sample(nvml):
    return nvml.ask(lambda gpu: gpu.sample(), lambda gpu: gpu.blank_sample())


def test_readings_are_numbers_or_have_a_reason(tiny_nvml):
    nvml = Nvml(60.0)
    assert nvml.status() == {
        "state": "ok",
        "reason": None,
        "driver_version": "535.104.05",
        "library_version": "12.535.104.05",
    }
    row = inventory(nvml)[1]
    assert (row["index"], row["minor"], row["model"], row["memory_total_mib"]) == (1, 3, "NVIDIA Tiny", 1000)
    assert row["mig_enabled"] is None
    assert row["unavailable"]["mig_enabled"] == "not supported"
    row = sample(nvml)[1]
    assert (row["uuid"], row["memory_used_mib"], row["power_w"], row["temperature_c"]) == (
        "GPU-00000001-0000-0000-0000-000000000000",
        200,
        150.5,
        40,
    )
    assert row["gpu_utilization_ratio"] is None
    assert row["unavailable"]["gpu_utilization_ratio"] == "not supported"
    assert row["state"] == "ok"


def test_an_implausible_value_is_no_reading(tiny_nvml):
    tiny_nvml.gpus[0].update(utilization=4000, used=999_999)
    nvml = Nvml(60.0)
    inventory(nvml)
    row = sample(nvml)[0]
    for name in ("gpu_utilization_ratio", "memory_used_mib"):
        assert row[name] is None
        assert row["unavailable"][name] == "implausible"


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (pynvml.NVML_ERROR_GPU_IS_LOST, "GPU lost"),
        (pynvml.NVML_ERROR_RESET_REQUIRED, "needs reset"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "no permission"),
    ],
)
def test_a_sick_gpu_is_a_state_of_its_own_row_only(tiny_nvml, code, state):
    nvml = Nvml(60.0)
    known = inventory(nvml)[2]
    tiny_nvml.gpus[2]["error"] = code
    rows = sample(nvml)
    assert [row["state"] for row in rows] == ["ok", "ok", state, "ok"]
    assert rows[2]["memory_used_mib"] is None
    rows = inventory(nvml)
    assert rows[2]["uuid"] == known["uuid"]
    assert rows[2]["state"] == state
    del tiny_nvml.gpus[2]["error"]
    assert [row["state"] for row in sample(nvml)] == ["ok"] * 4


def test_a_hung_gpu_costs_one_deadline_once_and_its_own_row(tiny_nvml):
    nvml = Nvml(3.0)
    inventory(nvml)
    tiny_nvml.gpus[1]["gate"] = gate = threading.Event()
    rows = sample(nvml)
    assert [row["state"] for row in rows] == ["ok", "driver not answering", "ok", "ok"]
    assert rows[1]["uuid"] == "GPU-00000001-0000-0000-0000-000000000000"
    assert rows[1]["reason"].startswith("since ")
    assert rows[1]["unavailable"]["power_w"] == "hung"
    assert rows[1]["unavailable"]["ecc.volatile_uncorrected"] == "hung"
    sample(nvml)
    threads = threading.active_count()
    assert [row["state"] for row in sample(nvml)][1] == "driver not answering"
    assert threading.active_count() == threads
    gate.set()
    until = time.monotonic() + 60
    while sample(nvml)[1]["state"] != "ok":
        assert time.monotonic() < until


def test_a_gpu_that_hangs_from_the_start_has_a_row(tiny_nvml):
    tiny_nvml.gpus[3]["gate"] = threading.Event()
    row = inventory(Nvml(3.0))[3]
    assert row["state"] == "driver not answering"
    assert row["uuid"] == "GPU-unknown-3"
    assert row["memory_total_mib"] is None


def test_an_older_process_call_is_used_when_the_newer_is_missing(tiny_nvml):
    tiny_nvml.gpus[0]["processes"] = [(77, 10 << 20), (78, (1 << 64) - 1)]
    rows = Nvml(60.0).ask(lambda gpu: gpu.processes(), lambda gpu: {})
    assert rows[0]["processes"] == [(77, None, 10, None), (78, None, None, None)]
    assert rows[1]["processes"] == []


def test_mig_instances_are_found_past_holes_with_their_place(tiny_nvml):
    one = {"uuid": "MIG-1", "id": 9, "place": (0, 4), "name": "NVIDIA Tiny MIG 3g.20gb", "used": 7, "total": 500 << 20}
    two = {"uuid": "MIG-2", "id": 5, "place_error": pynvml.NVML_ERROR_NO_PERMISSION, "used": 8, "total": 100 << 20}
    two["processes"] = [(77, 5 << 20)]
    tiny_nvml.gpus[0].update(mig=1, instances={0: one, 3: two})
    nvml = Nvml(60.0)
    row = inventory(nvml)[0]
    assert (row["mig_enabled"], row["mig_pending"]) == (True, True)
    assert row["mig_instances"] == [
        {
            "uuid": "MIG-1",
            "profile": "3g.20gb",
            "start": 0,
            "size": 4,
            "memory_total_mib": 500,
            "gpu_instance": 9,
            "compute_instance": None,
        },
        {
            "uuid": "MIG-2",
            "profile": "unknown",
            "start": None,
            "size": None,
            "memory_total_mib": 100,
            "gpu_instance": 5,
            "compute_instance": None,
        },
    ]
    row = sample(nvml)[0]
    told = [(instance["uuid"], instance["memory_used_mib"]) for instance in row["mig_instances"]]
    assert told == [("MIG-1", 7), ("MIG-2", 8)]
    assert row["unavailable"]["gpu_utilization_ratio"] == "mig"
    rows = nvml.ask(lambda gpu: gpu.processes(), lambda gpu: {})
    assert rows[0]["processes"] == [(77, "MIG-2", 5, None)]


def test_a_missing_library_is_absent(monkeypatch):
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    nvml = Nvml(60.0)
    status = nvml.status()
    assert status["state"] == "absent"
    assert "libnvidia-ml.so.1" in status["reason"]
    assert sample(nvml) == []


def test_a_mismatch_says_so(tiny_nvml):
    tiny_nvml.init_code = 18
    status = Nvml(60.0).status()
    assert status["state"] == "mismatch"
    assert "kernel driver" in status["reason"]


def test_a_hung_start_is_told_and_retried_by_nobody(tiny_nvml, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(pynvml, "nvmlInit", gate.wait)
    nvml = Nvml(0.1)
    assert nvml.status()["state"] == "hung"
    assert inventory(nvml) == []
    gate.set()


@pytest.mark.parametrize(("text", "seconds"), [("0.5", 0.5), ("", 1.5), ("-1", 1.5), ("nan", 1.5), ("x", 1.5)])
def test_the_deadline_is_a_positive_number(monkeypatch, text, seconds):
    monkeypatch.setenv("GPUALLOC_NVML_DEADLINE_S", text)
    assert deadline_s() == seconds


@pytest.mark.parametrize("name", [b"MIG 1g.10gb+me", "MIG 1g.10gb+me"])
def test_a_profile_is_named_by_the_driver_whatever_type_the_binding_gives(monkeypatch, name):
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda _handle: "NVIDIA Tiny")
    told = SimpleNamespace(name=name)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetGpuInstanceProfileInfoById", lambda _parent, _id: told, raising=False)
    assert mig._profile(None, None, 3) == "1g.10gb+me"
