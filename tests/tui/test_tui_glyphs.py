"""The characters the dashboard draws with, and which of them a terminal can show."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from gpualloc.tui import glyphs
from gpualloc.tui.cells import HEATS, Role, bar, heat, width_of
from gpualloc.tui.glyphs import ASCII, UNICODE, Glyphs, fitting, in_ascii
from gpualloc.tui.text import clip, clip_middle, plain

UTF8 = {"TERM": "xterm-256color", "LANG": "en_US.UTF-8"}


@pytest.fixture
def ascii_only() -> Iterator[None]:
    glyphs.use(ASCII)
    yield
    glyphs.use(UNICODE)


def texts(drawn: Glyphs) -> dict[str, str]:
    found = {name: getattr(drawn, name) for name in Glyphs.__struct_fields__}
    steps = {f"heat {step}": text for step, text in enumerate(found.pop("heat"))}
    return {name: text for name, text in {**found, **steps}.items() if isinstance(text, str)}


@pytest.mark.parametrize("drawn", [UNICODE, ASCII], ids=["unicode", "ascii"])
def test_each_is_as_wide_as_it_is_long(drawn: Glyphs) -> None:
    assert all(cell_len(text) == len(text) for text in texts(drawn).values())
    assert len({drawn.branch, drawn.last, drawn.trunk, drawn.blank}) == 4
    assert {len(part) for part in (drawn.branch, drawn.last, drawn.trunk, drawn.blank)} == {2}
    alone = {"up", "down", "left", "right", "branch", "last", "trunk", "blank", "degree"}
    assert all(len(text) == 1 for name, text in texts(drawn).items() if name not in alone)


def test_ascii_is_ascii_and_without_braille() -> None:
    assert all(text.isascii() for text in texts(ASCII).values())
    assert not ASCII.braille


@pytest.mark.parametrize("drawn", [UNICODE, ASCII], ids=["unicode", "ascii"])
def test_how_hot_it_is_can_be_told_by_form_alone(drawn: Glyphs) -> None:
    assert len({*drawn.heat, drawn.fault, drawn.unknown}) == len(HEATS) + 2
    assert len({drawn.full, drawn.half, drawn.track}) == 3


@pytest.mark.parametrize(
    ("env", "drawn"),
    [
        (UTF8, UNICODE),
        ({"TERM": "xterm", "LC_ALL": "de_DE.utf8"}, UNICODE),
        ({"TERM": "xterm", "LANG": "ca_ES.UTF-8@valencia"}, UNICODE),
        ({"TERM": "xterm", "LANG": "C.UTF-8"}, UNICODE),
        ({"TERM": "xterm", "LC_CTYPE": "C.UTF-8", "LANG": "en_US.ISO-8859-1"}, UNICODE),
        ({**UTF8, "TERM": "linux"}, ASCII),
        ({**UTF8, "TERM": "linux-16color"}, ASCII),
        ({**UTF8, "TERM": "vt100"}, ASCII),
        ({**UTF8, "LC_ALL": "C"}, ASCII),
        ({**UTF8, "LC_ALL": "en_US.ISO-8859-1"}, ASCII),
        ({"TERM": "xterm", "LANG": "C"}, ASCII),
        ({"TERM": "xterm"}, ASCII),
        # What Python makes of LANG=C for its own use says nothing of the terminal.
        ({"TERM": "xterm", "LANG": "C", "LC_CTYPE": "C.UTF-8"}, ASCII),
    ],
)
def test_what_a_terminal_can_show(env: dict[str, str], drawn: Glyphs) -> None:
    assert fitting(env) is drawn
    assert fitting(env, ascii_only=True) is ASCII


@pytest.mark.usefixtures("ascii_only")
def test_bars_and_cut_texts_follow_what_is_drawn_with() -> None:
    assert "".join(span.text for span in bar(0.5, 5, Role.MEMORY)) == "##=--"
    assert clip("pretraining", 5) == "pret~"
    assert clip_middle("gpu-node-0001", 9) == "gpu-~0001"
    assert plain("x" * 10, 4) == "xxx~"
    assert [span.text for span in heat(1.0)] == ["#"]


@given(st.none() | st.floats(-1, 2))
def test_heat_is_one_cell_and_grows(ratio: float | None) -> None:
    (span,) = heat(ratio)
    assert width_of((span,)) == 1
    if ratio is None:
        assert span.role is Role.UNKNOWN
    else:
        assert span.role is HEATS[UNICODE.heat.index(span.text)]
        (hotter,) = heat(ratio + 0.2)
        assert HEATS.index(hotter.role) >= HEATS.index(span.role)


@pytest.mark.parametrize(("ratio", "step"), [(0.0, 0), (0.004, 0), (0.005, 1), (0.19, 1), (0.2, 2), (0.8, 5), (1.0, 5)])
def test_idle_alone_is_the_first_step_of_heat(ratio: float, step: int) -> None:
    assert heat(ratio)[0].role is HEATS[step]


def test_text_of_other_rooms_is_drawn_in_ascii() -> None:
    assert in_ascii("██░░ 31 °C … └ 1g.10gb · ▏") == "##.. 31 C ~ + 1g.10gb . |"
    assert in_ascii("größe") == "größe"
