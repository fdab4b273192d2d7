"""Which tasks of a batch are served, and which fractions share a GPU, decided for whole groups of nodes at once.

One integer programme: per group of nodes the number of tasks of each shape, and of each arc of the fill patterns.
CPU and memory are those of a group as a whole, so that a plan may still not fit on the single nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from msgspec import Struct

from gpualloc.model.shapes import GPU_MILLI, Shape
from gpualloc.policies.batch_nodes import Amounts, FreeNodes
from gpualloc.policies.patterns.arcs import Arcs, fill_arcs, step_milli
from gpualloc.policies.patterns.programme import UNBOUNDED, Indices, Programme

CPU_ONLY_GAIN = 8.0 * GPU_MILLI
"""What serving a CPU-only task is worth beside the compute that GPU tasks take: none is left out to fill some GPUs."""
OPENING_COST = 20.0
"""What sharing one more idle GPU costs beside that compute: parts fill as few GPUs as they can, for who comes later."""
SEARCH_NODES = 200
"""Most nodes of the search tree; a count and not a time, so that the answer does not depend on the machine."""
GAP = 1e-5
"""Relative distance from the optimum that is near enough: less than one GPU in 10,000."""


class Pattern(Struct, frozen=True):
    """One way to fill what is free of a GPU."""

    free_milli: int
    """Free compute of the GPUs it is for, rounded down to the step of the plan; 1000 is an idle GPU."""
    sizes: tuple[int, ...]
    """Compute of the tasks in it, in milli, descending."""
    count: int
    """How many GPUs are filled so."""


class GroupPlan(Struct, frozen=True):
    """What one group of nodes is to hold."""

    nodes: Amounts
    """Indices of its nodes."""
    tasks: Mapping[Shape, int]
    """How many tasks of each shape."""
    patterns: tuple[Pattern, ...]
    """How the fractional ones among them share GPUs."""
    step_milli: int
    """Step to which `Pattern.free_milli` is rounded."""


def plan_groups(free: FreeNodes, tasks: Mapping[Shape, int]) -> list[GroupPlan]:
    """The plan that gives out the most compute and serves CPU-only tasks before all else.

    Raises:
        ConfigError: HiGHS is not installed.
    """
    return _Planner(free, tasks).plan()


def is_fraction(shape: Shape) -> bool:
    """Whether the shape takes a part of one GPU, so that it shares it by a pattern."""
    return shape.gpus == 1 and shape.milli < GPU_MILLI


class _Group(Struct, frozen=True):
    """Columns of the programme that belong to one group of nodes."""

    nodes: Amounts
    shapes: tuple[Shape, ...]
    tasks: Indices
    """One column for each shape."""
    arcs: Arcs
    filled: Indices
    """One column for each arc."""


class _Planner:
    """Builds the programme group by group and reads the plan from its solution."""

    def __init__(self, free: FreeNodes, tasks: Mapping[Shape, int]) -> None:
        self._free = free
        self._tasks = dict(sorted(tasks.items()))
        self._programme = Programme()
        self._served = dict(
            zip(self._tasks, self._programme.add_rows(len(tasks), upper=list(self._tasks.values())), strict=True)
        )
        self._sizes = sorted({shape.milli for shape in tasks if is_fraction(shape)}, reverse=True)
        self._step = step_milli(self._sizes, [GPU_MILLI - int(milli) for milli in np.unique(free.gpu_milli)])
        self._cells = GPU_MILLI // self._step
        self._groups = [self._group(nodes) for nodes in free.groups(list(self._tasks))]

    def plan(self) -> list[GroupPlan]:
        """Solve it."""
        values = self._programme.solve_integer(gap=GAP, nodes=SEARCH_NODES).values
        counts = np.rint(values).astype(np.int64)
        return [
            GroupPlan(
                nodes=group.nodes,
                tasks={shape: int(count) for shape, count in zip(group.shapes, counts[group.tasks], strict=True)},
                patterns=tuple(self._patterns(group.arcs, counts[group.filled])),
                step_milli=self._step,
            )
            for group in self._groups
        ]

    def _group(self, nodes: Amounts) -> _Group:
        programme, free = self._programme, self._free
        most = {shape: int(free.most(shape)[nodes].sum()) for shape in self._tasks}
        shapes = tuple(shape for shape in self._tasks if most[shape] > 0)
        tasks = programme.add_columns(
            len(shapes),
            gain=[shape.gpu_milli if shape.gpus else CPU_ONLY_GAIN for shape in shapes],
            upper=[min(self._tasks[shape], most[shape]) for shape in shapes],
        )
        programme.add_entries([self._served[shape] for shape in shapes], tasks, 1.0)
        idle = int((free.gpu_milli[nodes] == GPU_MILLI).sum())
        cpu, memory, gpus = programme.add_rows(
            3, upper=[free.cpu_milli[nodes].sum(), free.memory_mib[nodes].sum(), idle]
        )
        programme.add_entries(cpu, tasks, [shape.cpu_milli for shape in shapes])
        programme.add_entries(memory, tasks, [shape.memory_mib for shape in shapes])
        programme.add_entries(gpus, tasks, [shape.gpus if shape.milli == GPU_MILLI else 0 for shape in shapes])
        arcs, filled = self._fill(nodes, int(gpus))
        in_patterns = programme.add_rows(len(self._sizes), upper=0.0)
        programme.add_entries(in_patterns[arcs.item], filled, -1.0)
        fractions = [(task, shape) for task, shape in zip(tasks, shapes, strict=True) if is_fraction(shape)]
        rows = [in_patterns[self._sizes.index(shape.milli)] for _, shape in fractions]
        programme.add_entries(rows, [task for task, _ in fractions], 1.0)
        return _Group(nodes, shapes, tasks, arcs, filled)

    def _fill(self, nodes: Amounts, gpus: int) -> tuple[Arcs, Indices]:
        """Patterns of idle GPUs, out of those in the row `gpus`, and of the partly taken ones."""
        programme = self._programme
        free_cells = self._free.gpu_milli[nodes] // self._step
        partly = np.bincount(self._cells - free_cells[free_cells > 0], minlength=self._cells + 1)
        partly[0] = 0
        arcs = fill_arcs([-(-size // self._step) for size in self._sizes], self._cells, [0, *np.flatnonzero(partly)])
        filled = programme.add_columns(len(arcs.item), gain=np.where(arcs.tail == 0, -OPENING_COST, 0.0))
        programme.add_entries(gpus, filled[arcs.tail == 0], 1.0)
        left_to_come = programme.add_rows(self._cells + 1, upper=[UNBOUNDED, *partly[1:]])
        programme.add_entries(left_to_come[arcs.tail], filled, 1.0)
        programme.add_entries(left_to_come[arcs.head], filled, -1.0)
        return arcs, filled

    def _patterns(self, arcs: Arcs, counts: Amounts) -> Iterator[Pattern]:
        """Follow the flow from where it begins until nothing of it is left."""
        left = counts.copy()
        leaving: list[list[int]] = [[] for _ in range(self._cells + 1)]
        for arc in np.flatnonzero(counts):
            leaving[arcs.tail[arc]].append(int(arc))
        begins = np.bincount(arcs.tail, counts, self._cells + 1) - np.bincount(arcs.head, counts, self._cells + 1)
        for start in np.flatnonzero(begins > 0):
            todo = int(begins[start])
            while todo > 0:
                path = _path(arcs, left, leaving, int(start))
                count = min(todo, int(left[path].min()))
                left[path] -= count
                todo -= count
                yield Pattern(
                    free_milli=int(self._cells - start) * self._step,
                    sizes=tuple(self._sizes[item] for item in arcs.item[path]),
                    count=count,
                )


def _path(arcs: Arcs, left: Amounts, leaving: Sequence[Sequence[int]], start: int) -> list[int]:
    """Arcs with flow, one behind the other, as far as they go."""
    path: list[int] = []
    position = start
    while (arc := next((arc for arc in leaving[position] if left[arc] > 0), None)) is not None:
        path.append(arc)
        position = int(arcs.head[arc])
    return path
