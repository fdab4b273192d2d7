"""A scratch world with two GPUs on this machine."""

import pytest
from fakes.command import Command
from fakes.nvml_stub import FakeGpu


@pytest.fixture
def world(tmp_path):
    command = Command(tmp_path)
    command.gpus(FakeGpu(0), FakeGpu(1))
    yield command
    command.stop_everything()


@pytest.fixture
def sim(tmp_path):
    """The embedded demo cluster with a state directory of its own."""
    return Command(tmp_path, extra_env={"GPUALLOC_SIM": "demo"})
