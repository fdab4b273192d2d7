"""Packing simulated over small clusters: what is measured, and what the referee finds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.engine.simulate import PackingTrial, simulate_packing
from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Expected, Problem, Rejection, RejectionReason
from gpualloc.model.shapes import Shape
from gpualloc.model.workload import Workload
from gpualloc.policies.best_fit import BestFit
from gpualloc.policies.demand import demand
from gpualloc.policies.first_fit import FirstFit
from gpualloc.policies.fragments import Fragments
from gpualloc.policies.options import Options
from gpualloc.policies.session import BoardSession
from gpualloc.policies.spread import Spread
from gpualloc.ports import Policy, Session
from gpualloc.sim.traces.cluster import requests_of, snapshot_of, workload_of
from gpualloc.sim.traces.fragmentation import expected_fragment_milli
from gpualloc.sim.traces.models import models_of
from gpualloc.sim.traces.power import power_of
from gpualloc.sim.traces.referee import Referee
from gpualloc.sim.traces.result import Failures, PackingResult
from gpualloc.sim.traces.trace import Tasks, TraceNode, TraceTask, gather

BIG = TraceNode("big", 64_000, 262_144, 4, "A100")
SMALL = TraceNode("small", 16_000, 65_536, 1, "T4")
CPU_ONLY = Shape(8_000, 1024, 0, 0)
HALF = Shape(2_000, 1024, 1, 500)
WHOLE = Shape(2_000, 1024, 1, 1000)
GANG = Shape(8_000, 4096, 4, 1000)


def tasks(*shapes: Shape) -> Tasks:
    return gather((TraceTask(row, f"t{row}", shape) for row, shape in enumerate(shapes)), "test")


def run(
    policy: Policy, of: Tasks, order: Sequence[int], nodes: tuple[TraceNode, ...] = (BIG, SMALL), **more: object
) -> PackingResult:
    trial = PackingTrial(nodes, of, np.array(order, np.int64), keep_placements=True, **more)  # type: ignore[arg-type]
    return simulate_packing(trial, policy, ticking(0.001))


def ticking(step_s: float) -> Callable[[], float]:
    """A clock that goes on by one step each time it is read."""
    ticks = count()
    return lambda: next(ticks) * step_s


class Cheat:
    """Answers as first-fit does, changed by a function."""

    name = "cheat"
    version = "1"

    def __init__(self, change: Callable[[Workload, Allocation | Rejection], Allocation | Rejection]) -> None:
        self._change = change

    def begin(self, problem: Problem) -> Session:
        return CheatSession(FirstFit().begin(problem), self._change)


class CheatSession:
    def __init__(
        self, honest: Session, change: Callable[[Workload, Allocation | Rejection], Allocation | Rejection]
    ) -> None:
        self._honest = honest
        self._change = change

    def place(self, workload: Workload) -> Allocation | Rejection:
        return self._change(workload, self._honest.place(workload))

    def free(self, allocation: Allocation) -> None:
        self._honest.free(allocation)


def test_what_arrives_is_placed_until_nothing_is_left() -> None:
    result = run(BestFit(), tasks(GANG, WHOLE, HALF, CPU_ONLY), [0, 1, 2, 3, 3, 0])
    assert result.placements == (
        (0, "big", (0, 1, 2, 3)),
        (1, "small", (0,)),
        (2, "", ()),
        (3, "small", ()),
        (3, "big", ()),
        (0, "", ()),
    )
    assert result.failed == Failures(fractional=1, multi=1)
    assert (result.violations, result.refusals_that_fitted) == (0, 0)
    assert result.model_use == {"A100": 1.0, "T4": 1.0}


def test_the_curve_follows_what_has_arrived() -> None:
    of = tasks(HALF, GANG)
    result = run(FirstFit(), of, [1, 0, 0, 0])
    assert result.unallocated_pct == {"90": 10.0, "95": None, "100": 0.0, "110": 0.0, "130": None}
    assert result.curve == ((80, pytest.approx(20.0)), (90, 10.0), (100, 0.0), (110, 0.0))


def test_figures_of_the_full_load_are_not_known_before_it() -> None:
    result = run(FirstFit(), tasks(HALF), [0])
    assert result.fragmentation_pct is None
    assert result.power is None
    assert result.power_at_end.all_kw is not None


def test_each_decision_is_timed() -> None:
    result = run(FirstFit(), tasks(HALF), [0, 0, 0])
    assert result.decision_us.tolist() == pytest.approx([1000.0] * 3)
    assert (result.times.mean_us, result.times.per_s) == (pytest.approx(1000.0), pytest.approx(1000.0))


def test_a_clock_that_stands_still_tells_no_rate() -> None:
    trial = PackingTrial((BIG,), tasks(HALF), np.array([0]))
    assert simulate_packing(trial, FirstFit(), lambda: 5.0).times.per_s is None


def test_progress_is_told() -> None:
    told: list[int] = []
    simulate_packing(
        PackingTrial((BIG,), tasks(CPU_ONLY), np.zeros(600, np.int64)), FirstFit(), ticking(1), told.append
    )
    assert told == [0, 256, 512]


def test_the_policy_gets_the_seed_and_how_often_each_request_comes_but_not_the_order() -> None:
    seen: list[Problem] = []

    class Nosy(FirstFit):
        def begin(self, problem: Problem) -> BoardSession:
            seen.append(problem)
            return super().begin(problem)

    of = tasks(HALF, WHOLE, HALF)
    run(Nosy(), of, [2, 1], seed=7)
    half, whole = requests_of((HALF, WHOLE), {"A100", "T4"})
    assert seen[0].seed == 7
    assert seen[0].requests == ()
    assert seen[0].expected == (Expected(half, 2.0), Expected(whole, 1.0))


def same_device_again() -> Cheat:
    given: list[Allocation] = []

    def change(_: Workload, answer: Allocation | Rejection) -> Allocation | Rejection:
        if isinstance(answer, Allocation):
            given.append(answer)
        return given[0]

    return Cheat(change)


def renamed(node: str) -> Cheat:
    return Cheat(lambda _, answer: replace(answer, node=node) if isinstance(answer, Allocation) else answer)


def without_grants() -> Cheat:
    return Cheat(lambda _, answer: replace(answer, grants=()) if isinstance(answer, Allocation) else answer)


@pytest.mark.parametrize(
    ("policy", "shape", "said"),
    [
        (same_device_again(), WHOLE, "more of GPUs"),
        (renamed("nowhere"), WHOLE, "there is no node nowhere"),
        (renamed("small"), Shape(2_000, 1024, 1, 1000, ("A100",)), "model T4 for a task of A100"),
        (without_grants(), WHOLE, r"GPUs \[\] for a task of 1"),
        (renamed("small"), Shape(32_000, 1024, 0, 0), "more CPU or memory than is left"),
    ],
)
def test_the_referee_catches_a_policy_that_cheats(policy: Policy, shape: Shape, said: str) -> None:
    result = run(policy, tasks(shape), [0, 0])
    assert result.violations >= 1
    assert any(re.search(said, told) for told in result.violations_told)
    assert not any(node == "nowhere" for _, node, _ in result.placements)


def test_what_breaks_a_limit_is_not_carried_out() -> None:
    result = run(same_device_again(), tasks(WHOLE), [0] * 5)
    assert result.violations == 4
    assert result.model_use == {"A100": 0.25, "T4": 0.0}


def test_a_refusal_of_what_would_fit_is_counted() -> None:
    refusing = Cheat(lambda workload, _: Rejection(workload.id, RejectionReason.NO_CAPACITY, "no wish to"))
    result = run(refusing, tasks(WHOLE, GANG, Shape(1, 1, 8, 1000)), [0, 1, 2])
    assert result.refusals_that_fitted == 2
    assert result.failed == Failures(single=1, multi=2)


def test_models_are_compared_without_case() -> None:
    result = run(FirstFit(), tasks(Shape(1000, 1, 1, 1000, ("a100",))), [0])
    assert result.placements == ((0, "big", (0,)),)
    assert (result.violations, result.failed.total) == (0, 0)


SHAPES = (
    CPU_ONLY, HALF, WHOLE, GANG, Shape(12_000, 2048, 1, 810), Shape(4_000, 64_000, 2, 1000),
    Shape(1_000, 512, 1, 190, ("T4",)), Shape(0, 0, 1, 1000, ("A100", "V100M16")), Shape(500, 0, 0, 0),
)  # fmt: skip
NODES = st.lists(
    st.tuples(
        st.sampled_from((8_000, 16_500, 64_000)), st.sampled_from((4_096, 262_144)), st.integers(0, 4),
        st.sampled_from(("A100", "T4", "V100M16")),
    ),
    min_size=1, max_size=5,
).map(lambda rows: tuple(
    TraceNode(f"n{number}", cpu, memory, gpus, model if gpus else "")
    for number, (cpu, memory, gpus, model) in enumerate(rows)
)).filter(lambda nodes: any(node.gpus for node in nodes))  # fmt: skip
FAST = settings(max_examples=60, deadline=None)


@FAST
@given(
    NODES,
    st.lists(st.integers(0, len(SHAPES) - 1), min_size=1, max_size=40),
    st.sampled_from((BestFit, FirstFit, Spread)),
)
def test_no_built_in_policy_breaks_a_limit_or_refuses_what_fits(
    nodes: tuple[TraceNode, ...], order: list[int], policy: Callable[[], Policy]
) -> None:
    result = run(policy(), tasks(*SHAPES), order, nodes)
    again = run(policy(), tasks(*SHAPES), order, nodes)
    assert (result.violations_told, result.refusals_that_fitted) == ((), 0)
    assert result.placements == again.placements
    placed = sum(SHAPES[row].gpu_milli for row, node, _ in result.placements if node)
    assert 100 - result.curve[-1][1] <= 100 * placed / result.capacity_milli + 1e-9
    assert result.failed.total == sum(not node for _, node, _ in result.placements)


@FAST
@given(NODES, st.lists(st.integers(0, len(SHAPES) - 1), max_size=30))
def test_fragmentation_is_what_the_policies_make_of_it(nodes: tuple[TraceNode, ...], order: list[int]) -> None:
    """Two implementations that share nothing agree on every state."""
    requests = requests_of(SHAPES, models_of(nodes))
    problem = Problem(snapshot_of(nodes), (), expected=tuple(Expected(request, 1.0) for request in requests))
    session, referee = FirstFit().begin(problem), Referee(nodes)
    for number, row in enumerate(order):
        answer = session.place(workload_of(number, "t", requests[row]))
        if isinstance(answer, Allocation):
            gpus = [index_of(nodes, grant.device) for grant in answer.grants]
            assert referee.place(SHAPES[row], answer.node, gpus) is None
    shares = dict.fromkeys(SHAPES, 1 / len(SHAPES))
    fragments = Fragments(session.board, demand(dict.fromkeys(SHAPES, 1)))
    everywhere = Options(
        session.board, session.ask(requests[-1]), np.arange(session.board.nodes), session.board.free > -1
    )
    assert expected_fragment_milli(referee, shares) == pytest.approx(fragments.before(everywhere).sum() * 1000)


def index_of(nodes: tuple[TraceNode, ...], uuid: str) -> int:
    found = [device.index for node in snapshot_of(nodes).nodes for device in node.devices if device.uuid == uuid]
    return found[0]


def test_power_is_that_of_the_published_model() -> None:
    referee = Referee((BIG, SMALL))
    idle = power_of((BIG, SMALL), referee)
    # 64 CPUs are 32 cores in 2 sockets, 16 CPUs are 8 cores in one.
    assert (idle.gpus_kw, idle.cpus_kw) == (pytest.approx((4 * 50 + 10) / 1000), pytest.approx(3 * 15 / 1000))
    assert referee.place(HALF, "big", (1,)) is None
    assert referee.place(Shape(34_000, 1, 0, 0), "big", ()) is None
    busy = power_of((BIG, SMALL), referee)
    assert busy.gpus_kw == pytest.approx((3 * 50 + 400 + 10) / 1000)
    assert busy.cpus_kw == pytest.approx((2 * 120 + 15) / 1000)
    assert busy.all_kw == pytest.approx(0.56 + 0.255)


def test_power_of_a_model_without_figures_is_not_known() -> None:
    nodes = (BIG, TraceNode("new", 8_000, 1024, 1, "B300"))
    result = run(FirstFit(), tasks(WHOLE), [0] * 5, nodes)
    assert result.without_figures == ("B300",)
    assert (result.power_at_end.gpus_kw, result.power_at_end.all_kw) == (None, None)
    assert result.power_at_end.cpus_kw > 0
