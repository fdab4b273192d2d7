"""What the dashboard looks at: a few callables, so that it needs no fleet of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from gpualloc.engine.judging import Judged
from gpualloc.model.inventory import Node, NodeSpec, Snapshot
from gpualloc.model.workload import Workload


class Source(Struct, frozen=True):
    """Where the dashboard gets everything it shows."""

    look: Callable[[], Iterator[Node]]
    """Look at all nodes once and yield each as it answers or fails. May block; is never called twice at a time."""
    workloads: Callable[[Snapshot], tuple[Workload, ...]]
    """Every workload to show, given the nodes that a whole look has seen. May block and raise GpuallocError."""
    now_s: Callable[[], float]
    """Wall time of the world that is looked at, epoch seconds."""
    specs: tuple[NodeSpec, ...] = ()
    """The nodes there should be, so that one that never answers has its row from the start."""
    simulated: bool = False
    judge: Callable[[Sequence[Node]], Judged] = lambda _nodes: Judged()
    """What is to be said of the nodes that a whole look has seen. May block and raise GpuallocError."""
    received_bytes: Callable[[], int | None] = lambda: None
    """How much the nodes told in all; None where nobody counts it."""
    ticks_s: Callable[[], float] = time.monotonic
    """Seconds that only go forward, for the ages of rows: a simulated world's clock may be sped up."""
