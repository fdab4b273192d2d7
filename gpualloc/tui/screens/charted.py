"""A view with charts over time in it: their window, a moment to point at, and which of them are shown."""

from __future__ import annotations

import textwrap
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from gpualloc.errors import GpuallocError
from gpualloc.model.health import Event
from gpualloc.tui import glyphs
from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.charts import (
    About,
    Ahead,
    Chart,
    Stored,
    Window,
    graph_of,
    horizons_of,
    look_ahead,
    missing,
    read_stored,
)
from gpualloc.tui.graph import ASCII, UNICODE, Drawing, Graph
from gpualloc.tui.screens.listed import ListedView
from gpualloc.tui.state import State
from gpualloc.tui.text import plain
from gpualloc.tui.widgets.graph import Graphs
from gpualloc.tui.widgets.lines import Lines

SPANS = (
    ("5 min", 300.0),
    ("15 min", 900.0),
    ("1 h", 3600.0),
    ("6 h", 21_600.0),
    ("1 d", 86_400.0),
    ("7 d", 604_800.0),
    ("30 d", 2_592_000.0),
)
"""What the charts can show."""
EVENTS_S = 86_400.0
"""Events are read that far back, however little the charts show."""
_AT_FIRST = 1
_KEPT = "charts"
_READ_SHORT_S, _READ_LONG_S = 10.0, 60.0
"""What is stored is read again after so long: of up to an hour, of more."""
_SHORT_S = 3600.0
_AHEAD_EVERY_S = 60.0
_SLOWEST_BEAT_S = 10.0
"""Charts are drawn again that often at least."""
_BESIDE, _MANY_BESIDE = 78, 210
"""Widths from which two and three charts stand beside each other."""
_HIGH, _SPARED = 10, 3
"""Lines that a chart gets where several stand below each other, and how many may be missing for one more."""
_JUMP = 10
_LEAST_WIDTH = 20
_REMEDY = "`gpualloc sample --every 10s` keeps what is seen."


def drawing() -> Drawing:
    """The characters for charts that the terminal has."""
    return UNICODE if glyphs.current().braille else ASCII


class ChartedView(ListedView):
    """A view whose charts are shown by `draw_charts`, in what `charts_pane` yields."""

    CHARTS: ClassVar[tuple[Chart, ...]] = ()
    """All there are; those of which nothing is known are left out."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "charts", "charts", tooltip="The next charts, where there is no room for all"),
        Binding(
            "plus,equals_sign", "span(1)", "longer", tooltip="Charts of a longer time: " + SPANS[-1][0] + " at most"
        ),
        Binding("minus", "span(-1)", "shorter", show=False, tooltip="Charts of a shorter time"),
        Binding("left", "point(-1)", "pointer", tooltip="Point at an earlier moment, and read its values"),
        Binding("right", "point(1)", "pointer", show=False, tooltip="Point at a later moment"),
        Binding("shift+left", f"point(-{_JUMP})", "pointer", show=False, tooltip="Point much earlier"),
        Binding("shift+right", f"point({_JUMP})", "pointer", show=False, tooltip="Point much later"),
    ]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._span: int = self.shell.kept.get(_KEPT, _AT_FIRST)
        self._page = 0
        self._stored = Stored()
        self._ahead: Ahead = {}
        self._problem = ""
        self._version = 0
        """Of what was read; a new one is drawn."""
        self._asked: tuple[object, ...] = ()
        self._asked_s = self._ahead_s = float("-inf")
        self._ahead_asked: tuple[object, ...] = ()
        self._drawn: tuple[object, ...] = ()
        self._known: list[tuple[Chart, Graph]] = []
        self._unknown: list[Chart] = []

    # What a view tells, and has in its body.

    def charts_pane(self) -> ComposeResult:
        """A title over the charts, or over why there are none."""
        with Vertical(id="charts"):
            yield Lines(id="charts-title", classes="pane-title")
            yield Lines(id="charts-none")
            yield Graphs(drawing(), id="graphs")

    def about(self) -> About | None:
        """What the charts are of; None while that is not there."""
        raise NotImplementedError

    @property
    def events(self) -> tuple[Event, ...]:
        """What happened lately, oldest first, with what nobody has kept yet."""
        about, judged = self.about(), self.shell.state.seen.judged.events
        if about is None:
            return self._stored.events
        fresh = (one for one in judged if one.node == about.node and about.device in (None, one.device))
        found = {one.key: one for one in (*self._stored.events, *fresh)}
        return tuple(sorted(found.values(), key=lambda one: one.at_s))

    @property
    def has_more_charts(self) -> bool:
        """Whether there are others behind those that are shown."""
        return self._page + 1 < self._pages(self.query_one(Graphs))

    def show_first_charts(self) -> None:
        """Begin with the first again."""
        self._page, self._drawn = 0, ()

    # Drawing.

    def draw_charts(self, state: State) -> None:
        """Draw them when there is something new, and ask for what is stored when that is due."""
        about, graphs = self.about(), self.query_one(Graphs)
        size = graphs.size
        if about is None or not size.width or not size.height:
            return
        self._read(about, state, size.width)
        window = self._window(state)
        now = (about, SPANS[self._span], size, self._version, state.live, int(window.end_s // self._beat_s(size.width)))
        if now != self._drawn:
            self._drawn = now
            self._make(about, window)
            self._show(graphs)
        self._entitle(about)

    def _window(self, state: State) -> Window:
        end_s = state.moment.now_s
        return Window(end_s - SPANS[self._span][1], end_s, state.live)

    def _beat_s(self, width: int) -> float:
        """How often charts of that width are drawn: a dot of them is no less than that."""
        return min(_SLOWEST_BEAT_S, max(self.shell.every_s, SPANS[self._span][1] / (2 * width)))

    def _make(self, about: About, window: Window) -> None:
        ahead = self._ahead if self._ahead_asked == self._key(about) else {}
        stored, recent = self._stored, self.shell.recent
        made = [
            (chart, graph_of(chart, about, window, stored=stored, recent=recent, ahead=ahead)) for chart in self.CHARTS
        ]
        self._known = [(chart, graph) for chart, graph in made if graph is not None]
        self._unknown = [chart for chart, graph in made if graph is None]

    def _show(self, graphs: Graphs) -> None:
        self._page %= max(1, self._pages(graphs))
        first, room = self._first(graphs), room_for(graphs.size.width, graphs.size.height)
        graphs.show([graph for _, graph in self._known[first : first + room]])

    def _pages(self, graphs: Graphs) -> int:
        return -(-len(self._known) // room_for(graphs.size.width, graphs.size.height))

    def _first(self, graphs: Graphs) -> int:
        """Place of the first that is shown; the last page is as full as the others."""
        room = room_for(graphs.size.width, graphs.size.height)
        return max(0, min(self._page * room, len(self._known) - room))

    def _entitle(self, about: About) -> None:
        graphs = self.query_one(Graphs)
        first, room = self._first(graphs), room_for(graphs.size.width, graphs.size.height)
        shown = len(self._known[first : first + room])
        title: Cell = (Span(" History", Role.NAME), Span(f"  {SPANS[self._span][0]}"), Span("  + -", Role.DIM))
        if shown < len(self._known):
            which = f"{first + 1}-{first + shown}" if shown > 1 else f"{first + 1}"
            title = (*title, Span(f"   charts {which} of {len(self._known)}"), Span("  v", Role.DIM))
        if self.shell.desk.busy(self._lane) and not self._stored.pasts:
            title = (*title, Span("   reading what is stored", Role.WARN))
        if self._problem:
            title = (*title, Span(f"   what is stored cannot be read: {self._problem}", Role.BAD))
        if any(curve.role is Role.FORECAST for _, graph in self._known for curve in graph.curves):
            title = (*title, Span(f"   {drawing().dashed} expected, 90 % shaded", Role.FORECAST))
        words = _unknown_words(self._unknown, about)
        if words and self._known:
            title = (*title, Span(f"   not known: {words}", Role.DIM))
        self.query_one("#charts-title", Lines).show([title])
        self._tell_nothing(f"Nothing is known of this time: {words}. {_REMEDY}" if self.nothing_known else "")

    @property
    def nothing_known(self) -> bool:
        """Whether it was looked for, and there is not one chart."""
        return not self._known and self._version > 0

    def _tell_nothing(self, text: str) -> None:
        lines = self.query_one("#charts-none", Lines)
        lines.display, room = bool(text), self.query_one("#charts").size.width - 2
        lines.show([cell(f" {line}", Role.DIM) for line in textwrap.wrap(text, max(_LEAST_WIDTH, room))])

    # Reading.

    @property
    def _lane(self) -> str:
        return f"history {self.NAME}"

    def _key(self, about: About) -> tuple[object, ...]:
        return (about.key, self._span)

    def _read(self, about: About, state: State, columns: int) -> None:
        self._read_stored(about, state, columns)
        if state.live and horizons_of(SPANS[self._span][1]):
            self._read_ahead(about, state.moment.ticks_s)

    def _read_stored(self, about: About, state: State, columns: int) -> None:
        window, ticks_s = self._window(state), state.moment.ticks_s
        every_s = _READ_SHORT_S if SPANS[self._span][1] <= _SHORT_S else _READ_LONG_S
        key = (*self._key(about), columns, None if state.live else window.end_s)
        if key == self._asked and (not state.live or ticks_s - self._asked_s < every_s):
            return
        if key[0] != (self._asked or (None,))[0]:
            self._stored, self._known = Stored(), []
        self._asked, self._asked_s = key, ticks_s
        ctx, charts = self.shell.ctx, self.CHARTS
        self.shell.desk.ask(
            self._lane,
            lambda: read_stored(ctx, about, charts, window, columns=columns, events_s=EVENTS_S),
            lambda stored: self._take(key, stored),
            self._refused,
        )

    def _take(self, key: tuple[object, ...], stored: Stored) -> None:
        if key == self._asked:
            self._stored, self._problem = stored, ""
            self._version += 1
            self.redraw()

    def _refused(self, error: GpuallocError) -> None:
        self._problem = plain(error.message)
        self.redraw()

    def _read_ahead(self, about: About, ticks_s: float) -> None:
        key = self._key(about)
        if key == self._ahead_asked and ticks_s - self._ahead_s < _AHEAD_EVERY_S:
            return
        if key != self._ahead_asked:
            self._ahead = {}
        self._ahead_asked, self._ahead_s = key, ticks_s
        ctx, span_s = self.shell.ctx, SPANS[self._span][1]
        charts = [chart for chart in self.CHARTS if chart.is_foretold]
        self.shell.desk.ask(
            f"ahead {self.NAME}",
            lambda: look_ahead(ctx, about, charts, span_s),
            lambda ahead: self._take_ahead(key, ahead),
            self._refused,
        )

    def _take_ahead(self, key: tuple[object, ...], ahead: Ahead) -> None:
        if key == self._ahead_asked:
            self._ahead = ahead
            self._version += 1
            self.redraw()

    # Keys.

    def action_charts(self) -> None:
        """Show the next ones."""
        self._page += 1
        self._show(self.query_one(Graphs))
        self.redraw()

    def action_span(self, by: int) -> None:
        """Show a longer or a shorter time."""
        wanted = min(max(self._span + by, 0), len(SPANS) - 1)
        if wanted != self._span:
            self._span = self.shell.kept[_KEPT] = wanted
            self.query_one(Graphs).point_at(None)
            self.redraw()

    def action_point(self, columns: int) -> None:
        """Point at another moment."""
        self.query_one(Graphs).move_pointer(columns)

    def action_leave(self) -> None:
        """Point at nothing any more; then as in every list."""
        graphs = self.query_one(Graphs)
        if graphs.pointed_s is not None:
            graphs.point_at(None)
            return
        super().action_leave()


def room_for(width: int, height: int) -> int:
    """How many charts can be read well in so many cells."""
    beside = 1 if width < _BESIDE else 2 if width < _MANY_BESIDE else 3
    return beside * max(1, (height + _SPARED) // _HIGH)


def _unknown_words(charts: list[Chart], about: About) -> str:
    """The charts of which nothing is known, with the reason where there is one."""
    told = []
    for chart in charts:
        why = missing(chart, about)
        told.append(f"{chart.title} ({plain(why, 40)})" if why else chart.title)
    return ", ".join(told)
