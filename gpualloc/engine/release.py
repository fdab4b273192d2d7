"""Take work back: waiting work is withdrawn, running work is stopped and its devices are freed."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from gpualloc.engine.apply import apply_locked, failure
from gpualloc.engine.chain import OnStep
from gpualloc.engine.context import Context
from gpualloc.engine.observe import observe
from gpualloc.engine.plan import release_plan
from gpualloc.engine.recover import recover
from gpualloc.engine.settle import catch_up_locked, unseen
from gpualloc.errors import UnreachableError
from gpualloc.model.audit import AuditEntry
from gpualloc.model.gang import living_parts
from gpualloc.model.inventory import NodeState, Snapshot
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.ports import JournalWriter


def release(
    ctx: Context, references: Sequence[str], *, wait_s: float = 0.0, on_step: OnStep | None = None
) -> tuple[Workload, ...]:
    """Release the workloads; those that ended already are left as they are.

    Returns:
        the workloads in the state they are in now, in the order asked.

    Raises:
        NotFoundError: a reference names no workload, or several.
        UnreachableError: a node with one of them does not answer; nothing was released there. Of a gang the members on
            nodes that answer are released.
        GpuallocError: a step failed, as `engine.apply.failure` words it.
    """
    wanted = [ctx.journal.find(reference).id for reference in references]
    with ctx.journal.write("release", wait_s) as writer:
        recover(ctx, writer, on_step)
        _withdraw(ctx, writer, wanted)
        running = _running(ctx, wanted)
        if running:
            snapshot = observe(ctx, sorted({part.node for work in running for part in living_parts(work)}))
            need_nodes(_needed(snapshot, running), "released")
            catch_up_locked(ctx, writer, snapshot)
            running = _running(ctx, wanted)
            need_seen(running, snapshot)
        if running:
            report = apply_locked(ctx, writer, release_plan(ctx, running, snapshot), on_step)
            error = failure(report) or _unreached(snapshot, running)
            if error is not None:
                raise error
    return tuple(ctx.journal.find(workload) for workload in wanted)


def _needed(snapshot: Snapshot, running: Sequence[Workload]) -> Snapshot:
    """The nodes that must answer: all but those of gangs of which another one answers."""
    reached = {node.name for node in snapshot.reached}
    parts = [part for work in running for part in living_parts(work)]
    partly = {work.id for work in running if work.request.gang}
    partly &= {part.workload for part in parts if part.node in reached}
    spared = {part.node for part in parts if part.workload in partly}
    spared -= {part.node for part in parts if part.workload not in partly}
    return replace(snapshot, nodes=tuple(node for node in snapshot.nodes if node.name not in spared))


def _unreached(snapshot: Snapshot, released: Sequence[Workload]) -> UnreachableError | None:
    """What is left of gangs on nodes that do not answer; None when nothing is."""
    reached = {node.name for node in snapshot.reached}
    left = [part for work in released for part in living_parts(work) if part.node not in reached]
    if not left:
        return None
    return UnreachableError(
        f"{left[0].node} does not answer, so the member of {left[0].workload} there may run on",
        hint="the first apply or rebalance after the node is back ends it",
        node=left[0].node,
    )


def _withdraw(ctx: Context, writer: JournalWriter, wanted: Sequence[str]) -> None:
    now_s = ctx.clock.now_s()
    withdrawn = []
    for identity in dict.fromkeys(wanted):
        workload = ctx.journal.find(identity)
        if workload.state is WorkloadState.PENDING:
            withdrawn.append(
                replace(
                    workload,
                    state=WorkloadState.RELEASED,
                    reason="released before it started",
                    revision=workload.revision + 1,
                    ended_at_s=now_s,
                )
            )
    if withdrawn:
        writer.save(
            withdrawn,
            [
                AuditEntry(at_s=now_s, kind="release", actor=ctx.actor, workload=work.id, node=None)
                for work in withdrawn
            ],
        )


def _running(ctx: Context, wanted: Sequence[str]) -> list[Workload]:
    found = [ctx.journal.find(identity) for identity in dict.fromkeys(wanted)]
    return [workload for workload in found if workload.state in (WorkloadState.RUNNING, WorkloadState.SUSPENDED)]


def need_seen(workloads: Sequence[Workload], snapshot: Snapshot) -> None:
    """Refuse to end work that the program of its node knows nothing of.

    Raises:
        UnreachableError: another program of that node started it.
    """
    for workload in workloads:
        for part in living_parts(workload):
            reason = unseen(workload, part, snapshot)
            if reason is not None:
                raise UnreachableError(
                    f"{part.node}: {workload.id}: {reason}",
                    hint="reach the node as before: as the same account, with root's program installed as it was",
                    node=part.node,
                )


def need_nodes(snapshot: Snapshot, done: str) -> None:
    """Refuse when a node of the snapshot did not answer; `done` is what cannot be, such as `released`.

    Raises:
        UnreachableError: names the node.
    """
    for node in snapshot.nodes:
        if node.state is not NodeState.OK:
            raise UnreachableError(
                f"{node.name} does not answer ({node.state.value}), so nothing can be {done} there",
                hint="its work stays as it is until the node is back",
                node=node.name,
            )
