"""The policy's session and the referee's books of one simulated run, kept in step."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gpualloc.engine.churn_trial import ChurnTrial
from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Expected, Problem, Rejection
from gpualloc.model.shapes import Shape
from gpualloc.ports import Policy
from gpualloc.sim.traces.cluster import requests_of, snapshot_of, workload_of
from gpualloc.sim.traces.models import models_of
from gpualloc.sim.traces.referee import Referee

MOST_TOLD = 20
"""Violations that are kept in words."""


@dataclass(frozen=True, slots=True)
class Violation:
    """An answer that broke the cluster's limits and was not carried out."""

    told: str


@dataclass(frozen=True, slots=True)
class Opening:
    """What is left on one node."""

    model: str
    cpu_milli: int
    memory_mib: int
    free: Sequence[int]
    """Compute of each GPU, 1/1000."""

    def holds(self, shape: Shape) -> bool:
        """Whether the task fits there."""
        return (
            self.cpu_milli >= shape.cpu_milli
            and self.memory_mib >= shape.memory_mib
            and (not shape.models or self.model in shape.models)
            and (not shape.gpus or sum(left >= shape.milli for left in self.free) >= shape.gpus)
        )


class Books:
    """Asks the policy and checks what it answers."""

    def __init__(self, trial: ChurnTrial, policy: Policy, clock: Callable[[], float]) -> None:
        nodes, tasks = trial.nodes, trial.tasks
        self.referee = Referee(nodes)
        self.shapes = tasks.shapes
        self.allocated_milli = 0
        """Compute given out now."""
        self.violations: list[str] = []
        self.refused_that_fitted = 0
        self.decision_us = array("d")
        self._clock = clock
        self._requests = requests_of(tasks.shapes, models_of(nodes))
        snapshot = snapshot_of(nodes)
        self._columns = {device.uuid: device.index for node in snapshot.nodes for device in node.devices}
        counts = np.bincount(tasks.shape_of[trial.times.rows], minlength=len(tasks.shapes)).tolist()
        expected = tuple(Expected(request, float(n)) for request, n in zip(self._requests, counts, strict=True) if n)
        self._session = policy.begin(Problem(snapshot, (), seed=trial.seed or 0, expected=expected, explain=False))

    def place(self, arrival: int, row: int, number: int) -> tuple[Allocation, tuple[int, ...]] | Violation | None:
        """Ask for a place for a task of the shape with that number; None when there is none."""
        shape = self.shapes[number]
        workload = workload_of(arrival, f"task-{row}", self._requests[number])
        before = self._clock()
        answer = self._session.place(workload)
        self.decision_us.append((self._clock() - before) * 1e6)
        if isinstance(answer, Rejection):
            self.refused_that_fitted += self.referee.could_hold(shape)
            return None
        gpus = tuple(sorted(self._columns.get(grant.device, -1) for grant in answer.grants))
        wrong = self.referee.place(shape, answer.node, gpus)
        if wrong is not None:
            self._session.free(answer)
            self.violations.append(f"task {row} on {wrong}")
            return Violation(wrong)
        self.allocated_milli += shape.gpu_milli
        return answer, gpus

    def free(self, shape: Shape, allocation: Allocation, gpus: Sequence[int]) -> None:
        """Give a place back."""
        self._session.free(allocation)
        self.referee.give_back(shape, allocation.node, gpus)
        self.allocated_milli -= shape.gpu_milli

    def opening(self, node: str) -> Opening:
        """What is left on a node."""
        books, number = self.referee, self.referee.number[node]
        free = books.free[number].tolist()
        return Opening(books.model[number], int(books.cpu[number]), int(books.memory[number]), free)
