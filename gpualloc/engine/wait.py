"""Wait for a workload's end, and follow what it prints."""

from __future__ import annotations

import time
from collections.abc import Callable

from gpualloc.engine.context import Context
from gpualloc.engine.observe import observe
from gpualloc.engine.progress import progress_of
from gpualloc.engine.settle import catch_up
from gpualloc.errors import GpuallocError, NotFoundError, UnreachableError
from gpualloc.model.gang import members_of
from gpualloc.model.progress import Progress
from gpualloc.model.workload import Workload, WorkloadState

POLL_S = 0.25
"""Longest wait between two looks, in seconds of wall time."""
PATIENCE_S = 60.0
"""How long following a workload outlasts a node that does not answer."""


def refresh(ctx: Context, workload: Workload) -> Workload:
    """The workload as it is now, its end recorded; an unreachable node leaves it as it was."""
    return look_at(ctx, workload)[0]


def look_at(ctx: Context, workload: Workload) -> tuple[Workload, Progress | None]:
    """As `refresh`, and how far it says it is; None when it says nothing, or its node does not answer."""
    if workload.state in (WorkloadState.RUNNING, WorkloadState.SUSPENDED) and workload.allocation is not None:
        try:
            snapshot = observe(ctx, workload.allocation.nodes)
            shown = catch_up(ctx, snapshot)
        except (UnreachableError, NotFoundError):
            return ctx.journal.find(workload.id), None
        for other in shown:
            if other.id == workload.id:
                return other, progress_of([other], snapshot.reached).get(other.id)
    return ctx.journal.find(workload.id), None


def wait(
    ctx: Context,
    reference: str,
    *,
    timeout_s: float | None = None,
    stopped: Callable[[], bool] = lambda: False,
    between: Callable[[], None] = lambda: None,
) -> Workload:
    """Block until the workload has ended.

    Args:
        ctx: the ports.
        reference: id, unique prefix or name.
        timeout_s: give up after that many seconds; None waits for ever.
        stopped: asked between looks; True gives up as a timeout does.
        between: called between looks.

    Raises:
        NotFoundError: no such workload.
        GpuallocError: it has not ended in time.
    """
    workload = ctx.journal.find(reference)
    end_s = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        workload = refresh(ctx, workload)
        if workload.state.ended:
            return workload
        if stopped() or (end_s is not None and time.monotonic() >= end_s):
            raise GpuallocError(f"workload {workload.id} has not ended; it is {workload.state.value}")
        between()
        ctx.fleet.wait_for_event(POLL_S)


def follow(
    ctx: Context,
    workload: Workload,
    write: Callable[[bytes], None],
    *,
    until_end: bool,
    member: int = 0,
    between: Callable[[], None] = lambda: None,
) -> int:
    """Pass on what the workload printed, and with `until_end` what it prints until it ends.

    Args:
        ctx: the ports.
        workload: whose output.
        write: takes the output as it comes.
        until_end: whether to go on until it ends.
        member: rank of the member of a gang whose output it is.
        between: called while nothing new is there.

    Returns:
        the byte offset after the last byte passed on.

    Raises:
        NotFoundError: it never started, has no such member, or its node has dropped the output.
        UnreachableError: its node does not answer; with `until_end`, not for `PATIENCE_S`.
    """
    node, offset = _node_of(workload, member), 0
    silent_since_s: float | None = None
    while True:
        try:
            chunk = ctx.fleet.logs(node, workload.id, offset)
        except UnreachableError:
            silent_since_s = silent_since_s or time.monotonic()
            if not until_end or time.monotonic() - silent_since_s > PATIENCE_S:
                raise
            between()
            ctx.fleet.wait_for_event(POLL_S)
            continue
        silent_since_s = None
        if chunk.data:
            write(chunk.data)
        progressed = bool(chunk.data) or chunk.next_offset > offset
        offset = chunk.next_offset
        if progressed:
            continue
        if chunk.ended or not until_end:
            return offset
        between()
        ctx.fleet.wait_for_event(POLL_S)


def _node_of(workload: Workload, member: int) -> str:
    if workload.allocation is None:
        raise NotFoundError(f"workload {workload.id} has not started; it is {workload.state.value}")
    members = members_of(workload)
    node = next((each.node for each in members if each.rank == member), None)
    if node is None and (members or member):
        had = f"its members are 0 to {len(members) - 1}" if members else "it is no gang"
        raise NotFoundError(f"workload {workload.id} has no member {member}", hint=had)
    return node or workload.allocation.node
