"""Charts on the screen: they fill it, follow its size, and are redrawn only where they change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from textual.app import ComposeResult
from textual.geometry import Region
from textual.pilot import Pilot
from tui.steering import plain_text, screen_text, until

from gpualloc.tui.cells import Role, width_of
from gpualloc.tui.fields import Unit
from gpualloc.tui.graph import Curve, Graph
from gpualloc.tui.themes import Colours, ThemedApp
from gpualloc.tui.widgets.graph import Graphs, places

T = 1_790_000_000.0


def graph(title: str, value: float = 0.5, start_s: float = T) -> Graph:
    points = [(start_s + 10 * at, value) for at in range(61)]
    curve = Curve(points, Role.UTILIZATION)
    return Graph(title, Unit.RATIO, (curve,), start_s, start_s + 600, now_s=start_s + 600, low=0, high=1)


class Shown(ThemedApp):
    """Nothing but charts."""

    CSS_PATH = "../../gpualloc/tui/styles.tcss"

    def __init__(self) -> None:
        super().__init__("dark", Colours.MANY)
        self.pointed: list[float | None] = []

    def compose(self) -> ComposeResult:
        yield Graphs()

    def on_graphs_pointed(self, message: Graphs.Pointed) -> None:
        self.pointed.append(message.at_s)


def charts(pilot: Pilot[None]) -> Graphs:
    return pilot.app.query_one(Graphs)


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (20, 5), (1, 1)], ids=str)
async def test_charts_fill_the_screen(size: tuple[int, int]) -> None:
    async with Shown().run_test(size=size) as pilot:
        charts(pilot).show([graph(f"chart{number}") for number in range(3)])
        await pilot.pause()
        assert len(charts(pilot).lines) == size[1]
        assert all(width_of(line) <= size[0] for line in charts(pilot).lines)
        text = "\n".join(screen_text(pilot))
        assert [f"chart{number}" in text for number in range(3)] == [size[0] > 10] * 3


async def test_charts_follow_the_size() -> None:
    async with Shown().run_test(size=(80, 24)) as pilot:
        charts(pilot).show([graph("one"), graph("two")])
        await pilot.resize_terminal(20, 5)
        await until(pilot, lambda: len(charts(pilot).lines) == 5)
        await pilot.resize_terminal(180, 30)
        await until(pilot, lambda: len(charts(pilot).lines) == 30)
        first = screen_text(pilot)[0]
        assert "one" in first
        assert "two" in first


async def test_only_lines_that_changed_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Shown().run_test(size=(60, 20)) as pilot:
        charts(pilot).show([graph("one"), graph("two")])
        await pilot.pause()
        drawn: list[Region] = []
        monkeypatch.setattr(charts(pilot), "refresh", lambda *regions: drawn.extend(regions))
        charts(pilot).show([graph("one"), graph("two")])
        assert drawn == []
        charts(pilot).show([graph("one"), structs.replace(graph("two"), title="other")])
        assert drawn == [Region(0, 10, 60, 1)]


async def test_a_click_and_keys_of_the_view_point_at_a_moment() -> None:
    app = Shown()
    async with app.run_test(size=(80, 20)) as pilot:
        charts(pilot).show([graph("one"), graph("two", 0.7)])
        await pilot.pause()
        await pilot.click(Graphs, offset=(40, 4))
        await pilot.pause()
        (at_s,) = app.pointed
        assert at_s is not None
        assert T + 240 < at_s < T + 300
        titles = [plain_text((line,)) for line in charts(pilot).lines if "14:1" in plain_text((line,))]
        assert ["50 %" in titles[0], "70 %" in titles[-2]] == [True, True]
        charts(pilot).move_pointer(-1)
        assert T + 220 < (charts(pilot).pointed_s or 0) < at_s
        charts(pilot).move_pointer(1)
        assert charts(pilot).pointed_s == pytest.approx(at_s)
        charts(pilot).move_pointer(10_000)
        assert (charts(pilot).pointed_s or 0) == pytest.approx(T + 596, abs=5)
        charts(pilot).point_at(None)
        await pilot.pause()
        assert app.pointed[-1] is None


async def test_a_pointer_begins_at_now_and_a_click_beside_points_at_nothing_new() -> None:
    app = Shown()
    async with app.run_test(size=(80, 20)) as pilot:
        charts(pilot).move_pointer(-1)
        charts(pilot).show([graph("one")])
        await pilot.click(Graphs, offset=(0, 4))
        charts(pilot).move_pointer(0)
        await pilot.pause()
        assert app.pointed == [pytest.approx(T + 596, abs=5)]


async def test_a_pointer_that_time_left_behind_stays_within_the_chart() -> None:
    async with Shown().run_test(size=(80, 20)) as pilot:
        charts(pilot).show([graph("one")])
        charts(pilot).point_at(T)
        charts(pilot).show([graph("one", start_s=T + 300)])
        await pilot.pause()
        assert "14:18:20" in screen_text(pilot)[0]


@given(st.integers(0, 40), st.integers(0, 300), st.integers(0, 100))
def test_places_do_not_meet_and_fill_the_room(count: int, width: int, height: int) -> None:
    found = places(count, width, height)
    assert len(found) <= count
    taken = [0] * height
    for place in found:
        assert place.width >= 1
        assert place.height >= 1
        assert place.x + place.width <= width
        for y in range(place.y, place.y + place.height):
            assert taken[y] <= place.x
            taken[y] = place.x + place.width
    if count and width and height:
        assert found
        assert {taken[y] for y in range(height) if y < found[-1].y} <= {width}


def test_charts_stand_beside_each_other_where_that_makes_them_readable() -> None:
    def rows(count: int, width: int, height: int) -> list[int]:
        found = places(count, width, height)
        return [sum(place.y == y for place in found) for y in sorted({place.y for place in found})]

    assert rows(2, 80, 24) == [1, 1]
    assert rows(4, 80, 24) == [2, 2]
    assert rows(4, 160, 48) == [2, 2]
    assert rows(6, 300, 100) == [4, 2]
    assert rows(5, 30, 10) == [1] * 5
