"""The heat grid: where each GPU stands, what it is drawn as, and how the grid and the list go together."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from rich.cells import cell_len
from textual.pilot import Pilot
from tui.fleet_fixture import A100, NOW_S, TICKS_S, FrozenWorld, device, fleet, large_fleet, node, uuid
from tui.steering import fleet_table, screen_text, text_of, until, until_drawn, whole_text

from gpualloc.model.inventory import Device, DeviceState, Node, NodeState
from gpualloc.tui import glyphs
from gpualloc.tui.cells import HEATS, Role, Span
from gpualloc.tui.heat import (
    METRICS,
    Block,
    Order,
    Piece,
    arranged,
    blocks,
    blocks_of,
    metric_after,
    metric_named,
    ordered,
)
from gpualloc.tui.heat_line import changed_cells, characters
from gpualloc.tui.listings.fleet import FLEET
from gpualloc.tui.options import TopOptions
from gpualloc.tui.order import arranged as in_order
from gpualloc.tui.query import parse
from gpualloc.tui.rows import FleetRows, Moment
from gpualloc.tui.screens.device import DeviceView
from gpualloc.tui.screens.node import NodeView
from gpualloc.tui.seen import Seen, SeenNode
from gpualloc.tui.widgets.heat import HeatGrid

MOMENT = Moment(TICKS_S, NOW_S, 2.0)
UTIL = METRICS[0]
shapes = st.lists(st.tuples(st.text("abcß漢-0", min_size=1, max_size=30), st.integers(1, 40)), max_size=60)


def _seen(*nodes: Node) -> tuple[SeenNode, ...]:
    return tuple(SeenNode(one.spec).after(one, TICKS_S, 0.0) for one in nodes)


def _drawn(node: SeenNode, moment: Moment = MOMENT) -> list[tuple[str, Role]]:
    block = Block(node)
    return [(span.text, span.role) for span in characters(block, Piece(0, 0, block.size, 0), UTIL, moment)]


@given(shapes, st.integers(1, 300), st.integers(1, 30))
def test_every_gpu_has_one_place_and_none_overlaps(found: list[tuple[str, int]], width: int, most: int) -> None:
    layout = arranged(found, width, most)
    places = {}
    for block, (_, size) in enumerate(found):
        for slot in range(size):
            x, line = layout.where(block, slot)
            assert layout.at(x, line) == (block, slot)
            places[block, slot] = (x, line)
    assert len(set(places.values())) == len(places)
    assert all(x >= 1 for x, _ in places.values())
    assert layout.named <= (len(layout.lines) <= most)
    if width > 40:
        assert all(x < width for x, _ in places.values())


@given(shapes, st.integers(60, 300), st.integers(1, 30))
def test_blanks_part_nodes_and_nothing_parts_the_gpus_of_one(
    found: list[tuple[str, int]], width: int, most: int
) -> None:
    for line in arranged(found, width, most).lines:
        for before, after in itertools.pairwise(line):
            assert after.x > before.x + before.length
    reading = [
        (piece.block, slot)
        for line in arranged(found, width, most).lines
        for piece in line
        for slot in range(piece.first, piece.first + piece.length)
    ]
    assert reading == [(block, slot) for block, (_, size) in enumerate(found) for slot in range(size)]


def test_names_stand_in_front_where_there_is_room() -> None:
    few = [(f"gpu{number:02}", 8) for number in range(6)]
    assert arranged(few, 80, 4).named
    assert len(arranged(few, 80, 4).lines) == 2
    many = [(f"gpu{number:04}", 8) for number in range(1000)]
    dense = arranged(many, 80, 4)
    assert not dense.named
    assert dense.label_width == 7
    assert len(dense.lines) == 1000 / 8


def test_each_state_has_its_own_character_and_role() -> None:
    made = node(
        "n1",
        tuple(
            device("n1", at, A100, ratio=ratio, state=state)
            for at, (ratio, state) in enumerate(
                [
                    (0.0, DeviceState.OK),
                    (0.01, DeviceState.OK),
                    (0.5, DeviceState.OK),
                    (1.0, DeviceState.OK),
                    (None, DeviceState.OK),
                    (0.5, DeviceState.LOST),
                    (0.5, DeviceState.HUNG),
                ]
            )
        ),
    )
    (seen,) = _seen(made)
    signs = glyphs.UNICODE
    assert _drawn(seen) == [
        (signs.heat[0], HEATS[0]),
        (signs.heat[1], HEATS[1]),
        (signs.heat[3], HEATS[3]),
        (signs.heat[5], HEATS[5]),
        (signs.unknown, Role.UNKNOWN),
        (signs.fault, Role.FAULT),
        (signs.fault, Role.FAULT),
    ]
    later = structs.replace(MOMENT, ticks_s=TICKS_S + 60)
    assert {text for text, _ in _drawn(seen, later)} == {"!", signs.fault}
    down = seen.after(Node(made.spec, NodeState.UNREACHABLE, NOW_S), TICKS_S + 1, 0.0)
    assert [text for text, _ in _drawn(down)] == ["!"] * 5 + [signs.fault] * 2


def test_a_node_not_heard_yet_is_one_unknown_and_one_that_fails_is_silent() -> None:
    spec = fleet().nodes[0].spec
    waiting = SeenNode(spec)
    assert _drawn(waiting) == [("?", Role.UNKNOWN)]
    assert _drawn(waiting.after(Node(spec, NodeState.HUNG, NOW_S), TICKS_S, 0.0)) == [("!", Role.WARN)]
    login = next(one for one in fleet().nodes if one.name == "login")
    assert blocks(_seen(login)) == ()


def _names(found: tuple[Block, ...]) -> list[str]:
    return [block.node.name for block in found]


def test_what_is_broken_comes_first_and_the_others_keep_their_places() -> None:
    found = blocks(_seen(*fleet().nodes))
    by_name = ["a100-01", "h100-01", "h200-01", "l40s-01", "l40s-02"]
    assert _names(ordered(sorted(found, key=lambda one: one.node.name), Order.NAME, UTIL, MOMENT)) == by_name
    found = tuple(sorted(found, key=lambda one: one.node.name))
    assert _names(ordered(found, Order.TROUBLE, UTIL, MOMENT)) == [
        "h100-01",
        "l40s-01",
        "l40s-02",
        "a100-01",
        "h200-01",
    ]
    late = structs.replace(MOMENT, ticks_s=TICKS_S + 60)
    assert _names(ordered(found, Order.TROUBLE, UTIL, late)) == by_name
    temp = metric_named("temp")
    assert _names(ordered(found, Order.HIGHEST, temp, MOMENT))[3:] == ["a100-01", "h200-01"]


def test_a_filter_keeps_the_same_gpus_in_the_grid() -> None:
    rows = FleetRows().of(Seen(_seen(*sorted(fleet().nodes, key=lambda one: one.name)), (), looks=1))
    kept = in_order(FLEET, rows, parse("util>90").over(FLEET.fields), FLEET.sorts, MOMENT)
    found = {block.key(slot) for block in blocks_of(kept) for slot in range(block.size)}
    assert found == {row.key for row in kept if row.device is not None}
    assert {block.key(slot) for block in blocks_of(rows) for slot in range(block.size)} == {
        block.key(slot) for block in blocks(_seen(*fleet().nodes)) for slot in range(block.size)
    }


@pytest.mark.parametrize(
    ("name", "changes", "ratio"),
    [
        ("util", {"gpu_utilization_ratio": 0.4}, 0.4),
        ("mem", {"memory_used_mib": 20480}, 0.25),
        ("temp", {"temperature_c": 60}, 0.5),
        ("power", {"power_w": 100.0, "power_limit_w": 400.0}, 0.25),
        ("power", {"power_w": 100.0, "power_limit_w": None}, None),
        ("temp", {"temperature_c": None}, None),
        ("sm", {}, None),
    ],
)
def test_each_metric_is_a_part_of_a_whole(name: str, changes: dict[str, float], ratio: float | None) -> None:
    one: Device = structs.replace(device("n1", 0, A100), **changes)  # type: ignore[arg-type]
    assert metric_named(name).ratio(one) == ratio


def test_metrics_go_round_and_an_unknown_name_is_the_usual_one() -> None:
    seen = [UTIL]
    for _ in METRICS:
        seen.append(metric_after(seen[-1]))
    assert seen == [*METRICS, UTIL]
    assert metric_named("no such thing") is UTIL


@given(st.lists(st.tuples(st.text("ab漢", min_size=1, max_size=4), st.sampled_from(HEATS)), max_size=6), st.data())
def test_whatever_changes_of_a_line_lies_within_what_is_drawn_again(
    texts: list[tuple[str, Role]], data: st.DataObject
) -> None:
    old = tuple(Span(text, role) for text, role in texts)
    at = data.draw(st.integers(0, len(old)))
    new = (*old[:at], Span(data.draw(st.text("ab", min_size=1, max_size=4)), HEATS[0]), *old[at + 1 :])
    first, last = changed_cells(old, new, 80)

    def cells_outside(line: tuple[Span, ...]) -> list[tuple[str, Role]]:
        laid = [(letter, span.role) for span in line for letter in span.text for _ in range(cell_len(letter))]
        laid += [(" ", Role.PLAIN)] * (80 - len(laid))
        return laid[:first] + laid[last:]

    assert cells_outside(old) == cells_outside(new)


# On the screen.


def _grid(pilot: Pilot[None]) -> HeatGrid:
    return pilot.app.screen.query_one(HeatGrid)


def _nodes(pilot: Pilot[None]) -> list[str]:
    """Names of the nodes in the part of the grid that is drawn."""
    where = _grid(pilot).region
    words = " ".join(screen_text(pilot)[where.y : where.bottom]).split()
    return [word.removeprefix(">") for word in words if "-" in word]


def _title(pilot: Pilot[None]) -> str:
    return text_of(pilot, "#heat-title")


async def _drawn_fleet(pilot: Pilot[None]) -> None:
    await until_drawn(pilot)
    await until(pilot, lambda: _grid(pilot).virtual_size.height and "a100-01" in whole_text(pilot))


async def test_the_grid_and_the_list_share_their_cursor() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await _drawn_fleet(pilot)
        table = fleet_table(pilot)
        await pilot.press("j", "j")
        assert table.current is not None
        await until(pilot, lambda: "a100-01 GPU 1 0%" in _title(pilot))
        assert any(">a100-01 █1▅▂" in line for line in screen_text(pilot))
        await pilot.press("shift+tab", "right", "l", "h", "left", "left")
        assert table.current.key == f"a100-01/{uuid('a100-01', 0)}"
        await until(pilot, lambda: "a100-01 GPU 0 97%" in _title(pilot))
        await pilot.press("left")
        # The node in front of it in the order of the grid.
        assert table.current.key == "l40s-02"
        await until(pilot, lambda: "Processes on l40s-02" in whole_text(pilot))


async def test_keys_go_from_line_to_line_and_to_the_ends() -> None:
    async with large_fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        await until(pilot, lambda: _grid(pilot).virtual_size.height > 1)
        table = fleet_table(pilot)
        await pilot.press("shift+tab")
        keys = []
        for key in ("home", "down", "j", "k", "up", "pagedown", "end", "G", "g"):
            await pilot.press(key)
            assert table.current is not None
            keys.append((table.current.node.name, table.current.device and table.current.device.index))
        first, last = ("gpu-0000", 0), ("gpu-0099", 7)
        assert keys == [
            first,
            ("gpu-0007", 0),
            ("gpu-0014", 0),
            ("gpu-0007", 0),
            first,
            ("gpu-0021", 0),
            last,
            last,
            first,
        ]


async def test_the_cursor_of_the_list_brings_its_gpu_into_view() -> None:
    async with large_fleet(1000).app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        await until(pilot, lambda: _grid(pilot).virtual_size.height > 100)
        assert _grid(pilot).size.height == 4
        await pilot.press("G")
        await until(
            pilot, lambda: any(line.startswith(">gpu-0994") or " gpu-0994 " in line for line in screen_text(pilot))
        )
        assert "gpu-0999 GPU 7" in _title(pilot)


async def test_only_lines_in_view_are_made() -> None:
    async with large_fleet(1000).app(options=TopOptions(every_s=3600)).run_test(size=(200, 60)) as pilot:
        await until_drawn(pilot)
        grid = _grid(pilot)
        await until(pilot, lambda: grid.virtual_size.height > 20)
        assert len(grid._made) <= 16
        made = 0
        new_line = grid._new_line

        def counted(at: int) -> object:
            nonlocal made
            made += 1
            return new_line(at)

        grid._new_line = counted  # type: ignore[assignment, method-assign]
        pilot.app.screen.redraw()  # type: ignore[attr-defined]
        await pilot.pause()
        assert made == 0
        await pilot.press("shift+tab", "l")
        assert 0 < made <= 2


async def test_enter_opens_what_the_cursor_is_on() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await _drawn_fleet(pilot)
        await pilot.press("shift+tab", "g", "l", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, DeviceView))
        assert pilot.app.screen.of == f"h100-01/{uuid('h100-01', 1)}"
        await pilot.press("escape")
        fleet_table(pilot).move_to("l40s-02")
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, NodeView))
        assert pilot.app.screen.of == "l40s-02"


async def test_a_click_selects_and_a_double_click_opens() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await _drawn_fleet(pilot)
        line = next(line for line in screen_text(pilot) if " h100-01 " in line)
        x = line.index("h100-01") + len("h100-01 ") + 2
        await pilot.click("#heat", offset=(x, 0))
        await until(pilot, lambda: "h100-01 GPU 2 95%" in _title(pilot))
        await pilot.click("#heat", offset=(x, 0), times=2)
        await until(pilot, lambda: isinstance(pilot.app.screen, DeviceView))


async def test_the_filter_takes_gpus_out_of_the_grid_too() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await _drawn_fleet(pilot)
        everything = ["h100-01", "l40s-01", "l40s-02", "a100-01", "h200-01"]
        assert _nodes(pilot) == everything
        await pilot.press("shift+tab", "slash", *"h200", "enter")
        await until(pilot, lambda: _nodes(pilot) == ["h200-01"])
        await pilot.press("escape")
        await until(pilot, lambda: _nodes(pilot) == everything)
        await pilot.press("slash", *"nosuchthing", "enter")
        await until(pilot, lambda: _grid(pilot).virtual_size.height == 0)
        await pilot.press("shift+tab", "j", "l", "G", "enter")
        assert pilot.app.is_running


async def test_the_metric_goes_round_and_is_remembered(tmp_path: Path) -> None:
    options = TopOptions(every_s=2.0, remembered=tmp_path / "top.json")
    async with fleet().app(options=options).run_test(size=(80, 24)) as pilot:
        await _drawn_fleet(pilot)
        assert "Heat utilization  0%" in _title(pilot)
        await pilot.press("v")
        assert "Heat memory" in _title(pilot)
        await pilot.press("v")
        assert "Heat temperature  30°C" in _title(pilot)
    assert json.loads((tmp_path / "top.json").read_text())["heat"] == "temp"
    async with fleet().app(options=options).run_test(size=(80, 24)) as pilot:
        await _drawn_fleet(pilot)
        assert "Heat temperature" in _title(pilot)


async def test_o_changes_the_order_and_says_so() -> None:
    async with fleet().app().run_test(size=(120, 40)) as pilot:
        await _drawn_fleet(pilot)
        firsts = []
        for _ in Order:
            line = screen_text(pilot)[4]
            firsts.append(min(("a100-01", "h100-01"), key=line.index))
            await pilot.press("o")
            await pilot.pause()
        assert firsts == ["h100-01", "a100-01", "h100-01"]
        assert "trouble first" in whole_text(pilot)


@pytest.mark.parametrize(("size", "shown"), [((80, 24), True), ((80, 20), True), ((80, 19), False)])
async def test_the_grid_is_there_where_there_is_room(size: tuple[int, int], shown: bool) -> None:
    async with fleet().app().run_test(size=size) as pilot:
        await until(pilot, lambda: pilot.app.screen_stack[-1].query(HeatGrid))
        await until_drawn(pilot)
        await pilot.pause()
        assert (_grid(pilot).size.height > 0) is shown
        assert _grid(pilot).size.height + 1 <= 5


async def test_h_hides_it_and_one_gpu_needs_none() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await _drawn_fleet(pilot)
        await pilot.press("shift+tab", "H")
        await until(pilot, lambda: _grid(pilot).size.height == 0)
        assert fleet_table(pilot).has_focus
        await pilot.press("H")
        await until(pilot, lambda: _grid(pilot).size.height > 0)
    one = node("laptop", (device("laptop", 0, A100),))
    async with FrozenWorld((one,), specs=(one.spec,)).app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        assert _grid(pilot).size.height == 0


async def test_in_ascii_every_sign_is_ascii() -> None:
    glyphs.use(glyphs.ASCII)
    try:
        async with fleet().app().run_test(size=(80, 24)) as pilot:
            await until_drawn(pilot)
            await until(pilot, lambda: any("h100-01 ####XX.." in line for line in screen_text(pilot)))
            assert all(line.isascii() for line in screen_text(pilot)[3:6])
    finally:
        glyphs.use(glyphs.UNICODE)
