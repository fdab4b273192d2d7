"""Tests on a real GPU, left out unless asked for with -m gpu.

    GPUALLOC_GPU_REPORT=report.json .venv/bin/pytest tests/gpu -m gpu -n 0 -s

With GPUALLOC_GPU_STUB=1 the driver library of tests/fakes stands in, to try the tests themselves.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from typing import Any

import pynvml
import pytest

STUB = os.environ.get("GPUALLOC_GPU_STUB") == "1"


@pytest.fixture(scope="session")
def handles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Any]]:
    """Every GPU of this machine, opened through nvidia-ml-py."""
    if STUB:
        _stand_in(tmp_path_factory)
    pynvml.nvmlInit()
    yield [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    pynvml.nvmlShutdown()


def _stand_in(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Load the library of tests/fakes under the name of the driver's."""
    from fakes.nvml_sensors import SWITCH, Link, Sensors
    from fakes.nvml_stub import SONAME, FakeGpu, build_library, write_state

    state = tmp_path_factory.mktemp("stub") / "nvml"
    sensors = Sensors(
        memory_temperature_c=61,
        memory_clock_mhz=2619,
        energy_mj=2**40,
        performance_state=0,
        encoder_percent=0,
        decoder_percent=0,
        throttle_bits=1,
        ecc_modes=(1, 1),
        ecc_totals=(0, 0, 0, 0),
        remapped=(0, 0, 0, 0),
        pcie_link=(5, 16, 5, 16),
        pcie_replays=0,
        pcie_kb=(12, 34),
        nvlinks=(Link(remote=SWITCH), Link(up=False)),
        nvlink_kib=(77, 88),
        serial="1650123456789",
        vbios="96.00.74.00.01",
        inforom="G520.0200.00.05",
        near=20,
        activity=(50.0, 25.0, 10.0, 5.0),
    )
    gpus = [FakeGpu(index, name="a stand-in", processes=((os.getpid(), 100),), sensors=sensors) for index in range(2)]
    write_state(state, gpus)
    os.environ["GPUALLOC_FAKE_NVML"] = str(state)
    ctypes.CDLL(str(build_library() / SONAME))
