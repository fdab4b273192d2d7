"""`sample --every` as a service: it outlives hung GPUs, full disks and rivals, and ends when it is told to."""

import json
import os
import select
import signal
import sqlite3
import sys
import time
from contextlib import closing, contextmanager

import pytest
from fakes.command import Command, wait_until
from fakes.nvml_stub import FakeGpu
from fakes.own_mounts import own_mounts

PATIENCE_S = 90.0
UUID = "GPU-00000000-0000-0000-0000-00000000000{}"


@pytest.fixture
def world(tmp_path):
    command = Command(tmp_path, extra_env={"GPUALLOC_NVML_DEADLINE_S": "1"})
    command.gpus(FakeGpu(0, temperature_c=40), FakeGpu(1, temperature_c=41))
    yield command
    command.stop_everything()


class Sampler:
    """A running `sample --every --json`."""

    def __init__(self, process):
        self.process = process
        self._pending = b""

    def tick(self):
        """The next tick it tells of; None when there is none in time."""
        until_s = time.monotonic() + PATIENCE_S
        descriptor = self.process.stdout.fileno()
        while b"\n" not in self._pending:
            left_s = until_s - time.monotonic()
            if left_s <= 0 or not select.select([descriptor], [], [], left_s)[0]:
                return None
            data = os.read(descriptor, 65536)
            if not data:
                return None
            self._pending += data
        line, self._pending = self._pending.split(b"\n", 1)
        return json.loads(line)

    def until(self, true):
        """The first tick of which that holds."""
        until_s = time.monotonic() + PATIENCE_S
        seen = []
        while time.monotonic() < until_s:
            tick = self.tick()
            assert tick is not None, (
                seen,
                self.process.poll(),
                self.process.stderr.read() if self.process.poll() is not None else "",
            )
            if true(tick):
                return tick
            seen.append(tick)
        raise AssertionError(seen[-5:])


@contextmanager
def sampling(world, *more):
    process = world.start("sample", "--every", "1s", "--json", *more)
    try:
        yield Sampler(process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def temperatures(world, index):
    """(tick, °C) of a device, as stored."""
    data = world.json("history", "--metric", "temperature_c", "--since", "1h")
    points = [series["points"] for series in data["series"] if series["device"] == UUID.format(index)]
    return [value for _, value in points[0]] if points else []


def test_a_hung_gpu_costs_only_its_own_row(world):
    with sampling(world) as sampler:
        sampler.until(lambda tick: tick["rows"] == 3)
        world.gpus(FakeGpu(0, temperature_c=50), FakeGpu(1, temperature_c=51, fault="hang"))
        for _ in range(4):
            sampler.until(lambda tick: tick["rows"] == 3)
        sampler.process.send_signal(signal.SIGTERM)
        assert sampler.process.wait(PATIENCE_S) == 0
    assert temperatures(world, 0)[-1] == 50
    assert temperatures(world, 1)[-1] is None, "unknown, and not what it was before"
    assert 41 in temperatures(world, 1)


def test_a_rival_is_sent_away_and_the_first_goes_on(world):
    with sampling(world) as sampler:
        sampler.until(lambda tick: tick["rows"])
        refused = world.run("sample", "--every", "1s", check=7)
        assert f"process {sampler.process.pid}" in refused.stderr
        sampler.until(lambda tick: tick["rows"])
    world.run("sample")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_end_keeps_what_was_heard(world, number, code):
    with sampling(world, "--every", "1h") as sampler:
        # The first picture comes at once; the tick it belongs to lasts an hour.
        wait_until((world.node_dir / "host.json").exists, "the node looked at itself", PATIENCE_S)
        time.sleep(1)
        sampler.process.send_signal(number)
        assert sampler.process.wait(PATIENCE_S) == code
    assert temperatures(world, 0) == [40]


def test_a_killed_sampler_leaves_no_lock_and_no_program(world):
    with sampling(world) as sampler:
        sampler.until(lambda tick: tick["rows"])
    with sampling(world) as sampler:
        sampler.until(lambda tick: tick["rows"])
    with closing(sqlite3.connect(world.state_dir / "history.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.root
def test_a_full_disk_is_told_and_outlived(tmp_path):
    small = tmp_path / "state"
    small.mkdir()
    with own_mounts(f"mount -t tmpfs -o size=1500k none {small}\n") as inside:
        world = Command(tmp_path, program=(*inside, sys.executable, "-m", "gpualloc"))
        world.gpus(FakeGpu(0), FakeGpu(1))
        outside = f"/proc/{_mount_holder(inside)}/root{small}"
        with sampling(world) as sampler:
            sampler.until(lambda tick: tick["rows"])
            fill(f"{outside}/ballast")
            full = sampler.until(lambda tick: "disk" in (tick["error"] or ""))
            assert (full["rows"], "the disk is full" in full["error"]) == (0, True), full
            os.unlink(f"{outside}/ballast")
            sampler.until(lambda tick: tick["rows"] and not tick["error"])


def _mount_holder(inside):
    return next(word for word in inside if word.startswith("--mount=")).split("/")[2]


def fill(path):
    with open(path, "wb", buffering=0) as file:
        size = 65536
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
