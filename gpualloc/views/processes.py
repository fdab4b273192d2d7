"""Processes on the GPUs of the fleet: whose they are, and what they use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from gpualloc.model.inventory import Device, MigInstance, Node, NodeState, Process, Snapshot
from gpualloc.views.csv import Value, csv_text
from gpualloc.views.look import Look
from gpualloc.views.nodes_data import process_data
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import UNKNOWN, duration, escape, memory, percent, plural

_COLUMNS = (
    Column("node", least=8),
    Column("gpu", right=True),
    Column("pid", right=True),
    Column("user", least=6),
    Column("memory", right=True),
    Column("gpu use", right=True),
    Column("cpu", right=True),
    Column("for", right=True),
    Column("part of", least=8),
    Column("command", least=12, below=True),
)
_CSV_COLUMNS = (
    "node",
    "pool",
    "simulated",
    "node_state",
    "at_s",
    "pid",
    "gpu",
    "uuid",
    "mig_instance",
    "mig_profile",
    "gpu_memory_used_mib",
    "gpu_utilization_ratio",
    "cpu_utilization_ratio",
    "host_memory_mib",
    "user",
    "command",
    "container",
    "pod",
    "slurm_job",
    "workload",
    "parent",
    "started_at_s",
)


class OnDevice(Struct, frozen=True):
    """A process with the device it is on."""

    node: Node
    device: Device | None
    """None when the node told of no such device."""
    process: Process

    @property
    def instance(self) -> MigInstance | None:
        """The MIG instance it is on; None on a whole device, or when the instance is gone."""
        if self.device is None or self.process.mig_instance is None:
            return None
        found = (each for each in self.device.mig_instances if each.uuid == self.process.mig_instance)
        return next(found, None)


def processes_on(snapshot: Snapshot, user: str | None = None) -> tuple[OnDevice, ...]:
    """Every process that a node told of, once for each device it is on; the most GPU memory first, unknown last.

    Args:
        snapshot: what was seen.
        user: only those of this account.
    """
    found = [
        OnDevice(node, next((each for each in node.devices if each.uuid == process.device), None), process)
        for node in snapshot.nodes
        for process in node.processes
        if user is None or process.user == user
    ]
    return tuple(sorted(found, key=_rank))


def _rank(one: OnDevice) -> tuple[int, str, int, int, str]:
    used, index = one.process.gpu_memory_used_mib, -1 if one.device is None else one.device.index
    return (1 if used is None else -used, one.node.name, one.process.pid, index, one.process.device)


def processes_data(snapshot: Snapshot, found: Sequence[OnDevice], *, simulated: bool) -> dict[str, object]:
    """`data` of `processes --json`."""
    return {
        "simulated": simulated,
        "at_s": snapshot.at_s,
        "processes": [
            {
                "node": one.node.name,
                "gpu": None if one.device is None else one.device.index,
                "device": one.process.device,
                "mig_profile": None if one.instance is None else one.instance.profile,
                **process_data(one.process),
            }
            for one in found
        ],
        "unseen": [{"node": node, "device": device, "reason": why} for node, device, why in _unseen(snapshot)],
    }


def processes_csv(found: Sequence[OnDevice]) -> str:
    """One row for each process and device."""
    return csv_text(_CSV_COLUMNS, map(_csv_row, found))


def processes_text(snapshot: Snapshot, found: Sequence[OnDevice], look: Look, *, simulated: bool) -> str:
    """A table, and below it the devices whose processes are not known."""
    lines = [table(_COLUMNS, [_row(one, snapshot.at_s) for one in found], look)] if found else ["no process on a GPU"]
    lines += [
        f"{UNKNOWN}: processes on {escape(node)}" + (f" {escape(device)}" if device else "") + f": {escape(why)}"
        for node, device, why in _unseen(snapshot)
    ]
    if simulated:
        lines.append(f"{plural(len(found), 'process', 'processes')}, simulated")
    return "\n".join(lines)


def _unseen(snapshot: Snapshot) -> Iterator[tuple[str, str | None, str]]:
    """Nodes and devices whose processes are not told, and why: none seen there does not mean that there is none."""
    for node in snapshot.nodes:
        if node.state is not NodeState.OK:
            yield node.name, None, node.state.value
            continue
        for device in node.devices:
            if "processes" in device.unavailable:
                yield node.name, device.uuid, device.unavailable["processes"]


def _row(one: OnDevice, now_s: float) -> list[str | Cell]:
    process = one.process
    gpu = UNKNOWN if one.device is None else str(one.device.index)
    return [
        escape(one.node.name),
        gpu if one.instance is None else f"{gpu} {escape(one.instance.profile)}",
        str(process.pid),
        escape(process.user or UNKNOWN),
        memory(process.gpu_memory_used_mib),
        percent(process.gpu_utilization_ratio),
        percent(process.cpu_utilization_ratio),
        UNKNOWN if process.started_at_s is None else duration(now_s - process.started_at_s),
        escape(_owner(process)),
        escape(process.command or UNKNOWN),
    ]


def _owner(process: Process) -> str:
    """What it is part of, the nearest to an operator first; empty for a process of nobody's."""
    if process.workload is not None:
        return process.workload
    if process.slurm_job is not None:
        return f"slurm {process.slurm_job}"
    if process.pod is not None:
        return f"pod {process.pod}"
    return "" if process.container is None else f"container {process.container}"


def _csv_row(one: OnDevice) -> Sequence[Value]:
    node, process = one.node, one.process
    return (
        node.name,
        node.spec.pool,
        node.simulated,
        node.state.value,
        node.at_s,
        process.pid,
        None if one.device is None else one.device.index,
        process.device,
        process.mig_instance,
        None if one.instance is None else one.instance.profile,
        process.gpu_memory_used_mib,
        process.gpu_utilization_ratio,
        process.cpu_utilization_ratio,
        process.host_memory_mib,
        process.user,
        process.command,
        process.container,
        process.pod,
        process.slurm_job,
        process.workload,
        process.parent,
        process.started_at_s,
    )
