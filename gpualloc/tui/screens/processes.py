"""Processes on the GPUs of the fleet, gathered by what they belong to."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from gpualloc.tui.actions.action import Target
from gpualloc.tui.cells import Cell, Role, Span
from gpualloc.tui.facts.process import process_sections
from gpualloc.tui.listings.processes import PROCESSES, Gathering, ProcessRow, Row, gathered, process_rows
from gpualloc.tui.messages import Go
from gpualloc.tui.rows import FleetRow
from gpualloc.tui.screens.device import process_targets
from gpualloc.tui.screens.listed import ListedView
from gpualloc.tui.screens.told import ToldScreen
from gpualloc.tui.state import State
from gpualloc.tui.widgets.list_table import ListTable
from gpualloc.tui.widgets.table import Table


class ProcessesView(ListedView):
    """Every process on a GPU."""

    NAME = "processes"
    HEADING = "Processes"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "gather", "group", tooltip="Gather by parent, node, user, workload, container, pod, job, nothing"),
        Binding("o", "device", "GPU", show=False, tooltip="Go to the GPU of the process"),
    ]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        remembered = self.shell.memory("processes").gathered
        # It may be of a version that gathers by something else.
        self._by = Gathering(remembered) if remembered in set(Gathering) else Gathering.NOTHING
        self._made_of: tuple[tuple[FleetRow, ...] | None, Gathering] = (None, self._by)
        self._rows: tuple[Row, ...] = ()

    def body(self) -> ComposeResult:
        """The list."""
        yield ListTable(PROCESSES, self.shell.memory("processes"), id="list")

    @property
    def _list(self) -> ListTable[Row]:
        return self.query_one("#list", ListTable)

    def status(self) -> Cell:
        """What they are gathered by, too."""
        by = () if self._by is Gathering.NOTHING else (Span(f"by {self._by.value}  ", Role.KEY),)
        return (*by, *super().status())

    def draw(self, state: State) -> None:
        """Show the rows; they are made anew when something was heard."""
        if self._made_of[0] is not state.rows or self._made_of[1] is not self._by:
            found = process_rows(state.seen.nodes, state.indices, state.names, owners=state.owners)
            self._made_of, self._rows = (state.rows, self._by), gathered(found, self._by)
        self._list.show_rows(self._rows, state.moment, unknown=state.unlisted)

    def targets(self) -> tuple[Target, ...]:
        """Processes; of a group all of them."""
        return process_targets(self._list.chosen)

    def on_table_opened(self, event: Table.Opened) -> None:
        """Show everything known of it."""
        key = event.key
        self.app.push_screen(ToldScreen("Process", lambda: self._told(key)))

    def _told(self, key: str) -> Any:
        row = next((one for one in self._list.all_rows if self._list.key_of(one) == key), None)
        if isinstance(row, ProcessRow):
            return process_sections(row)
        return None if row is None else tuple(part for one in row.members for part in process_sections(one)[:1])

    def action_gather(self) -> None:
        """Gather by the next."""
        self._by = self._by.following
        self.shell.memory("processes").gathered = None if self._by is Gathering.NOTHING else self._by.value
        self.redraw()

    def action_device(self) -> None:
        """Go to the GPU of the process."""
        row = self._list.current
        if isinstance(row, ProcessRow):
            self.post_message(Go("device", f"{row.node}/{row.process.device}"))
