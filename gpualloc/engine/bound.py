"""How little of the GPUs any policy could leave idle, for what has arrived when the load comes to a figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from gpualloc.engine.books import Books
from gpualloc.errors import UsageError
from gpualloc.model.shapes import GPU_MILLI, NodeClass, Shape
from gpualloc.policies.bound import Bound, unallocated_bound
from gpualloc.ports import Policy
from gpualloc.sim.traces.arrivals import Order
from gpualloc.sim.traces.trace import Tasks, TraceNode


def bound_at(nodes: Sequence[TraceNode], tasks: Tasks, order: Order, at_pct: float) -> Bound:
    """The bound for the tasks that arrive until their GPU demand comes to that load.

    Args:
        nodes: the empty cluster.
        tasks: the trace.
        order: in which they arrive.
        at_pct: load, in percent of all GPUs; above 0.

    Raises:
        UsageError: the order ends before that load.
        ConfigError: HiGHS is not installed.
    """
    capacity_milli = sum(node.gpus for node in nodes) * GPU_MILLI
    demand = arrived_at(tasks, order, capacity_milli, at_pct)
    classes = Counter(NodeClass(node.cpu_milli, node.memory_mib, node.gpus, node.model) for node in nodes)
    return unallocated_bound(classes, demand)


class AllAtOnce(Struct, frozen=True):
    """What a policy makes of tasks that all wait at the same time."""

    policy: str
    allocated_milli: int
    capacity_milli: int
    left: int
    """Tasks that got no place."""
    violations: int
    """Answers that broke the cluster's limits; they do not count as placed."""

    @property
    def unallocated_pct(self) -> float:
        """What is left idle, in percent of all GPUs."""
        return 100 - 100 * self.allocated_milli / self.capacity_milli


def all_at_once(nodes: Sequence[TraceNode], demand: Mapping[Shape, int], policy: Policy) -> AllAtOnce:
    """Let the policy place all of the demand in one plan; a referee keeps the books.

    Raises:
        ConfigError: the policy needs something that is not installed.
    """
    waiting = [number for number, count in enumerate(demand.values()) for _ in range(count)]
    books = Books(nodes, tuple(demand), policy, waiting=waiting)
    left = sum(books.place(arrival, arrival, number) is None for arrival, number in enumerate(waiting))
    capacity_milli = sum(node.gpus for node in nodes) * GPU_MILLI
    return AllAtOnce(policy.name, books.allocated_milli, capacity_milli, left, len(books.violations))


def arrived_at(tasks: Tasks, order: Order, capacity_milli: int, at_pct: float) -> dict[Shape, int]:
    """How often each shape arrives until the GPU demand comes to that load; the task that brings it there counts.

    Raises:
        UsageError: the order ends before that load.
    """
    arrived = np.cumsum(tasks.gpu_milli[order])
    goal = at_pct / 100 * capacity_milli
    if arrived[-1] < goal:
        raise UsageError(
            f"the order ends at a load of {100 * arrived[-1] / capacity_milli:.1f} %, before {at_pct:g} %",
            hint="ask for a lower load with --at",
        )
    count = int(np.searchsorted(arrived, goal)) + 1
    counts = np.bincount(tasks.shape_of[order[:count]], minlength=len(tasks.shapes)).tolist()
    return {shape: number for shape, number in zip(tasks.shapes, counts, strict=True) if number}
