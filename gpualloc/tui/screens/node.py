"""Everything of one node: its host, its devices and how they reach each other, and what runs there."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical

from gpualloc.model.inventory import HostReading
from gpualloc.tui.actions.action import NodeTarget, Target, Targets
from gpualloc.tui.cells import Role, Span, cell
from gpualloc.tui.charts import NODE_CHARTS, About
from gpualloc.tui.facts.device import happened_section
from gpualloc.tui.facts.node import node_sections
from gpualloc.tui.listings.fleet import DEVICES
from gpualloc.tui.listings.processes import ON_NODE, Row, process_rows
from gpualloc.tui.messages import Go
from gpualloc.tui.rows import FleetRow
from gpualloc.tui.screens.charted import ChartedView
from gpualloc.tui.screens.device import WIDE_FROM, process_targets
from gpualloc.tui.screens.fleet import fleet_target
from gpualloc.tui.state import State
from gpualloc.tui.text import plain
from gpualloc.tui.topology import topology_lines
from gpualloc.tui.widgets.facts import Facts
from gpualloc.tui.widgets.lines import Lines
from gpualloc.tui.widgets.list_table import ListTable
from gpualloc.tui.widgets.measure import set_measure
from gpualloc.tui.widgets.pane import Pane
from gpualloc.tui.widgets.table import Table

_TOPOLOGY_FROM, _CHARTED_FROM = 50, 34
"""Terminal heights from which the topology and the charts are shown without being asked for."""


class NodeView(ChartedView):
    """One node."""

    NAME = "node"
    HEADING = "Node"
    AUTO_FOCUS = "#devices"
    CHARTS = NODE_CHARTS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("i", "facts", "host", tooltip="The host and its system, or back to GPUs and processes"),
        Binding("l", "topology", "links", show=False, tooltip="How the GPUs reach each other, or not"),
    ]

    def body(self) -> ComposeResult:
        """The host beside devices, topology and processes, or in their place where it is narrow."""
        with Horizontal():
            yield Facts(id="facts")
            with Vertical(id="beside"):
                yield ListTable(DEVICES, self.shell.memory("node-devices"), id="devices")
                yield Lines(id="topology")
                yield from self.charts_pane()
                yield Pane(ListTable(ON_NODE, self.shell.memory("node-processes"), id="processes"), id="on-node")

    def subject(self) -> str:
        """Its name."""
        return plain(self.of)

    def targets(self) -> tuple[Target, ...]:
        """The processes that are selected, else the devices that are, else what the cursor is on."""
        processes: ListTable[Row] = self.query_one("#processes", ListTable)
        if processes.selected or processes.has_focus:
            return process_targets(processes.chosen)
        return tuple(fleet_target(row) for row in self._devices.chosen) or (NodeTarget(self.of),)

    def around(self) -> tuple[Targets, ...]:
        """The devices that are selected, or whose list the keys go to; then the node."""
        devices = self._devices
        meant = devices.chosen if devices.selected or devices.has_focus else ()
        return (tuple(fleet_target(row) for row in meant), (NodeTarget(self.of),))

    @property
    def _devices(self) -> ListTable[FleetRow]:
        return self.query_one("#devices", ListTable)

    def about(self) -> About | None:
        """The node, with what its host has."""
        row = self.shell.state.row(self.of)
        if row is None:
            return None
        host = HostReading() if row.node.node is None else row.node.node.host
        most: dict[str, float | None] = {"memory": host.memory_total_mib, "disk": host.disk_total_mib}
        return About(self.of, None, tuple(device.uuid for device in row.node.devices), most)

    def draw(self, state: State) -> None:
        """Show what is known now; a node that is gone is said to be."""
        self.set_class(self.size.width >= WIDE_FROM, "wide")
        self.set_class(self.nothing_known, "unknown")
        rows = tuple(row for row in state.rows if row.node.name == self.of)
        if not rows:
            self.query_one("#topology", Lines).show([cell(" There is no such node; Esc goes back", Role.WARN)])
            return
        sections = node_sections(rows[0], state.moment)
        self.query_one(Facts).show((*sections, happened_section(self.events)))
        devices = self.query_one("#devices", ListTable)
        own = rows[1:]
        devices.show_rows(own, state.moment)
        set_measure(devices, "max_height", max(2, len(own) + 1))
        self._draw_topology(rows[0])
        found = process_rows((rows[0].node,), state.indices, state.names)
        self.query_one("#processes", ListTable).show_rows(found, state.moment, unknown=state.unlisted)
        self.query_one("#on-node", Pane).entitle((Span(" Processes", Role.NAME), Span(f"  {len(found)}")))
        self._draw_history(state, len(found))

    def _draw_history(self, state: State, processes: int) -> None:
        """The charts take the place of the processes where both do not fit."""
        is_high = self.size.height >= _CHARTED_FROM
        charts, pane = self.query_one("#charts"), self.query_one("#on-node", Pane)
        charts.display = is_high is not self.has_class("turned")
        pane.display = is_high or not charts.display
        least = min(processes + 2, max(4, self.size.height // 4))
        set_measure(pane, "height", least if charts.display else "1fr")
        if charts.display:
            self.draw_charts(state)

    def _draw_topology(self, row: FleetRow) -> None:
        lines = self.query_one("#topology", Lines)
        wanted = self.size.height >= _TOPOLOGY_FROM or self.has_class("near")
        drawn = topology_lines(row.node.devices, lines.parent.size.width) if wanted and lines.parent else []  # type: ignore[attr-defined]
        lines.display = bool(drawn)
        lines.show(drawn)

    def on_table_opened(self, event: Table.Opened) -> None:
        """Go to the device."""
        row = event.table.current
        if isinstance(row, FleetRow) and row.device is not None:
            self.post_message(Go("device", row.key))

    def action_facts(self) -> None:
        """The host, or back."""
        self.toggle_class("told")
        if self.has_class("told"):
            self.query_one(Facts).focus()
        else:
            self.focus_body()

    def action_charts(self) -> None:
        """Show the charts, then the next ones, then none of them."""
        if self.query_one("#charts").display and self.has_more_charts:
            super().action_charts()
            return
        self.toggle_class("turned")
        self.show_first_charts()
        self.redraw()

    def action_topology(self) -> None:
        """How the GPUs reach each other, or not."""
        self.toggle_class("near")
        self.redraw()
