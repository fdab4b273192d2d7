"""Work that runs, waits or ended lately, with when waiting work is likely to start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual.app import ComposeResult

from gpualloc.engine.starts import predicted_starts
from gpualloc.model.inventory import Snapshot
from gpualloc.model.workload import WorkloadState
from gpualloc.tui.actions.action import Target, WorkloadTarget
from gpualloc.tui.cells import Cell, Role, Span
from gpualloc.tui.listings.workloads import WORKLOADS, WorkRow, work_rows
from gpualloc.tui.messages import Go
from gpualloc.tui.screens.listed import ListedView
from gpualloc.tui.state import State
from gpualloc.tui.widgets.list_table import ListTable
from gpualloc.tui.widgets.table import Table

_FORETELL_S = 15.0
"""Starts are told anew that often, and when other work waits."""
_NOTHING_TOLD: Mapping[str, float] = {}


class WorkloadsView(ListedView):
    """All work."""

    NAME = "workloads"
    HEADING = "Workloads"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._starts: Mapping[str, float] = {}
        self._made_of: tuple[object, object] = (None, None)
        self._rows: tuple[WorkRow, ...] = ()
        self._told_s = float("-inf")
        self._told_of: frozenset[str] = frozenset()

    def body(self) -> ComposeResult:
        """The list."""
        yield ListTable(WORKLOADS, self.shell.memory("workloads"), id="list")

    @property
    def _list(self) -> ListTable[WorkRow]:
        return self.query_one("#list", ListTable)

    def status(self) -> Cell:
        """How many run and wait."""
        states = [row.workload.state for row in self._list.all_rows]
        running, waiting = states.count(WorkloadState.RUNNING), states.count(WorkloadState.PENDING)
        counts = (Span(f"{running} running  ", Role.GOOD if running else Role.DIM),)
        return (*counts, Span(f"{waiting} waiting  ", Role.WARN if waiting else Role.DIM), *super().status())

    def draw(self, state: State) -> None:
        """Show the rows; foretell the starts of what waits."""
        starts = self._starts if state.live else _NOTHING_TOLD
        if self._made_of[0] is not state.rows or self._made_of[1] is not starts:
            self._made_of = (state.rows, starts)
            self._rows = work_rows(state.workloads, state.indices, state.progress, starts)
        self._list.show_rows(self._rows, state.moment)
        self._foretell(state)

    def targets(self) -> tuple[Target, ...]:
        """Workloads."""
        found = (row.workload for row in self._list.chosen)
        return tuple(WorkloadTarget(one.id, one.name, one.owner) for one in found)

    def on_table_opened(self, event: Table.Opened) -> None:
        """Go to the workload."""
        self.post_message(Go("workload", event.key))

    def _foretell(self, state: State) -> None:
        waiting = frozenset(one.id for one in state.workloads if one.state is WorkloadState.PENDING)
        due = state.moment.ticks_s - self._told_s >= _FORETELL_S or waiting != self._told_of
        if not waiting or not due or not state.live:
            return
        self._told_s, self._told_of = state.moment.ticks_s, waiting
        nodes = tuple(node.node for node in state.seen.nodes if node.node is not None)
        snapshot, workloads, ctx = Snapshot(state.moment.now_s, nodes), state.workloads, self.shell.ctx
        self.shell.desk.ask(
            "starts",
            lambda: predicted_starts(ctx, snapshot, [one for one in workloads if not one.state.ended]),
            self._take,
            lambda _error: None,
        )

    def _take(self, starts: Mapping[str, float]) -> None:
        self._starts = starts
        self.redraw()
