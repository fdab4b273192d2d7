"""Questions without an end, defects in threads, and text that means harm in dialogs and lines."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from fakes.hostile_wire import harm_in
from msgspec import structs
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input
from tui.fleet_fixture import A100, OPTIONS, FrozenMeter, FrozenWorld, device, fleet, node, uuid, workload
from tui.steering import go, no_defect, until, until_drawn, whole_text

from gpualloc.model.workload import WorkloadState
from gpualloc.tui.app import TopApp
from gpualloc.tui.screens.confirm import ConfirmScreen
from gpualloc.tui.screens.form import FormScreen
from gpualloc.tui.screens.menu import MenuScreen
from gpualloc.tui.widgets.prompt_line import Prompt

TESTS = Path(__file__).resolve().parent.parent
HOSTILE = "\x1b]0;owned\x07[bold red]x[/] \u202eevil\u2066 \r\n\x9b31m{0} 漢字 שלום"
LIMIT_S = 60.0
CRASHING = """
from msgspec import structs
from tui.fleet_fixture import fleet
from gpualloc.tui.app import run_top
from gpualloc.tui.options import TopOptions

world = fleet()

def look():
    yield from world.look()
    if world.looks == 3:
        raise ZeroDivisionError("a defect")

run_top(world.context(), structs.replace(world.source(), look=look), TopOptions(every_s=0.5))
"""


class Hung:
    """Books that never answer."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.release = threading.Event()

    def __getattr__(self, name: str) -> Any:
        def never(*_: object, **__: object) -> Any:
            self.asked.set()
            self.release.wait()
            raise AssertionError(f"nobody waits for {name} any more")

        return never


@pytest.mark.parametrize(("name", "of"), [("device", f"a100-01/{uuid('a100-01', 0)}"), ("forecast", ""), ("audit", "")])
async def test_a_question_that_never_returns_holds_up_neither_keys_nor_the_exit(name: str, of: str) -> None:
    world, hung = fleet(), Hung()
    ctx = structs.replace(world.context(), history=hung, journal=hung, events=hung)  # type: ignore[arg-type]
    app = TopApp(ctx, world.source(), OPTIONS, title="gpualloc top", meter=FrozenMeter())
    async with app.run_test(size=(120, 40)) as pilot:
        await until_drawn(pilot)
        await go(pilot, name, of)
        await until(pilot, hung.asked.is_set)
        for _ in range(5):
            world.ticks_s += 100.0
            await pilot.press("d", "j", "k")
            app.show_live()
            await pilot.pause()
        threads = [one.name for one in threading.enumerate() if one.name.startswith("desk-")]
        mine = [lane for lane in threads if lane in {f"desk-history {name}", f"desk-{name}"}]
        assert len(mine) == len(set(mine))
        assert no_defect(pilot)
        await pilot.press("1", "j")
        await until(pilot, lambda: app.view is not None and app.view.NAME == "fleet")
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)
    assert app.crash is None
    assert not hung.release.is_set()


def test_a_defect_in_a_thread_gives_the_terminal_back_and_is_printed() -> None:
    leader, follower = os.openpty()
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "TERM": "xterm-256color"}
    command = [sys.executable, "-c", CRASHING]
    child = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env=environment, start_new_session=True
    )
    os.close(follower)
    printed = b""
    try:
        end_s = time.monotonic() + LIMIT_S
        while child.poll() is None or select.select([leader], [], [], 0)[0]:
            assert time.monotonic() < end_s, printed[-2000:]
            if not select.select([leader], [], [], 0.05)[0]:
                continue
            try:
                found = os.read(leader, 65536)
            except OSError:  # The other side is closed.
                break
            printed += found
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        os.close(leader)
    assert child.returncode not in (0, None, -9)
    drawn, left, after = printed.rpartition(b"\x1b[?1049l")
    assert left, "the alternate screen is left"
    assert b"a100-01" in drawn
    assert b"\x1b[?1049h" not in after
    assert b"\x1b[?25h" in printed[printed.rindex(b"\x1b[?1049h") :], "the cursor is shown again"
    assert b"ZeroDivisionError: a defect" in after


async def test_dialogs_and_lines_draw_hostile_text_as_text(tmp_path: Path) -> None:
    model = structs.replace(device("n1", 0, A100), model=HOSTILE)
    one = node("n1", (model, device("n1", 1, A100)), reason=HOSTILE)
    one = structs.replace(one, spec=structs.replace(one.spec, name=HOSTILE))
    works = (workload("w00000000", HOSTILE, HOSTILE, WorkloadState.PENDING, reason=HOSTILE),)
    app = FrozenWorld((one,), works, specs=(one.spec,)).app()
    async with app.run_test(size=(200, 50)) as pilot:
        await until(pilot, lambda: app.watcher.seen().workloads is not None and app.shell.state.rows)
        app.say(HOSTILE)
        await pilot.pause()
        assert "owned" in whole_text(pilot)
        _check_harmless(pilot)
        for key, screen in (("a", MenuScreen), ("plus", FormScreen), ("C", FormScreen)):
            await pilot.press(key)
            await pilot.pause()
            if isinstance(app.screen, screen):
                _check_harmless(pilot)
                await pilot.press("escape")
                await pilot.pause()
        await go(pilot, "workloads")
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, MenuScreen))
        await pilot.pause()
        assert "owned" in whole_text(pilot)
        _check_harmless(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.view)
        for name in (f"{tmp_path}/no\x1b[31m/{HOSTILE}.csv", f"{tmp_path}/{HOSTILE.replace('/', '')}.csv"):
            view = app.view
            assert view is not None
            view._export(view.table, name)  # type: ignore[attr-defined]
            await until(pilot, lambda: not app.shell.desk.busy("export"))
            await pilot.pause()
            _check_harmless(pilot)
            app.ask(Prompt("export", "write to", "FILE", lambda _: (HOSTILE, "plain")), name, lambda _: None)
            await until(pilot, lambda: "plain" in whole_text(pilot))
            _check_harmless(pilot)
            await _paste(pilot)
            await pilot.press("escape")
            await pilot.pause()
        app._run(f"record {tmp_path}/{HOSTILE.replace('/', '')}.rec")
        await until(pilot, lambda: not app.shell.desk.busy("recording"))
        await pilot.pause()
        _check_harmless(pilot)
        for words in (HOSTILE, f"node {HOSTILE}", f"release {HOSTILE}", f"theme {HOSTILE}", f"time {HOSTILE}"):
            app._run(words)
            await pilot.pause()
            _check_harmless(pilot)
            if not isinstance(app.screen, ConfirmScreen | FormScreen):
                continue
            await pilot.press("escape")
            await pilot.pause()


async def _paste(pilot: Pilot[None]) -> None:
    """Paste text that means harm into the line that is typed."""
    line = pilot.app.screen.query_one(Input)
    line.post_message(events.Paste(HOSTILE))
    await until(pilot, lambda: "owned" in line.value and line.value.isprintable())


def _check_harmless(pilot: Pilot[None]) -> None:
    assert no_defect(pilot)
    drawn = whole_text(pilot)
    assert harm_in(drawn) == set()
    assert not {"\x1b", "\x9b", "\x07", "\u202e", "\u2066", "\r"} & set(drawn)
