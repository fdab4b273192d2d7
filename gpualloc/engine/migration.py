"""Which running tasks would have to move so that a waiting one fits: the fewest, all on one node.

A search on books of the simulation, not on a policy's: whether there is room, not where a policy would go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from gpualloc.model.shapes import Shape
from gpualloc.sim.traces.referee import Referee

LOOKED_AT = 16
"""Nodes that are thought through: those that lack least."""
MOST_MOVED = 8
"""Tasks that are moved at most for one that waits."""


class Running(Protocol):
    """A task that has its place."""

    @property
    def shape(self) -> Shape:
        """What it takes."""
        ...

    @property
    def node(self) -> str:
        """Where it runs."""
        ...

    @property
    def gpus(self) -> tuple[int, ...]:
        """The GPUs it has."""
        ...

    @property
    def arrival(self) -> int:
        """Its number in the order of arrival."""
        ...


Task = TypeVar("Task", bound=Running)


def moves_for(
    shape: Shape, books: Referee, names: Sequence[str], movable: Callable[[str], Iterable[Task]], most: int
) -> tuple[Task, ...]:
    """The fewest tasks whose move to other places lets the waiting one fit; empty when there are none.

    Args:
        shape: what the waiting task takes.
        books: what is left where.
        names: the nodes, by their numbers in the books.
        movable: the tasks on a node that may be moved.
        most: how many may be moved at most.
    """
    best: tuple[Task, ...] = ()
    for number in _nearest(shape, books):
        there = sorted(movable(names[number]), key=lambda task: (task.shape.gpu_milli, task.shape, task.arrival))
        limit = min(most, MOST_MOVED, len(best) - 1 if best else MOST_MOVED)
        gone = _enough_gone(shape, number, books, there, limit)
        if gone and _find_room(shape, number, books, gone, names):
            best = gone
        if len(best) == 1:
            break
    return best


def _nearest(shape: Shape, books: Referee) -> list[int]:
    """Nodes of a right model that lack something, those that lack fewest GPUs, then CPUs, first."""
    gpus = np.maximum(0, shape.gpus - (books.free >= max(shape.milli, 1)).sum(axis=1))
    cpu = np.maximum(0, shape.cpu_milli - books.cpu)
    there = books.accepting(shape) & books.fit_empty(shape)
    order = np.lexsort((cpu, gpus))
    return [int(number) for number in order[there[order]][:LOOKED_AT]]


def _enough_gone(shape: Shape, number: int, books: Referee, there: Sequence[Task], limit: int) -> tuple[Task, ...]:
    """Of the tasks on a node, smallest first, one or the fewest of a growing set that make room by going."""
    if limit < 1:
        return ()
    for task in there:
        if _fits_without(shape, number, books, (task,)):
            return (task,)
    gone: list[Task] = []
    for task in there:
        gone.append(task)
        if _fits_without(shape, number, books, gone):
            kept = _needed(shape, number, books, gone)
            return kept if len(kept) <= limit else ()
    return ()


def _needed(shape: Shape, number: int, books: Referee, gone: Sequence[Task]) -> tuple[Task, ...]:
    """Of those that are enough together, those that cannot stay."""
    kept = list(gone)
    for task in gone:
        rest = [one for one in kept if one is not task]
        if _fits_without(shape, number, books, rest):
            kept = rest
    return tuple(kept)


def _fits_without(shape: Shape, number: int, books: Referee, gone: Sequence[Running]) -> bool:
    cpu = int(books.cpu[number]) + sum(task.shape.cpu_milli for task in gone)
    memory = int(books.memory[number]) + sum(task.shape.memory_mib for task in gone)
    if cpu < shape.cpu_milli or memory < shape.memory_mib:
        return False
    free: list[int] = books.free[number].tolist()
    for task in gone:
        for gpu in task.gpus:
            free[gpu] += task.shape.milli
    return sum(one >= max(shape.milli, 1) for one in free) >= shape.gpus


def _find_room(shape: Shape, number: int, books: Referee, gone: Sequence[Running], names: Sequence[str]) -> bool:
    """Whether the moved ones fit somewhere once the waiting one has its place."""
    after = books.copy()
    for task in gone:
        after.give_back(task.shape, task.node, task.gpus)
    _put(shape, number, after, names)
    for task in sorted(gone, key=lambda task: (-task.shape.gpu_milli, task.arrival)):
        holding = np.flatnonzero(after.holding(task.shape))
        if not len(holding):
            return False
        fullest = holding[after.free[holding].sum(axis=1).argmin()]
        _put(task.shape, int(fullest), after, names)
    return True


def _put(shape: Shape, number: int, books: Referee, names: Sequence[str]) -> None:
    """Book a task on a node that can hold it, on the fullest GPUs that do."""
    free = books.free[number].tolist()
    able = sorted((left, gpu) for gpu, left in enumerate(free) if left >= max(shape.milli, 1))
    books.place(shape, names[number], [gpu for _, gpu in able[: shape.gpus]])
