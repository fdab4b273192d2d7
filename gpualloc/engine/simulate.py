"""Arrivals on a simulated cluster, each placed or refused when it comes: the published protocol of packing.

The policy sees the same problem, and answers through the same session, as when a plan is made; a referee that shares
nothing with it checks every answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Expected, Problem, Rejection
from gpualloc.model.inventory import Snapshot
from gpualloc.model.shapes import GPU_MILLI, Shape
from gpualloc.ports import Policy, Session
from gpualloc.sim.traces.arrivals import Order
from gpualloc.sim.traces.cluster import requests_of, snapshot_of, workload_of
from gpualloc.sim.traces.curve import Curve
from gpualloc.sim.traces.fragmentation import expected_fragment_milli, usual_shapes
from gpualloc.sim.traces.models import models_of
from gpualloc.sim.traces.power import Power, models_without_figures, power_of
from gpualloc.sim.traces.referee import Referee
from gpualloc.sim.traces.result import Failures, PackingResult, kind_of
from gpualloc.sim.traces.trace import Tasks, TraceNode

FULL_PCT = 100
"""Load at which fragmentation and power are told."""
MOST_TOLD = 20
"""Violations that are kept in words."""


@dataclass(frozen=True, slots=True)
class PackingTrial:
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
    run = _Run(trial, policy)
    for arrival, row in enumerate(trial.order.tolist()):
        run.arrive(arrival, row, clock)
        if progress is not None and arrival % 256 == 0:
            progress(arrival)
    return run.result()


class _Run:
    """The state of one run."""

    def __init__(self, trial: PackingTrial, policy: Policy) -> None:
        self._trial = trial
        self._policy = policy
        self._referee = Referee(trial.nodes)
        self._shapes = trial.tasks.shapes
        self._requests = requests_of(self._shapes, models_of(trial.nodes))
        snapshot = snapshot_of(trial.nodes)
        self._columns = {device.uuid: device.index for node in snapshot.nodes for device in node.devices}
        self._capacity = sum(node.gpus for node in trial.nodes) * GPU_MILLI
        self._curve = Curve(self._capacity)
        self._usual = usual_shapes(_counts(trial.tasks))
        self._session = self._begin(snapshot)
        self._arrived = self._allocated = self._fitted = 0
        self._failed: Counter[str] = Counter()
        self._wrong: list[str] = []
        self._times = np.zeros(len(trial.order))
        self._placements: list[tuple[int, str, tuple[int, ...]]] = []
        self._fragment_milli: float | None = None
        self._power: Power | None = None

    def _begin(self, snapshot: Snapshot) -> Session:
        counts = np.bincount(self._trial.tasks.shape_of, minlength=len(self._shapes))
        expected = tuple(Expected(request, float(n)) for request, n in zip(self._requests, counts, strict=True) if n)
        return self._policy.begin(Problem(snapshot, (), seed=self._trial.seed, expected=expected, explain=False))

    def arrive(self, arrival: int, row: int, clock: Callable[[], float]) -> None:
        number = int(self._trial.tasks.shape_of[row])
        shape = self._shapes[number]
        workload = workload_of(arrival, f"task-{row}", self._requests[number])
        before = clock()
        answer = self._session.place(workload)
        self._times[arrival] = (clock() - before) * 1e6
        self._arrived += shape.gpu_milli
        node, gpus = self._check(shape, row, answer)
        if node:
            self._allocated += shape.gpu_milli
        if self._trial.keep_placements:
            self._placements.append((row, node, gpus))
        self._curve.add(self._arrived, self._allocated)
        if self._power is None and self._arrived * 100 >= FULL_PCT * self._capacity:
            self._fragment_milli = expected_fragment_milli(self._referee, self._usual)
            self._power = power_of(self._trial.nodes, self._referee)

    def _check(self, shape: Shape, row: int, answer: Allocation | Rejection) -> tuple[str, tuple[int, ...]]:
        """Book the answer; the node and GPUs, or an empty name when it is none."""
        if isinstance(answer, Rejection):
            self._failed[kind_of(shape)] += 1
            self._fitted += self._referee.could_hold(shape)
            return "", ()
        gpus = tuple(sorted(self._columns.get(grant.device, -1) for grant in answer.grants))
        wrong = self._referee.place(shape, answer.node, gpus)
        if wrong is not None:
            self._wrong.append(f"task {row} on {wrong}")
            return "", ()
        return answer.node, gpus

    def result(self) -> PackingResult:
        """What came of it."""
        curve, fragment = self._curve, self._fragment_milli
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
            violations=len(self._wrong),
            violations_told=tuple(self._wrong[:MOST_TOLD]),
            refusals_that_fitted=self._fitted,
            model_use=_model_use(self._trial.nodes, self._referee),
            power=self._power,
            power_at_end=power_of(self._trial.nodes, self._referee),
            without_figures=models_without_figures(self._trial.nodes),
            decision_us=self._times,
            placements=tuple(self._placements),
        )


def _counts(tasks: Tasks) -> dict[Shape, int]:
    counts = np.bincount(tasks.shape_of, minlength=len(tasks.shapes)).tolist()
    return dict(zip(tasks.shapes, counts, strict=True))


def _model_use(nodes: Sequence[TraceNode], referee: Referee) -> dict[str, float]:
    total: Counter[str] = Counter()
    idle: Counter[str] = Counter()
    for node, free in zip(nodes, referee.free.sum(axis=1).tolist(), strict=True):
        if node.gpus:
            total[node.model] += node.gpus * GPU_MILLI
            idle[node.model] += free
    return {model: 1 - idle[model] / total[model] for model in sorted(total)}
