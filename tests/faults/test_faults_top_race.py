"""Keys and answers that come while a view is being put up."""

from __future__ import annotations

from tui.fleet_fixture import fleet
from tui.steering import no_defect, until, until_drawn, whole_text

from gpualloc.tui.screens.processes import ProcessesView


async def test_a_view_that_is_being_put_up_holds_back_whatever_comes() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        below = pilot.app.screen
        for _ in range(10):
            for key in ("3", "colon", "escape", "escape"):
                pilot.app.simulate_key(key)
            below.redraw()  # type: ignore[attr-defined]
            pilot.app.say("something")  # type: ignore[attr-defined]
            await pilot.pause()
            assert no_defect(pilot)
        await until(pilot, lambda: pilot.app.screen is below)
        await pilot.press("3", "slash", "a", "n", "n", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ProcessesView))
        await until(pilot, lambda: pilot.app.screen.table.memory.filter == "ann")  # type: ignore[attr-defined]
        assert "ann" in whole_text(pilot)
