"""`run`: submit, plan for it alone, apply, follow its output, return its end."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from gpualloc.engine.apply import apply_locked
from gpualloc.engine.chain import OnStep
from gpualloc.engine.context import Context
from gpualloc.engine.doubt import doubtful
from gpualloc.engine.gangs import GangWatch
from gpualloc.engine.plan import make_plan
from gpualloc.engine.recover import recover
from gpualloc.engine.submit import submit
from gpualloc.engine.wait import follow, wait
from gpualloc.errors import GpuallocError
from gpualloc.model.audit import AuditEntry
from gpualloc.model.workload import Request, Workload, WorkloadState


def run(
    ctx: Context,
    name: str,
    request: Request,
    *,
    write: Callable[[bytes], None],
    wait_s: float = 0.0,
    on_submit: Callable[[Workload], None] = lambda _workload: None,
    on_step: OnStep | None = None,
) -> Workload:
    """Run one command on the fleet and return its workload once it has ended.

    Args:
        ctx: the ports.
        name: the workload's name.
        request: what it asks for.
        write: takes the command's output as it comes.
        wait_s: how long to wait for the apply lock.
        on_submit: told the workload as soon as it exists, so that an interrupt can release it.
        on_step: told of each step as it moves.

    Raises:
        GpuallocError: it could not be placed or started; it is withdrawn then. A StepError carries 126 or 127 when
            the command could not be executed.
    """
    workload = submit(ctx, name, request).workload
    on_submit(workload)
    try:
        workload = _start(ctx, workload, wait_s, on_step)
    except GpuallocError as error:
        _withdraw(ctx, workload.id, error.message)
        raise
    watch = GangWatch(ctx, workload)
    follow(ctx, workload, write, until_end=True, between=watch.look)
    return wait(ctx, workload.id, between=watch.look)


def _start(ctx: Context, workload: Workload, wait_s: float, on_step: OnStep | None) -> Workload:
    with ctx.journal.write("run", wait_s) as writer:
        recover(ctx, writer)
        plan = make_plan(ctx, only=[workload.id], writer=writer)
        for rejection in plan.rejections:
            raise GpuallocError(
                f"there is no place for it now ({rejection.reason.value}): {rejection.detail}",
                hint="gpualloc submit leaves it waiting for room",
            )
        report = apply_locked(ctx, writer, plan, on_step)
        for _step, error in (*report.failed, *report.unknown):
            raise error
    return ctx.journal.find(workload.id)


def _withdraw(ctx: Context, identity: str, why: str) -> None:
    """Leave nothing waiting behind a `run` that could not start."""
    workload = ctx.journal.find(identity)
    if workload.state is not WorkloadState.PENDING or identity in doubtful(ctx):
        return
    now_s = ctx.clock.now_s()
    gone = replace(workload, state=WorkloadState.RELEASED, reason=why, revision=workload.revision + 1, ended_at_s=now_s)
    ctx.journal.withdraw(gone, AuditEntry(at_s=now_s, kind="release", actor=ctx.actor, workload=identity, node=None))
