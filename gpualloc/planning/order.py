"""The order of steps: what they need first, otherwise as decided."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from graphlib import TopologicalSorter

from msgspec.structs import replace

from gpualloc.model.plan import Step


def ordered(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps in an order in which each comes after those it needs, numbered from 1, `needs` renumbered with them.

    Among steps whose needs are met the one given first goes first, so that the work decided first runs first.

    Raises:
        graphlib.CycleError: steps need each other.
    """
    given = {step.seq: place for place, step in enumerate(steps)}
    sorter = TopologicalSorter({step.seq: step.needs for step in steps})
    sorter.prepare()
    ready: list[tuple[int, int]] = []
    order: list[int] = []
    while sorter.is_active():
        for seq in sorter.get_ready():
            heapq.heappush(ready, (given[seq], seq))
        _, seq = heapq.heappop(ready)
        order.append(seq)
        sorter.done(seq)
    number = {seq: place for place, seq in enumerate(order, start=1)}
    return tuple(
        replace(
            steps[given[seq]], seq=number[seq], needs=tuple(sorted(number[need] for need in steps[given[seq]].needs))
        )
        for seq in order
    )


def joined(*groups: Sequence[Step]) -> tuple[Step, ...]:
    """Groups of steps, each numbered from 1, one after another under common numbers."""
    steps: list[Step] = []
    for group in groups:
        shift = len(steps)
        steps += [
            replace(step, seq=step.seq + shift, needs=tuple(need + shift for need in step.needs)) for step in group
        ]
    return tuple(steps)
