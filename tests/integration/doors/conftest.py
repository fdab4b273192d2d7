"""The command over the embedded cluster, and programs that go on."""

import re
import signal
import subprocess
import sys

import pytest
from fakes.command import Command


@pytest.fixture
def sim(tmp_path):
    """The embedded demo cluster with a state directory of its own."""
    return Command(tmp_path, extra_env={"GPUALLOC_SIM": "demo"})


@pytest.fixture
def begin(sim):
    """Start a verb that goes on; what is still there at the end is killed."""
    started = []

    def begin(*arguments, **env):
        command = [sys.executable, "-m", "gpualloc", *arguments]
        started.append(
            subprocess.Popen(command, env={**sim.env, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
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

    def exporter(*arguments, **env):
        process = begin("exporter", "--listen", "127.0.0.1:0", *arguments, **env)
        found = re.search(r"http://([0-9.]+:[0-9]+)/metrics", process.stderr.readline())
        assert found
        return process, found[1]

    return exporter
