"""What waiting for GPUs was like: whether what was asked for was free meanwhile, and where. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache

from gpualloc.engine.assess_held import Wait
from gpualloc.engine.assess_rows import FREE, UNKNOWN, Row, Ticks
from gpualloc.model.allocation import Share
from gpualloc.model.assessment import Waits
from gpualloc.model.workload import Request
from gpualloc.policies.filters import matches_model

FITTED, SCATTERED, FULL, UNTOLD = range(4)
"""Where the whole GPUs were that a workload waited for: on one node, on several, not there, not known."""


def waited(waits: Sequence[Wait], ticks: Ticks) -> bytearray:
    """By tick, whether anything waited."""
    mask = bytearray(ticks.count)
    for wait in waits:
        for tick in ticks.within(wait.from_s, wait.to_s):
            mask[tick] = 1
    return mask


def waits_told(waits: Sequence[Wait], rows: Sequence[Row], ticks: Ticks, closed: Collection[str]) -> Waits:
    """Add up the waits within the grid.

    Whether work would have fitted is told by the number and the model of free GPUs alone.

    Args:
        waits: who waited when.
        rows: the devices, settled.
        ticks: the grid.
        closed: nodes that gpualloc only observes; what is free there is not its to give.
    """
    open_rows = [row for row in rows if row.node not in closed]
    hours = [0.0] * 4
    longest_h, who = 0.0, set()
    look: dict[Request, Callable[[int], int]] = {}
    for wait in waits:
        span = ticks.within(wait.from_s, wait.to_s)
        if not span:
            continue
        who.add(wait.workload.id)
        longest_h = max(longest_h, len(span) * ticks.step_h)
        kind = _kind(wait.workload.request)
        if kind not in look:
            look[kind] = _look(kind, open_rows)
        where = look[kind]
        for tick in span:
            hours[where(tick)] += ticks.step_h
    return Waits(len(who), sum(hours), longest_h, *hours)


def _kind(request: Request) -> Request:
    """What of a request tells where it could be."""
    return Request(
        command=(),
        gpus=request.gpus,
        gpu_model=request.gpu_model,
        share_asked=request.share,
        nodes=request.nodes,
        gang=request.gang,
    )


def _look(request: Request, rows: Sequence[Row]) -> Callable[[int], int]:
    """What tells of a tick where the GPUs of the request were."""
    names = frozenset(request.nodes)
    wanted = [row for row in rows if (not names or row.node in names) and _is_model(row, request.gpu_model)]
    untold = any(row.model is None for row in rows) and request.gpu_model is not None

    @cache
    def where(tick: int) -> int:
        if request.share is not Share.EXCLUSIVE or request.gang or untold:
            return UNTOLD
        free: dict[str, int] = {}
        unknown = False
        for row in wanted:
            state = row.states[tick]
            unknown |= state == UNKNOWN
            if state == FREE:
                free[row.node] = free.get(row.node, 0) + 1
        if max(free.values(), default=0) >= request.gpus:
            return FITTED
        if unknown:
            return UNTOLD
        return SCATTERED if sum(free.values()) >= request.gpus else FULL

    return where


def _is_model(row: Row, selector: str | None) -> bool:
    return selector is None or (row.model is not None and matches_model(row.model, selector))
