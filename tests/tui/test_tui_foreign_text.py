"""Text that means harm, or is wide, or runs from right to left: in every list, every detail, every file."""

from __future__ import annotations

import pytest
from fakes.hostile_wire import decoded, harm_in, hostile_answers
from msgspec.structs import replace
from rich.cells import cell_len
from textual.pilot import Pilot
from tui.fleet_fixture import A100, HELD, NOW_S, FrozenWorld, claim, device, node, process, workload
from tui.steering import until
from tui.world_fixture import BUILT, until_looked, until_view

from gpualloc.model.workload import WorkloadState
from gpualloc.tui.app import TopApp
from gpualloc.tui.messages import Go

HOSTILE = "\x1b[31mred\x1b]0;title\x07\x9b2J \u202egnp\u202c 漢字漢字 שלום e\u0301 =1+1 [bold]x[/] " + "x" * 300


def hostile_world() -> FrozenWorld:
    """A node, work and processes whose every text means harm."""
    name = "gpu01"
    devices = (replace(device(name, 0, A100, ratio=0.5), model=HOSTILE, reason=HOSTILE),)
    told_of = (
        replace(
            process(name, 0, 7, HOSTILE, 10, "w1", HOSTILE),
            container=HOSTILE[:12],
            pod=HOSTILE,
            slurm_job=HOSTILE,
            started_at_s=4e18,
        ),
        process(name, 0, 8, HOSTILE + "2", 10, None, HOSTILE),
    )
    one = replace(
        node(name, devices, processes=told_of, claims=(claim(name, 0, "w1"),), reason=HOSTILE),
        hostname=HOSTILE,
        limited=HOSTILE,
        other_controllers=(HOSTILE,),
        driver_version=HOSTILE,
    )
    works = (
        workload("w1", HOSTILE, HOSTILE, WorkloadState.RUNNING, (name, (0,)), reason=HOSTILE, held=HELD),
        workload("w2", HOSTILE, HOSTILE, WorkloadState.PENDING, reason=HOSTILE),
    )
    return FrozenWorld((one,), works, specs=(one.spec,))


def check_harmless(pilot: Pilot[None]) -> None:
    drawn = [line.text for line in pilot.app.screen._compositor.render_strips()]
    assert harm_in("\n".join(drawn)) == set()
    assert all(cell_len(line) <= pilot.app.size.width for line in drawn)


async def test_no_text_of_the_fleet_steers_the_terminal() -> None:
    async with hostile_world().app().run_test(size=(200, 40)) as pilot:
        app = pilot.app
        assert isinstance(app, TopApp)
        await until_looked(pilot)
        about = {"node": "gpu01", "device": "gpu01/GPU-gpu01-0", "workload": "w1"}
        for one in BUILT:
            app.post_message(Go(one.name, about.get(one.name, "")))
            await until_view(pilot, one.name)
            await pilot.press("enter")
            await pilot.pause()
            check_harmless(pilot)
            await pilot.press("escape")
            await pilot.pause()
            check_harmless(pilot)
        assert app.crash is None


@pytest.mark.parametrize("by", range(8))
async def test_no_group_or_detail_of_a_process_does(by: int) -> None:
    async with hostile_world().app().run_test(size=(160, 40)) as pilot:
        await until_looked(pilot)
        await pilot.press("3")
        await until_view(pilot, "processes")
        await pilot.press(*"v" * by)
        for key in ("home", "end"):
            await pilot.press(key, "enter")
            await until(pilot, lambda: pilot.app.screen.query("#told"))
            await pilot.pause()
            check_harmless(pilot)
            await pilot.press("escape")
            await until_view(pilot, "processes")


async def test_a_user_with_any_name_opens_their_processes() -> None:
    async with hostile_world().app().run_test(size=(160, 40)) as pilot:
        await until_looked(pilot)
        await pilot.press("5")
        await until_view(pilot, "users")
        for move in ("home", "end"):
            await pilot.press(move, "enter")
            await until_view(pilot, "processes")
            check_harmless(pilot)
            app = pilot.app
            assert isinstance(app, TopApp)
            assert app.view is not None
            table = app.view.table  # type: ignore[attr-defined]
            await until(pilot, lambda table=table: len(table.rows) == 1)
            await pilot.press("5")
            await until_view(pilot, "users")


async def test_nothing_that_came_over_the_wire_does() -> None:
    told, _ = hostile_answers()
    one = decoded(told)
    async with FrozenWorld((one,), specs=(one.spec,), now_s=NOW_S).app().run_test(size=(200, 40)) as pilot:
        await until_looked(pilot)
        for key, name in (("2", "nodes"), ("3", "processes"), ("5", "users"), ("8", "events")):
            await pilot.press(key)
            await until_view(pilot, name)
            check_harmless(pilot)
            await pilot.press("enter")
            await pilot.pause()
            check_harmless(pilot)
            await pilot.press("escape")
