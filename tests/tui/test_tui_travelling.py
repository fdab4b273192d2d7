"""Keys that go through time, at both ends of what is stored and of a recording."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot
from tui.charted_world import device_key, store
from tui.fleet_fixture import NOW_S, FrozenMeter, fleet
from tui.hands_world import notice, typed
from tui.steering import until, until_drawn

from gpualloc.tui.app import TopApp
from gpualloc.tui.options import TopOptions
from gpualloc.wiring import Options, open_context
from gpualloc.wiring.doors import recorder

TICKS, EVERY_S = 60, 10.0
GPU = "a100-01/GPU-a100-01-0"
END_S = NOW_S + (TICKS - 1) * EVERY_S


def banner(pilot: Pilot[None]) -> str:
    app = pilot.app
    assert isinstance(app, TopApp)
    return " ".join(app.banners)


def shown_s(pilot: Pilot[None]) -> float | None:
    app = pilot.app
    assert isinstance(app, TopApp)
    return None if app.is_live else app.shell.state.moment.now_s


def forget(pilot: Pilot[None]) -> None:
    """Take the notice away that stands."""
    pilot.app.screen.query_one("#notice").display = False


async def there(pilot: Pilot[None], at_s: float | None) -> None:
    await until(pilot, lambda: shown_s(pilot) == at_s)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Ten minutes of a fleet, a tick each ten seconds."""
    world = fleet()
    path = tmp_path / "incident.rec"
    file = recorder(path, world.specs, began_s=NOW_S, every_s=EVERY_S, commands=True)
    for tick in range(TICKS):
        file.tick(NOW_S + tick * EVERY_S, [replace(node, at_s=NOW_S + tick * EVERY_S) for node in world.nodes])
    file.close()
    return path


async def test_now_is_the_end_of_a_recording(recording: Path, tmp_path: Path) -> None:
    world = fleet()
    with open_context(Options(sim=str(recording), state_dir=tmp_path / "state")) as ctx:
        app = TopApp(ctx, world.source(), TopOptions(every_s=2.0), title="gpualloc top", meter=FrozenMeter())
        async with app.run_test(size=(120, 40)) as pilot:
            await until_drawn(pilot)
            await pilot.press("right_square_bracket")
            assert "[ goes to the end of the recording" in notice(pilot)
            await pilot.press("left_square_bracket")
            await there(pilot, END_S)
            assert banner(pilot).endswith(", its end")
            assert "ago" not in banner(pilot)
            for key in ("right_square_bracket", "right_curly_bracket"):
                await pilot.press(key)
                await until(pilot, lambda: "the recording ends here; L plays it on" in notice(pilot))
                assert shown_s(pilot) == END_S
                await pilot.press("left_square_bracket")
                await there(pilot, END_S - EVERY_S)
                assert banner(pilot).endswith(", 10s before its end")
                await pilot.press("right_square_bracket")
                await there(pilot, END_S)
                forget(pilot)
            await typed(pilot, "time -9m")
            await there(pilot, END_S - 540)
            await pilot.press("left_curly_bracket")
            await there(pilot, NOW_S)
            assert banner(pilot).endswith(", its beginning")
            await until(pilot, lambda: "the recording begins here" in notice(pilot))
            forget(pilot)
            await pilot.press("left_square_bracket")
            await until(pilot, lambda: "the recording begins here" in notice(pilot))
            await pilot.press("t", *"now", "enter")
            await there(pilot, END_S)
            # A time of day is one of the recording's, not of where it is played.
            day = time.strftime("%H:%M:%S", time.localtime(END_S - 60))
            await typed(pilot, f"time {day}")
            await there(pilot, END_S - 60)
            await typed(pilot, "time nonsense")
            await until(pilot, lambda: "'nonsense' is not a moment; write -2h" in notice(pilot))
            await pilot.press("L")
            await there(pilot, None)
            await typed(pilot, "time -1m")
            await there(pilot, END_S - 60)
            await typed(pilot, "time live")
            await there(pilot, None)


async def test_both_ends_of_what_is_stored_are_told() -> None:
    app = fleet().app()
    store(app.shell.ctx, device_key(GPU), range(600, 0, -10), lambda _: {"power_w": 100.0})
    async with app.run_test(size=(120, 40)) as pilot:
        await until_drawn(pilot)
        await pilot.press("right_curly_bracket")
        assert "nothing is later: [ goes back in time" in notice(pilot)
        await typed(pilot, "time 2020-01-01")
        await until(pilot, lambda: "nothing earlier is stored" in notice(pilot))
        assert "oldest stored" in banner(pilot)
        forget(pilot)
        oldest_s = shown_s(pilot)
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: "nothing earlier is stored" in notice(pilot))
        assert shown_s(pilot) == oldest_s
        await typed(pilot, "time now")
        await there(pilot, None)
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: "newest stored" in banner(pilot))
        await pilot.press("right_square_bracket")
        await there(pilot, None)
        assert "nothing later is stored: this is now" in notice(pilot)
