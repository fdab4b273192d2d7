"""The first view: every node and device, and what runs on the one under the cursor."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal

from gpualloc.tui.actions.action import DeviceTarget, NodeTarget, Target
from gpualloc.tui.cells import Cell, Role, Span
from gpualloc.tui.listings.fleet import FLEET
from gpualloc.tui.listings.processes import ON_NODE, process_rows
from gpualloc.tui.messages import Go
from gpualloc.tui.rows import FleetRow
from gpualloc.tui.screens.listed import ListedView
from gpualloc.tui.state import State
from gpualloc.tui.text import age_text, plain
from gpualloc.tui.widgets.list_table import ListTable
from gpualloc.tui.widgets.pane import Pane
from gpualloc.tui.widgets.table import Table
from gpualloc.tui.widgets.welcome import Welcome


class FleetView(ListedView):
    """Every GPU of the fleet."""

    NAME = "fleet"
    HEADING = "Fleet"

    def body(self) -> ComposeResult:
        """The list, and the processes below it."""
        yield ListTable(FLEET, self.shell.memory("fleet"), id="fleet")
        with Horizontal(id="lower"):
            yield Pane(ListTable(ON_NODE, self.shell.memory("fleet-processes"), id="processes"), id="process-pane")
        yield Welcome(id="welcome")

    def draw(self, state: State) -> None:
        """Show the rows, and what runs on the current one."""
        bare = state.seen.looks > 0 and not any(node.devices for node in state.seen.nodes)
        self.set_class(bare, "bare")
        if bare:
            self.query_one(Welcome).show_for(state.seen)
        fleet = self._fleet
        fleet.show_rows(state.rows, state.moment)
        fleet.styles.max_height = max(2, len(fleet.rows) + 1)
        self._draw_processes(state)

    def targets(self) -> tuple[Target, ...]:
        """Nodes and devices."""
        return tuple(fleet_target(row) for row in self._fleet.chosen)

    def on_table_moved(self, event: Table.Moved) -> None:
        """Another row has other processes."""
        if event.table is self._fleet:
            self._draw_processes(self.shell.state)

    def on_table_opened(self, event: Table.Opened) -> None:
        """Go to the node or device."""
        row = event.table.current
        if isinstance(row, FleetRow):
            self.post_message(Go("node" if row.device is None else "device", row.key))

    @property
    def _fleet(self) -> ListTable[FleetRow]:
        return self.query_one("#fleet", ListTable)

    def _draw_processes(self, state: State) -> None:
        row = self._fleet.current
        device = None if row is None or row.device is None else row.device.uuid
        found = () if row is None else process_rows((row.node,), state.indices, state.names, device)
        self.query_one("#processes", ListTable).show_rows(found, state.moment)
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


def subject_text(row: FleetRow) -> str:
    """Node, and index of the device; safe to draw."""
    name = plain(row.node.name)
    return name if row.device is None else f"{name} GPU {row.device.index}"
