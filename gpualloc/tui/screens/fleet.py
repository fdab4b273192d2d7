"""The main screen: header, nodes and devices, and what runs on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import Screen

from gpualloc.engine.progress import progress_of
from gpualloc.model.progress import Progress
from gpualloc.model.workload import Workload
from gpualloc.tui.arrange import SortKey, arranged, kept, kept_workloads
from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.cost import CostMeter
from gpualloc.tui.detail import Detail, process_detail, row_detail, workload_detail
from gpualloc.tui.rows import FleetRow, Moment, fleet_rows
from gpualloc.tui.screens.detail import DetailScreen
from gpualloc.tui.screens.help import HelpScreen, key_name
from gpualloc.tui.seen import Seen
from gpualloc.tui.source import Source
from gpualloc.tui.text import age_text, plain
from gpualloc.tui.totals import totals
from gpualloc.tui.watcher import Watcher
from gpualloc.tui.widgets.filter_line import FilterLine
from gpualloc.tui.widgets.fleet_table import FleetTable
from gpualloc.tui.widgets.key_line import KeyLine
from gpualloc.tui.widgets.lines import Lines
from gpualloc.tui.widgets.pane import Pane
from gpualloc.tui.widgets.process_table import ProcessRow, ProcessTable, process_rows
from gpualloc.tui.widgets.summary import Heading, Summary
from gpualloc.tui.widgets.table import Table
from gpualloc.tui.widgets.welcome import Welcome
from gpualloc.tui.widgets.workload_table import WorkloadTable, ordered

WIDE_FROM = 120
"""Terminal width from which both lower lists are shown side by side."""
_LEAST_FLEET_HEIGHT = 2
_REDRAW_S = 1.0
_GATHER_S = 0.1
"""Answers that come within this time are drawn together."""


class FleetScreen(Screen[None]):
    """Shows what the watcher has seen; draws at most what changed.

    Args:
        source: for the clocks and the simulation flag.
        watcher: what it has seen is drawn; paused and resumed by a key.
        every_s: period of the looks.
        title: first words of the header.
        meter: measures the dashboard's own cost.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "help", tooltip="All keys"),
        Binding("slash", "filter", "filter", tooltip="Show only rows that contain a text"),
        Binding("escape", "clear_filter", "all", show=False, tooltip="Show all rows again"),
        Binding("s", "sort", "sort", tooltip="Sort by the next of " + ", ".join(SortKey)),
        Binding("r", "reverse", "reverse", show=False, tooltip="Reverse the order"),
        Binding("w", "switch", "work", tooltip="Change between processes and workloads"),
        Binding("p", "pause", "pause", tooltip="Stop looking at the fleet, or go on"),
        Binding("tab", "app.focus_next", "next", show=False, tooltip="Next list"),
        Binding("shift+tab", "app.focus_previous", "previous", show=False, tooltip="Previous list"),
    ]

    def __init__(self, source: Source, watcher: Watcher, *, every_s: float, title: str, meter: CostMeter) -> None:
        super().__init__()
        self._source = source
        self._watcher = watcher
        self._every_s = every_s
        self._title = title
        self._meter = meter
        self._cost = meter.measure()
        self._seen = Seen(())
        self._rows: tuple[FleetRow, ...] = ()
        self._sort = SortKey.NODE
        self._reverse = False
        self._needle = ""
        self._redraw_is_due = False

    # Building.

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield Summary(id="summary")
        yield Lines(id="trouble")
        yield FleetTable(id="fleet")
        with Horizontal(id="lower"):
            yield Pane(ProcessTable(id="processes"), id="process-pane")
            yield Pane(WorkloadTable(id="workloads"), id="workload-pane")
        yield Welcome(id="welcome")
        yield FilterLine(id="filter")
        yield KeyLine(id="keys")

    def on_mount(self) -> None:
        """Ages and the clock go on between looks."""
        self.query_one(FleetTable).focus()
        self.set_interval(_REDRAW_S, self._redraw)
        self.set_interval(self._every_s, self._measure)

    def on_resize(self, event: events.Resize) -> None:
        """Show both lower lists where they fit."""
        self.set_class(event.size.width >= WIDE_FROM, "wide")
        self.call_after_refresh(self._redraw)

    def expect_news(self) -> None:
        """Draw what the watcher has seen, together with what else comes in a moment."""
        if not self._redraw_is_due:
            self._redraw_is_due = True
            self.set_timer(_GATHER_S, self._take_in)

    # Drawing.

    def _take_in(self) -> None:
        self._redraw_is_due = False
        self._seen = self._watcher.seen()
        self._rows = fleet_rows(self._seen)
        self._redraw()

    def _measure(self) -> None:
        self._cost = self._meter.measure()

    def _moment(self) -> Moment:
        return Moment(self._source.ticks_s(), self._source.now_s(), self._every_s)

    def _redraw(self) -> None:
        moment = self._moment()
        shown = arranged(kept(self._rows, self._needle, moment), self._sort, self._reverse, moment)
        descends = self._sort.descends != self._reverse
        fleet = self.query_one(FleetTable)
        fleet.show_at(moment, shown, (self._sort.value, descends))
        fleet.styles.max_height = max(_LEAST_FLEET_HEIGHT, len(shown) + 1)
        heading = Heading(
            self._title, self._source.simulated, self._watcher.paused, moment.now_s, self._every_s, self._cost
        )
        self.query_one(Summary).show_totals(heading, totals(self._seen, self._rows, moment))
        self._redraw_trouble(moment)
        self._redraw_lower(moment)
        self._redraw_keys(len(shown), descends)

    def _redraw_trouble(self, moment: Moment) -> None:
        trouble = self.query_one("#trouble", Lines)
        content = _trouble(self._seen, moment)
        trouble.display = bool(content)
        trouble.show([content])

    def _redraw_lower(self, moment: Moment) -> None:
        bare = self._seen.looks > 0 and not any(node.devices for node in self._seen.nodes)
        self.set_class(bare, "bare")
        if bare:
            self.query_one(Welcome).show_for(self._seen)
        workloads = self._seen.workloads
        indices = _indices(self._seen)
        shown = kept_workloads(ordered(workloads or ()), self._needle)
        self.query_one(WorkloadTable).show_on(shown, indices, self._progress())
        count = "looking" if workloads is None else str(len(shown))
        self.query_one("#workload-pane", Pane).entitle(
            _titled("Workloads", count, "" if self._is_wide else "w: processes")
        )
        self._redraw_processes(moment, indices)

    def _redraw_processes(self, moment: Moment, indices: Mapping[str, int]) -> None:
        row = self.query_one(FleetTable).current
        found = () if row is None else _processes_of(row, indices, self._names())
        self.query_one(ProcessTable).show_at(moment.now_s, found)
        subject = "" if row is None else f" on {_subject(row)}"
        switch = "" if self._is_wide else "w: workloads"
        if row is not None and found and moment.is_stale(row):
            switch = f"as of {age_text(moment.age_s(row.node.heard_s))} ago   {switch}"
        self.query_one("#process-pane", Pane).entitle(_titled(f"Processes{subject}", str(len(found)), switch))

    def _redraw_keys(self, shown: int, descends: bool) -> None:
        status = f"sort {self._sort.value} {'▼' if descends else '▲'} "
        if self._needle:
            status = f"{shown} of {len(self._rows)} rows · {status}"
        bindings = [*self.app.BINDINGS, *self.BINDINGS, *Table.BINDINGS]
        keys = [
            (key_name(binding.key.split(",")[0]), binding.description)
            for binding in bindings
            if isinstance(binding, Binding) and binding.show
        ]
        self.query_one(KeyLine).show_keys(keys, cell(status))

    @property
    def _is_wide(self) -> bool:
        return self.has_class("wide")

    def _progress(self) -> dict[str, Progress]:
        nodes = (node.node for node in self._seen.nodes if node.node is not None)
        return progress_of(self._seen.workloads or (), nodes)

    def _names(self) -> dict[str, str]:
        return {workload.id: workload.name for workload in self._seen.workloads or ()}

    # Messages from widgets.

    def on_table_moved(self, event: Table.Moved) -> None:
        """Another row has other processes."""
        if isinstance(event.table, FleetTable):
            self._redraw_processes(self._moment(), _indices(self._seen))

    def on_table_opened(self, event: Table.Opened) -> None:
        """Show everything known of the row."""
        row = event.table.current
        if isinstance(row, FleetRow):
            self.app.push_screen(DetailScreen(lambda: self._describe_row(event.key)))
        elif isinstance(row, Workload):
            self.app.push_screen(DetailScreen(lambda: self._describe_workload(event.key)))
        elif isinstance(row, ProcessRow):
            self.app.push_screen(DetailScreen(lambda: process_detail(row)))

    def on_filter_line_edited(self, event: FilterLine.Edited) -> None:
        """Filter while it is typed."""
        self._needle = event.needle
        self._redraw()

    def on_filter_line_left(self) -> None:
        """Back to the rows."""
        self.query_one(FleetTable).focus()

    def _describe_row(self, key: str) -> Detail | None:
        found = next((row for row in self._rows if row.key == key), None)
        return None if found is None else row_detail(found, self._names(), self._moment())

    def _describe_workload(self, key: str) -> Detail | None:
        found = next((one for one in self._seen.workloads or () if one.id == key), None)
        return None if found is None else workload_detail(found, self._progress().get(key))

    # Keys.

    def action_filter(self) -> None:
        """Type a filter."""
        self.query_one(FilterLine).ask()

    def action_clear_filter(self) -> None:
        """Show all rows again."""
        self.query_one(FilterLine).action_clear()

    def action_sort(self) -> None:
        """Sort by the next key."""
        self._sort = self._sort.following
        self._redraw()

    def action_reverse(self) -> None:
        """Turn the order round."""
        self._reverse = not self._reverse
        self._redraw()

    def action_switch(self) -> None:
        """Show the other lower list or, where both are in sight, go to it."""
        to_workloads = self.query_one(ProcessTable).has_focus if self._is_wide else not self.has_class("workloads")
        was_below = not self.query_one(FleetTable).has_focus
        self.set_class(to_workloads, "workloads")
        if was_below or self._is_wide:
            self.query_one("#workloads" if to_workloads else "#processes").focus()

    def action_pause(self) -> None:
        """Stop looking, or go on."""
        self._watcher.pause(not self._watcher.paused)
        self._redraw()

    def action_help(self) -> None:
        """Show every key."""
        groups = (("Fleet", self.BINDINGS), ("Lists", Table.BINDINGS), ("Everywhere", self.app.BINDINGS))
        self.app.push_screen(HelpScreen(groups))


def _titled(title: str, count: str, hint: str) -> Cell:
    return (Span(f" {title}", Role.NAME), Span(f"  {count}"), Span(f"   {hint}", Role.DIM))


def _subject(row: FleetRow) -> str:
    name = plain(row.node.name)
    return name if row.device is None else f"{name} GPU {row.device.index}"


def _indices(seen: Seen) -> dict[str, int]:
    return {device.uuid: device.index for node in seen.nodes for device in node.devices}


def _processes_of(row: FleetRow, indices: Mapping[str, int], names: Mapping[str, str]) -> tuple[ProcessRow, ...]:
    device = row.device
    mine = [process for process in row.node.processes if device is None or process.device == device.uuid]
    return process_rows(mine, row.node.name, indices, names)


def _trouble(seen: Seen, moment: Moment) -> Cell:
    if seen.error is not None:
        hint = f"  {seen.error.hint}" if seen.error.hint else ""
        return (Span(f" {plain(seen.error.message)}", Role.BAD), Span(plain(hint), Role.DIM))
    looking_s = moment.age_s(seen.look_since_s)
    if looking_s is None or looking_s <= moment.stale_after_s:
        return ()
    names = ", ".join(plain(name, 40) for name in seen.waiting_for[:3])
    more = f" and {len(seen.waiting_for) - 3} more" if len(seen.waiting_for) > 3 else ""
    return cell(f" looking for {age_text(looking_s)}, still waiting for {names or 'the end'}{more}", Role.WARN)
