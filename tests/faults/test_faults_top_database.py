"""State that is locked, gone or broken while the dashboard runs: what is live goes on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from tui.steering import go, no_defect, plain_text, until, whole_text
from tui.world_fixture import World, simulated, until_looked

from gpualloc.model.workload import WorkloadState
from gpualloc.tui.app import TopApp
from gpualloc.tui.screens.confirm import ConfirmScreen
from gpualloc.tui.screens.doing import DoingScreen
from gpualloc.tui.screens.view import View
from gpualloc.tui.widgets.lines import Lines

SIZE = (160, 40)
READING = ("audit", "events", "alerts", "forecast", "plan", "workloads", "users", "node", "device", "fleet")
"""Views that ask the databases for something, and the first one."""
HOLDER = """
import sqlite3, sys
connections = [sqlite3.connect(path, isolation_level=None) for path in sys.argv[1:]]
for connection in connections:
    connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let another process hold both databases as firmly as it can."""
    command = [sys.executable, "-c", HOLDER, *map(str, _files(folder))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        yield
        holder.communicate()


def _files(folder: Path) -> list[Path]:
    """Where the state is kept; the simulated world keeps itself elsewhere."""
    return [next(folder.rglob(name)) for name in ("state.db", "history.db")]


def _remove(folder: Path) -> None:
    for file in _files(folder):
        for each in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
            each.unlink(missing_ok=True)


def _replace_by_folders(folder: Path) -> None:
    for file in _files(folder):
        file.unlink()
        file.mkdir()


def _damage(folder: Path) -> None:
    for file in _files(folder):
        for each in (file, file.with_name(f"{file.name}-wal")):
            each.write_bytes(b"\xff" * each.stat().st_size)


def _looks(pilot: Pilot[None]) -> int:
    app = pilot.app
    assert isinstance(app, TopApp)
    return app.watcher.seen().looks


async def _go_everywhere(pilot: Pilot[None], world: World) -> None:
    """Visit each view that reads what is kept; it shows what is live meanwhile."""
    app = pilot.app
    assert isinstance(app, TopApp)
    row = next(row for row in app.shell.state.rows if row.device is not None)
    of = {"node": row.key.split("/")[0], "device": row.key}
    for name in READING:
        await go(pilot, name, of.get(name, ""))
        await until(pilot, lambda: not _asking(app))
        await pilot.press("j", "k")
        assert no_defect(pilot)
        assert "nodes ok" in whole_text(pilot)
    before = _looks(pilot)
    await until(pilot, lambda: _looks(pilot) > before)


def _asking(app: TopApp) -> bool:
    desk = app.shell.desk
    return any(desk.busy(lane) for lane in tuple(desk._lanes))


@pytest.mark.parametrize("harm", [_remove, _replace_by_folders, _damage])
async def test_state_that_is_gone_ends_nothing(harm: Callable[[Path], None], tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with simulated(folder) as world:
        world.submit("first")
        world.start_waiting()
        app = world.app()
        async with app.run_test(size=SIZE) as pilot:
            await until_looked(pilot)
            await _go_everywhere(pilot, world)
            harm(folder)
            await _go_everywhere(pilot, world)
            await pilot.press("left_square_bracket")
            await _go_everywhere(pilot, world)
            assert app.watcher.seen().error is None or "cannot be used" in app.watcher.seen().error.message


async def test_a_lock_is_told_in_a_line_and_waited_out(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with simulated(folder) as world:
        waiting = world.submit("waits", gpus=1)
        app = world.app()
        async with app.run_test(size=SIZE) as pilot:
            await until_looked(pilot)
            with _locked(folder):
                await _go_everywhere(pilot, world)
                await _release(pilot, waiting.id)
                # Keys go on while the lock is waited for.
                await pilot.press("j", "k")
                await until(pilot, lambda: isinstance(pilot.app.screen, DoingScreen) and _told(pilot))
                assert no_defect(pilot)
                await pilot.press("escape")
                assert no_defect(pilot)
                before = _looks(pilot)
                await until(pilot, lambda: _looks(pilot) > before)
            await until(pilot, lambda: isinstance(pilot.app.screen, View))
            await _release(pilot, waiting.id)
            await until(pilot, lambda: world.ctx.journal.find(waiting.id).state is WorkloadState.RELEASED)
            await _go_everywhere(pilot, world)


def _told(pilot: Pilot[None]) -> bool:
    return "written by another process" in plain_text(pilot.app.screen.query_one(".dialog-text", Lines).lines)


async def _release(pilot: Pilot[None], reference: str) -> None:
    """Type what releases it, and say yes."""
    await pilot.press("colon", *"release", "space", *reference, "enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
    await pilot.press("y")
