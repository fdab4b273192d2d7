"""Plots as SVG: inside their frame, and harmless whatever lines are called."""

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.views.plot import HEIGHT, WIDTH, Line, plot

POINTS = st.lists(st.tuples(st.integers(0, 200), st.floats(0, 100)), min_size=1, max_size=20, unique_by=lambda p: p[0])


def drawn(svg):
    """All points of lines and circles."""
    root = ET.fromstring(svg)
    for line in root.iter("polyline"):
        yield from (tuple(map(float, pair.split(","))) for pair in line.get("points").split())
    for ring in root.iter("circle"):
        yield float(ring.get("cx")), float(ring.get("cy"))


@given(st.lists(POINTS, min_size=1, max_size=9), st.booleans())
def test_everything_lies_inside_the_frame(several, dots):
    lines = [Line(f"l{n}", tuple(sorted(points)), n, dots=dots) for n, points in enumerate(several)]
    found = list(drawn(plot(lines, "x", "y")))
    assert len(found) >= sum(map(len, several))
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT + 20 * 3 for x, y in found)


def test_higher_is_higher_and_later_is_to_the_right():
    (low_x, low_y), (high_x, high_y) = drawn(plot([Line("l", ((80, 1.0), (130, 5.0)), 0)], "x", "y"))
    assert (low_x < high_x, low_y > high_y) == (True, True)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", 'a" onload="x', "a&b", "]]>", "ä…"])
def test_names_are_text_and_nothing_else(name):
    svg = plot([Line(name, ((0.0, 1.0),), 0)], name, name)
    root = ET.fromstring(svg)
    assert {text.text for text in root.iter("text") if not re.fullmatch(r"[0-9.]+", text.text)} == {name}
    assert root.attrib.keys() == {"viewBox", "role", "aria-label"}
    assert not list(root.iter("script"))


def test_what_has_the_same_hue_has_the_same_colour():
    svg = plot([Line("a", ((0.0, 1.0), (1.0, 2.0)), 3), Line("b", ((0.0, 1.0),), 3, dots=True)], "x", "y")
    assert len(set(re.findall(r'stroke="(#[0-9a-f]+)"', svg))) == 1
