"""A node, a user and a configuration that mean harm with every text there is, in every view of the dashboard."""

from __future__ import annotations

import pytest
from fakes.hostile_wire import decoded, harm_in, hostile_answers
from msgspec import structs
from textual.pilot import Pilot
from tui.fleet_fixture import A100, FrozenWorld, device, node, process, uuid, workload
from tui.steering import go, no_defect, screen_text, until, until_drawn, views, whole_text

from gpualloc.model.workload import WorkloadState
from gpualloc.tui.screens.fleet import FleetView
from gpualloc.tui.screens.told import ToldScreen

HOSTILE = "\x1b]0;owned\x07[bold red]x[/] \u202eevil\u2066 \r\n\x9b31m{0} 漢字"
SIZE = (300, 50)


@pytest.mark.parametrize("name", views())
async def test_nothing_a_node_says_steers_the_terminal(name: str) -> None:
    told, _ = hostile_answers()
    node = decoded(told)
    async with FrozenWorld((node,), specs=(node.spec,)).app().run_test(size=SIZE) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, FleetView))
        await until(pilot, lambda: any("n1" in line for line in screen_text(pilot)))
        await _visit(pilot, name, {"node": "n1", "device": f"n1/{node.devices[0].uuid}", "workload": "w"})
        await pilot.press("enter")
        await pilot.pause()
        assert harm_in(whole_text(pilot)) == set()
        assert no_defect(pilot)


def _hostile_world() -> FrozenWorld:
    made = node(
        "n1",
        (structs.replace(device("n1", 0, A100), model=HOSTILE, reason=HOSTILE), device("n1", 1, A100)),
        processes=(process("n1", 0, 7, HOSTILE, 5, None, HOSTILE),),
        reason=HOSTILE,
    )
    made = structs.replace(made, hostname=HOSTILE, spec=structs.replace(made.spec, labels={HOSTILE: HOSTILE}))
    work = workload("w00000000", HOSTILE, HOSTILE, WorkloadState.PENDING, reason=HOSTILE)
    return FrozenWorld((made,), (work,), specs=(made.spec,))


OF = {"node": "n1", "device": f"n1/{uuid('n1', 0)}", "workload": "w00000000"}
SHOWING = {"fleet", "processes", "workloads", "device", "workload", "users"}
"""Views that show a text which the node or a user wrote."""


@pytest.mark.parametrize("name", views())
async def test_hostile_text_is_drawn_as_text(name: str) -> None:
    async with _hostile_world().app().run_test(size=SIZE) as pilot:
        await until_drawn(pilot)
        await _visit(pilot, name, OF)
        _check_harmless(pilot, name)
        await pilot.press("enter")
        await pilot.pause()
        _check_harmless(pilot)


async def test_hostile_text_is_drawn_as_text_in_a_window() -> None:
    async with _hostile_world().app().run_test(size=SIZE) as pilot:
        await until_drawn(pilot)
        await go(pilot, "processes")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ToldScreen) and "command" in whole_text(pilot))
        _check_harmless(pilot, "processes")


async def test_what_work_prints_is_drawn_as_text() -> None:
    world = _hostile_world()
    claimed = workload("w00000000", "x", "ann", WorkloadState.RUNNING, ("n1", (0,)))
    world = structs.replace(world, workloads=(claimed,), printed=HOSTILE.encode() + b"\xff\xfe\n")
    async with world.app().run_test(size=SIZE) as pilot:
        await until_drawn(pilot)
        await go(pilot, "workload", "w00000000")
        await until(pilot, lambda: "What it prints" in whole_text(pilot) and "\\x9b31m" in whole_text(pilot))
        _check_harmless(pilot)


async def test_a_node_with_a_hostile_name_has_its_place_in_the_grid() -> None:
    made = node("n1", tuple(device("n1", index, A100) for index in range(2)))
    named = structs.replace(made, spec=structs.replace(made.spec, name=HOSTILE))
    async with FrozenWorld((named,), specs=(named.spec,)).app().run_test(size=SIZE) as pilot:
        await until_drawn(pilot)
        await pilot.press("shift+tab", "l", "h")
        await pilot.pause()
        assert not {"\x1b", "\x9b", "\x07", "\u202e", "\u2066", "\r"} & set(whole_text(pilot))


async def _visit(pilot: Pilot[None], name: str, of: dict[str, str]) -> None:
    if name != "fleet":
        await go(pilot, name, of.get(name, ""))


def _check_harmless(pilot: Pilot[None], name: str = "") -> None:
    assert no_defect(pilot)
    drawn = whole_text(pilot)
    assert not {"\x1b", "\x9b", "\x07", "\u202e", "\u2066", "\r"} & set(drawn)
    if name in SHOWING:
        assert "\\x1b]0;owned\\x07" in drawn
        # The column of users ends before that.
        assert name == "users" or "[bold red]x" in drawn
