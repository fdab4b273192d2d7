"""The first view: every node and device, and what runs on the one under the cursor."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal

from gpualloc.tui.actions.action import DeviceTarget, NodeTarget, Target, Targets
from gpualloc.tui.cells import Cell, Role, Span, fitted, width_of
from gpualloc.tui.heat import METRICS, Block, Metric, Order, blocks, blocks_of, metric_after, metric_named
from gpualloc.tui.heat_line import legend
from gpualloc.tui.keys import shown_keys
from gpualloc.tui.listings.fleet import FLEET, holders_cell
from gpualloc.tui.listings.processes import ON_NODE, Row, process_rows
from gpualloc.tui.messages import Go
from gpualloc.tui.rows import FleetRow, Moment, state_words
from gpualloc.tui.screens.listed import ListedView
from gpualloc.tui.state import State
from gpualloc.tui.text import age_text, plain
from gpualloc.tui.values import value_text
from gpualloc.tui.widgets.heat import HeatGrid
from gpualloc.tui.widgets.key_line import KeyLine
from gpualloc.tui.widgets.lines import Lines
from gpualloc.tui.widgets.list_table import ListTable
from gpualloc.tui.widgets.measure import set_measure
from gpualloc.tui.widgets.pane import Pane
from gpualloc.tui.widgets.table import Table
from gpualloc.tui.widgets.welcome import Welcome

WIDE_FROM = 180
"""Terminal width from which the processes stand beside the list."""
_PROCESSES_FROM = 14
"""Terminal height from which there is room for processes."""
_HEAT_FROM = 20
"""Terminal height from which there is room for the heat grid."""
_LEAST = 2
"""A grid of fewer GPUs says no more than the list."""
_LEGEND_FROM = 90
"""Width from which the signs of the grid are told in words."""


class FleetView(ListedView):
    """Every GPU of the fleet: the heat grid, the list, and what runs on the one under their cursor."""

    NAME = "fleet"
    HEADING = "Fleet"
    AUTO_FOCUS = "#fleet"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "metric", "heat", tooltip="What the heat grid draws: " + ", ".join(one.title for one in METRICS)),
        Binding("o", "order", "order", show=False, tooltip="Order of the heat grid: " + ", ".join(Order)),
        Binding("H", "hide", "hide", show=False, tooltip="Hide the heat grid, or show it again"),
    ]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._hidden = False
        self._blocks: tuple[object, tuple[Block, ...]] = (None, ())

    def body(self) -> ComposeResult:
        """The grid, the list, and the processes below or beside it."""
        yield Lines(id="heat-title")
        yield HeatGrid(metric_named(self.shell.heat or ""), id="heat")
        with Container(id="halves"):
            yield ListTable(FLEET, self.shell.memory("fleet"), id="fleet")
            with Horizontal(id="lower"):
                yield Pane(ListTable(ON_NODE, self.shell.memory("fleet-processes"), id="processes"), id="process-pane")
        yield Welcome(id="welcome")

    def draw(self, state: State) -> None:
        """Show the rows, and what runs on the current one."""
        self._greet(state)
        wide = self.size.width >= WIDE_FROM
        self.set_class(wide, "wide")
        self.set_class(self.size.height < _PROCESSES_FROM, "low")
        fleet = self._fleet
        fleet.show_rows(state.rows, state.moment)
        set_measure(fleet, "max_height", None if wide else max(2, len(fleet.rows) + 1))
        self._draw_heat(state)
        self._draw_processes(state)

    def status(self) -> Cell:
        """Of the list, where there is one."""
        return () if self.has_class("bare") else super().status()

    def on_descendant_focus(self, _: events.DescendantFocus) -> None:
        """Other parts have other keys."""
        self.query_one(KeyLine).show_keys(shown_keys(self))

    def targets(self) -> tuple[Target, ...]:
        """The processes that are selected, or whose list the keys go to; else nodes and devices."""
        processes: ListTable[Row] = self.query_one("#processes", ListTable)
        if not (processes.selected or processes.has_focus):
            return self._places
        # The view of a device is imported when somebody wants it.
        from gpualloc.tui.screens.device import process_targets

        return process_targets(processes.chosen)

    def around(self) -> tuple[Targets, ...]:
        """The nodes and devices that are selected, else the one whose processes are shown."""
        return (self._places,)

    @property
    def _places(self) -> tuple[Target, ...]:
        return tuple(fleet_target(row) for row in self._fleet.chosen)

    def on_table_moved(self, event: Table.Moved) -> None:
        """Another row has other processes."""
        if event.table is self._fleet:
            self._grid.put_cursor(event.key or "")
            self._draw_current(self.shell.state)

    def on_table_opened(self, event: Table.Opened) -> None:
        """Go to the node or device."""
        row = event.table.current
        if isinstance(row, FleetRow):
            self.post_message(Go("node" if row.device is None else "device", row.key))

    def on_heat_grid_moved(self, event: HeatGrid.Moved) -> None:
        """The list goes there too."""
        self._fleet.move_to(event.key)

    def on_heat_grid_opened(self, event: HeatGrid.Opened) -> None:
        """Go to the node or device."""
        self.post_message(Go("device" if "/" in event.key else "node", event.key))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing is offered for a grid or a list that is not there."""
        if action in {"metric", "order", "hide", "filter"} and self.has_class("bare"):
            return False
        return super().check_action(action, parameters)

    def focus_body(self) -> None:
        """Keys go to the list first, whatever stands above it, or to what there is in its place."""
        (self.query_one(Welcome) if self.has_class("bare") else self._fleet).focus()

    def action_metric(self) -> None:
        """Draw the next reading."""
        grid = self._grid
        grid.metric = metric_after(grid.metric)
        self.shell.heat = grid.metric.name
        self._show_grid()

    def action_order(self) -> None:
        """Put nodes into the next order."""
        self._grid.order = self._grid.order.following
        self._show_grid()
        self.say(f"heat grid {self._grid.order}")

    def action_hide(self) -> None:
        """Take the grid away, or show it again."""
        self._show_grid(hidden=not self._hidden)

    def _show_grid(self, *, hidden: bool = False) -> None:
        self._hidden = hidden
        if hidden and self._grid.has_focus:
            self._fleet.focus()
        self.redraw()

    @property
    def _grid(self) -> HeatGrid:
        return self.query_one("#heat", HeatGrid)

    @property
    def _fleet(self) -> ListTable[FleetRow]:
        return self.query_one("#fleet", ListTable)

    def _greet(self, state: State) -> None:
        bare = state.seen.looks > 0 and not any(node.devices for node in state.seen.nodes)
        changes = bare != self.has_class("bare")
        self.set_class(bare, "bare")
        if bare:
            self.query_one(Welcome).show_for(state.seen)
        if changes:
            self.focus_body()

    def _draw_heat(self, state: State) -> None:
        height = self.size.height
        shown = not self._hidden and height >= _HEAT_FROM and state.totals.devices >= _LEAST
        self.set_class(not shown, "cold")
        if shown:
            # With its title up to five lines of 24, and a third of many.
            self._grid.show_blocks(self._shown_blocks(state), state.moment, max(1, (height - 12) // 3))
            self._grid.put_cursor(self._current_key)
            self._draw_title(state)

    def _shown_blocks(self, state: State) -> tuple[Block, ...]:
        """What the list shows too; the same object as long as that is the same."""
        fleet = self._fleet
        filtered = bool(fleet.memory.filter.strip())
        made_of = fleet.rows if filtered else state.seen.nodes
        if made_of is not self._blocks[0]:
            self._blocks = (made_of, blocks_of(fleet.rows) if filtered else blocks(state.seen.nodes))
        return self._blocks[1]

    def _draw_title(self, state: State) -> None:
        width = self.size.width
        metric, order = self._grid.metric, self._grid.order
        about = (Span(f" Heat {metric.title}  ", Role.NAME), *legend(metric, whole=width >= _LEGEND_FROM))
        order_words: Cell = () if order is Order.TROUBLE else (Span(f"  {order}", Role.KEY),)
        left = (*about, *order_words)
        room = width - width_of(left) - 3
        told = fitted(_told(self._fleet.current, metric, state.moment), max(0, room), right=True)
        self.query_one("#heat-title", Lines).show([(*left, Span("  "), *told, Span(" "))])

    @property
    def _current_key(self) -> str:
        row = self._fleet.current
        return "" if row is None else row.key

    def _draw_current(self, state: State) -> None:
        if not self.has_class("cold"):
            self._draw_title(state)
        self._draw_processes(state)

    def _draw_processes(self, state: State) -> None:
        row = self._fleet.current
        device = None if row is None or row.device is None else row.device.uuid
        found = () if row is None else process_rows((row.node,), state.indices, state.names, device)
        self.query_one("#processes", ListTable).show_rows(found, state.moment, unknown=state.unlisted)
        stale = row is not None and found and state.moment.is_stale(row)
        hint = f"as of {age_text(state.moment.age_s(row.node.heard_s))} ago" if row is not None and stale else ""
        title = f" Processes on {subject_text(row)}" if row is not None else " Processes"
        line: Cell = (Span(title, Role.NAME), Span(f"  {len(found)}"), Span(f"   {hint}", Role.DIM))
        self.query_one("#process-pane", Pane).entitle(line)


def fleet_target(row: FleetRow) -> Target:
    """What an action acts upon when it is on that row."""
    if row.device is None:
        return NodeTarget(row.node.name)
    return DeviceTarget(row.node.name, row.device.uuid, row.device.index, row.device.model)


def _told(row: FleetRow | None, metric: Metric, moment: Moment) -> Cell:
    """What is under the cursor, with the number that its character stands for."""
    if row is None:
        return ()
    words = state_words(row, moment)
    name = Span(f"{subject_text(row)} ", Role.NAME)
    if row.device is None:
        return (name, Span(words.whole, words.role))
    field = FLEET.field(metric.name)
    value = value_text(field.value(row, moment), field.unit, moment)
    return (name, Span(f"{value} "), Span(words.short, words.role), Span("  "), *holders_cell(row))


def subject_text(row: FleetRow) -> str:
    """Node, and index of the device; safe to draw."""
    name = plain(row.node.name)
    return name if row.device is None else f"{name} GPU {row.device.index}"
