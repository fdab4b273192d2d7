"""How much of a cluster's GPUs any policy could give out: a bound from linear programmes.

Per class of nodes, fractions of GPUs are counted as fill patterns of one GPU and everything else as parts of the
class's whole CPU, memory and GPUs. Nothing is placed: a packing may reach less than the bound, never more.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct

from gpualloc.model.shapes import GPU_MILLI, NodeClass, Shape
from gpualloc.policies.patterns.arcs import fill_arcs, step_milli
from gpualloc.policies.patterns.programme import UNBOUNDED, Programme

TOLERANCE = 1e-6
"""What floating-point counts of the solver may be short of the true ones."""
TOLERANCE_MILLI = 0.05
"""What floating-point sums of compute may be short of the true ones."""


class Bound(Struct, frozen=True):
    """The most that any policy could give out, with migration, refusals and full knowledge of what comes."""

    allocated_milli: int
    """Compute given out, in 1/1000 of a GPU; no packing that serves the CPU-only tasks reaches more."""
    capacity_milli: int
    """Compute of all GPUs, in 1/1000 of a GPU."""
    cpu_only_left: int
    """CPU-only tasks that no packing serves, even if it serves nothing else."""
    variables: int
    """Columns of the programme."""
    rows: int
    """Rows of the programme."""

    @property
    def unallocated_pct(self) -> float:
        """Compute that has to stay idle, 0..100 percent; 0 when there are no GPUs."""
        return _idle_pct(self.allocated_milli, self.capacity_milli)


class FirstRefusal(Struct, frozen=True):
    """The first task that no policy could serve together with all before it."""

    task: int
    """Its place in the order, from 0."""
    allocated_milli: int
    """What all tasks before it ask for, in 1/1000 of a GPU."""
    capacity_milli: int
    """Compute of all GPUs, in 1/1000 of a GPU."""

    @property
    def unallocated_pct(self) -> float:
        """Compute that is idle at this moment, 0..100 percent, if nothing was refused before."""
        return _idle_pct(self.allocated_milli, self.capacity_milli)


def unallocated_bound(nodes: Mapping[NodeClass, int], tasks: Mapping[Shape, int]) -> Bound:
    """The bound for an empty cluster and these tasks, of which the CPU-only ones all have to be served.

    When the nodes cannot hold all CPU-only tasks even without other work, as many of them as possible have to be
    served; `Bound.cpu_only_left` tells how many are left.

    Args:
        nodes: how many nodes there are of each class.
        tasks: how many tasks ask for each shape.

    Raises:
        ConfigError: HiGHS is not installed.
    """
    cpu_only = {shape: count for shape, count in tasks.items() if shape.gpus == 0}
    served = _cpu_only_served(nodes, cpu_only)
    relaxation = _Relaxation(nodes, tasks)
    relaxation.serve_cpu_only(served)
    gain = relaxation.programme.solve().gain
    return Bound(
        allocated_milli=math.floor(gain + TOLERANCE_MILLI),
        capacity_milli=_capacity_milli(nodes),
        cpu_only_left=sum(cpu_only.values()) - served,
        variables=relaxation.programme.columns,
        rows=relaxation.programme.rows,
    )


def first_refusal(nodes: Mapping[NodeClass, int], tasks: Sequence[Shape]) -> FirstRefusal | None:
    """The first task that has to be refused when tasks come one by one and nothing is refused before.

    Args:
        nodes: how many nodes there are of each class; all are empty at first.
        tasks: what the tasks ask for, in the order in which they come.

    Returns:
        None when nothing shows that any task has to be refused.

    Raises:
        ConfigError: HiGHS is not installed.
    """
    fits, fails = 0, len(tasks) + 1
    while fails - fits > 1:
        middle = (fits + fails) // 2
        if _all_fit(nodes, Counter(tasks[:middle])):
            fits = middle
        else:
            fails = middle
    if fits == len(tasks):
        return None
    return FirstRefusal(fits, sum(task.gpu_milli for task in tasks[:fits]), _capacity_milli(nodes))


def _all_fit(nodes: Mapping[NodeClass, int], tasks: Mapping[Shape, int]) -> bool:
    bound = unallocated_bound(nodes, tasks)
    asked = sum(shape.gpu_milli * count for shape, count in tasks.items())
    return bound.cpu_only_left == 0 and bound.allocated_milli >= asked


def _cpu_only_served(nodes: Mapping[NodeClass, int], cpu_only: Mapping[Shape, int]) -> int:
    """How many of the CPU-only tasks the nodes can hold without other work."""
    return math.floor(_Relaxation(nodes, cpu_only, gain_per_task=1.0).programme.solve().gain + TOLERANCE)


class _Relaxation:
    """The programme: how many tasks of each shape go to each class of nodes."""

    def __init__(
        self, nodes: Mapping[NodeClass, int], tasks: Mapping[Shape, int], *, gain_per_task: float | None = None
    ) -> None:
        """What a task gains: `gain_per_task`; None is the compute it takes."""
        self.programme = Programme()
        self._tasks = dict(sorted(tasks.items()))
        self._gain_per_task = gain_per_task
        parts = sorted({shape.milli for shape in tasks if 0 < shape.milli < GPU_MILLI}, reverse=True)
        self._step = step_milli(parts)
        self._sizes = sorted({part // self._step for part in parts} - {0}, reverse=True)
        self._arcs = fill_arcs(self._sizes, GPU_MILLI // self._step)
        self._served = dict(
            zip(self._tasks, self.programme.add_rows(len(tasks), upper=list(self._tasks.values())), strict=True)
        )
        self._cpu_only: list[int] = []
        for node, count in sorted(nodes.items()):
            self._add_class(node, count)

    def serve_cpu_only(self, count: int) -> None:
        """Make at least so many CPU-only tasks served."""
        row = self.programme.add_rows(1, lower=count - TOLERANCE)
        self.programme.add_entries(row, self._cpu_only, 1.0)

    def _add_class(self, node: NodeClass, nodes: int) -> None:
        programme = self.programme
        shapes = [shape for shape in self._tasks if _most(shape, node) > 0]
        tasks = programme.add_columns(
            len(shapes),
            gain=[shape.gpu_milli if self._gain_per_task is None else self._gain_per_task for shape in shapes],
            upper=[min(self._tasks[shape], nodes * _most(shape, node)) for shape in shapes],
        )
        programme.add_entries([self._served[shape] for shape in shapes], tasks, 1.0)
        cpu, memory, milli, gpus = programme.add_rows(
            4, upper=[nodes * all_of for all_of in (node.cpu_milli, node.memory_mib, node.gpus * GPU_MILLI, node.gpus)]
        )
        programme.add_entries(cpu, tasks, [shape.cpu_milli for shape in shapes])
        programme.add_entries(memory, tasks, [shape.memory_mib for shape in shapes])
        programme.add_entries(milli, tasks, [shape.gpu_milli for shape in shapes])
        programme.add_entries(gpus, tasks, [shape.gpus if shape.milli == GPU_MILLI else 0 for shape in shapes])
        self._cpu_only += [int(task) for task, shape in zip(tasks, shapes, strict=True) if shape.gpus == 0]
        fraction = {int(task): shape for task, shape in zip(tasks, shapes, strict=True) if self._steps(shape) > 0}
        if fraction:
            self._add_patterns(int(gpus), fraction)

    def _add_patterns(self, gpus: int, fraction: Mapping[int, Shape]) -> None:
        """Fractions lie in fill patterns of as many GPUs as whole ones leave in the row `gpus`."""
        programme, arcs = self.programme, self._arcs
        filled = programme.add_columns(len(arcs.item))
        programme.add_entries(gpus, filled[arcs.tail == 0], 1.0)
        positions = GPU_MILLI // self._step
        left_to_come = programme.add_rows(positions + 1, upper=[UNBOUNDED] + [0.0] * positions)
        programme.add_entries(left_to_come[arcs.tail], filled, 1.0)
        programme.add_entries(left_to_come[arcs.head], filled, -1.0)
        in_patterns = programme.add_rows(len(self._sizes), upper=0.0)
        programme.add_entries(in_patterns[arcs.item], filled, -1.0)
        rows = [in_patterns[self._sizes.index(self._steps(shape))] for shape in fraction.values()]
        programme.add_entries(rows, list(fraction), [shape.gpus for shape in fraction.values()])

    def _steps(self, shape: Shape) -> int:
        """What a part of a GPU counts as, rounded down so that the bound stays one; 0 for all that has no pattern."""
        return shape.milli // self._step if shape.milli < GPU_MILLI else 0


def _most(shape: Shape, node: NodeClass) -> int:
    """The most tasks of the shape that one empty node holds."""
    if shape.gpus > node.gpus or (shape.models and node.model not in shape.models):
        return 0
    needs_and_haves = (
        (shape.gpus, node.gpus * (GPU_MILLI // shape.milli) if shape.gpus else 0),
        (shape.cpu_milli, node.cpu_milli),
        (shape.memory_mib, node.memory_mib),
    )
    return min((have // need for need, have in needs_and_haves if need > 0), default=sys.maxsize)


def _capacity_milli(nodes: Mapping[NodeClass, int]) -> int:
    return sum(node.gpus * GPU_MILLI * count for node, count in nodes.items())


def _idle_pct(allocated_milli: int, capacity_milli: int) -> float:
    if capacity_milli == 0:
        return 0.0
    return 100.0 * (capacity_milli - allocated_milli) / capacity_milli
