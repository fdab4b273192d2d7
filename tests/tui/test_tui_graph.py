"""Charts as cells: every size and every kind of points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gpualloc.tui.cells import Cell, Role, width_of
from gpualloc.tui.fields import Unit
from gpualloc.tui.graph import ASCII, UNICODE, Band, Curve, Drawing, Graph, Mark
from gpualloc.tui.graph_lines import graph_lines, left_of, time_at

T = 1_790_000_000.0
"""14:13:20 UTC."""
EMPTY = " ⠀"
VALUES = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.floats(-1e6, 1e6))
drawings = pytest.mark.parametrize("drawing", [UNICODE, ASCII], ids=["unicode", "ascii"])


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    start_s = draw(st.floats(0, 2e9))
    span_s = draw(st.floats(0, 4e7))
    times = sorted(draw(st.lists(st.floats(start_s - 100, start_s + span_s + 100), max_size=40)))
    count = len(times)
    edges = draw(st.lists(st.tuples(VALUES, VALUES), min_size=count, max_size=count))
    values = draw(st.lists(VALUES, min_size=count, max_size=count))
    text = st.text(st.characters(exclude_categories=[]), max_size=30)
    marks = draw(st.lists(st.builds(Mark, st.sampled_from([*times, start_s]), text, st.just(Role.BAD)), max_size=4))
    return Graph(
        draw(text),
        draw(st.sampled_from(Unit)),
        tuple(
            Curve(list(zip(times, values, strict=True)), Role.UTILIZATION, name, dashed)
            for name, dashed in draw(st.lists(st.tuples(text, st.booleans()), max_size=2))
        ),
        start_s,
        start_s + span_s,
        bands=(Band([(at_s, *pair) for at_s, pair in zip(times, edges, strict=True)], Role.TRACK),)
        * draw(st.booleans()),
        now_s=draw(st.one_of(st.none(), st.floats(start_s, start_s + span_s))),
        low=draw(st.one_of(st.none(), st.floats(-1e18, 1e18))),
        high=draw(st.one_of(st.none(), st.floats(-1e18, 1e18))),
        marks=tuple(marks),
    )


def text_of(line: Cell) -> str:
    return "".join(span.text for span in line)


def plot_of(lines: Sequence[Cell], drawing: Drawing = UNICODE) -> list[str]:
    """What is drawn right of the value axis."""
    found = []
    for line in lines:
        text = text_of(line)
        walls = [text.find(char) for char in (drawing.tick, drawing.wall) if char in text[:14]]
        if walls and min(walls) >= 0:
            found.append(text[min(walls) + 1 :])
    return found


def simple(points: Sequence[tuple[float, float | None]], **changes: object) -> Graph:
    graph = Graph("util", Unit.RATIO, (Curve(points, Role.UTILIZATION),), T, T + 600)
    return structs.replace(graph, **changes)  # type: ignore[arg-type]


@drawings
@given(
    graph=graphs(),
    width=st.integers(1, 300),
    height=st.integers(1, 100),
    cursor=st.none() | st.floats(-1e9, 3e9),
    left=st.integers(0, 20),
)
def test_any_graph_fills_any_size_exactly(
    drawing: Drawing, graph: Graph, width: int, height: int, cursor: float | None, left: int
) -> None:
    lines = graph_lines(graph, width, height, drawing, cursor_s=cursor, least_left=left)
    assert [width_of(line) for line in lines] == [width] * height
    assert all(span.text.isprintable() for line in lines for span in line)


@given(graphs(), st.integers(1, 120), st.integers(1, 30))
def test_without_unicode_only_ascii_is_drawn(graph: Graph, width: int, height: int) -> None:
    named = structs.replace(graph, title="t", marks=(), unit=Unit.WATT)
    named = structs.replace(named, curves=tuple(structs.replace(curve, name="n") for curve in graph.curves))
    assert all(text_of(line).replace("…", "").isascii() for line in graph_lines(named, width, height, ASCII))


@drawings
@given(
    values=st.lists(st.floats(0, 1e9), min_size=1, max_size=60),
    width=st.integers(24, 200),
    height=st.integers(4, 40),
)
def test_the_highest_value_is_on_the_top_row(drawing: Drawing, values: list[float], width: int, height: int) -> None:
    points = [(T + 600 * at / len(values), value) for at, value in enumerate(values)]
    lines = graph_lines(simple(points, unit=Unit.COUNT), width, height, drawing)
    top = plot_of(lines, drawing)[0]
    assert (top.strip(EMPTY) != "") is (max(values) >= 0.5e-9)


@given(st.integers(0, 59), st.integers(0, 59), st.integers(30, 200))
def test_what_is_unknown_is_not_drawn(first: int, second: int, width: int) -> None:
    low, high = sorted((first, second))
    points = [(T + 10 * at, None if low <= at <= high else 0.5) for at in range(60)]
    rows = plot_of(graph_lines(simple(points), width, 12))
    columns = len(rows[0])
    for x in range(columns):
        begin_s, end_s = 600 * x / columns, 600 * (x + 1) / columns
        drawn = any(row[x] not in EMPTY for row in rows)
        if 10 * low < begin_s and end_s < 10 * (high + 1) - 0.01:
            assert not drawn
        elif end_s <= 10 * low or (begin_s > 10 * (high + 1) and end_s <= 590):
            assert drawn


@drawings
def test_a_rising_line_rises_with_time(drawing: Drawing) -> None:
    rows = plot_of(graph_lines(simple([(T + at, at / 600) for at in range(600)]), 80, 20, drawing), drawing)
    highest = [next(y for y, row in enumerate(rows) if row[x] not in EMPTY) for x in range(len(rows[0]))]
    assert highest == sorted(highest, reverse=True)
    assert (highest[0], highest[-1]) == (pytest.approx(len(rows) - 1, abs=1), 0)


def test_a_gap_between_points_stays_open() -> None:
    points = [(T + 10 * at, 0.5) for at in range(60) if not 20 <= at < 40]
    row = next(row for row in plot_of(graph_lines(simple(points, low=0, high=1), 70, 9)) if row.strip(EMPTY))
    assert row[: len(row) * 19 // 60].strip(EMPTY) == row[: len(row) * 19 // 60]
    assert row[len(row) * 21 // 60 : len(row) * 39 // 60].strip(EMPTY) == ""
    bridged = structs.replace(simple(points).curves[0], apart_s=math.inf)
    rows = plot_of(graph_lines(simple(points, low=0, high=1, curves=(bridged,)), 70, 9))
    assert all(any(row[x] not in EMPTY for row in rows) for x in range(len(rows[0]) * 59 // 60))


@pytest.mark.parametrize("high", [1.0, 100.0])
def test_values_beyond_a_fixed_range_stay_at_its_edge(high: float) -> None:
    rows = plot_of(graph_lines(simple([(T + 10 * at, high * 5) for at in range(60)], low=0, high=high), 70, 9))
    assert [row.strip(EMPTY) != "" for row in rows] == [True, *[False] * (len(rows) - 1)]


def test_a_chart_looks_like_this() -> None:
    points = [(T + 10 * at, 0.5 + 0.5 * math.sin(at / 10) if not 25 <= at < 30 else None) for at in range(60)]
    graph = simple(points, low=0, high=1, now_s=T + 500, marks=(Mark(T + 300, "Xid 79", Role.BAD),))
    assert [text_of(line).rstrip() for line in graph_lines(graph, 60, 12)] == LOOKS_UNICODE.splitlines()
    assert [text_of(line).rstrip() for line in graph_lines(graph, 60, 12, ASCII)] == LOOKS_ASCII.splitlines()


def test_a_line_hides_the_band_and_a_rule_but_not_another_line() -> None:
    flat = [(T + 10 * at, 0.5) for at in range(61)]
    band = Band([(at_s, 0.0, 1.0) for at_s, _ in flat], Role.TRACK)
    graph = simple(flat, bands=(band,), low=0, high=1, now_s=T + 300)
    lines = graph_lines(graph, 60, 9)
    roles = [[span.role for span in line for _ in span.text] for line in lines]
    middle = next(at for at, line in enumerate(roles) if Role.UTILIZATION in line)
    assert set(roles[middle][7:]) == {Role.UTILIZATION}
    assert set(roles[1][7:]) == {Role.TRACK, Role.DIM}
    both = (*graph.curves, Curve([(at_s, 0.55) for at_s, _ in flat], Role.MEMORY))
    drawn = text_of(graph_lines(structs.replace(graph, curves=both), 60, 9)[middle])
    assert drawn != text_of(lines[middle])


def test_figures_are_of_what_was_and_not_of_what_is_expected() -> None:
    points = [(T, 0.25), (T + 100, 0.75), (T + 400, 0.99)]
    title = text_of(graph_lines(simple(points, now_s=T + 300), 80, 9)[0])
    assert title.rstrip() == "util  now 75 %  min 25 %  mean 50 %  max 75 %"
    wide = Band([(T, 0.1, 0.9), (T + 500, 0.0, 1.0)], Role.TRACK)
    title = text_of(graph_lines(simple(points, now_s=T + 300, bands=(wide,)), 80, 9)[0])
    assert title.rstrip() == "util  now 75 %  min 10 %  mean 50 %  max 90 %"


def test_what_is_unknown_now_is_said() -> None:
    assert "now n/a" in text_of(graph_lines(simple([(T, 0.25), (T + 600, None)], now_s=T + 600), 80, 9)[0])
    assert "nothing is known" in text_of(graph_lines(simple([]), 80, 9)[0])
    assert "n/a" in text_of(graph_lines(simple([(T, None)]), 80, 9)[0])


def test_the_pointer_tells_what_was_then() -> None:
    points = [(T + 10 * at, at / 60) for at in range(61)]
    band = Band([(at_s, 0.0, 1.0) for at_s, _ in points], Role.TRACK)
    graph = simple(points, low=0, high=1, bands=(band,), marks=(Mark(T + 300, "Xid 79", Role.BAD),))
    title = text_of(graph_lines(graph, 80, 12, cursor_s=T + 300)[0])
    assert title.split("  ")[:4] == ["util", "14:18:20", "50 %", "0 % to 100 %"]
    assert "▲ Xid 79" in title
    beside = text_of(graph_lines(simple([(T, 0.5), (T + 1, 0.5)]), 80, 12, cursor_s=T + 300)[0])
    assert "n/a" in beside


@given(st.integers(1, 200), st.integers(0, 40))
def test_a_column_is_a_moment_and_rises_with_time(width: int, left: int) -> None:
    graph = simple([(T, 0.5)])
    found = [at_s for x in range(width) if (at_s := time_at(graph, width, left, x)) is not None]
    assert len(found) == max(0, width - left)
    assert found == sorted(found)
    assert all(T < at_s < T + 600 for at_s in found)
    assert time_at(graph, width, left, width) is None
    assert time_at(graph, width, left, left - 1) is None


def test_charts_below_each_other_can_share_their_times() -> None:
    narrow, wide = simple([(T, 0.5)]), simple([(T, 5e6)], unit=Unit.BYTES_PER_S)
    left = left_of(wide, 80, 12)
    assert left_of(narrow, 80, 12) < left
    floors = [text_of(graph_lines(graph, 80, 12, least_left=left)[-2]) for graph in (narrow, wide)]
    assert floors[0] == floors[1]
    assert floors[0].index("└") == left - 1
    assert left_of(narrow, 80, 3) == 0


def test_names_cannot_do_harm() -> None:
    graph = simple([(T, 0.5)], title="a\x1b[31mb\n", marks=(Mark(T, "\x07\u202e", Role.BAD),))
    shown = "".join(map(text_of, graph_lines(graph, 80, 12)))
    assert "\\x1b[31mb\\x0a" in shown
    assert "\\x07\\u202e" in shown


LOOKS_UNICODE = """\
util  now 2.1 %  min 0 %  mean 55 %  max 100 %
100 % ┤       ⢀⡠⠤⠔⠒⠉⠉⠉⠉⠑⠒⠢⣀                        ┊
      │     ⣀⠤⠃            ⠉⠒                      ┊
      │  ⢀⡰⠉                                       ┊
 50 % ┤⡠⠜⠁                       ⠐⣄                ┊
      │                            ⠉⠦⡀             ┊
      │                              ⠘⠢⢄           ┊      ⣀⠆
      │                                ⠈⠑⠤⣀        ┊  ⢀⡠⠒⠉
  0 % ┤                                    ⠉⠢⠤⢄⣀⣀⣀⣀⠤⠔⠊⠁
      └───┴──────────┴─────────┴─▲────────┴─────────┴───────
        14:14      14:16     14:18      14:20     14:22
                                 Xid 79
"""

LOOKS_ASCII = """\
util  now 2.1 %  min 0 %  mean 55 %  max 100 %
100 % +         **********                         :
      |      ***          ***                      :
      |  ****                                      :
 50 % +**                        **                :
      |                            ***             :
      |                              ***           :     ***
      |                                 ****       : ****
  0 % +                                     *********
      +---+----------+---------+-^--------+---------+-------
        14:14      14:16     14:18      14:20     14:22
                                 Xid 79
"""
