"""What gpualloc was asked for in the past, as tasks, and the fleet of today, as the nodes of a trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from gpualloc.errors import UsageError
from gpualloc.model.allocation import Share
from gpualloc.model.inventory import Device, Node, NodeState
from gpualloc.model.shapes import Shape
from gpualloc.model.workload import Request, Workload
from gpualloc.policies.ask import shape_of
from gpualloc.policies.filters import matches_model
from gpualloc.policies.room import MEMORY_MARGIN_MIB
from gpualloc.sim.traces.trace import Tasks, TraceNode, TraceTask, gather

FEWEST = 50
"""Fewer workloads say too little of what will be asked for."""
SOURCE = "history"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A fleet and its past work."""

    nodes: tuple[TraceNode, ...]
    tasks: Tasks
    left_out: Mapping[str, int]
    """How many workloads and nodes could not be taken, by why."""


def recorded(workloads: Iterable[Workload], nodes: Iterable[Node]) -> Recorded:
    """Past work on today's nodes, all idle; work that waits or runs counts too.

    Limits to nodes, labels and paths are not looked at; a need for GPU memory limits the models.

    Args:
        workloads: of all states.
        nodes: as just looked at.

    Raises:
        UsageError: no node or fewer than `FEWEST` workloads are left.
    """
    left_out: Counter[str] = Counter()
    cluster, memory_mib = _cluster(nodes, left_out)
    if not any(node.gpus for node in cluster):
        raise UsageError("no node with GPUs could be looked at", hint="`gpualloc nodes` tells why")
    most = max(node.gpus for node in cluster)
    taken: list[tuple[Workload, Shape]] = []
    for workload in sorted(workloads, key=lambda work: (work.submitted_at_s, work.id)):
        found = _shape(workload.request, memory_mib, most)
        if isinstance(found, str):
            left_out[found] += 1
        else:
            taken.append((workload, found))
    if len(taken) < FEWEST:
        raise UsageError(
            f"the history has {len(taken)} workloads that could be played again, and {FEWEST} are needed",
            hint="; ".join(f"left out: {count} {why}" for why, count in sorted(left_out.items()))
            or "tune on a trace: --nodes FILE --tasks FILE",
        )
    return Recorded(cluster, gather(_tasks(taken), SOURCE), dict(sorted(left_out.items())))


def _cluster(nodes: Iterable[Node], left_out: Counter[str]) -> tuple[tuple[TraceNode, ...], dict[str, int]]:
    """The nodes that are known, and the most memory that a device of each model has."""
    cluster: list[TraceNode] = []
    memory_mib: dict[str, int] = {}
    for node in sorted(nodes, key=lambda node: node.name):
        models = {device.model for device in _whole(node)}
        if node.state is not NodeState.OK or node.host.cpus is None or node.host.memory_total_mib is None:
            left_out["nodes of which too little is known"] += 1
        elif len(models) > 1:
            left_out["nodes with GPUs of several models"] += 1
        else:
            cluster.append(_trace_node(node))
            for device in _whole(node):
                memory_mib[device.model] = max(memory_mib.get(device.model, 0), _memory_mib(device))
    return tuple(cluster), memory_mib


def _trace_node(node: Node) -> TraceNode:
    spec, devices = node.spec, _whole(node)
    return TraceNode(
        name=node.name,
        cpu_milli=max(1, round(((node.host.cpus or 0) - spec.reserved_cpus) * 1000)),
        memory_mib=max(1, (node.host.memory_total_mib or 0) - spec.reserved_memory_mib),
        gpus=len(devices),
        model=devices[0].model if devices else "",
        gpu_memory_mib=min(map(_memory_mib, devices), default=None) or None,
    )


def _whole(node: Node) -> tuple[Device, ...]:
    """The devices that are not cut into MIG instances."""
    return tuple(device for device in node.devices if not device.mig_enabled)


def _memory_mib(device: Device) -> int:
    return device.memory_total_mib or 0


def _shape(request: Request, memory_mib: Mapping[str, int], most: int) -> Shape | str:
    """What the request takes; or why it cannot be played again."""
    if request.share is Share.MIG:
        return "workloads on MIG instances"
    if request.gpus > most:
        return f"workloads with more than {most} GPUs"
    shape = shape_of(request)
    if request.gpu_model is None and request.gpu_memory_mib is None:
        return shape
    selector, need = request.gpu_model or "*", (request.gpu_memory_mib or -MEMORY_MARGIN_MIB) + MEMORY_MARGIN_MIB
    models = {model for model, mib in memory_mib.items() if matches_model(model, selector) and mib >= need}
    if not models:
        return "workloads for models that no node has"
    return replace(shape, models=() if models == set(memory_mib) else tuple(sorted(models)))


def _tasks(taken: Sequence[tuple[Workload, Shape]]) -> Iterable[TraceTask]:
    began_s = taken[0][0].submitted_at_s
    for row, (work, shape) in enumerate(taken):
        ended_s = None if work.ended_at_s is None else max(work.ended_at_s, work.submitted_at_s) - began_s
        yield TraceTask(row, work.name, shape, work.submitted_at_s - began_s, ended_s)
