"""The command over the embedded cluster, and programs that go on."""

import re
import signal
import subprocess
import sys

import pytest
from fakes.command import Command
from fakes.nvml_stub import FakeGpu


@pytest.fixture
def sim(tmp_path):
    """The embedded demo cluster with a state directory of its own."""
    return Command(tmp_path, extra_env={"GPUALLOC_SIM": "demo"})


@pytest.fixture
def here(tmp_path):
    """This machine with two GPUs."""
    command = Command(tmp_path)
    command.gpus(FakeGpu(0, power_w=61.5), FakeGpu(1, power_w=None))
    return command


@pytest.fixture
def begin(sim):
    """Start a verb that goes on, in the demo cluster or another world; what is still there at the end is killed."""
    started = []

    def begin(*arguments, world=sim, **env):
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "gpualloc", *arguments],
                env={**world.env, **env},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.fixture
def exporter(begin):
    """Start the exporter; returns its process and host:port."""

    def exporter(*arguments, **others):
        process = begin("exporter", "--listen", "127.0.0.1:0", *arguments, **others)
        found = re.search(r"http://([0-9.]+:[0-9]+)/metrics", process.stderr.readline())
        assert found
        return process, found[1]

    return exporter
