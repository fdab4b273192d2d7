"""Which shapes are asked for and how often: what policies that look ahead go by. Nothing of the order of arrival."""

from __future__ import annotations

from collections import Counter, defaultdict

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Problem
from gpualloc.model.shapes import Shape
from gpualloc.policies.ask import shape_of
from gpualloc.policies.board import milli

DIGITS = 9
"""Decimals of a frequency that count; what lies below is the noise of floating point."""


class Demand(Struct, frozen=True):
    """Shapes with their frequencies."""

    shapes: tuple[Shape, ...]
    """The most frequent first, equals by size."""
    weights: tuple[float, ...]
    """How often each comes; they add up to 1 when there is any."""

    def covering(self, part: float) -> Demand:
        """The most frequent shapes, host memory aside, that make up at least that part of all, as shares of these.

        Among equally frequent ones the larger come first.
        """
        weights: defaultdict[Shape, float] = defaultdict(float)
        for shape, weight in zip(self.shapes, self.weights, strict=True):
            weights[replace(shape, memory_mib=0)] += weight
        ranked = sorted(weights.items(), key=lambda item: (round(item[1], DIGITS), _size(item[0])), reverse=True)
        kept: dict[Shape, float] = {}
        for shape, weight in ranked:
            if round(sum(kept.values()), DIGITS) >= part:
                break
            kept[shape] = weight
        total = sum(kept.values()) or 1.0
        return Demand(tuple(kept), tuple(weight / total for weight in kept.values()))


def demand_of(problem: Problem) -> Demand:
    """What the problem says of the work to come; when it says nothing, what runs and what waits."""
    counts: Counter[Shape] = Counter()
    for expected in problem.expected:
        counts[shape_of(expected.request)] += expected.weight  # type: ignore[assignment]
    if not problem.expected:
        counts.update(shape_of(workload.request) for workload in problem.requests)
        counts.update(_shape_given(part) for allocation in problem.running for part in allocation.parts)
    return demand(dict(counts))


def demand(counts: dict[Shape, float] | dict[Shape, int]) -> Demand:
    """The demand in which each shape comes that often."""
    total = sum(counts.values()) or 1
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Demand(tuple(shape for shape, _ in ranked), tuple(count / total for _, count in ranked))


def _shape_given(allocation: Allocation) -> Shape:
    parts = [milli(grant.fraction) for grant in allocation.grants]
    return Shape(milli(allocation.cpus or 0.0), allocation.memory_mib or 0, len(parts), max(parts, default=0))


def _size(shape: Shape) -> tuple[int, int, int, tuple[str, ...]]:
    return shape.cpu_milli, shape.milli, shape.gpus, shape.models
