"""Tasks that come and go on small clusters: who waits, who moves, and what the referee finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.engine.churn import simulate_churn
from gpualloc.engine.churn_trial import ChurnTrial, MigrationBudget
from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Problem, Rejection, RejectionReason
from gpualloc.model.shapes import Shape
from gpualloc.model.workload import Workload
from gpualloc.policies.best_fit import BestFit
from gpualloc.policies.first_fit import FirstFit
from gpualloc.policies.pack import Pack
from gpualloc.policies.spread import Spread
from gpualloc.ports import Policy, Session
from gpualloc.sim.traces.churn import ChurnResult, Migrations, Waits
from gpualloc.sim.traces.result import KINDS, Failures, kind_of
from gpualloc.sim.traces.timetable import timetable
from gpualloc.sim.traces.trace import TraceNode, TraceTask, gather

ONE = Shape(1000, 1024, 1, 1000)
TWO = Shape(1000, 1024, 2, 1000)
HALF = Shape(1000, 1024, 1, 500)
CPU = Shape(8000, 1024, 0, 0)
NODES = (TraceNode("a", 8_000, 16_384, 2, "A100"), TraceNode("b", 8_000, 16_384, 2, "T4"))


def ticking(step_s: float = 0.001) -> Callable[[], float]:
    ticks = count()
    return lambda: next(ticks) * step_s


def run(
    *tasks: tuple[Shape, float, float], policy: Policy | None = None, nodes: Sequence[TraceNode] = NODES, **more: Any
) -> ChurnResult:
    """Tasks of a shape, each with its arrival and how long it runs."""
    rows = (TraceTask(row, f"t{row}", shape, at_s, at_s + lasts) for row, (shape, at_s, lasts) in enumerate(tasks))
    table = gather(rows, "test")
    times = timetable(table, sum(node.gpus for node in nodes) * 1000)
    return simulate_churn(ChurnTrial(tuple(nodes), table, times, **more), policy or FirstFit(), ticking())


class Changed:
    """A policy each of whose answers may be changed."""

    name, version = "changed", "1"

    def __init__(
        self,
        change: Callable[[Workload, Allocation | Rejection], Allocation | Rejection],
        policy: Policy | None = None,
    ) -> None:
        self._change, self._policy = change, policy or FirstFit()

    def begin(self, problem: Problem) -> Session:
        inner, change = self._policy.begin(problem), self._change

        class Own:
            def place(self, workload: Workload) -> Allocation | Rejection:
                answer = inner.place(workload)
                changed = change(workload, answer)
                if changed is not answer and isinstance(answer, Allocation):
                    inner.free(answer)
                return changed

            def free(self, allocation: Allocation) -> None:
                inner.free(allocation)

        return Own()


def test_what_finds_no_place_waits_until_something_leaves() -> None:
    result = run((TWO, 0, 100), (TWO, 0, 40), (TWO, 10, 50), (ONE, 20, 5))
    assert result.waits["multi"].tasks == 3
    assert result.waits["multi"].at_once == 2
    assert result.waits["multi"].longest_s == 30
    assert result.waits["multi"].mean_s == 10
    assert result.waits["single"] == Waits(1, 0, 70, 70, 70, 70, 70)
    assert result.waits["cpu_only"] == Waits(0, 0, None, None, None, None, None)
    assert result.makespan_s == 100
    assert result.never_placed == Failures()
    assert (result.violations, result.refusals_that_fitted) == (0, 0)


def test_what_fits_goes_past_what_does_not_and_the_large_one_is_told() -> None:
    small = [(ONE, 2 + 9 * number, 10) for number in range(12)]
    result = run((ONE, 0, 10), (TWO, 1, 5), *small, nodes=NODES[:1])
    assert result.waits["single"].longest_s is not None
    assert result.waits["multi"].longest_s is not None
    assert result.waits["multi"].longest_s > 10 * result.waits["single"].longest_s
    assert result.waits["multi"].longest_s == 111 - 1


def test_equal_tasks_do_not_overtake_each_other() -> None:
    result = run(*((TWO, float(number), 10.0) for number in range(6)), nodes=NODES[:1])
    waits = [10 * number - number for number in range(6)]
    assert result.waits["multi"].mean_s == pytest.approx(np.mean(waits))
    assert result.waits["multi"].longest_s == max(waits)


def test_means_are_over_the_time_until_the_last_arrival() -> None:
    result = run((TWO, 0, 50), (ONE, 100, 1000))
    assert result.measured_s == (0, 100)
    assert result.allocated_pct == pytest.approx(25)
    assert result.offered_pct == pytest.approx(25)
    assert result.timeline[0].allocated_pct == pytest.approx(50)
    assert result.timeline[-1].allocated_pct == pytest.approx(0)
    assert result.timeline[-1].at_s == 100
    assert [moment.waiting for moment in result.timeline] == [0.0] * 120


def test_tasks_that_wait_are_on_the_time_line() -> None:
    result = run((TWO, 0, 60), (TWO, 30, 10), (CPU, 120, 1), nodes=NODES[:1])
    assert [round(result.timeline[part].waiting, 6) for part in (10, 45, 59, 60, 100)] == [0, 1, 1, 0, 0]


def test_what_no_node_ever_holds_is_told_and_its_wait_counts() -> None:
    result = run((Shape(1000, 1, 3, 1000), 5, 10), (ONE, 10, 100))
    assert result.never_placed == Failures(multi=1)
    assert result.waiting_at_end == 1
    assert result.waits["multi"] == Waits(0, 0, None, None, None, None, 105)


def test_work_that_ends_as_it_begins_leaves_at_once() -> None:
    result = run((ONE, 0, 0), (TWO, 0, 0), (TWO, 0, 7), (ONE, 5, 1), nodes=NODES[:1])
    assert result.waits["single"].longest_s == 2
    assert result.waits["multi"].longest_s == 0


def test_the_budget_bounds_moves_in_any_hour() -> None:
    tasks = [(ONE, float(number), 1e6) for number in range(2)]
    tasks += [(HALF, 10.0 + number, 100.0 + number) for number in range(4)]
    tasks += [(TWO, 20.0, 50.0), (ONE, 400.0, 1.0)]
    nodes = [TraceNode(name, 8_000, 16_384, 2, "A100") for name in "abc"]
    free = run(*tasks, policy=Spread(), nodes=nodes, budget=MigrationBudget(100, 7.0))
    none = run(*tasks, policy=Spread(), nodes=nodes, budget=MigrationBudget(0))
    fixed = run(*tasks, policy=Spread(), nodes=nodes, budget=MigrationBudget(100), fixed=frozenset(range(6)))
    assert free.migrations.moves == 1
    assert free.migrations.helped == 1
    assert (none.migrations, fixed.migrations) == (Migrations(0, 0, 0),) * 2
    assert free.waits["multi"].longest_s < none.waits["multi"].longest_s  # type: ignore[operator]
    assert (free.violations, free.refusals_that_fitted) == (0, 0)


def test_a_moved_task_ends_later_by_the_time_of_the_move() -> None:
    nodes = [TraceNode(name, 8_000, 16_384, 2, "A100") for name in "ab"]
    tasks = (ONE, 0, 3000.0), (ONE, 1, 2000.0), (HALF, 2, 100.0), (TWO, 50, 10.0), (CPU, 60, 1.0)
    still = run(*tasks, policy=Spread(), nodes=nodes)
    moved = run(*tasks, policy=Spread(), nodes=nodes, budget=MigrationBudget(1, 25.0))
    assert moved.migrations == Migrations(1, 1, 0)
    assert (still.waits["multi"].longest_s, moved.waits["multi"].longest_s) == (1951, 52)
    assert (still.makespan_s, moved.makespan_s) == (3000, 3025)


def test_a_moved_task_that_the_policy_has_no_place_for_waits_and_is_told() -> None:
    placed: Counter[str] = Counter()

    def not_at_once(workload: Workload, answer: Allocation | Rejection) -> Allocation | Rejection:
        placed[workload.name] += isinstance(answer, Allocation)
        again = placed[workload.name] == 2
        return Rejection(workload.id, RejectionReason.NO_CAPACITY, "") if again else answer

    nodes = [TraceNode(name, 8_000, 16_384, 2, "A100") for name in "ab"]
    tasks = (ONE, 0, 3000.0), (ONE, 1, 4000.0), (HALF, 2, 100.0), (TWO, 50, 10.0), (CPU, 60, 1.0)
    result = run(*tasks, policy=Changed(not_at_once, Spread()), nodes=nodes, budget=MigrationBudget(1, 25.0))
    assert result.migrations == Migrations(1, 1, 1)
    assert result.refusals_that_fitted == 1
    assert result.never_placed == Failures()
    assert placed["task-0"] == 3
    assert (result.waits["single"].tasks, result.waits["single"].longest_s) == (2, 0)


def test_wrong_answers_are_found_and_dropped() -> None:
    def twice(_: Workload, answer: Allocation | Rejection) -> Allocation | Rejection:
        if isinstance(answer, Allocation) and len(answer.grants) == 2:
            return Allocation(answer.workload, answer.node, (answer.grants[0], answer.grants[0]))
        return answer

    result = run((TWO, 0, 10), (ONE, 1, 10), policy=Changed(twice))
    assert result.violations == 1
    assert "task 0" in result.violations_told[0]
    assert result.never_placed == Failures(multi=1)
    assert result.waits["single"].at_once == 1


def test_refusals_of_what_fitted_are_counted() -> None:
    def lazy(workload: Workload, answer: Allocation | Rejection) -> Allocation | Rejection:
        refused = Rejection(workload.id, RejectionReason.NO_CAPACITY, "")
        return refused if workload.request.fraction is not None else answer

    result = run((HALF, 0, 10), (ONE, 1, 10), policy=Changed(lazy))
    assert result.refusals_that_fitted == 2
    assert result.never_placed == Failures(fractional=1)


def test_progress_is_told() -> None:
    told: list[int] = []
    rows = gather((TraceTask(row, f"t{row}", CPU, row, row + 1) for row in range(600)), "test")
    simulate_churn(ChurnTrial(NODES, rows, timetable(rows, 4000)), FirstFit(), ticking(), told.append)
    assert told == [0, 256, 512]


shapes = st.sampled_from([ONE, TWO, HALF, CPU, Shape(3000, 4096, 1, 250, ("T4",)), Shape(500, 0, 2, 1000, ("A100",))])


@settings(deadline=None, max_examples=40)
@given(
    tasks=st.lists(st.tuples(shapes, st.integers(0, 300), st.integers(0, 200)), min_size=2, max_size=40),
    policy=st.sampled_from([FirstFit(), BestFit(), Spread(), Pack()]),
    moves=st.sampled_from([0, 3, 1000]),
)
def test_nothing_is_over_committed_lost_or_refused_where_there_is_room(
    tasks: list[tuple[Shape, int, int]], policy: Policy, moves: int
) -> None:
    last = (CPU, 1000, 1)
    result = run(*tasks, last, policy=policy, budget=MigrationBudget(moves))
    again = run(*tasks, last, policy=policy, budget=MigrationBudget(moves))
    assert (result.violations, result.refusals_that_fitted, result.never_placed) == (0, 0, Failures())
    kinds = [kind_of(shape) for shape, _, _ in (*tasks, last)]
    assert {kind: result.waits[kind].tasks for kind in KINDS} == {kind: kinds.count(kind) for kind in KINDS}
    assert all(0 <= moment.allocated_pct <= 100 + 1e-9 for moment in result.timeline)
    assert result.migrations.moves <= moves
    assert (result.timeline, result.waits, result.migrations) == (again.timeline, again.waits, again.migrations)
