"""First contact: no GPU and no configuration, or the demo, as somebody sees it who has just installed it."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec import structs
from textual.pilot import Pilot
from tui.fleet_fixture import FrozenWorld, bare_machine, fleet, node
from tui.steering import fleet_table, text_of, until, whole_text

from gpualloc.model.inventory import Node, NodeState
from gpualloc.tui.options import TopOptions
from gpualloc.tui.screens.fleet import FleetView
from gpualloc.tui.widgets.welcome import WAYS, Welcome

LIMIT_S = 60.0


async def _welcomed(pilot: Pilot[None]) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, FleetView))
    await until(pilot, lambda: "What you can do now" in whole_text(pilot))


async def test_it_says_why_there_is_no_gpu_and_what_to_do() -> None:
    async with bare_machine().app().run_test(size=(80, 24)) as pilot:
        await _welcomed(pilot)
        shown = whole_text(pilot)
        assert "laptop  no NVML: libnvidia-ml.so.1 was not found" in shown
        for way in WAYS:
            assert way.command in shown
            assert way.what in shown
        assert 'nodes = "gpu[01-04]"' in shown
        assert "1/1 nodes ok  no GPU" in text_of(pilot, "#summary")
        assert "NODE" not in shown
        # Nothing is offered for a grid that is not there.
        assert "v heat" not in shown


async def test_each_node_has_its_reason() -> None:
    waiting = node("slow", ())
    down = Node(node("down", ()).spec, NodeState.UNREACHABLE, 0.0, reason="no route to host")
    bare = node("bare", ())
    others = tuple(node(f"more{number}", ()) for number in range(4))
    world = FrozenWorld((down, bare, *others), specs=(waiting.spec, down.spec, bare.spec))
    async with world.app().run_test(size=(80, 30)) as pilot:
        await _welcomed(pilot)
        shown = whole_text(pilot)
        assert "bare  its driver has no GPU" in shown
        assert "down  unreachable: no route to host" in shown
        assert "and 2 more nodes; 2 lists them" in shown
        await pilot.press("2")
        await until(pilot, lambda: "slow" in whole_text(pilot) and "waiting" in whole_text(pilot))


async def test_commands_are_copied_and_not_started() -> None:
    async with bare_machine().app().run_test(size=(80, 24)) as pilot:
        await _welcomed(pilot)
        assert pilot.app.screen.query_one(Welcome).has_focus
        taken = []
        for key in ("y", "j", "k", "up"):
            await pilot.press(key, "enter")
            await until(pilot, lambda: "copied: " in text_of(pilot, "#notice"))
            taken.append(pilot.app.clipboard)
        assert taken == [WAYS[0].command, WAYS[1].command, WAYS[0].command, WAYS[-1].command]
        lines = [line.find("gpualloc doctor") for line in whole_text(pilot).split("\n")]
        await pilot.click(offset=(8, next(at for at, x in enumerate(lines) if x >= 0)), times=2)
        await until(pilot, lambda: pilot.app.clipboard == "gpualloc doctor")


async def test_it_gives_way_as_soon_as_a_gpu_is_seen() -> None:
    world = bare_machine()
    full = structs.replace(fleet(), nodes=world.nodes)
    app = full.app(options=TopOptions(every_s=0.05))
    async with app.run_test(size=(80, 24)) as pilot:
        await _welcomed(pilot)
        full.nodes = fleet().nodes
        await until(pilot, lambda: "What you can do now" not in whole_text(pilot) and "a100-01" in whole_text(pilot))
        await until(pilot, lambda: fleet_table(pilot).has_focus)


@pytest.mark.parametrize("size", [(20, 5), (40, 10), (200, 60)])
async def test_it_draws_in_every_size(size: tuple[int, int]) -> None:
    async with bare_machine().app().run_test(size=size) as pilot:
        await until(pilot, lambda: pilot.app.screen_stack[-1].query(Welcome))
        await until(pilot, lambda: pilot.app.screen.has_class("bare"))
        await pilot.press("j", "y")
        await pilot.pause()
        assert pilot.app.is_running


# The real program, on this machine, which has no GPU.


@contextmanager
def _top(home: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GPUALLOC", "XDG", "COV"))}
    environment = {**kept, "HOME": str(home), "TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    child = subprocess.Popen(
        [sys.executable, "-m", "gpualloc", *options, "top"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment,
        start_new_session=True,
    )
    os.close(follower)
    try:
        yield child, leader
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        os.close(leader)


def _read_until(terminal: int, *wanted: bytes) -> None:
    got = b""
    end_s = time.monotonic() + LIMIT_S
    while not all(text in got for text in wanted):
        assert time.monotonic() < end_s, got[-2000:]
        got += _read(terminal)


def _read(terminal: int) -> bytes:
    if not select.select([terminal], [], [], 0.02)[0]:
        return b""
    try:
        return os.read(terminal, 65536)
    except OSError:  # The other side is closed.
        return b""


def _quit(child: subprocess.Popen[bytes], terminal: int) -> int | None:
    os.write(terminal, b"q")
    end_s = time.monotonic() + LIMIT_S
    while child.poll() is None and time.monotonic() < end_s:
        _read(terminal)
    return child.poll()


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU")
def test_somebody_without_a_gpu_and_a_configuration_is_told_what_to_do(tmp_path: Path) -> None:
    with _top(tmp_path) as (child, terminal):
        _read_until(terminal, b"What you can do now", b"gpualloc --sim demo top", b"gpualloc init", b"libnvidia-ml")
        assert _quit(child, terminal) == 0
    assert not list(tmp_path.rglob("*.toml"))


def test_the_demo_is_alive_without_anything_else(tmp_path: Path) -> None:
    with _top(tmp_path, "--sim", "demo") as (child, terminal):
        _read_until(terminal, b"SIMULATED", b"birch01", b"busy")
        assert _quit(child, terminal) == 0
