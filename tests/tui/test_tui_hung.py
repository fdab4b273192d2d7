"""A look that never ends, a source that fails, and more devices than can be seen."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import structs
from tui.fleet_fixture import A100, EVERY_S, TICKS_S, FrozenMeter, FrozenWorld, device, fleet, large_fleet
from tui.steering import fleet_table, screen_text, text_of, until, until_drawn

from gpualloc.errors import StateError
from gpualloc.model.inventory import Node, NodeState, Snapshot
from gpualloc.model.workload import Workload
from gpualloc.tui.app import TopApp
from gpualloc.tui.options import TopOptions

HERE = Path(__file__).resolve().parent


def _app(world: FrozenWorld, every_s: float = EVERY_S, **changes: object) -> TopApp:
    source = structs.replace(world.source(), **changes)  # type: ignore[arg-type]
    return TopApp(world.context(), source, TopOptions(every_s=every_s), title="gpualloc top", meter=FrozenMeter())


async def test_a_node_that_never_answers_holds_up_nobody() -> None:
    world = fleet()
    release = threading.Event()

    def look() -> Iterator[Node]:
        yield from world.nodes[:3]
        release.wait()

    app = _app(world, look=look)
    async with app.run_test(size=(160, 48)) as pilot:
        await until(pilot, lambda: any("notebook-carl" in line or "w6d8e1f5g" in line for line in screen_text(pilot)))
        waiting = next(line for line in screen_text(pilot) if line.startswith(" l40s-01"))
        assert "waiting for answer" in waiting
        assert waiting.rstrip().endswith("never")
        world.ticks_s = TICKS_S + 3 * EVERY_S + 1
        table = fleet_table(pilot)
        await pilot.press("j")
        assert table.current is table.rows[1]
        waiting_for = "looking for 7s, still waiting for l40s-01, l40s-02, login"
        await until(pilot, lambda: waiting_for in text_of(pilot, "#trouble"))
        assert any("no answer for 7s" in line for line in screen_text(pilot))
    release.set()


async def test_a_hung_device_ages_alone() -> None:
    world = fleet()
    nodes = iter([world.nodes, world.nodes])
    well = structs.replace(
        world.nodes[1], devices=tuple(device("h100-01", index, A100, ratio=0.5) for index in range(8))
    )
    looked = threading.Semaphore(1)

    def look() -> Iterator[Node]:
        looked.acquire()
        yield from (well,) if world.looks == 0 else next(nodes)
        world.looks += 1

    app = _app(world, 0.05, look=look, specs=())
    async with app.run_test(size=(160, 48)) as pilot:
        await until_drawn(pilot)
        world.ticks_s = TICKS_S + 90
        looked.release()
        await until(pilot, lambda: any("driver not answering" in line for line in screen_text(pilot)))
        hung = next(line for line in screen_text(pilot) if "driver not answering" in line)
        lost = next(line for line in screen_text(pilot) if "GPU lost" in line)
        assert hung.rstrip().endswith(" 90s")
        assert lost.rstrip().endswith(" <1s")


async def test_what_a_lost_node_last_said_stays_with_its_age() -> None:
    world = fleet()
    app = world.app(options=TopOptions(every_s=0.05))
    async with app.run_test(size=(160, 48)) as pilot:
        await until_drawn(pilot)
        down = Node(world.nodes[0].spec, NodeState.UNREACHABLE, world.now_s, reason="connection reset")
        world.ticks_s += 200
        world.nodes = (down, *world.nodes[1:])
        await until(pilot, lambda: "4/6 nodes ok" in text_of(pilot, "#summary"))
        line = next(line for line in screen_text(pilot) if line.split()[:2] == ["a100-01", "0"])
        assert "unreachable" in line
        assert "97%" in line
        assert line.rstrip().endswith("3m")
        await pilot.pause()


async def test_a_failing_source_is_told_and_asked_again() -> None:
    world = fleet()
    broken = threading.Event()
    broken.set()

    def workloads(_: Snapshot) -> tuple[Workload, ...]:
        if broken.is_set():
            raise StateError("state.db is locked", hint="close the other gpualloc")
        return world.workloads

    async with _app(world, 0.05, workloads=workloads).run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: "state.db is locked" in text_of(pilot, "#trouble"))
        assert "close the other gpualloc" in text_of(pilot, "#trouble")
        broken.clear()
        await until(pilot, lambda: not pilot.app.screen.query_one("#trouble").display)
        assert "2 pending" in text_of(pilot, "#summary")


async def test_a_defect_in_the_source_ends_the_dashboard() -> None:
    def look() -> Iterator[Node]:
        raise ZeroDivisionError("a defect")
        yield

    app = _app(fleet(), look=look)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: not app.is_running)
    assert isinstance(app.crash, ZeroDivisionError)


async def test_many_devices_draw_only_what_is_in_view() -> None:
    async with large_fleet().app().run_test(size=(160, 48)) as pilot:
        await until_drawn(pilot)
        table = fleet_table(pilot)
        assert len(table.rows) == 900
        drawn = 0
        draw = table.draw

        def counted(*args: object) -> object:
            nonlocal drawn
            drawn += 1
            return draw(*args)  # type: ignore[arg-type]

        table.draw = counted  # type: ignore[assignment, method-assign]
        await pilot.press("G")
        await pilot.pause()
        assert 0 < drawn <= 3 * 48 * 11


def test_q_ends_the_process_while_a_look_is_blocked() -> None:
    leader, follower = os.openpty()
    os.set_blocking(leader, False)
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "TERM": "xterm-256color"}
    child = subprocess.Popen(
        [sys.executable, str(HERE / "blocked_top.py")],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment,
        start_new_session=True,
    )
    os.close(follower)
    try:
        _read_until(leader, b"a100-01")
        os.write(leader, b"q")
        # An exit that joins the thread never comes.
        _drain_until_ended(leader, child)
        assert child.returncode == 0
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        os.close(leader)


def _read_until(terminal: int, wanted: bytes, limit_s: float = 60.0) -> None:
    got = b""
    end_s = time.monotonic() + limit_s
    while wanted not in got:
        assert time.monotonic() < end_s, got[-2000:]
        got += _read(terminal)


def _drain_until_ended(terminal: int, child: subprocess.Popen[bytes], limit_s: float = 60.0) -> None:
    end_s = time.monotonic() + limit_s
    while child.poll() is None and time.monotonic() < end_s:
        _read(terminal)


def _read(terminal: int) -> bytes:
    if not select.select([terminal], [], [], 0.02)[0]:
        return b""
    try:
        return os.read(terminal, 65536)
    except OSError:  # The other side is closed.
        return b""
