"""Take a process that runs already in as a workload, and let it go again."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.engine.apply import apply_locked, failure
from gpualloc.engine.chain import OnStep
from gpualloc.engine.context import Context
from gpualloc.engine.doubt import doubtful
from gpualloc.engine.observe import check_names, observe
from gpualloc.engine.recover import recover
from gpualloc.engine.release import need_seen
from gpualloc.engine.settle import catch_up_locked
from gpualloc.errors import InfeasibleError, NotFoundError, UnreachableError, UsageError
from gpualloc.model.allocation import Allocation, Grant, Hold, Share
from gpualloc.model.audit import AuditEntry
from gpualloc.model.decision import Decision
from gpualloc.model.inventory import Node, NodeState, RunningProcess, Snapshot
from gpualloc.model.plan import Plan, ProcessTarget, Step
from gpualloc.model.workload import Request, Workload, WorkloadState, check_name, check_request
from gpualloc.planning.adoption import adoption_steps, let_go_steps
from gpualloc.planning.plan import build
from gpualloc.ports import JournalWriter

NO_LIMITS = Request(command=("adopted",))
"""Nothing is limited; the command is that of the process."""


class Wanted(Struct, frozen=True):
    """What an operator asks for beside the process."""

    node: str
    pid: int
    devices: tuple[str, ...] | None = None
    """UUIDs of devices or MIG instances to claim; None: those it is seen using."""
    name: str | None = None
    """None: that of its command."""
    owner: str | None = None
    """The account it must belong to; None: whichever it belongs to."""
    limits: Request = NO_LIMITS
    """Its limits (`cpus`, `cpuset`, `memory_mib`, `pids`, the weights, `require`); the rest is not looked at."""


def adopt(ctx: Context, wanted: Wanted, *, wait_s: float = 0.0, on_step: OnStep | None = None) -> Workload:
    """Take a running process and all below it in: claim its devices, hold it to its limits, keep watch.

    Returns:
        the running workload.

    Raises:
        NotFoundError: no such node, process or device.
        UsageError: it is gpualloc's work already, belongs to another account, or a limit has no meaning.
        InfeasibleError: gpualloc may not change that node.
        GpuallocError: a step failed, as `engine.apply.failure` words it; the process runs as before.
    """
    check_names(ctx, (wanted.node,))
    with ctx.journal.write("adopt", wait_s) as writer:
        recover(ctx, writer, on_step)
        _forget_unbegun(ctx, writer)
        snapshot = observe(ctx, (wanted.node,))
        node = manageable(snapshot, wanted.node)
        catch_up_locked(ctx, writer, snapshot)
        process = ctx.fleet.process(node.name, wanted.pid)
        workload = _workload(ctx, wanted, process)
        allocation = _allocation(workload, wanted, process, node)
        target = ProcessTarget(process.pid, process.started_at_s)
        writer.save((workload,), (_entry(ctx, workload, node.name, process),))
        plan = _plan(ctx, snapshot, workload, adoption_steps(workload, allocation, target, snapshot))
        error = failure(apply_locked(ctx, writer, plan, on_step))
        if error is not None:
            raise error
    return ctx.journal.find(workload.id)


def let_go(ctx: Context, reference: str, *, wait_s: float = 0.0, on_step: OnStep | None = None) -> Workload:
    """Let adopted work run on without gpualloc: out of its group, back to where it came from, its claims removed.

    Returns:
        the workload in the state it is in now; one that ended already is left as it is.

    Raises:
        NotFoundError: the reference names no workload, or several.
        UsageError: it was not adopted but started by gpualloc.
        UnreachableError: its node does not answer.
        GpuallocError: a step failed, as `engine.apply.failure` words it.
    """
    identity = ctx.journal.find(reference).id
    with ctx.journal.write("let-go", wait_s) as writer:
        recover(ctx, writer, on_step)
        workload = ctx.journal.find(identity)
        if not workload.adopted:
            raise UsageError(f"{identity} was started by gpualloc and would be lost", hint="gpualloc release ends it")
        if workload.allocation is None or workload.state.ended:
            return workload
        snapshot = observe(ctx, (workload.allocation.node,))
        manageable(snapshot, workload.allocation.node)
        catch_up_locked(ctx, writer, snapshot)
        workload = ctx.journal.find(identity)
        if not workload.state.ended:
            need_seen((workload,), snapshot)
            plan = _plan(ctx, snapshot, workload, let_go_steps(workload))
            error = failure(apply_locked(ctx, writer, plan, on_step))
            if error is not None:
                raise error
    return ctx.journal.find(identity)


def notes(workload: Workload) -> tuple[str, ...]:
    """What adoption does not hold, in plain sentences."""
    told = ["its exit code will not be known, and its output is not kept"]
    if workload.allocation is not None and workload.allocation.grants:
        bound = workload.held_by.gpu in (Hold.SOFT, Hold.HARD)
        what_next = "it can open no other GPU from now on" if bound else "nothing keeps it from opening other GPUs"
        told.append(f"what it has open stays open to it; {what_next}")
    if workload.held_by.memory is Hold.HARD:
        told.append("its memory limit counts what it takes from now on; what it had before counts where it came from")
    return tuple(told)


def manageable(snapshot: Snapshot, name: str) -> Node:
    """The node, which answers and which gpualloc may change.

    Raises:
        UnreachableError: it does not answer.
        InfeasibleError: gpualloc only looks at it.
    """
    node = snapshot.node(name)
    if node is None or node.state is not NodeState.OK:
        state = "is not there" if node is None else f"does not answer ({node.state.value})"
        raise UnreachableError(f"{name} {state}", node=name)
    if not node.manageable:
        why = node.limited or ", ".join(node.other_controllers) or "its pool"
        hint = None if node.limited else "manage = true in its pool"
        raise InfeasibleError(f"{name}: gpualloc only looks at this node ({why})", hint=hint, node=name)
    return node


def _workload(ctx: Context, wanted: Wanted, process: RunningProcess) -> Workload:
    if process.workload is not None:
        raise UsageError(f"process {process.pid} belongs to workload {process.workload} already")
    if process.user is None or process.command is None:
        raise NotFoundError(f"{wanted.node}: process {process.pid} ended", node=wanted.node)
    if wanted.owner is not None and wanted.owner != process.user:
        raise UsageError(f"process {process.pid} belongs to {process.user}, not to {wanted.owner}")
    devices = len(process.uses if wanted.devices is None else wanted.devices)
    request = replace(wanted.limits, command=(process.command,), gpus=devices, nodes=(wanted.node,))
    return Workload(
        id=ctx.fresh_id("w"),
        name=check_name(wanted.name or _name(process.command)),
        owner=process.user,
        request=check_request(request),
        state=WorkloadState.PENDING,
        submitted_at_s=ctx.clock.now_s(),
        adopted=True,
    )


def _name(command: str) -> str:
    """The last part of the program's path."""
    words = command.split()
    return (words[0].rstrip("/").rpartition("/")[2] if words else "")[:50] or "adopted"


def _allocation(workload: Workload, wanted: Wanted, process: RunningProcess, node: Node) -> Allocation:
    uses = process.uses if wanted.devices is None else [_named(uuid, node) for uuid in dict.fromkeys(wanted.devices)]
    request = workload.request
    return Allocation(
        workload=workload.id,
        node=node.name,
        grants=tuple(
            Grant(device, Share.EXCLUSIVE if instance is None else Share.MIG, instance) for device, instance in uses
        ),
        cpus=request.cpus,
        cpuset=request.cpuset,
        memory_mib=request.memory_mib,
        pids=request.pids,
        cpu_weight=request.cpu_weight,
        io_weight=request.io_weight,
    )


def _named(uuid: str, node: Node) -> tuple[str, str | None]:
    for device in node.devices:
        if device.uuid == uuid:
            return uuid, None
        if any(instance.uuid == uuid for instance in device.mig_instances):
            return device.uuid, uuid
    raise NotFoundError(
        f"{node.name} has no device or MIG instance {uuid}", hint="gpualloc nodes --json", node=node.name
    )


def _plan(ctx: Context, snapshot: Snapshot, workload: Workload, steps: Sequence[Step]) -> Plan:
    return build(
        Decision(ctx.policy.name, ctx.policy.version, 0, (), ()),
        snapshot,
        {workload.id: workload},
        plan_id=ctx.fresh_id("p"),
        created_at_s=ctx.clock.now_s(),
        simulated=ctx.simulated,
        extra_steps=steps,
    )


def _forget_unbegun(ctx: Context, writer: JournalWriter) -> None:
    """End what a command that was killed wanted to adopt and had not begun with."""
    in_doubt, now_s = doubtful(ctx), ctx.clock.now_s()
    left = [
        replace(
            work,
            state=WorkloadState.FAILED,
            reason="its adoption was interrupted before anything was done",
            revision=work.revision + 1,
            ended_at_s=now_s,
        )
        for work in ctx.journal.workloads([WorkloadState.PENDING])
        if work.adopted and work.id not in in_doubt
    ]
    if left:
        writer.save(left)


def _entry(ctx: Context, workload: Workload, node: str, process: RunningProcess) -> AuditEntry:
    return AuditEntry(
        at_s=workload.submitted_at_s,
        kind="submit",
        actor=ctx.actor,
        workload=workload.id,
        node=node,
        detail={
            "name": workload.name,
            "adopt": process.pid,
            "processes": process.count,
            "command": list(workload.request.command),
        },
    )
