"""Follow a gang that `run` started: when a member fails, the others are ended."""

from __future__ import annotations

import contextlib
import time

from gpualloc.engine.apply import apply_locked
from gpualloc.engine.context import Context
from gpualloc.engine.observe import observe
from gpualloc.engine.plan import plan_of
from gpualloc.engine.recover import recover
from gpualloc.engine.settle import catch_up_locked
from gpualloc.engine.wait import refresh
from gpualloc.errors import HookError, LockedError, StalePlanError, UnreachableError
from gpualloc.model.gang import falling, members_of
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.planning.steps import gang_end_steps

LOOK_S = 2.0
"""Shortest time between two looks at the nodes of a gang."""


class GangWatch:
    """Ends what is left of a gang that failed; work that is no gang is left alone.

    Args:
        ctx: the ports.
        workload: the work that runs.
    """

    def __init__(self, ctx: Context, workload: Workload) -> None:
        self._ctx = ctx
        self._workload = workload
        self._due_s = 0.0

    def look(self) -> None:
        """Look at the members unless that was done a moment ago; what cannot be done now is tried at the next look."""
        if not self._workload.request.gang or time.monotonic() < self._due_s:
            return
        self._workload = refresh(self._ctx, self._workload)
        if _broken(self._workload):
            with contextlib.suppress(LockedError, UnreachableError, StalePlanError, HookError):
                end_rest(self._ctx, self._workload.id)
        self._due_s = time.monotonic() + LOOK_S


def end_rest(ctx: Context, identity: str) -> None:
    """End the members that are left of a gang of which one failed, on the nodes that answer.

    Raises:
        LockedError: another gpualloc is at work.
        UnreachableError: none of its nodes answers.
        StalePlanError: they changed meanwhile.
        HookError: a hook of the operator says no.
    """
    with ctx.journal.write("end a gang") as writer:
        recover(ctx, writer)
        workload = ctx.journal.find(identity)
        if not _broken(workload) or workload.allocation is None:
            return
        snapshot = observe(ctx, workload.allocation.nodes)
        catch_up_locked(ctx, writer, snapshot)
        workload = ctx.journal.find(identity)
        steps = gang_end_steps([workload], snapshot)
        if steps:
            apply_locked(ctx, writer, plan_of(ctx, steps, [workload], snapshot))


def _broken(workload: Workload) -> bool:
    return workload.state is WorkloadState.RUNNING and falling(members_of(workload)) is not None
