"""What is placed as one: a task of whole GPUs, or the fractional tasks that share one GPU."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

from msgspec import Struct

from gpualloc.model.shapes import GPU_MILLI, Shape
from gpualloc.policies.batch_nodes import PerGpu
from gpualloc.policies.batch_plan import GroupPlan, is_fraction


class Bundle(Struct, frozen=True):
    """Tasks that go to one node together."""

    tasks: tuple[Shape, ...]
    """One task of whole GPUs, or several fractional ones."""
    free_milli: int
    """Free compute that each of its GPUs needs, rounded down to the step of the plan; 1000 is an idle GPU."""
    gpus: int
    """How many GPUs it takes."""
    cpu_milli: int
    """CPU of all its tasks, in 1/1000 of a CPU."""
    memory_mib: int
    """Host memory of all its tasks, MiB."""

    def order(self, per_gpu: PerGpu) -> tuple[int, float, tuple[Shape, ...]]:
        """Its place in the order of placing: most GPUs first, then most CPU or memory in what there is for one GPU."""
        weight = max(self.cpu_milli / per_gpu.cpu_milli, self.memory_mib / per_gpu.memory_mib)
        return -self.gpus, -weight, self.tasks


def bundles(plan: GroupPlan, per_gpu: PerGpu, *, heavy_together: bool) -> list[Bundle]:
    """All GPU tasks of a plan, bundled; those of most GPUs and then most CPU or memory come first.

    Args:
        plan: what the group of nodes is to hold.
        per_gpu: what CPU and memory are measured in.
        heavy_together: whether fractional tasks that need much CPU share GPUs with each other, which suits nodes of
            different CPU per GPU, or with those that need little.
    """
    whole = [
        _bundle((shape,), GPU_MILLI, shape.gpus)
        for shape, count in plan.tasks.items()
        if shape.milli == GPU_MILLI
        for _ in range(count)
    ]
    found = [*whole, *_shared(plan, heavy_together)]
    return sorted(found, key=lambda bundle: bundle.order(per_gpu))


def more_of_the_same(found: Sequence[Bundle], idle_gpus: int) -> deque[Bundle]:
    """Bundles to keep GPUs free for: drawn evenly from these, in their order, as many as the GPUs they leave idle hold.

    Args:
        found: what is to be placed now.
        idle_gpus: idle GPUs before.
    """
    whole = [bundle for bundle in found if bundle.free_milli == GPU_MILLI]
    taken = sum(bundle.gpus for bundle in whole)
    spare = idle_gpus - taken
    drawn: deque[Bundle] = deque()
    due = 0
    for bundle in whole:
        due += bundle.gpus * spare
        copies = due // (taken * bundle.gpus)
        due -= copies * taken * bundle.gpus
        drawn.extend([bundle] * copies)
    return drawn


def _shared(plan: GroupPlan, heavy_together: bool) -> Iterator[Bundle]:
    """Give each place in the patterns its task, the tasks of most CPU first."""
    patterns = [pattern for pattern in plan.patterns for _ in range(pattern.count)]
    places: dict[int, list[int]] = defaultdict(list)
    for index, pattern in enumerate(patterns):
        for size in pattern.sizes:
            places[size].append(index)
    chosen: list[list[Shape]] = [[] for _ in patterns]
    cpu_milli = [0] * len(patterns)
    sign = -1 if heavy_together else 1
    for size, owners in places.items():
        owners.sort(key=lambda index: (sign * cpu_milli[index], index))
        for index, shape in zip(owners, _tasks(plan, size), strict=False):
            chosen[index].append(shape)
            cpu_milli[index] += shape.cpu_milli
    for pattern, tasks in zip(patterns, chosen, strict=True):
        if tasks:
            yield _bundle(tuple(tasks), pattern.free_milli, 1)


def _tasks(plan: GroupPlan, milli: int) -> Iterator[Shape]:
    """The fractional tasks of one size, those of most CPU first."""
    shapes = [shape for shape in plan.tasks if is_fraction(shape) and shape.milli == milli]
    for shape in sorted(shapes, key=lambda shape: (-shape.cpu_milli, shape)):
        yield from (shape for _ in range(plan.tasks[shape]))


def _bundle(tasks: tuple[Shape, ...], free_milli: int, gpus: int) -> Bundle:
    cpu_milli = sum(task.cpu_milli for task in tasks)
    return Bundle(tasks, free_milli, gpus, cpu_milli, sum(task.memory_mib for task in tasks))
