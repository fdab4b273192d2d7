"""What is to be expected: series with their bands and past errors, and the chart of the one under the cursor."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, ClassVar

from msgspec.structs import replace
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from gpualloc.errors import GpuallocError
from gpualloc.forecast.registry import names
from gpualloc.model.foresight import ARRIVALS, DEMAND, RUN_TIME, By, Foresight
from gpualloc.model.sample import METRICS, SeriesKind
from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.columns import Column
from gpualloc.tui.foreseen_graph import Foreseen, foreseen_graph
from gpualloc.tui.foresight import (
    BYS,
    REACHES,
    USUAL,
    Found,
    Wish,
    look_ahead,
    remedy,
    run_time_words,
    with_indices,
)
from gpualloc.tui.listings.foreseen import FORESEEN, HORIZONS_S, RUN_TIMES, ForeseenRow, foreseen_rows, too_little
from gpualloc.tui.messages import Go
from gpualloc.tui.screens.charted import drawing
from gpualloc.tui.screens.listed import ListedView
from gpualloc.tui.state import State
from gpualloc.tui.text import age_text, plain
from gpualloc.tui.widgets.graph import Graphs
from gpualloc.tui.widgets.lines import Lines
from gpualloc.tui.widgets.list_table import ListTable
from gpualloc.tui.widgets.measure import set_measure
from gpualloc.tui.widgets.prompt_line import Prompt
from gpualloc.tui.widgets.table import Table
from gpualloc.views.forecast import span
from gpualloc.views.foresight import notes

_AGAIN_S, _REST = 60.0, 10
"""It is asked again after so many seconds, and not before so many times as long as the last answer took."""
_LANE = "foresight"
_LEAST_NOTES = 2
"""So many lines are left for sentences, at least."""
_LEAST_COLUMNS = 20
_KEEPS = "`gpualloc forecast` from cron keeps them to be compared"


class SeriesTable(ListTable[ForeseenRow]):
    """The list of series, with columns for the horizons that are asked for."""

    horizons_s: Sequence[int] = REACHES[1]

    def columns(self, width: int) -> Sequence[Column]:
        """Those that somebody chose, else none for other horizons."""
        found = super().columns(width)
        if self.memory.columns is not None:
            return found
        others = {f"in{span(horizon_s)}" for horizon_s in HORIZONS_S if horizon_s not in self.horizons_s}
        return [column for column in found if column.key not in others]


class ForecastView(ListedView):
    """Series, and what they are expected to become."""

    NAME = "forecast"
    HEADING = "Forecast"
    AUTO_FOCUS = "#series"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "what", "what", tooltip="Demand, arrivals, run times, or one of the usual metrics"),
        Binding("M", "type_what", "any metric", show=False, tooltip="Type which metric is looked ahead at"),
        Binding("b", "by", "by", tooltip="Tell demand and arrivals apart by pool, tenant, profile, or not at all"),
        Binding("plus,equals_sign", "reach(1)", "further", tooltip="Look further ahead: 1 h, 6 h, 24 h"),
        Binding("minus", "reach(-1)", "less far", show=False, tooltip="Look less far ahead"),
        Binding("f", "forecaster", "forecaster", tooltip="Ask another forecaster that is installed"),
        Binding("left", "point(-1)", "pointer", show=False, tooltip="Point at an earlier moment, and read its values"),
        Binding("right", "point(1)", "pointer", show=False, tooltip="Point at a later moment"),
        Binding("shift+left", "point(-10)", "pointer", show=False, tooltip="Point much earlier"),
        Binding("shift+right", "point(10)", "pointer", show=False, tooltip="Point much later"),
    ]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._wish = Wish()
        self._found: Found | None = None
        self._rows: tuple[ForeseenRow, ...] = ()
        self._asked_s = float("-inf")
        self._took_s = 0.0
        """How long the last answer took."""
        self._drawn: tuple[object, ...] = ()
        self._one: Foreseen | None = None
        """What is drawn."""

    def body(self) -> ComposeResult:
        """What is asked, the list, and the chart, or why there is none."""
        yield Lines(id="asked")
        yield SeriesTable(FORESEEN, self.shell.memory("forecast"), id="series")
        yield ListTable(RUN_TIMES, self.shell.memory("run-times"), id="classes")
        yield Graphs(drawing(), id="graphs")
        yield Lines(id="explained")

    def draw(self, state: State) -> None:
        """Show what was found last, and ask again when that is due."""
        ticks_s = state.moment.ticks_s
        if ticks_s - self._asked_s >= max(_AGAIN_S, _REST * self._took_s) and not self.shell.desk.busy(_LANE):
            self._ask(ticks_s)
        is_run_time = self._wish.what == RUN_TIME
        series, classes = self._series, self.query_one("#classes", ListTable)
        series.display, classes.display = not is_run_time and bool(self._rows), is_run_time
        found = self._found if self._found is not None and self._found.wish == self._wish else None
        self.query_one("#asked", Lines).show([self._asked_line(ticks_s)])
        if is_run_time:
            classes.show_rows(() if found is None else found.classes, state.moment)
        else:
            series.show_rows(self._rows, state.moment)
            most = self.query_one("#body").size.height * 2 // 5
            set_measure(series, "height", max(2, min(len(self._rows) + 1, most)))
        self._draw_chart()
        self._explain(found)

    @property
    def _series(self) -> SeriesTable:
        return self.query_one("#series", SeriesTable)

    @property
    def table(self) -> ListTable[Any]:
        """The list that is there."""
        return self.query_one("#classes" if self._wish.what == RUN_TIME else "#series", ListTable)

    def _asked_line(self, ticks_s: float) -> Cell:
        wish, found = self._wish, self._found
        by = (
            f" by {wish.by.value}" if wish.has_by and wish.by is not By.ALL else " of everything" if wish.has_by else ""
        )
        told: Cell = (Span(f" {wish.what}{by}", Role.NAME),)
        if wish.what != RUN_TIME:
            seen = None if found is None or found.wish != wish else found.seen
            who = wish.forecaster or ("as configured" if seen is None else plain(seen.forecaster, 40))
            told = (*told, Span(f"   {span(REACHES[wish.reach][-1])} ahead"), Span(f"   forecaster {who}", Role.DIM))
        if self.shell.desk.busy(_LANE):
            told = (*told, Span(f"   looking ahead for {age_text(ticks_s - self._asked_s)}", Role.WARN))
        if not self.shell.state.live:
            told = (*told, Span("   from now on, not from the past that is shown", Role.WARN))
        return told

    def _draw_chart(self) -> None:
        graphs, row = self.query_one(Graphs), self._series.current
        seen = None if self._found is None else self._found.seen
        graphs.display = seen is not None and row is not None and self._series.display
        now = (self._found, row, graphs.size)
        if not graphs.display or now == self._drawn:
            return
        self._drawn, self._one = now, None
        if self._found is not None and seen is not None and row is not None:
            columns = max(_LEAST_COLUMNS, graphs.size.width)
            self._one = foreseen_graph(seen, row.place, dict(self._found.scores), columns)
        if self._one is not None and row is not None:
            title = row.shown + self._one.graph.title.removeprefix(row.name)
            graphs.show([replace(self._one.graph, title=title)])

    def _explain(self, found: Found | None) -> None:
        said = self._said(found)
        room = max(20, self.size.width - 2)
        lines = [(line, role) for text, role in said for line in textwrap.wrap(text, room, break_on_hyphens=False)]
        shown = self.query_one("#explained", Lines)
        shown.display = bool(lines)
        shown.show([cell(f" {line}", role) for line, role in lines[: max(_LEAST_NOTES, self.size.height // 8)]])

    def _said(self, found: Found | None) -> list[tuple[str, Role]]:
        """Sentences below the chart, or in its place."""
        if self._wish.what == RUN_TIME:
            return run_time_words(self.query_one("#classes", ListTable).current)
        if found is None:
            return [] if self._rows else [("looking ahead at what is remembered ...", Role.DIM)]
        if found.problem:
            return [(found.problem, Role.BAD)]
        return [] if found.seen is None else self._words(found.seen)

    def _words(self, seen: Foresight) -> list[tuple[str, Role]]:
        """What the chart does not tell: what is missing and how to get it, and past errors."""
        row, told = self._series.current, list[tuple[str, Role]]()
        short = None if row is None else too_little(row)
        if not self._rows:
            told.append((f"nothing is known yet; {remedy(self._wish)}", Role.WARN))
        elif row is not None and short is not None:
            each = f", of {span(seen.grid.step_s)} each, for {span(seen.horizons_s[-1])} ahead" if row.ticks else ""
            told.append((f"{row.shown}: {short}{each}; {remedy(self._wish)}", Role.WARN))
        if self._one is not None and self._rows:
            errors = self._one.errors or (f"past error: none of its forecasts was compared yet; {_KEEPS}",)
            told += [(text, Role.PLAIN if self._one.errors else Role.DIM) for text in errors]
        if len(self._rows) > 1 or short is None:
            told += [(with_indices(note, self._rows), Role.DIM) for note in notes(seen)]
        return told

    # Asking.

    def _ask(self, ticks_s: float) -> None:
        self._asked_s = ticks_s
        ctx, wish = self.shell.ctx, self._wish
        self.shell.desk.ask(
            _LANE,
            lambda: look_ahead(ctx, wish),
            self._take,
            lambda error: self._take(Found(wish, problem=_told(error))),
        )

    def _take(self, found: Found) -> None:
        if found.wish != self._wish:
            return
        self._found, self._took_s = found, self.shell.source.ticks_s() - self._asked_s
        indices = self.shell.state.indices
        self._rows = () if found.seen is None else foreseen_rows(found.seen, dict(found.scores), indices)
        self.redraw()

    def _want(self, wish: Wish) -> None:
        if wish.what != self._wish.what or wish.by is not self._wish.by:
            self._rows = ()
        self._wish = wish
        self._series.horizons_s = REACHES[wish.reach]
        self.query_one(Graphs).point_at(None)
        self._ask(self.shell.state.moment.ticks_s)
        self.redraw()
        self.table.focus()

    # Keys.

    def action_what(self) -> None:
        """Look ahead at the next."""
        now = USUAL.index(self._wish.what) if self._wish.what in USUAL else -1
        self._want(replace(self._wish, what=USUAL[(now + 1) % len(USUAL)]))

    def action_type_what(self) -> None:
        """Type what to look ahead at."""
        known = (DEMAND, ARRIVALS, RUN_TIME, *(name for name, metric in METRICS.items() if _is_foretold(metric.kinds)))

        def took(text: str) -> None:
            if text.strip() in known:
                self._want(replace(self._wish, what=text.strip()))
            else:
                self.say(f"there is no metric {plain(text, 60)}; Tab completes those there are", wrong=True)

        hint = "demand, arrivals, run-time or a metric; Tab completes"
        prompt = Prompt("metric", "look ahead at", hint, lambda text: _beginning(known, text))
        self.ask(prompt, "", took)

    def action_by(self) -> None:
        """Tell series apart by something else."""
        if not self._wish.has_by:
            self.say("only demand and arrivals are told apart by pool, tenant or profile", wrong=True)
            return
        self._want(replace(self._wish, by=BYS[(BYS.index(self._wish.by) + 1) % len(BYS)]))

    def action_reach(self, by: int) -> None:
        """Look further ahead, or less far."""
        reach = min(max(self._wish.reach + by, 0), len(REACHES) - 1)
        if reach != self._wish.reach:
            self._want(replace(self._wish, reach=reach))

    def action_forecaster(self) -> None:
        """Type which forecaster is asked; none is the one that is configured."""
        known = names()

        def took(text: str) -> None:
            name = text.strip()
            if name and name not in known:
                self.say(f"there is no forecaster {plain(name, 60)}; there are {', '.join(known)}", wrong=True)
            else:
                self._want(replace(self._wish, forecaster=name or None))

        hint = "Tab completes; nothing is the one that is configured"
        prompt = Prompt("forecaster", "forecaster", hint, lambda text: _beginning(known, text))
        self.ask(prompt, self._wish.forecaster or "", took)

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

    def on_table_moved(self, _: Table.Moved) -> None:
        """Draw the chart of the row under the cursor."""
        self.redraw()

    def on_table_opened(self, event: Table.Opened) -> None:
        """Go to the device or node that the series is of."""
        row = event.table.current
        if isinstance(row, ForeseenRow) and self._wish.what not in (DEMAND, ARRIVALS):
            node, _, device = row.name.partition("/")
            self.post_message(Go("device", row.name) if device else Go("node", node))


def _is_foretold(kinds: frozenset[SeriesKind]) -> bool:
    return bool(kinds & {SeriesKind.DEVICE, SeriesKind.NODE})


def _beginning(known: Sequence[str], text: str) -> tuple[str, ...]:
    return tuple(name for name in known if name.startswith(text))


def _told(error: GpuallocError) -> str:
    return plain(f"{error.message}{'; ' + error.hint if error.hint else ''}")
