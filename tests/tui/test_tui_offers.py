"""What an action gets: the nearest that it takes, of what is selected and of what the view around it is about."""

from __future__ import annotations

from pathlib import Path

from textual.pilot import Pilot
from tui.hands_world import asked, comes, demo, dialog_text, notice, on_top, running, seen_once, top
from tui.steering import go, until

from gpualloc.tui.actions.action import DeviceTarget, NodeTarget, ProcessTarget, Target
from gpualloc.tui.actions.catalog import ACTIONS, action_named
from gpualloc.tui.actions.offers import aimed, misfit, offers, told
from gpualloc.tui.app import TopApp
from gpualloc.tui.screens.form import FormScreen
from gpualloc.tui.screens.menu import ActionTable, MenuScreen
from gpualloc.tui.screens.view import View
from gpualloc.tui.widgets.list_table import ListTable

WIDE = (120, 40)
GPU = DeviceTarget("birch01", "GPU-0", 0, "H100")
NEXT = DeviceTarget("birch01", "GPU-1", 1, "H100")
NODE = NodeTarget("birch01")
STRANGER = ProcessTarget("birch01", 4001, None, "ann", "python", None)


async def menu(pilot: Pilot[None]) -> list[tuple[str, str, bool]]:
    """What the menu offers: action, what it would act upon, whether its key does that."""
    await pilot.press("a")
    await on_top(pilot, MenuScreen)
    rows = pilot.app.screen.query_one(ActionTable).rows
    return [(row.action.name, told(row.targets), row.is_first) for row in rows if row.action.takes]


async def form_title(pilot: Pilot[None], key: str) -> str:
    """What the form of an action is headed by; it is left again."""
    await pilot.press(key)
    await on_top(pilot, FormScreen)
    screen = pilot.app.screen
    assert isinstance(screen, FormScreen)
    title = screen.title_text()
    await pilot.press("escape")
    await comes(pilot, lambda: True)
    return title


async def the_view(pilot: Pilot[None], name: str, of: str, focus: str) -> View:
    """A view with rows in a list that has the keys."""
    view = await go(pilot, name, of)
    table = view.query_one(focus, ListTable)
    await until(pilot, lambda: table.rows)
    table.focus()
    await pilot.pause()
    return view


async def test_a_key_takes_the_nearest_of_its_kind(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            state = app.shell.state
            reach: tuple[tuple[Target, ...], ...] = ((STRANGER,), (GPU,), (NODE,))
            assert aimed(action_named("signal"), reach, state) == (STRANGER,)
            assert aimed(action_named("cordon"), reach, state) == (GPU,)
            assert aimed(action_named("rebalance"), reach, state) == ()
            assert aimed(action_named("release"), reach, state) == (STRANGER,)
            assert misfit(action_named("release"), (STRANGER,)).endswith("selected: process 4001 on birch01")
            # Who selected two GPUs does not mean a third one that the view is about.
            assert aimed(action_named("mig"), ((GPU, NEXT), (GPU,)), state) == (GPU, NEXT)
            found = [(one.action.name, one.targets, one.is_first) for one in offers(ACTIONS, reach, state)]
            assert [(name, is_first) for name, targets, is_first in found if targets == (GPU,)] == [
                (name, True) for name in ("cordon", "uncordon", "drain", "mig", "power")
            ]
            assert [(name, is_first) for name, targets, is_first in found if targets == (NODE,)] == [
                (name, False) for name in ("cordon", "uncordon", "drain", "power")
            ]
            assert ("signal", (STRANGER,), True) in found
            assert [name for name, targets, _ in found if not targets] == ["submit", "rebalance"]
            assert told((GPU, NEXT)) == "birch01 GPU 0, 1"


async def test_a_gpu_is_acted_upon_while_a_process_is_under_the_cursor(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            uuid = app.shell.state.nodes["birch01"].devices[0].uuid
            await the_view(pilot, "device", f"birch01/{uuid}", "#processes")
            found = await menu(pilot)
            assert ("signal", "process 4001 on birch01", True) in found
            assert ("mig", "birch01 GPU 0", True) in found
            assert ("cordon", "birch01 GPU 0", True) in found
            assert ("cordon", "node birch01", False) in found
            await pilot.press("escape")
            assert await form_title(pilot, "c") == "cordon birch01 GPU 0: take no new work; what runs runs on"
            assert (await form_title(pilot, "m")).startswith("mig birch01 GPU 0: ")
            assert (await form_title(pilot, "w")).startswith("power birch01 GPU 0: ")
            assert (await form_title(pilot, "x")).startswith("signal process 4001 on birch01: ")
            await pilot.press("ctrl+d")
            await comes(pilot, lambda: "release takes workloads; selected: process 4001" in notice(pilot))


async def test_what_the_menu_named_is_what_is_touched(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            uuid = app.shell.state.nodes["birch01"].devices[0].uuid
            await the_view(pilot, "device", f"birch01/{uuid}", "#processes")
            found = await menu(pilot)
            at = [row.action.name for row in app.screen.query_one(ActionTable).rows].index("uncordon") + 1
            assert ("uncordon", "node birch01", False) in found
            await pilot.press(*["down"] * at, "enter")
            await asked(pilot)
            assert "birch01, not cordoned itself" in dialog_text(pilot)
            assert "GPU 0" not in dialog_text(pilot)


async def test_in_a_node_the_list_with_the_keys_comes_before_the_node(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            view = await the_view(pilot, "node", "birch01", "#processes")
            assert await form_title(pilot, "c") == "cordon node birch01: take no new work; what runs runs on"
            found = await menu(pilot)
            assert ("signal", "process 4001 on birch01", True) in found
            assert [on for name, on, _ in found if name == "cordon"] == ["node birch01"]
            await pilot.press("escape")
            await comes(pilot, lambda: True)
            await pilot.press("space")
            view.query_one("#devices", ListTable).focus()
            await pilot.pause()
            assert (await form_title(pilot, "x")).startswith("signal process 4001 on birch01: ")
            assert (await form_title(pilot, "c")).startswith("cordon birch01 GPU 0: ")
            found = await menu(pilot)
            assert [on for name, on, _ in found if name == "cordon"] == ["birch01 GPU 0", "node birch01"]


async def test_in_the_fleet_the_process_with_the_keys_comes_before_its_gpu(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            await pilot.press("down")
            processes = app.screen.query_one("#processes", ListTable)
            await until(pilot, lambda: len(processes.rows) == 1)
            await pilot.press("x")
            await comes(pilot, lambda: "signal takes processes; selected: birch01 GPU 0" in notice(pilot))
            processes.focus()
            await pilot.pause()
            assert (await form_title(pilot, "x")).startswith("signal process 4001 on birch01: ")
            assert (await form_title(pilot, "c")).startswith("cordon birch01 GPU 0: ")


async def test_the_gpus_of_a_workload_are_acted_upon_in_its_view(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        work = running(ctx)
        app = top(ctx, tmp_path)
        async with app.run_test(size=WIDE) as pilot:
            await seen_once(pilot)
            await go(pilot, "workload", work.id)
            held = _held(app, work.id)
            found = await menu(pilot)
            assert ("release", f"{work.id} train of {work.owner}", True) in found
            assert ("drain", held, True) in found
            assert ("drain", "node birch01", False) in found
            await pilot.press("escape")
            await comes(pilot, lambda: True)
            assert (await form_title(pilot, "m")).startswith(f"mig {held}: ")


def _held(app: TopApp, identity: str) -> str:
    work = next(one for one in app.shell.state.workloads if one.id == identity)
    assert work.allocation is not None
    index = app.shell.state.indices[work.allocation.grants[0].device]
    return f"birch01 GPU {index}"
