"""Arrivals on a simulated cluster, each placed or refused when it comes: the published protocol of packing.

The policy sees the same problem, and answers through the same session, as when a plan is made; a referee that shares
nothing with it checks every answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct

from gpualloc.engine.books import MOST_TOLD, Books, Violation
from gpualloc.model.shapes import GPU_MILLI
from gpualloc.ports import Policy
from gpualloc.sim.traces.arrivals import Order
from gpualloc.sim.traces.curve import Curve
from gpualloc.sim.traces.fragmentation import expected_fragment_milli, usual_shapes
from gpualloc.sim.traces.power import Power, models_without_figures, power_of
from gpualloc.sim.traces.referee import Referee
from gpualloc.sim.traces.result import Failures, PackingResult, kind_of
from gpualloc.sim.traces.trace import Tasks, TraceNode

FULL_PCT = 100
"""Load at which fragmentation and power are told."""


class PackingTrial(Struct, frozen=True):
    """One cluster, its tasks and the order in which they come."""

    nodes: tuple[TraceNode, ...]
    tasks: Tasks
    order: Order
    seed: int = 0
    """What the policy may draw from; the order is drawn already."""
    profile: str | None = None
    """Name of the saved weights that the policy was given."""
    keep_placements: bool = False


def simulate_packing(
    trial: PackingTrial, policy: Policy, clock: Callable[[], float], progress: Callable[[int], None] | None = None
) -> PackingResult:
    """Let the tasks arrive and be placed by the policy.

    Args:
        trial: what to run.
        policy: any policy.
        clock: seconds that time the decisions; they decide nothing.
        progress: told how many tasks have arrived, now and then.
    """
    run = _Run(trial, policy, clock)
    for arrival, row in enumerate(trial.order.tolist()):
        run.arrive(arrival, row)
        if progress is not None and arrival % 256 == 0:
            progress(arrival)
    return run.result()


class _Run:
    """The state of one run."""

    def __init__(self, trial: PackingTrial, policy: Policy, clock: Callable[[], float]) -> None:
        self._trial = trial
        self._policy = policy
        self._shapes = trial.tasks.shapes
        counts = np.bincount(trial.tasks.shape_of, minlength=len(self._shapes)).tolist()
        self._books = Books(trial.nodes, self._shapes, policy, expected=counts, seed=trial.seed, clock=clock)
        self._capacity = sum(node.gpus for node in trial.nodes) * GPU_MILLI
        self._curve = Curve(self._capacity)
        self._usual = usual_shapes(dict(zip(self._shapes, counts, strict=True)))
        self._arrived = 0
        self._failed: Counter[str] = Counter()
        self._placements: list[tuple[int, str, tuple[int, ...]]] = []
        self._fragment_milli: float | None = None
        self._power: Power | None = None

    def arrive(self, arrival: int, row: int) -> None:
        """A task comes, and gets a place or none."""
        number = int(self._trial.tasks.shape_of[row])
        shape = self._shapes[number]
        answer = self._books.place(arrival, row, number)
        self._arrived += shape.gpu_milli
        if answer is None:
            self._failed[kind_of(shape)] += 1
        if self._trial.keep_placements:
            node, gpus = ("", ()) if answer is None or isinstance(answer, Violation) else (answer[0].node, answer[1])
            self._placements.append((row, node, gpus))
        self._curve.add(self._arrived, self._books.allocated_milli)
        if self._power is None and self._arrived * 100 >= FULL_PCT * self._capacity:
            self._fragment_milli = expected_fragment_milli(self._books.referee, self._usual)
            self._power = power_of(self._trial.nodes, self._books.referee)

    def result(self) -> PackingResult:
        """What came of it."""
        books, curve, fragment = self._books, self._curve, self._fragment_milli
        return PackingResult(
            policy=self._policy.name,
            profile=self._trial.profile,
            seed=self._trial.seed,
            arrivals=len(self._trial.order),
            capacity_milli=self._capacity,
            unallocated_pct=curve.report(),
            curve=tuple((load, part) for load in curve.loads_pct if (part := curve.unallocated_pct(load)) is not None),
            fragmentation_pct=None if fragment is None else 100 * fragment / self._capacity,
            failed=Failures(**self._failed),
            violations=len(books.violations),
            violations_told=tuple(books.violations[:MOST_TOLD]),
            refusals_that_fitted=books.refused_that_fitted,
            model_use=_model_use(self._trial.nodes, books.referee),
            power=self._power,
            power_at_end=power_of(self._trial.nodes, books.referee),
            without_figures=models_without_figures(self._trial.nodes),
            decision_us=np.array(books.decision_us),
            placements=tuple(self._placements),
        )


def _model_use(nodes: Sequence[TraceNode], referee: Referee) -> dict[str, float]:
    total: Counter[str] = Counter()
    idle: Counter[str] = Counter()
    for node, free in zip(nodes, referee.free.sum(axis=1).tolist(), strict=True):
        if node.gpus:
            total[node.model] += node.gpus * GPU_MILLI
            idle[node.model] += free
    return {model: 1 - idle[model] / total[model] for model in sorted(total)}
