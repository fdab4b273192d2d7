"""The list of processes on devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gpualloc.model.inventory import Process
from gpualloc.tui.cells import Cell, Role, cell, number
from gpualloc.tui.fields import Field, Unit
from gpualloc.tui.listing import Listing, Sort
from gpualloc.tui.rows import Moment
from gpualloc.tui.seen import SeenNode
from gpualloc.tui.text import plain


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
    nodes: Iterable[SeenNode], indices: Mapping[str, int], names: Mapping[str, str], device: str | None = None
) -> tuple[ProcessRow, ...]:
    """Processes of the nodes, or those on one device; `indices` by device UUID, `names` of workloads by id."""
    return tuple(
        ProcessRow(
            process,
            node.name,
            indices.get(process.device),
            None if process.workload is None else plain(names.get(process.workload, process.workload)),
        )
        for node in nodes
        for process in node.processes
        if device is None or process.device == device
    )


def process_key(row: ProcessRow) -> str:
    """A process may be on several devices, and its number may be used again."""
    process = row.process
    return f"{row.node}/{process.device}/{process.mig_instance}/{process.started_at_s}/{process.pid}"


def _workload(row: ProcessRow, _: Moment, __: int) -> Cell:
    return cell("stranger", Role.WARN) if row.workload is None else cell(row.workload)


def _memory(row: ProcessRow, _: Moment, width: int) -> Cell:
    used = row.process.gpu_memory_used_mib
    return number(None if used is None else f"{used:,}", width)


FIELDS: tuple[Field[ProcessRow], ...] = (
    Field("node", "NODE", "its node", lambda row, _: row.node, least=8, most=20, priority=7),
    Field("gpu", "GPU", "index of its GPU", lambda row, _: row.gpu, Unit.COUNT, least=3, most=3, priority=5),
    Field(
        "pid",
        "PID",
        "process number",
        lambda row, _: row.process.pid,
        Unit.COUNT,
        draw=lambda row, _, width: number(str(row.process.pid), width),
        least=7,
        most=7,
        priority=0,
    ),
    Field("user", "USER", "whose it is", lambda row, _: row.process.user, least=8, most=12, priority=1),
    Field(
        "mem",
        "MEM MiB",
        "GPU memory used",
        lambda row, _: row.process.gpu_memory_used_mib,
        Unit.MIB,
        draw=_memory,
        least=7,
        most=8,
        priority=2,
        descends=True,
    ),
    Field(
        "since",
        "SINCE",
        "how long it runs",
        lambda row, _: row.process.started_at_s,
        Unit.EPOCH,
        least=5,
        most=5,
        priority=6,
    ),
    Field(
        "workload",
        "WORKLOAD",
        "the workload it belongs to",
        lambda row, _: row.workload or "stranger",
        draw=_workload,
        least=12,
        most=18,
        priority=4,
    ),
    Field("command", "COMMAND", "command line", lambda row, _: row.process.command, least=12, most=200, priority=3),
)

PROCESSES: Listing[ProcessRow] = Listing(
    "processes", FIELDS, key=process_key, sorts=(Sort("mem", descends=True), Sort("pid")), absent="no process"
)
"""Processes, the largest first."""

ON_NODE = PROCESSES.without("node")
"""Those of one node."""
ON_DEVICE = PROCESSES.without("node", "gpu")
"""Those of one device."""
