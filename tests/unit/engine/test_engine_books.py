"""The books of a simulated run: a wrong answer is given back, told, and not carried out, whoever asks."""

from __future__ import annotations

from dataclasses import dataclass, field

from gpualloc.engine.books import Books, Violation
from gpualloc.engine.bound import all_at_once
from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Problem, Rejection
from gpualloc.model.shapes import Shape
from gpualloc.model.workload import Workload
from gpualloc.policies.first_fit import FirstFit
from gpualloc.ports import Session
from gpualloc.sim.traces.trace import TraceNode

NODES = (TraceNode("n1", 8000, 1000, 2, "T4"), TraceNode("n2", 8000, 1000, 2, "T4"))
WHOLE, PART = Shape(1000, 0, 1, 1000), Shape(1000, 0, 1, 500)


@dataclass
class Stubborn:
    """Gives the place that it gave first, again and again, and remembers what came back."""

    name = "stubborn"
    version = "1"
    freed: list[Allocation] = field(default_factory=list)
    problem: Problem | None = None

    def begin(self, problem: Problem) -> Session:
        self.problem = problem
        return _StubbornSession(self, FirstFit().begin(problem))


class _StubbornSession:
    def __init__(self, policy: Stubborn, inner: Session) -> None:
        self._policy, self._inner = policy, inner
        self._first: Allocation | None = None

    def place(self, workload: Workload) -> Allocation | Rejection:
        if self._first is None:
            answer = self._inner.place(workload)
            assert isinstance(answer, Allocation)
            self._first = answer
        return self._first

    def free(self, allocation: Allocation) -> None:
        self._policy.freed.append(allocation)


def test_a_wrong_answer_is_given_back_and_told() -> None:
    policy = Stubborn()
    books = Books(NODES, (WHOLE, PART), policy)
    assert isinstance(books.place(0, 7, 0), tuple)
    answer = books.place(1, 8, 0)
    assert isinstance(answer, Violation)
    assert books.violations == [f"task 8 on {answer.told}"]
    assert len(policy.freed) == 1
    assert books.allocated_milli == 1000


def test_a_place_given_back_is_free_again() -> None:
    books = Books(NODES[:1], (WHOLE, PART), FirstFit())
    held = [books.place(number, number, 0) for number in range(2)]
    assert books.place(2, 2, 1) is None
    allocation, gpus = held[0] if isinstance(held[0], tuple) else (None, ())
    assert allocation is not None
    books.free(WHOLE, allocation, gpus)
    assert books.place(3, 3, 1) is not None
    assert (books.allocated_milli, books.refused_that_fitted) == (1500, 0)


def test_what_is_expected_and_what_waits_is_told_to_the_policy() -> None:
    policy = Stubborn()
    Books(NODES, (WHOLE, PART), policy, waiting=[1, 0, 1], expected=[0, 3], seed=5)
    assert policy.problem is not None
    assert [one.request.fraction for one in policy.problem.requests] == [0.5, None, 0.5]
    assert [(each.request.fraction, each.weight) for each in policy.problem.expected] == [(0.5, 3.0)]
    assert policy.problem.seed == 5


def test_all_at_once_counts_them() -> None:
    found = all_at_once(NODES, {WHOLE: 3}, Stubborn())
    assert (found.allocated_milli, found.left, found.violations) == (1000, 0, 2)
    found = all_at_once(NODES, {WHOLE: 3, PART: 4}, FirstFit())
    assert (found.allocated_milli, found.left, found.violations) == (4000, 2, 0)


def test_nothing_is_timed_without_a_clock() -> None:
    books = Books(NODES, (WHOLE,), FirstFit())
    books.place(0, 0, 0)
    assert list(books.decision_us) == [0.0]
