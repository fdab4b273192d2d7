"""What packing counts in: shapes of requests and classes of nodes, in whole numbers.

A GPU is 1000 milli of compute, a CPU 1000 milli of CPU, so that sums are exact and equal on every machine.
"""

from __future__ import annotations

from msgspec import Struct

GPU_MILLI = 1000
"""Compute of one whole GPU."""


class Shape(Struct, frozen=True, order=True):
    """What one request takes; equal requests have equal shapes."""

    cpu_milli: int
    """CPU, in 1/1000 of a CPU."""
    memory_mib: int
    """Host memory, MiB."""
    gpus: int
    """GPUs on one node; 0 is CPU-only work."""
    milli: int
    """Part taken of each GPU, 1..1000; 0 for CPU-only work. Less than 1000 only shares a device."""
    models: tuple[str, ...] = ()
    """GPU models that will do, sorted; empty is any."""

    @property
    def gpu_milli(self) -> int:
        """Compute taken in all, in 1/1000 of a GPU."""
        return self.gpus * self.milli


class NodeClass(Struct, frozen=True, order=True):
    """What an empty node has; nodes of one class are interchangeable."""

    cpu_milli: int
    memory_mib: int
    gpus: int
    model: str
    """GPU model of all its GPUs; empty when it has none."""
