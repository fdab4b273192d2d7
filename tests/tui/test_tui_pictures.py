"""The screens as pictures, at the two sizes that are promised."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from gpualloc.tui.screens.detail import DetailScreen
from textual.pilot import Pilot
from tui.fleet_fixture import TICKS_S, bare_machine, fleet
from tui.steering import text_of, until, until_drawn

SIZES = [(80, 24), (160, 48)]
sizes = pytest.mark.parametrize("size", SIZES, ids=["80x24", "160x48"])


@sizes
def test_fleet(snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    assert snap_compare(fleet().app(), terminal_size=size, run_before=until_drawn)


@sizes
def test_workloads_sorted_by_state_filtered(snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    async def steer(pilot: Pilot[None]) -> None:
        await until_drawn(pilot)
        await pilot.press("w", "s", "slash", *"100-0", "enter")
        await pilot.pause()

    assert snap_compare(fleet().app(), terminal_size=size, run_before=steer)


@sizes
def test_detail_of_a_hung_device(snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    async def steer(pilot: Pilot[None]) -> None:
        await until_drawn(pilot)
        await pilot.press("s", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, DetailScreen) and text_of(pilot, "#detail-lines"))
        await pilot.pause()

    assert snap_compare(fleet().app(), terminal_size=size, run_before=steer)


@sizes
def test_help(snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    async def steer(pilot: Pilot[None]) -> None:
        await until_drawn(pilot)
        await pilot.press("question_mark")
        await pilot.pause()

    assert snap_compare(fleet().app(), terminal_size=size, run_before=steer)


@sizes
def test_no_device_anywhere(snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    assert snap_compare(bare_machine().app(), terminal_size=size, run_before=until_drawn)


def test_simulated_paused_and_silent(snap_compare: Callable[..., bool]) -> None:
    world = dataclasses.replace(fleet(), simulated=True)

    async def steer(pilot: Pilot[None]) -> None:
        await until_drawn(pilot)
        await pilot.press("p")
        world.ticks_s = TICKS_S + 95
        await pilot.press("j", "r", "r")
        await pilot.pause()

    assert snap_compare(world.app("gpualloc top demo"), terminal_size=(80, 24), run_before=steer)
