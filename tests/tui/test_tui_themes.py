"""The themes can be read: by contrast, by eyes that lack a kind of cone, with few colours and with none."""

from __future__ import annotations

import colorsys
import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from rich.color import Color, ColorSystem
from textual.pilot import Pilot
from tui.fleet_fixture import EVERY_S, FrozenMeter, fleet, uuid
from tui.steering import fleet_table, go, until, until_drawn, views, whole_text

from gpualloc.tui import glyphs
from gpualloc.tui.app import TopApp
from gpualloc.tui.cells import HEATS, Role
from gpualloc.tui.options import THEME_NAMES, TopOptions
from gpualloc.tui.palettes import NO_BACKGROUND, WITH_MANY, WITH_SIXTEEN, Palette
from gpualloc.tui.screens.choice import ChoiceScreen
from gpualloc.tui.themes import Colours, colours_of, themes

IN_COLOUR = tuple(palette for palette in WITH_MANY if palette.name != "mono")
DRAWN = {*HEATS, Role.UTILIZATION, Role.MEMORY, Role.CURVE, Role.FORECAST}
"""Roles of bars and curves, whose form tells as much as their colour."""
FAINT = {Role.TRACK, Role.CURVE_BAND, Role.FORECAST_BAND}
"""Roles of areas behind others."""
Rgb = tuple[int, int, int]

coloured = pytest.mark.parametrize("palette", IN_COLOUR, ids=lambda palette: palette.name)


def linear(rgb: Rgb) -> np.ndarray:
    share = np.array(rgb) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def contrast(one: Rgb, other: Rgb) -> float:
    """As WCAG 2 defines it, 1..21."""
    dark, light = sorted(float(linear(rgb) @ (0.2126, 0.7152, 0.0722)) for rgb in (one, other))
    return (light + 0.05) / (dark + 0.05)


def rgb_of(colour: str, system: ColorSystem = ColorSystem.TRUECOLOR) -> Rgb:
    """What a terminal with so many colours shows."""
    return tuple(Color.parse(colour).downgrade(system).get_truecolor())


def grounds(palette: Palette) -> tuple[str, ...]:
    rows = (palette.cursor, palette.focus, palette.strong)
    return (palette.ground, palette.bar, *(row.background for row in rows))


@coloured
@pytest.mark.parametrize("system", [ColorSystem.TRUECOLOR, ColorSystem.EIGHT_BIT], ids=["truecolor", "256"])
def test_text_stands_out_from_whatever_is_behind_it(palette: Palette, system: ColorSystem) -> None:
    least = 7.0 if palette.name == "high-contrast" and system is ColorSystem.TRUECOLOR else 4.5
    for role, paint in palette.paints.items():
        if role in DRAWN | FAINT:
            continue
        behind = grounds(palette) if paint.background == NO_BACKGROUND else (paint.background,)
        for ground in behind:
            reached = contrast(rgb_of(paint.colour, system), rgb_of(ground, system))
            assert reached >= least, (role, ground, reached)


@coloured
def test_bars_and_curves_stand_out_and_what_is_behind_them_can_be_seen(palette: Palette) -> None:
    for role in DRAWN | FAINT:
        reached = contrast(rgb_of(palette.paints[role].colour), rgb_of(palette.ground))
        assert reached >= (3.0 if role in DRAWN else 1.5), (role, reached)


@coloured
@pytest.mark.parametrize("system", [ColorSystem.TRUECOLOR, ColorSystem.EIGHT_BIT], ids=["truecolor", "256"])
def test_the_row_under_the_cursor_is_not_like_others(palette: Palette, system: ColorSystem) -> None:
    shown = {rgb_of(ground, system) for ground in (palette.ground, palette.focus.background, palette.cursor.background)}
    assert len(shown) == 3


# Viénot, Brettel and Mollon 1999: RGB to the cones and back, with one kind of cone answered for by the others.
TO_CONES = np.array(
    [[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]],
)
LACKING = {
    "protanopia": np.array([[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]]),
    "deuteranopia": np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]]),
    "tritanopia": np.array([[1, 0, 0], [0, 1, 0], [-0.395913, 0.801109, 0]]),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])
APART = 20.0
"""Distance in CIELAB that is seen at a glance; one can just be seen."""


def seen_with(lacking: np.ndarray, colour: str) -> np.ndarray:
    """The colour in CIELAB."""
    shown = np.clip(np.linalg.inv(TO_CONES) @ lacking @ TO_CONES @ linear(rgb_of(colour)), 0, 1)
    share = TO_XYZ @ shown / WHITE
    x, y, z = np.where(share > 0.008856, np.cbrt(share), 7.787 * share + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("kind", LACKING)
def test_states_and_curves_stay_apart_without_a_kind_of_cone(kind: str) -> None:
    palette = next(palette for palette in WITH_MANY if palette.name == "colour-blind")

    def apart(one: str, other: str) -> float:
        return float(np.linalg.norm(seen_with(LACKING[kind], one) - seen_with(LACKING[kind], other)))

    states = {"good": palette.good, "warn": palette.warn, "bad": palette.bad}
    for (name, one), (other_name, other) in itertools.combinations(states.items(), 2):
        assert apart(one.colour, other.colour) >= APART, (name, other_name)
    assert apart(palette.curve, palette.forecast) >= APART


def test_the_simulated_eyes_are_told_apart_from_whole_ones() -> None:
    """Red and green of one lightness: far apart for most, not for those who lack a cone for either."""
    red, green = "#d05050", "#5f8f2f"
    whole = np.linalg.norm(seen_with(np.eye(3), red) - seen_with(np.eye(3), green))
    lacking = np.linalg.norm(
        seen_with(LACKING["deuteranopia"], red) - seen_with(LACKING["deuteranopia"], green),
    )
    assert whole > 60
    assert lacking < 25


@coloured
def test_heat_grows_away_from_the_ground_and_is_no_colour_of_a_state(palette: Palette) -> None:
    shown = [contrast(rgb_of(colour), rgb_of(palette.ground)) for colour in palette.heat]
    assert shown == sorted(shown)
    assert all(later / sooner >= 1.08 for sooner, later in itertools.pairwise(shown))
    hues = {colorsys.rgb_to_hls(*(part / 255 for part in rgb_of(colour)))[0] * 360 for colour in palette.heat[1:-1]}
    assert all(150 <= hue <= 220 for hue in hues)


# The two tables in which sixteen colours are mostly shown: the console of Linux and xterm.
CONSOLE = dict(
    zip(
        ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"),
        ((0, 0, 0), (170, 0, 0), (0, 170, 0), (170, 85, 0), (0, 0, 170), (170, 0, 170), (0, 170, 170), (170,) * 3),
        strict=True,
    )
) | dict(
    zip(
        ("bright_red", "bright_green", "bright_yellow", "bright_magenta", "bright_cyan", "bright_white"),
        ((255, 85, 85), (85, 255, 85), (255, 255, 85), (255, 85, 255), (85, 255, 255), (255,) * 3),
        strict=True,
    )
)
XTERM = dict(
    zip(
        ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"),
        ((0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0), (0, 0, 238), (205, 0, 205), (0, 205, 205), (229,) * 3),
        strict=True,
    )
) | dict(
    zip(
        ("bright_red", "bright_green", "bright_yellow", "bright_magenta", "bright_cyan", "bright_white"),
        ((255, 0, 0), (0, 255, 0), (255, 255, 0), (255, 0, 255), (0, 255, 255), (255,) * 3),
        strict=True,
    )
)


@pytest.mark.parametrize("table", [CONSOLE, XTERM], ids=["console", "xterm"])
@pytest.mark.parametrize("palette", WITH_SIXTEEN[:-1], ids=lambda palette: palette.name)
def test_sixteen_colours_can_be_read_too(palette: Palette, table: dict[str, Rgb]) -> None:
    for role, paint in palette.paints.items():
        ground = palette.ground if paint.background == NO_BACKGROUND else paint.background
        reached = contrast(table[paint.colour.removeprefix("ansi_")], table[ground.removeprefix("ansi_")])
        assert reached >= (2.0 if role in DRAWN | FAINT else 4.5), (role, reached)


def test_nothing_is_dim_where_few_colours_make_that_black() -> None:
    styles = {paint.style for palette in WITH_SIXTEEN[:-1] for paint in palette.paints.values()}
    assert not any("dim" in style for style in styles)


def test_the_command_line_knows_every_theme() -> None:
    for colours in (Colours.MANY, Colours.SIXTEEN):
        assert tuple(theme.name for theme in themes(colours)) == THEME_NAMES
    assert [theme.name for theme in themes(Colours.NONE)] == ["mono"]


@pytest.mark.parametrize(
    ("env", "colours"),
    [
        ({"TERM": "xterm-256color"}, Colours.MANY),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, Colours.MANY),
        ({"TERM": "tmux-256color"}, Colours.MANY),
        ({"TERM": "xterm"}, Colours.SIXTEEN),
        ({"TERM": "linux"}, Colours.SIXTEEN),
        ({"TERM": "screen"}, Colours.SIXTEEN),
        ({}, Colours.SIXTEEN),
        ({"TERM": "vt100"}, Colours.NONE),
        ({"TERM": "dumb"}, Colours.NONE),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, Colours.NONE),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, Colours.NONE),
    ],
)
def test_colours_are_those_of_the_terminal(env: dict[str, str], colours: Colours) -> None:
    assert colours_of(env) is colours


def top_in(theme: str | None, colours: Colours) -> TopApp:
    world = fleet()
    options = TopOptions(every_s=EVERY_S, theme=theme)
    return TopApp(world.context(), world.source(), options, title="top", meter=FrozenMeter(), colours=colours)


def test_every_colour_of_the_style_sheet_is_the_themes() -> None:
    import gpualloc.tui

    sheet = (Path(gpualloc.tui.__file__).parent / "styles.tcss").read_text("utf-8")
    assert "#" not in "".join(part.split("}")[0] for part in sheet.split("{")[1:])


def cursor_styles(pilot: Pilot[None]) -> set[object]:
    """Rich styles on the line of the fleet's cursor, which stands on its first row."""
    return {segment.style for segment in fleet_table(pilot).render_line(1) if segment.text.strip()}


@pytest.mark.parametrize("colours", list(Colours))
async def test_every_theme_draws_all_and_the_key_goes_through_them(colours: Colours) -> None:
    app = top_in(None, colours)
    async with app.run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        seen = []
        for name in app.theme_names:
            assert app.theme == name
            await pilot.pause()
            strips = pilot.app.screen._compositor.render_strips()
            seen.append(frozenset(str(segment.style) for strip in strips for segment in strip))
            app.action_next_theme()
            await pilot.pause()
        assert app.theme == app.theme_names[0]
        assert len(set(seen)) == len(app.theme_names)


async def test_another_theme_changes_what_is_drawn_already() -> None:
    """Texts whose colours are baked in, and the rows of tables."""
    async with top_in("dark", Colours.MANY).run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        for name in ("light", "high-contrast"):
            palette = next(palette for palette in WITH_MANY if palette.name == name)
            pilot.app.theme = name
            await pilot.pause()
            strips = pilot.app.screen._compositor.render_strips()
            shown = {
                tuple(style.color.triplet)
                for strip in strips
                for segment in strip
                if segment.text.strip() and (style := segment.style) is not None and style.color is not None
            }
            paints = {*palette.paints.values(), palette.cursor, palette.focus, palette.strong}
            assert shown <= {rgb_of(paint.colour) for paint in paints} | {rgb_of(palette.edge)}


async def test_a_theme_the_terminal_cannot_show_is_not_worn() -> None:
    async with top_in("light", Colours.NONE).run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        assert pilot.app.theme == "mono"


async def test_without_colours_the_cursor_is_turned_round_and_nothing_has_a_colour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with top_in("dark", colours_of(os.environ)).run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        assert all(style.reverse for style in cursor_styles(pilot))
        for strip in pilot.app.screen._compositor.render_strips():
            filtered = strip.apply_filter(pilot.app._filters[-1], pilot.app.screen.background_colors[1])
            for segment in filtered:
                style = segment.style
                assert style is None or all(
                    colour is None or colour.is_default for colour in (style.color, style.bgcolor)
                )


@pytest.mark.parametrize("colours", [Colours.NONE, Colours.SIXTEEN])
async def test_the_place_where_is_typed_is_turned_round(colours: Colours) -> None:
    async with top_in(None, colours).run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        await pilot.press("slash", *"h100")
        await pilot.pause()
        (typed,) = (line for line in pilot.app.screen._compositor.render_strips() if line.text.startswith(" filter"))
        turned = "".join(segment.text for segment in typed if segment.style is not None and segment.style.reverse)
        assert turned == " "


@pytest.mark.parametrize("name", views())
async def test_where_only_ascii_is_drawn_every_view_and_window_is_ascii(name: str) -> None:
    of = {"node": "h100-01", "device": f"h100-01/{uuid('h100-01', 0)}", "workload": "w2k7m0q4r"}
    glyphs.use(glyphs.ASCII)
    try:
        async with top_in("dark", Colours.SIXTEEN).run_test(size=(160, 24)) as pilot:
            await until_drawn(pilot)
            assert fleet_table(pilot).show_vertical_scrollbar
            await go(pilot, name, of.get(name, ""))
            text = whole_text(pilot)
            await pilot.press("S")
            await pilot.pause()
            text += whole_text(pilot)
            assert "+---" in text or not isinstance(pilot.app.screen, ChoiceScreen)
    finally:
        glyphs.use(glyphs.UNICODE)
    assert {char for char in text if not char.isascii()} == set()


@pytest.mark.parametrize(
    ("theme", "colours"), [("mono", Colours.MANY), (None, Colours.NONE), (None, Colours.SIXTEEN), (None, Colours.MANY)]
)
@pytest.mark.parametrize(("size", "framed"), [((80, 24), True), ((120, 40), True), ((80, 12), False)])
async def test_a_dialog_is_framed_and_the_view_stays_in_sight(
    theme: str | None, colours: Colours, size: tuple[int, int], *, framed: bool
) -> None:
    app = top_in(theme, colours)
    async with app.run_test(size=size) as pilot:
        await until_drawn(pilot)
        await pilot.press("a")
        await until(pilot, lambda: "What to do" in whole_text(pilot) and "cordon" in whole_text(pilot))
        window = pilot.app.screen.query_one(".window")
        assert bool(window.styles.border_top[0]) is framed
        # Without a frame, where there is little room, nothing of the view is between the lines of the dialog.
        has_view = "nodes ok" in whole_text(pilot)
        assert has_view if framed else not (app.native_ansi_color and has_view)
