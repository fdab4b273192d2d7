"""The policy's session and the referee's books of one simulated run, kept in step."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

from msgspec import Struct

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Expected, Problem, Rejection
from gpualloc.model.shapes import Shape
from gpualloc.ports import Policy
from gpualloc.sim.traces.cluster import requests_of, snapshot_of, workload_of
from gpualloc.sim.traces.models import models_of
from gpualloc.sim.traces.referee import Referee
from gpualloc.sim.traces.trace import TraceNode

MOST_TOLD = 20
"""Violations that are kept in words."""


class Violation(Struct, frozen=True):
    """An answer that broke the cluster's limits and was not carried out."""

    told: str


class Opening(Struct, frozen=True):
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
    """Asks the policy and checks what it answers. A wrong answer is given back and not carried out."""

    def __init__(
        self,
        nodes: Sequence[TraceNode],
        shapes: Sequence[Shape],
        policy: Policy,
        *,
        waiting: Sequence[int] = (),
        expected: Sequence[int] = (),
        seed: int = 0,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Begin with all nodes idle.

        Args:
            nodes: the cluster.
            shapes: what tasks may take; they are called by their place in it.
            policy: who is asked.
            waiting: numbers of the shapes of tasks that all wait at once: arrivals 0, 1, ... in this order.
            expected: how often each shape will come, as far as the policy is told; empty tells nothing.
            seed: what the policy may draw from.
            clock: seconds that time the decisions; they decide nothing. Left out: nothing is timed.
        """
        self.referee = Referee(nodes)
        self.shapes = shapes
        self.allocated_milli = 0
        """Compute given out now."""
        self.violations: list[str] = []
        self.refused_that_fitted = 0
        self.decision_us = array("d")
        self._clock = clock
        self._requests = requests_of(shapes, models_of(nodes))
        snapshot = snapshot_of(nodes)
        self._columns = {device.uuid: device.index for node in snapshot.nodes for device in node.devices}
        requests = tuple(
            workload_of(arrival, f"task-{arrival}", self._requests[number]) for arrival, number in enumerate(waiting)
        )
        told = tuple(Expected(self._requests[number], float(n)) for number, n in enumerate(expected) if n)
        self._session = policy.begin(Problem(snapshot, requests, seed=seed, expected=told, explain=False))

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
