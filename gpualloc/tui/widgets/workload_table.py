"""The table of workloads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpualloc.model.allocation import HeldBy, Hold
from gpualloc.model.progress import Progress
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.tui.cells import Cell, Role, cell
from gpualloc.tui.columns import Column, PlacedColumn
from gpualloc.tui.text import plain
from gpualloc.tui.widgets.table import Table
from gpualloc.views.progress import progress_brief

COLUMNS = (
    Column("id", "ID", least=9, most=9, priority=5),
    Column("name", "NAME", least=14, most=22, priority=0),
    Column("owner", "OWNER", least=6, most=12, priority=4),
    Column("state", "STATE", least=9, most=9, priority=1),
    Column("node", "NODE", least=8, most=16, priority=2),
    Column("gpus", "GPUS", least=7, most=7, priority=3),
    Column("held", "HELD BY", least=10, most=18, priority=7),
    Column("reason", "REASON", least=18, most=120, priority=6),
)
PROGRESS = Column("progress", "PROGRESS", least=16, most=16, priority=3)
"""Shown beside the others when any work tells how far it is."""
_ORDER = {
    state: at
    for at, state in enumerate(
        (
            WorkloadState.PENDING,
            WorkloadState.LOST,
            WorkloadState.FAILED,
            WorkloadState.RUNNING,
            WorkloadState.SUSPENDED,
            WorkloadState.FINISHED,
            WorkloadState.RELEASED,
        )
    )
}
_ROLES = {
    WorkloadState.PENDING: Role.WARN,
    WorkloadState.LOST: Role.BAD,
    WorkloadState.FAILED: Role.BAD,
    WorkloadState.FINISHED: Role.DIM,
    WorkloadState.RELEASED: Role.DIM,
}


def ordered(workloads: Sequence[Workload]) -> tuple[Workload, ...]:
    """What wants attention first, then by age."""
    return tuple(sorted(workloads, key=lambda one: (_ORDER[one.state], one.submitted_at_s, one.id)))


def weakest_first(held: HeldBy) -> str:
    """The words for what holds the limits, each once, such as `soft, hard`."""
    found = {held.gpu, held.cpu, held.memory, held.pids}
    return ", ".join(hold.value for hold in Hold if hold in found)


def held_text(held: HeldBy) -> str:
    """What holds each limit, such as `gpu soft, cpu+mem hard`."""
    parts = {"gpu": held.gpu, "cpu": held.cpu, "mem": held.memory, "pids": held.pids}
    by_hold: dict[str, list[str]] = {}
    for name, hold in parts.items():
        if hold is not None:
            by_hold.setdefault(hold.value, []).append(name)
    return ", ".join(f"{'+'.join(names)} {hold}" for hold, names in by_hold.items())


class WorkloadTable(Table[Workload]):
    """Workloads that run, wait or ended lately."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._indices: Mapping[str, int] = {}
        self._progress: Mapping[str, Progress] = {}

    def show_on(
        self, workloads: Sequence[Workload], indices: Mapping[str, int], progress: Mapping[str, Progress]
    ) -> None:
        """Draw these workloads; `indices` by device UUID name the devices they got, `progress` is by workload id."""
        self._indices, self._progress = indices, progress
        self.show(workloads)

    def columns(self, width: int) -> Sequence[Column]:  # noqa: ARG002 (the same in every width)
        """The columns by priority."""
        return (*COLUMNS[:4], PROGRESS, *COLUMNS[4:]) if self._progress else COLUMNS

    def key_of(self, row: Workload) -> str:
        """The workload's id."""
        return row.id

    def draw(self, row: Workload, placed: PlacedColumn) -> Cell:
        """One cell."""
        key = placed.column.key
        if key == "state":
            return cell(row.state.value, _ROLES.get(row.state, Role.PLAIN))
        return cell(self._text(row, key), Role.DIM if row.state.ended or key in ("id", "reason") else Role.PLAIN)

    def _text(self, row: Workload, key: str) -> str:
        if key == "id":
            return row.id
        if key == "name":
            return plain(row.name)
        if key == "owner":
            return plain(row.owner)
        if key == "node":
            return _where(row.allocation.nodes) if row.allocation is not None else ""
        if key == "gpus":
            return self._devices(row)
        if key == "held":
            return weakest_first(row.held_by)
        if key == "progress":
            return progress_brief(self._progress.get(row.id))
        return plain(row.reason or "")

    def _devices(self, row: Workload) -> str:
        if row.allocation is None:
            return f"want {row.request.gpus}"
        if row.state is WorkloadState.SUSPENDED:
            return "none"
        found = [self._indices.get(grant.device) for grant in row.allocation.grants]
        return ",".join("?" if index is None else str(index) for index in found)


def _where(nodes: Sequence[str]) -> str:
    """The first node, and how many more there are."""
    return plain(nodes[0]) + (f" +{len(nodes) - 1}" if len(nodes) > 1 else "")
