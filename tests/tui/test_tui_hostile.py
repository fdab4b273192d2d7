"""A node that means harm with every text of the wire, in the dashboard."""

from __future__ import annotations

import pytest
from fakes.hostile_wire import decoded, harm_in, hostile_answers
from textual.pilot import Pilot
from tui.fleet_fixture import FrozenWorld
from tui.steering import screen_text, text_of, until

from gpualloc.tui.screens.fleet import FleetScreen


@pytest.mark.parametrize("selector", ["#fleet", "#processes", "#workloads"])
async def test_nothing_a_node_says_steers_the_terminal(selector: str) -> None:
    told, _ = hostile_answers()
    node = decoded(told)
    async with FrozenWorld((node,), specs=(node.spec,)).app().run_test(size=(200, 40)) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, FleetScreen))
        await until(pilot, lambda: any("n1" in line for line in screen_text(pilot)))
        _check_harmless(pilot)
        pilot.app.screen.query_one(selector).focus()
        await pilot.press("enter")
        await pilot.pause()
        if selector != "#workloads":
            await until(pilot, lambda: len(pilot.app.screen_stack) == 3 and text_of(pilot, "#detail-lines"))
        _check_harmless(pilot)


def _check_harmless(pilot: Pilot[None]) -> None:
    assert harm_in("\n".join(screen_text(pilot))) == set()
