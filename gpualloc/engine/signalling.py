"""Send a signal to processes that an operator named, on whichever nodes they are."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from gpualloc.engine.adopt import manageable
from gpualloc.engine.apply import apply_locked
from gpualloc.engine.chain import OnStep, Report
from gpualloc.engine.context import Context
from gpualloc.engine.observe import check_names, observe
from gpualloc.engine.recover import recover, take_up
from gpualloc.engine.settle import catch_up_locked
from gpualloc.errors import (
    GpuallocError,
    NotFoundError,
    PartlyAppliedError,
    StepError,
    StoppedError,
    UsageError,
)
from gpualloc.model.decision import Decision
from gpualloc.model.inventory import Node, Snapshot
from gpualloc.model.plan import Plan, Step, StepState
from gpualloc.model.signals import ProcessSignal, ProcessState
from gpualloc.planning.plan import build
from gpualloc.planning.signalling import Addressee, signal_steps

SAME_START_S = 2.0
"""Between two looks a node's clock may have been corrected by that much."""

_HINTS = {
    "bad-request": "the node program there is older than this gpualloc: gpualloc node install, once more",
    "claimed": "gpualloc release ends work, gpualloc suspend lets it stand still",
    "gone": "gpualloc processes shows what runs now",
}
"""What to do about a node's refusal, where the usual hint is about plans."""


class Chosen(Struct, frozen=True):
    """A process as somebody chose it."""

    node: str
    pid: int
    started_at_s: float | None = None
    """When it began, as it was shown to whoever chose it; None: whichever has the pid now is meant."""


class SignalOrder(Struct, frozen=True):
    """A signal, and exactly the processes that get it."""

    signal: ProcessSignal
    to: tuple[Addressee, ...]


class Delivery(Struct, frozen=True):
    """What became of the signal to one process."""

    to: Addressee
    sent: bool
    state: ProcessState | None
    """How the process stood up to two seconds later; None when nothing was sent, or that is not known."""
    error: GpuallocError | None
    """Why it was not sent, or why that is not known; None when it was."""


class Sent(Struct, frozen=True):
    """What became of an order."""

    deliveries: tuple[Delivery, ...]
    """In the order of `SignalOrder.to`."""
    report: Report

    @property
    def error(self) -> GpuallocError | None:
        """What a command exits with; None when every process got the signal."""
        failed = [one.error for one in self.deliveries if one.error is not None]
        done = len(self.deliveries) - len(failed)
        if not failed or not done or isinstance(failed[0], StoppedError):
            return failed[0] if failed else None
        return PartlyAppliedError(
            f"{done} of {len(self.deliveries)} processes got the signal; first that did not: {failed[0].message}",
            hint=failed[0].hint,
            node=failed[0].node,
        )


def address(ctx: Context, signal: ProcessSignal, chosen: Sequence[Chosen]) -> SignalOrder:
    """Look who would get the signal, for whoever is to agree to it; nothing is changed and no lock taken.

    Args:
        ctx: the ports.
        signal: what is to be sent.
        chosen: the processes; one that is named twice gets it once.

    Raises:
        NotFoundError: no such node, or a process ended, or is another one by now.
        UsageError: the process is the system's own, or work that may not get this signal.
        UnreachableError: its node does not answer.
        InfeasibleError: gpualloc may not change that node.
    """
    names = tuple(dict.fromkeys(one.node for one in chosen))
    check_names(ctx, names)
    snapshot = observe(ctx, names)
    once = {(one.node, one.pid): one for one in chosen}
    return SignalOrder(signal, tuple(_addressee(ctx, signal, one, snapshot) for one in once.values()))


def send(ctx: Context, order: SignalOrder, *, wait_s: float = 0.0, on_step: OnStep | None = None) -> Sent:
    """Send the signal to the processes of the order and to no others; those that ended meanwhile are told.

    What cannot be sent now is never sent later, whatever interrupts this.

    Args:
        ctx: the ports.
        order: as `address` gave it.
        wait_s: how long to wait for the apply lock.
        on_step: told of each step as it moves.

    Raises:
        LockedError: another gpualloc holds the lock for longer than `wait_s`.
        UnreachableError: a node does not answer; nothing was sent.
        InfeasibleError: gpualloc may not change a node; nothing was sent.
        HookError: a hook of the operator's forbids it; nothing was sent.
        StoppedError: the command was interrupted before anything was sent.
    """
    names = tuple(dict.fromkeys(one.node for one in order.to))
    with ctx.journal.write("signal", wait_s) as writer:
        recover(ctx, writer, on_step)
        snapshot = observe(ctx, names)
        for name in names:
            manageable(snapshot, name)
        catch_up_locked(ctx, writer, snapshot)
        plan = _plan(ctx, order, snapshot)
        report = apply_locked(ctx, writer, plan, on_step)
        if report.left:
            # Whoever interrupts a signal does not want the rest of them sent by the next command.
            for run in ctx.journal.open_runs():
                if run.id == report.run_id:
                    take_up(ctx, writer, run)
    return Sent(_deliveries(ctx, order, plan, report), report)


def _addressee(ctx: Context, signal: ProcessSignal, chosen: Chosen, snapshot: Snapshot) -> Addressee:
    node = manageable(snapshot, chosen.node)
    if chosen.pid == 1:
        raise UsageError(f"{node.name}: process 1 is the system's own")
    process = ctx.fleet.process(node.name, chosen.pid)
    if chosen.started_at_s is not None and abs(process.started_at_s - chosen.started_at_s) > SAME_START_S:
        raise NotFoundError(
            f"{node.name}: process {chosen.pid} ended, and another one has its number now", node=node.name
        )
    if process.workload is not None and not signal.for_work:
        raise UsageError(
            f"{node.name}: process {chosen.pid} belongs to workload {process.workload}, "
            f"which {signal.value} would end, stop or wake behind the back of its keeper",
            hint=f"gpualloc release {process.workload} ends it, gpualloc suspend {process.workload} stops it",
        )
    return Addressee(
        node=node.name,
        pid=process.pid,
        started_at_s=process.started_at_s,
        user=process.user,
        command=process.command,
        workload=process.workload,
        devices=_devices(node, process.pid),
        below=process.count - 1,
    )


def _devices(node: Node, pid: int) -> tuple[tuple[str, int | None, str | None], ...]:
    index = {device.uuid: device.index for device in node.devices}
    seen = [(one.device, index.get(one.device), one.mig_instance) for one in node.processes if one.pid == pid]
    return tuple(dict.fromkeys(seen))


def _plan(ctx: Context, order: SignalOrder, snapshot: Snapshot) -> Plan:
    return build(
        Decision(ctx.policy.name, ctx.policy.version, 0, (), ()),
        snapshot,
        {},
        plan_id=ctx.fresh_id("p"),
        created_at_s=ctx.clock.now_s(),
        simulated=ctx.simulated,
        extra_steps=signal_steps(order.signal, order.to),
    )


def _deliveries(ctx: Context, order: SignalOrder, plan: Plan, report: Report) -> tuple[Delivery, ...]:
    records = {record.step.seq: record for record in ctx.journal.steps(report.run_id)}
    errors = {step.seq: _hinted(error) for step, error in (*report.failed, *report.unknown)}
    found = []
    for step, to in zip(plan.steps, order.to, strict=True):
        record = records.get(step.seq)
        sent = record is not None and record.state is StepState.DONE
        told = record.result.get("state") if record is not None and sent else None
        state = ProcessState(told) if isinstance(told, str) and told in list(ProcessState) else None
        error = None if sent else errors.get(step.seq, _not_sent(step))
        found.append(Delivery(to, sent, state, error))
    return tuple(found)


def _not_sent(step: Step) -> GpuallocError:
    return StoppedError(f"interrupted: {step.target} on {step.node} was not sent", node=step.node)


def _hinted(error: GpuallocError) -> GpuallocError:
    if type(error) is not StepError or error.reason not in _HINTS:
        return error
    return StepError(error.message, reason=error.reason, node=error.node, hint=_HINTS[error.reason])
