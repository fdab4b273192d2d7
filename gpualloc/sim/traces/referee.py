"""Keeps the books of a simulated cluster by itself, and checks every answer of a policy against them.

It shares nothing with the policies: sums of whole numbers over the nodes and tasks of the trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np
from numpy.typing import NDArray

from gpualloc.model.shapes import GPU_MILLI, Shape
from gpualloc.sim.traces.trace import TraceNode


class Referee:
    """What is left on every node of a trace, by plain sums."""

    def __init__(self, nodes: Sequence[TraceNode]) -> None:
        """Begin with all nodes idle; `nodes` gives the numbers by which they are called."""
        most = max((node.gpus for node in nodes), default=0)
        self.number = {node.name: number for number, node in enumerate(nodes)}
        """The number of each node, by name."""
        self.cpu: NDArray[np.int64] = np.array([node.cpu_milli for node in nodes], np.int64)
        """(N,) free CPU, 1/1000."""
        self.memory: NDArray[np.int64] = np.array([node.memory_mib for node in nodes], np.int64)
        """(N,) free host memory, MiB."""
        self.free: NDArray[np.int64] = np.array(
            [[GPU_MILLI] * node.gpus + [0] * (most - node.gpus) for node in nodes], np.int64
        ).reshape(len(nodes), most)
        """(N, G) free compute of each GPU, 1/1000."""
        self.model = tuple(node.model for node in nodes)
        self._gpus = [node.gpus for node in nodes]
        self._empty = self.cpu.copy(), self.memory.copy(), np.array(self._gpus, np.int64)
        self._accepting: dict[tuple[str, ...], NDArray[np.bool_]] = {}

    def place(self, shape: Shape, node: str, gpus: Sequence[int]) -> str | None:
        """Book a placement; returns what is wrong with it (and books nothing), or None."""
        number = self.number.get(node)
        if number is None:
            return f"there is no node {node}"
        wrong = self._wrong(shape, number, gpus)
        if wrong is not None:
            return f"{node}: {wrong}"
        self.cpu[number] -= shape.cpu_milli
        self.memory[number] -= shape.memory_mib
        self.free[number, list(gpus)] -= shape.milli
        return None

    def give_back(self, shape: Shape, node: str, gpus: Sequence[int]) -> None:
        """Take a booked placement out of the books again."""
        number = self.number[node]
        self.cpu[number] += shape.cpu_milli
        self.memory[number] += shape.memory_mib
        self.free[number, list(gpus)] += shape.milli

    def could_hold(self, shape: Shape) -> bool:
        """Whether some node could hold the task now."""
        return bool(self.holding(shape).any())

    def holding(self, shape: Shape) -> NDArray[np.bool_]:
        """(N,) nodes that could hold the task now."""
        fits = self.accepting(shape) & (self.cpu >= shape.cpu_milli) & (self.memory >= shape.memory_mib)
        if shape.gpus:
            fits &= (self.free >= shape.milli).sum(axis=1) >= shape.gpus
        return fits

    def fit_empty(self, shape: Shape) -> NDArray[np.bool_]:
        """(N,) nodes that could hold the task, as to its size, if they were idle."""
        cpu, memory, gpus = self._empty
        return (cpu >= shape.cpu_milli) & (memory >= shape.memory_mib) & (gpus >= shape.gpus)

    def copy(self) -> Referee:
        """Other books that say the same now."""
        other = copy(self)
        other.cpu, other.memory, other.free = self.cpu.copy(), self.memory.copy(), self.free.copy()
        return other

    def accepting(self, shape: Shape) -> NDArray[np.bool_]:
        """(N,) nodes of a model that will do; case does not count."""
        if shape.models not in self._accepting:
            wanted = {model.casefold() for model in shape.models}
            right = [not wanted or model.casefold() in wanted for model in self.model]
            self._accepting[shape.models] = np.array(right, np.bool_)
        return self._accepting[shape.models]

    def _wrong(self, shape: Shape, number: int, gpus: Sequence[int]) -> str | None:
        if len(gpus) != shape.gpus or len(set(gpus)) != len(gpus):
            return f"GPUs {list(gpus)} for a task of {shape.gpus}"
        if any(not 0 <= gpu < self._gpus[number] for gpu in gpus):
            return f"GPUs {list(gpus)} of {self._gpus[number]}"
        if not self.accepting(shape)[number]:
            return f"model {self.model[number]} for a task of {', '.join(shape.models)}"
        if self.cpu[number] < shape.cpu_milli or self.memory[number] < shape.memory_mib:
            return "more CPU or memory than is left"
        if any(self.free[number, gpu] < shape.milli for gpu in gpus):
            return f"more of GPUs {list(gpus)} than is left"
        return None
