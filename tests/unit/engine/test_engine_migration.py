"""Which tasks would have to move so that a waiting one fits: always a way that works, and the fewest."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from gpualloc.engine.migration import MOST_MOVED, moves_for
from gpualloc.model.shapes import Shape
from gpualloc.sim.traces.referee import Referee
from gpualloc.sim.traces.trace import TraceNode

ONE, TWO, HALF = (Shape(1000, 1024, *gpus) for gpus in ((1, 1000), (2, 1000), (1, 500)))
FOUR = Shape(1000, 1024, 4, 1000)
NODES = tuple(TraceNode(name, 6_000, 8_192, 2, model) for name, model in (("a", "A100"), ("b", "A100"), ("c", "T4")))
NAMES = ("a", "b", "c")


class Task(Struct, frozen=True):
    """A task with its place."""

    arrival: int
    shape: Shape
    node: str
    gpus: tuple[int, ...]


def booked(nodes: tuple[TraceNode, ...], tasks: list[Task]) -> Referee:
    books = Referee(nodes)
    for task in tasks:
        assert books.place(task.shape, task.node, task.gpus) is None
    return books


def filled(wanted: list[tuple[Shape, str, int]]) -> list[Task]:
    """Those of the wanted tasks that fit where they are to go."""
    books, tasks = Referee(NODES), []
    for arrival, (shape, node, first) in enumerate(wanted):
        gpus = tuple((first + number) % 2 for number in range(shape.gpus))
        if books.place(shape, node, gpus) is None:
            tasks.append(Task(arrival, shape, node, gpus))
    return tasks


def moves(shape: Shape, tasks: list[Task], most: int = MOST_MOVED) -> tuple[Task, ...]:
    names = tuple(node.name for node in NODES)
    return moves_for(shape, booked(NODES, tasks), names, lambda name: [t for t in tasks if t.node == name], most)


def works(shape: Shape, tasks: list[Task], gone: tuple[Task, ...]) -> bool:
    """Whether there is any way to place the waiting one on their node and then the moved ones."""
    rest = booked(NODES, [task for task in tasks if task not in gone])
    return any(
        _placed(rest, [(shape, gone[0].node), *((t.shape, None) for t in order)]) for order in permutations(gone)
    )


def _placed(books: Referee, wanted: list[tuple[Shape, str | None]]) -> bool:
    if not wanted:
        return True
    (shape, only), rest = wanted[0], wanted[1:]
    for node in NODES:
        for gpus in permutations(range(2), shape.gpus):
            after = books.copy()
            if only in (None, node.name) and after.place(shape, node.name, gpus) is None and _placed(after, rest):
                return True
    return False


tasks_of = st.lists(
    st.tuples(st.sampled_from([ONE, TWO, HALF, HALF]), st.sampled_from(NAMES), st.integers(0, 1)), max_size=9
).map(filled)


@given(tasks=tasks_of, shape=st.sampled_from([ONE, TWO, Shape(1000, 1024, 2, 1000, ("A100",)), HALF]))
def test_what_moves_makes_room_and_finds_room(tasks: list[Task], shape: Shape) -> None:
    gone = moves(shape, tasks)
    fits = booked(NODES, tasks).could_hold(shape)
    if gone:
        assert len({task.node for task in gone}) == 1
        assert works(shape, tasks, gone)
        if not fits and any(works(shape, tasks, (one,)) for one in tasks):
            assert len(gone) == 1
    elif not fits:
        one_gpu = [task for task in tasks if task.shape.gpus == 1]
        assert not any(works(shape, tasks, (one,)) for one in one_gpu if shape.gpus == 1)


def test_several_move_when_one_is_not_enough_and_the_budget_allows_it() -> None:
    wanted = [(ONE, "a", 0), (HALF, "a", 1), (ONE, "b", 0), (HALF, "b", 1), (ONE, "c", 0)]
    tasks = filled([*wanted, (HALF, "c", 1)])
    assert moves(TWO, tasks) == ()
    tasks = filled([(HALF, "a", 0), (HALF, "a", 1), (HALF, "b", 0), (HALF, "b", 1), (HALF, "c", 0), (HALF, "c", 1)])
    assert [task.arrival for task in moves(TWO, tasks)] == [0, 1]
    assert moves(TWO, tasks, 1) == ()
    assert moves(TWO, tasks, 0) == ()


def test_what_fits_no_empty_node_moves_nothing() -> None:
    assert moves(FOUR, filled([(HALF, "a", 0)])) == ()
