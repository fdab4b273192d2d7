"""What is wrong now, what happened, and what of it alerts are about."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from gpualloc.engine.alerting import standing_now
from gpualloc.engine.context import Context
from gpualloc.engine.events_told import Found, Wanted, events_of
from gpualloc.model.alert import Alert, AlertRule, Silence
from gpualloc.model.health import Event
from gpualloc.tui.actions.action import AlertTarget, Target
from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.facts.values import text
from gpualloc.tui.listings.troubles import ALERTS, CONDITIONS, EVENTS, AlertRow, TroubleRow, trouble_rows
from gpualloc.tui.messages import Go
from gpualloc.tui.screens.listed import ListedView
from gpualloc.tui.screens.told import ToldScreen
from gpualloc.tui.section import Section
from gpualloc.tui.state import State
from gpualloc.tui.text import age_text, date_time_text, plain
from gpualloc.tui.widgets.list_table import ListTable
from gpualloc.tui.widgets.measure import set_measure
from gpualloc.tui.widgets.pane import Pane
from gpualloc.tui.widgets.table import Table

_READ_EVERY_S = 3.0
_SPANS = (("day", 86_400.0), ("week", 7 * 86_400.0), ("month", 30 * 86_400.0), ("hour", 3_600.0))
_Standing = tuple[float | None, tuple[tuple[Alert, AlertRule | None, Silence | None], ...]]


class EventsView(ListedView):
    """What is wrong now above what happened."""

    NAME = "events"
    HEADING = "Health"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "span", "how far back", tooltip="Events of the last day, week, month or hour"),
        Binding("o", "device", "GPU", show=False, tooltip="Go to the GPU or node that it is about"),
    ]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._span = 0
        self._found = Found((), {})

    def body(self) -> ComposeResult:
        """Two lists."""
        yield Pane(ListTable(CONDITIONS, self.shell.memory("conditions"), id="conditions"), id="wrong")
        yield Pane(ListTable(EVENTS, self.shell.memory("events"), id="events"), id="happened")

    def on_mount(self) -> None:
        """Read what is kept, again and again."""
        self._read()
        self.set_interval(_READ_EVERY_S, self._read)

    def draw(self, state: State) -> None:
        """Show both lists; events that nobody has kept yet are among the others."""
        indices: dict[str, int | None] = {**self._found.indices, **state.indices}
        wrong = trouble_rows(state.seen.judged.conditions, indices)
        conditions = self.query_one("#conditions", ListTable)
        conditions.show_rows(wrong, state.moment)
        set_measure(self.query_one("#wrong"), "max_height", max(3, len(wrong) + 3))
        self.query_one("#wrong", Pane).entitle(_title("Wrong now", len(wrong), ""))
        kept = {event.key: event for event in (*self._found.events, *state.seen.judged.events)}
        since_s = state.moment.now_s - _SPANS[self._span][1]
        until_s = math.inf if state.live else state.moment.now_s
        events: list[Event] = [event for event in kept.values() if since_s <= event.at_s <= until_s]
        self.query_one("#events", ListTable).show_rows(trouble_rows(events, indices), state.moment)
        self.query_one("#happened", Pane).entitle(
            _title("What happened", len(events), f"the last {_SPANS[self._span][0]}; d changes that")
        )

    def on_table_opened(self, event: Table.Opened) -> None:
        """Show everything known of it."""
        row = event.table.current
        if isinstance(row, TroubleRow):
            self.app.push_screen(ToldScreen(row.about.trouble.value, lambda: (_told(row),)))

    def action_span(self) -> None:
        """Look further back, or less far."""
        self._span = (self._span + 1) % len(_SPANS)
        self._read()
        self.redraw()

    def action_device(self) -> None:
        """Go to what the row is about."""
        row = self.table.current
        if isinstance(row, TroubleRow):
            device = row.about.device
            known = device is not None and self.shell.state.device(row.about.node, device) is not None
            self.post_message(Go("device", f"{row.about.node}/{device}") if known else Go("node", row.about.node))

    def _read(self) -> None:
        if self.is_on_top:
            ctx, ago_s = self.shell.ctx, _SPANS[self._span][1]
            self.shell.desk.ask(
                "events",
                lambda: events_of(ctx, Wanted(), ago_s),
                self._take,
                lambda error: self.say(plain(error.message), wrong=True),
            )

    def _take(self, found: Found) -> None:
        if found != self._found:
            self._found = found
            self.redraw()


class AlertsView(ListedView):
    """Alerts as the last look of `gpualloc sample` left them."""

    NAME = "alerts"
    HEADING = "Alerts"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._standing: _Standing = (None, ())
        self._made_of: tuple[object, object] = (None, None)
        self._rows: tuple[AlertRow, ...] = ()

    def body(self) -> ComposeResult:
        """The list."""
        yield ListTable(ALERTS, self.shell.memory("alerts"), id="list")

    def on_mount(self) -> None:
        """Read them, again and again."""
        self._read()
        self.set_interval(_READ_EVERY_S, self._read)

    def status(self) -> Cell:
        """When somebody looked last: alerts are as old as that."""
        looked_s = self._standing[0]
        if looked_s is None:
            return (Span("nobody has looked yet: gpualloc sample --every 10s  ", Role.WARN), *super().status())
        ago = age_text(self.shell.state.moment.now_s - looked_s)
        return (Span(f"as of {ago} ago  ", Role.DIM), *super().status())

    def draw(self, state: State) -> None:
        """Show the rows; they are made anew when something was heard or read."""
        if self._made_of[0] is not state.rows or self._made_of[1] is not self._standing:
            self._made_of = (state.rows, self._standing)
            found = self._standing[1]
            self._rows = tuple(AlertRow(*each, state.indices.get(each[0].key.device)) for each in found)
        self.query_one("#list", ListTable).show_rows(self._rows, state.moment)

    def targets(self) -> tuple[Target, ...]:
        """Alerts."""
        rows: tuple[AlertRow, ...] = self.table.chosen
        return tuple(AlertTarget(row.alert.key.rule, row.alert.key.node) for row in rows)

    def on_table_opened(self, event: Table.Opened) -> None:
        """Go to what it is about."""
        row = event.table.current
        if isinstance(row, AlertRow):
            node, device = row.alert.key.place
            self.post_message(Go("device", f"{node}/{device}") if device else Go("node", node))

    def _read(self) -> None:
        if self.is_on_top:
            ctx: Context = self.shell.ctx
            self.shell.desk.ask(
                "alerts",
                lambda: standing_now(ctx),
                self._take,
                lambda error: self.say(plain(error.message), wrong=True),
            )

    def _take(self, standing: _Standing) -> None:
        if standing != self._standing:
            self._standing = standing
            self.redraw()


def _title(title: str, count: int, hint: str) -> Cell:
    return (Span(f" {title}", Role.NAME), Span(f"  {count}"), Span(f"   {hint}", Role.DIM))


def _told(row: TroubleRow) -> Section:
    about = row.about
    return Section(
        "Event" if isinstance(about, Event) else "Condition",
        (
            ("severity", cell(about.severity.value)),
            ("when" if isinstance(about, Event) else "since", cell(date_time_text(row.at_s))),
            ("node", text(about.node)),
            ("GPU", text(None if row.index is None else str(row.index), absent="none, or not known")),
            ("UUID", text(about.device, absent="it is about the node")),
            ("what", text(about.what, 2000)),
            ("what to do", text(about.advice, 2000, absent="nothing")),
        ),
    )
