"""The table of processes on the selected device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gpualloc.model.inventory import Process
from gpualloc.tui.cells import Cell, Role, cell, number
from gpualloc.tui.columns import Column, PlacedColumn
from gpualloc.tui.text import age_text, plain
from gpualloc.tui.widgets.table import Table

COLUMNS = (
    Column("gpu", "GPU", least=3, most=3, priority=5, right=True),
    Column("pid", "PID", least=7, most=7, priority=0, right=True),
    Column("user", "USER", least=8, most=10, priority=1),
    Column("memory", "MEM MiB", least=7, most=8, priority=2, right=True),
    Column("since", "SINCE", least=5, most=5, priority=6, right=True),
    Column("workload", "WORKLOAD", least=14, most=18, priority=4),
    Column("command", "COMMAND", least=12, most=200, priority=3),
)


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A process with what is known of it elsewhere."""

    process: Process
    node: str
    gpu: int | None
    """Index of its device; None when that device is not listed."""
    workload: str | None
    """Name of its workload, safe to draw; None for a stranger."""


def process_rows(
    processes: Sequence[Process], node: str, indices: Mapping[str, int], names: Mapping[str, str]
) -> tuple[ProcessRow, ...]:
    """Largest first; `indices` by device UUID, `names` of workloads by id."""
    rows = [
        ProcessRow(
            process,
            node,
            indices.get(process.device),
            None if process.workload is None else plain(names.get(process.workload, process.workload)),
        )
        for process in processes
    ]
    return tuple(sorted(rows, key=lambda row: (-(row.process.gpu_memory_used_mib or 0), row.process.pid)))


class ProcessTable(Table[ProcessRow]):
    """Processes on a device, or on all devices of a node."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._now_s = 0.0

    def show_at(self, now_s: float, rows: Sequence[ProcessRow]) -> None:
        """Draw these rows; `now_s` is the wall time of their node."""
        self._now_s = now_s
        self.show(rows)

    def columns(self, width: int) -> Sequence[Column]:  # noqa: ARG002 (the same in every width)
        """The columns by priority."""
        return COLUMNS

    def key_of(self, row: ProcessRow) -> str:
        """A process may be on several devices, and its number may be used again."""
        return f"{row.process.pid}/{row.process.device}/{row.process.mig_instance}/{row.process.started_at_s}"

    def draw(self, row: ProcessRow, placed: PlacedColumn) -> Cell:
        """One cell."""
        process = row.process
        key = placed.column.key
        if key == "gpu":
            return number(None if row.gpu is None else str(row.gpu), placed.width)
        if key == "pid":
            return cell(str(process.pid))
        if key == "user":
            return _or_unknown(process.user)
        if key == "memory":
            used = process.gpu_memory_used_mib
            return number(None if used is None else f"{used:,}", placed.width)
        if key == "since":
            since = process.started_at_s
            return number(None if since is None else age_text(self._now_s - since), placed.width)
        if key == "workload":
            return cell("stranger", Role.WARN) if row.workload is None else cell(row.workload)
        return _or_unknown(process.command)


def _or_unknown(text: str | None) -> Cell:
    return cell("n/a", Role.DIM) if text is None else cell(plain(text))
