"""A trace in the model's words: nodes as if just looked at and idle, tasks as requests and waiting workloads."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from gpualloc.model.identity import RANDOM_BYTES, new_id
from gpualloc.model.inventory import CgroupSupport, Device, HostReading, Node, NodeSpec, NodeState, Snapshot
from gpualloc.model.shapes import GPU_MILLI, Shape
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.sim.gpu import device_uuid
from gpualloc.sim.traces.models import selector
from gpualloc.sim.traces.trace import TraceNode

POOL = "trace"
COMMAND = ("trace-task",)
"""Command of every task; nothing is ever run."""
OWNER = "trace"
NOMINAL_GPU_MEMORY_MIB = 1 << 20
"""GPU memory where the trace does not tell: so large that the smallest part of a GPU still has more than a node's
margin, and memory never decides."""


def snapshot_of(nodes: Iterable[TraceNode], at_s: float = 0.0) -> Snapshot:
    """The nodes of a trace as if all were just looked at, well and idle."""
    return Snapshot(at_s, tuple(sorted((node_of(node, at_s) for node in nodes), key=lambda node: node.name)))


def node_of(node: TraceNode, at_s: float = 0.0) -> Node:
    """One node. Devices have UUIDs that depend on its name and their index only.

    CPUs that are not whole are rounded up, and the surplus is reserved.
    """
    cpus = -(-node.cpu_milli // 1000)
    memory_mib = NOMINAL_GPU_MEMORY_MIB if node.gpu_memory_mib is None else node.gpu_memory_mib
    return Node(
        spec=NodeSpec(node.name, POOL, "simulated", reserved_cpus=(cpus * 1000 - node.cpu_milli) / 1000),
        state=NodeState.OK,
        at_s=at_s,
        hostname=node.name,
        privileged=True,
        cgroup=CgroupSupport("v2", ("cpu", "cpuset", "memory", "pids"), writable=True),
        host=HostReading(cpus=cpus, memory_total_mib=node.memory_mib),
        devices=tuple(
            Device(
                uuid=f"GPU-{device_uuid(node.name, index)}",
                index=index,
                model=node.model,
                memory_total_mib=memory_mib,
                memory_used_mib=0,
            )
            for index in range(node.gpus)
        ),
    )


def requests_of(shapes: Iterable[Shape], known_models: Collection[str]) -> tuple[Request, ...]:
    """One request for each shape, in their order; tasks of one shape share it.

    Args:
        shapes: `Tasks.shapes`; the request of a row is that at `Tasks.shape_of[row]`.
        known_models: the models of the cluster, which decide how a model is named so that no other one is taken.
    """
    return tuple(
        Request(
            command=COMMAND,
            gpus=shape.gpus,
            gpu_model=selector(shape.models, known_models),
            fraction=shape.milli / GPU_MILLI if 0 < shape.milli < GPU_MILLI else None,
            cpus=shape.cpu_milli / 1000 if shape.cpu_milli else None,
            memory_mib=shape.memory_mib or None,
        )
        for shape in shapes
    )


def workload_of(arrival: int, name: str, request: Request, at_s: float = 0.0) -> Workload:
    """The waiting workload of an arrival, counted from 0; its id depends on that number only."""
    number = new_id("w", arrival.to_bytes(RANDOM_BYTES, "big"))
    return Workload(number, name, OWNER, request, WorkloadState.PENDING, at_s)
