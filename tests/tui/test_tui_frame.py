"""Going from view to view: digits, names, the way back, sizes, help, and what is said meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.binding import Binding
from textual.geometry import Region
from textual.pilot import Pilot
from textual.widget import Widget
from tui.fleet_fixture import bare_machine, fleet
from tui.steering import screen_text, text_of, until, until_drawn
from tui.world_fixture import BUILT, WHOLE_FLEET, list_of, simulated, type_text, until_looked, until_view

from gpualloc.tui.app import TopApp
from gpualloc.tui.keys import key_name
from gpualloc.tui.messages import Go
from gpualloc.tui.screens.catalog import PLACES, place
from gpualloc.tui.screens.fleet import FleetView

DIGITS = tuple(one for one in WHOLE_FLEET if one.key is not None and one.key.isdigit())
ABOUT = {"node": "h100-01", "device": "h100-01/GPU-h100-01-4", "workload": "w2k7m0q4r"}


def top(pilot: Pilot[None]) -> TopApp:
    assert isinstance(pilot.app, TopApp)
    return pilot.app


def names_of(pilot: Pilot[None]) -> list[str]:
    """The views that are under each other, the first at the left."""
    return [screen.NAME for screen in pilot.app.screen_stack if hasattr(screen, "NAME")]


def test_names_keys_and_aliases_are_there_once() -> None:
    names = [name for one in PLACES for name in (one.name, *one.aliases)]
    keys = [one.key for one in PLACES if one.key is not None]
    assert len(set(names)) == len(names)
    assert len(set(keys)) == len(keys)
    assert place("nod") is None  # node or nodes
    assert place("") is None
    assert place("al") is place("alerts")


async def test_every_view_is_reached_by_its_digit_and_left_by_escape() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        for one in DIGITS:
            await pilot.press(one.key or "")
            await until_view(pilot, one.name)
            await pilot.press("escape")
            await until_view(pilot, "fleet")
        assert names_of(pilot) == ["fleet"]


async def test_every_view_is_reached_by_its_name() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        for one in BUILT:
            await pilot.press("colon")
            await type_text(pilot, f"{one.name} {ABOUT[one.name]}" if one.needs else one.name)
            await pilot.press("enter")
            await until_view(pilot, one.name)
            assert top(pilot).view is not None
            assert top(pilot).view.of == ABOUT.get(one.name, "")


async def test_a_view_that_is_open_is_gone_back_to() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        for key in "235":
            await pilot.press(key)
        await until_view(pilot, "users")
        assert names_of(pilot) == ["fleet", "nodes", "processes", "users"]
        await pilot.press("2")
        await until_view(pilot, "nodes")
        assert names_of(pilot) == ["fleet", "nodes"]
        await pilot.press("escape", "escape", "escape")
        await until_view(pilot, "fleet")


async def test_what_cannot_be_gone_to_is_said() -> None:
    async with fleet().app().run_test(size=(100, 24)) as pilot:
        await until_drawn(pilot)
        for typed, said in (
            ("node", "told which"),
            ("nose", "did you mean"),
            ("nodes x", "nothing behind"),
            ("a", "could be"),
        ):
            await pilot.press("colon")
            await type_text(pilot, typed)
            await pilot.press("enter")
            await until(pilot, lambda said=said: said in text_of(pilot, "#notice"))
            await until_view(pilot, "fleet")


@pytest.mark.parametrize("size", [(80, 24), (20, 5), (300, 100)])
async def test_every_view_is_drawn_in_every_size(size: tuple[int, int]) -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        await pilot.resize_terminal(*size)
        for one in BUILT:
            top(pilot).post_message(Go(one.name, ABOUT.get(one.name, "")))
            await until_view(pilot, one.name)
            lines = screen_text(pilot)
            assert all(len(line) >= size[0] for line in lines)
            assert size[1] < 24 or any(one.name[:4] in line.lower() or "gpu" in line.lower() for line in lines[2:])


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_what_stays_as_it_is_is_not_laid_out_again(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Laying out draws everything; with many GPUs that is most of what a dashboard costs."""
    laid_out: list[str] = []
    refresh = Widget.refresh

    def counting(self: Widget, *regions: Region, layout: bool = False, **more: bool) -> Widget:
        if layout:
            laid_out.append(f"{type(self).__name__} {self.id}")
        return refresh(self, *regions, layout=layout, **more)

    monkeypatch.setattr(Widget, "refresh", counting)
    async with fleet().app().run_test(size=size) as pilot:
        await until_drawn(pilot)
        for one in BUILT:
            top(pilot).post_message(Go(one.name, ABOUT.get(one.name, "")))
            await until_view(pilot, one.name)
            await until(pilot, lambda: not laid_out_again(top(pilot), laid_out))


def laid_out_again(app: TopApp, laid_out: list[str]) -> list[str]:
    """What is laid out when the view on top is drawn once more."""
    assert app.view is not None
    laid_out.clear()
    app.view.redraw()
    return list(laid_out)


async def test_help_tells_every_key_of_the_view_below() -> None:
    async with fleet().app().run_test(size=(100, 30)) as pilot:
        await until_drawn(pilot)
        for one in (one for one in BUILT if one.name != "help"):
            top(pilot).post_message(Go(one.name, ABOUT.get(one.name, "")))
            await until_view(pilot, one.name)
            keys = {
                active.binding.key
                for active in pilot.app.screen.active_bindings.values()
                if type(active.node).__module__.startswith("gpualloc.") and _is_ours(active.node, active.binding)
            }
            assert {"question_mark", "q", "1"} <= keys
            await pilot.press("question_mark")
            await until_view(pilot, "help")
            told = {word for line in text_of(pilot, "#help-lines").splitlines() for word in line[:18].split()}
            assert {key for key in keys if not set(key_name(key).split()) <= told} == set(), one.name
            await pilot.press("escape")
            await until_view(pilot, one.name)


def _is_ours(node: object, binding: Binding) -> bool:
    """Whether a class of the dashboard declares the binding, not one of Textual."""
    declared = [
        one
        for kind in type(node).__mro__
        if kind.__module__.startswith("gpualloc.")
        for one in vars(kind).get("BINDINGS", ())
    ]
    return any(binding.key in [key.strip() for key in one.key.split(",")] for one in declared)


@pytest.mark.parametrize("there", [True, False], ids=["gpus", "no-gpu"])
async def test_help_tells_only_keys_that_work_where_it_was_called_from(*, there: bool) -> None:
    async with (fleet() if there else bare_machine()).app().run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: top(pilot).shell.state.seen.looks and isinstance(pilot.app.screen, FleetView))
        await until(pilot, lambda: pilot.app.screen.has_class("bare") is not there)
        await pilot.press("question_mark")
        await until_view(pilot, "help")
        here, _, elsewhere = text_of(pilot, "#help-lines").partition("Commands behind :")
        titles = [line for line in here.splitlines() if line[:1].strip()]
        if there:
            assert titles == ["Fleet view", "Heat grid", "Lists", "Every view"]
        else:
            assert titles == ["Welcome", "Every view"]
        assert ("Lists of other views" in elsewhere) is not there
        assert "equals_sign" not in elsewhere
        others = [one for one in PLACES if one.name not in ("fleet", "help") and vars(one.kind()).get("BINDINGS")]
        assert len(others) > 5
        for one in others:
            assert f"{one.kind().HEADING} view (:{one.name})" in elsewhere


async def test_help_tells_every_view_and_command() -> None:
    async with fleet().app().run_test(size=(100, 30)) as pilot:
        await until_drawn(pilot)
        await pilot.press("question_mark")
        await until_view(pilot, "help")
        told = text_of(pilot, "#help-lines")
        for command in top(pilot).shell.commands().all:
            assert f":{command.name}" in told
            assert command.what in told
        before = pilot.app.screen.query_one("#help-body").scroll_offset.y
        await pilot.press("pagedown")
        await until(pilot, lambda: pilot.app.screen.query_one("#help-body").scroll_offset.y > before)


async def test_what_was_asked_for_is_said_where_one_is_now() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        await pilot.press("2")
        await until_view(pilot, "nodes")
        left = top(pilot).view
        assert left is not None
        await pilot.press("escape")
        await until_view(pilot, "fleet")
        left.say("12 rows written to nodes.csv")
        await until(pilot, lambda: "12 rows written" in text_of(pilot, "#notice"))


async def test_views_sorts_columns_filters_and_the_theme_are_remembered(tmp_path: Path) -> None:
    from gpualloc.tui.options import TopOptions

    options = TopOptions(every_s=2.0, remembered=tmp_path / "top.json")
    async with fleet().app(options=options).run_test(size=(120, 24)) as pilot:
        await until_drawn(pilot)
        await pilot.press("2")
        await until_view(pilot, "nodes")
        await pilot.press("3")
        await until_view(pilot, "processes")
        await pilot.press("v", "v")
        await until(pilot, lambda: "by node" in text_of(pilot, "#crumb"))
        await pilot.press("2")
        await until_view(pilot, "nodes")
        nodes = list_of(pilot)
        nodes.sort_by("util")
        nodes.memory.columns = ("node", "driver")
        await pilot.press("slash")
        await type_text(pilot, "state=ok")
        await pilot.press("enter", "colon")
        await type_text(pilot, "save well")
        await pilot.press("enter")
        await until(pilot, lambda: "saved" in text_of(pilot, "#notice"))
        await pilot.press("colon")
        await type_text(pilot, "theme mono")
        await pilot.press("enter", "question_mark")
        await until_view(pilot, "help")
    async with fleet().app(options=options).run_test(size=(120, 24)) as pilot:
        await until_looked(pilot)
        await until_view(pilot, "nodes")
        nodes = list_of(pilot)
        await until(pilot, lambda: nodes.rows)
        assert pilot.app.theme == "mono"
        assert [(sort.field, sort.descends) for sort in nodes.sorts] == [("util", True)]
        assert [column.key for column in nodes.columns(120)] == ["node", "driver"]
        await pilot.press("3")
        await until_view(pilot, "processes")
        await until(pilot, lambda: "by node" in text_of(pilot, "#crumb"))
        await pilot.press("2")
        await until_view(pilot, "nodes")
        assert len(nodes.rows) == 6  # a filter is for the run; what is saved is its text
        await pilot.press("slash")
        await type_text(pilot, "@well")
        await pilot.press("enter")
        await until(pilot, lambda: len(nodes.rows) == 5)


async def test_remembered_fields_that_are_gone_are_done_without(tmp_path: Path) -> None:
    from gpualloc.tui.options import TopOptions
    from gpualloc.tui.remembered import ListLook, Memory, Remembered

    path = tmp_path / "top.json"
    look = ListLook(("colour",), (("colour", True),))
    Memory(path).keep(
        Remembered(view="nodes", lists={"nodes": look, "fleet": look, "processes": ListLook(gathered="hat")})
    )
    async with fleet().app(options=TopOptions(remembered=path)).run_test(size=(100, 24)) as pilot:
        await until_looked(pilot)
        await until_view(pilot, "nodes")
        await until(pilot, lambda: list_of(pilot).rows)
        assert list_of(pilot).sorts == ()
        assert len(list_of(pilot).columns(100)) > 3
        await pilot.press("S", "escape")
        await until_view(pilot, "nodes")
        await pilot.press("3")
        await until_view(pilot, "processes")
        await until(pilot, lambda: list_of(pilot).rows)
        assert "by " not in text_of(pilot, "#crumb")


async def test_a_simulated_world_is_said_to_be_one(tmp_path: Path) -> None:
    with simulated(tmp_path) as world:
        async with world.app().run_test(size=(80, 24)) as pilot:
            await until_looked(pilot)
            for one in WHOLE_FLEET:
                top(pilot).post_message(Go(one.name))
                await until_view(pilot, one.name)
                await until(pilot, lambda: "SIMULATED" in text_of(pilot, "#summary"))
