"""Suspend running work instead of ending it, and resume it on the same devices or on others of its node."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gpualloc.engine.apply import apply_locked, failure
from gpualloc.engine.chain import OnStep
from gpualloc.engine.context import Context
from gpualloc.engine.devices import device_of
from gpualloc.engine.observe import observe
from gpualloc.engine.plan import plan_of
from gpualloc.engine.recover import recover
from gpualloc.engine.release import need_nodes, need_seen
from gpualloc.engine.settle import catch_up_locked
from gpualloc.errors import GpuallocError, InfeasibleError, NotFoundError, StepError, UsageError
from gpualloc.model.allocation import Allocation
from gpualloc.model.inventory import Snapshot
from gpualloc.model.plan import Step
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.planning.suspension import moved_to, resume_steps, suspend_steps
from gpualloc.ports import JournalWriter

_HINTS = {
    ("suspend", "memory"): "free memory on its node, or end it: gpualloc release",
    ("suspend", "busy"): "it runs on; try again later",
    ("suspend", "gone"): "see what became of it: gpualloc ps",
    ("resume", "claimed"): "name another device of its node with --device, or wait until this one is free",
    ("resume", "memory"): "name another device of its node with --device, or wait until this one has room",
    ("resume", "stranger"): "name another device of its node with --device, or see whose process it is: gpualloc top",
    ("resume", "busy"): "it stands still; try again later",
}
"""What to do when a node refuses, by verb and reason."""

Steps = Callable[[Workload, Snapshot], Sequence[Step]]

_OTHER = {WorkloadState.RUNNING: WorkloadState.SUSPENDED, WorkloadState.SUSPENDED: WorkloadState.RUNNING}


def suspend(ctx: Context, reference: str, *, wait_s: float = 0.0, on_step: OnStep | None = None) -> Workload:
    """Suspend a running workload; one that is suspended already is left as it is.

    Returns:
        the workload as it is now.

    Raises:
        NotFoundError: the reference names no workload, or several.
        UsageError: it does not run.
        InfeasibleError: it can never be suspended there: an old driver, MIG, MPS, managed memory.
        UnreachableError: its node does not answer.
        GpuallocError: a step failed, as `engine.apply.failure` words it; then it runs on as before.
    """
    return _change(ctx, reference, WorkloadState.RUNNING, suspend_steps, wait_s=wait_s, on_step=on_step)


def resume(
    ctx: Context,
    reference: str,
    devices: Sequence[str] = (),
    *,
    wait_s: float = 0.0,
    on_step: OnStep | None = None,
) -> Workload:
    """Resume a suspended workload; one that runs already is left as it is.

    Args:
        ctx: the ports.
        reference: id, unique prefix or name.
        devices: devices of its node in the order of its grants, each a UUID, an index or `NODE:INDEX`; none: those
            it was on.
        wait_s: how long to wait for the apply lock.
        on_step: told of each step as it moves.

    Returns:
        the workload as it is now.

    Raises:
        NotFoundError: the reference names no workload, or several, or a device is not there.
        UsageError: it is not suspended, or the number of devices is another.
        InfeasibleError: it can never be resumed there: another node or model, MIG mode, an old driver.
        UnreachableError: its node does not answer.
        GpuallocError: a step failed, as `engine.apply.failure` words it; then it stands still as before.
    """

    def steps(workload: Workload, snapshot: Snapshot) -> Sequence[Step]:
        assert workload.allocation is not None  # it is suspended, so it had a place
        return resume_steps(workload, _target(workload.allocation, devices, snapshot), snapshot)

    return _change(ctx, reference, WorkloadState.SUSPENDED, steps, wait_s=wait_s, on_step=on_step)


def _change(
    ctx: Context, reference: str, state: WorkloadState, steps: Steps, *, wait_s: float, on_step: OnStep | None
) -> Workload:
    """Take a workload that is in that state out of it, into the other one."""
    identity = ctx.journal.find(reference).id
    verb = "suspend" if state is WorkloadState.RUNNING else "resume"
    with ctx.journal.write(verb, wait_s) as writer:
        recover(ctx, writer, on_step)
        workload, snapshot = _looked_at(ctx, writer, identity, verb)
        if workload.state is _OTHER[state]:
            return workload
        if workload.state is not state or snapshot is None:
            raise UsageError(f"workload {identity} is {workload.state.value}, so there is nothing to {verb}")
        plan = plan_of(ctx, steps(workload, snapshot), [workload], snapshot)
        error = failure(apply_locked(ctx, writer, plan, on_step))
        if error is not None:
            raise _told(error, verb)
    return ctx.journal.find(identity)


def _looked_at(ctx: Context, writer: JournalWriter, identity: str, verb: str) -> tuple[Workload, Snapshot | None]:
    """The workload as its node says it is, and what was seen of that node; None when it is on none."""
    workload = ctx.journal.find(identity)
    if workload.request.gang:
        raise InfeasibleError(
            f"workload {identity} is a gang, and its members would wait for each other",
            hint="gpualloc release ends all of it",
        )
    if workload.state not in _OTHER or workload.allocation is None:
        return workload, None
    snapshot = observe(ctx, [workload.allocation.node])
    need_nodes(snapshot, f"{verb}ed" if verb == "suspend" else f"{verb}d")
    catch_up_locked(ctx, writer, snapshot)
    workload = ctx.journal.find(identity)
    if workload.state in _OTHER:
        need_seen((workload,), snapshot)
    return workload, snapshot


def _told(error: GpuallocError, verb: str) -> GpuallocError:
    """The error with what to do about it here; what the node says can never be, as that."""
    if not isinstance(error, StepError):
        return error
    hint = _HINTS.get((verb, error.reason), error.hint)
    if error.reason == "not-supported":
        return InfeasibleError(error.message, hint=hint, node=error.node)
    return StepError(error.message, reason=error.reason, node=error.node, hint=hint)


def _target(allocation: Allocation, devices: Sequence[str], snapshot: Snapshot) -> Allocation:
    if not devices:
        return allocation
    if len(devices) != len(allocation.grants):
        raise UsageError(
            f"{len(devices)} devices were named and it was on {len(allocation.grants)}",
            hint="name one for each, in the order in which `gpualloc show` lists them",
        )
    node = snapshot.node(allocation.node)
    assert node is not None  # it was asked for by this name
    try:
        uuids = [device_of(node, text.removeprefix(f"{node.name}:")).uuid for text in devices]
    except NotFoundError as error:
        hint = f"its memory lies on {node.name}: it can be resumed on a device of that node only; {error.hint}"
        raise NotFoundError(error.message, hint=hint, node=node.name) from None
    if len(set(uuids)) < len(uuids):
        raise UsageError("a device was named twice", hint="name one for each that it had")
    return moved_to(allocation, uuids)
