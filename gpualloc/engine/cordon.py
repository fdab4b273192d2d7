"""Keep new work away from nodes and devices, and let it back; what runs there runs on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from msgspec.structs import replace

from gpualloc.engine.context import Context
from gpualloc.engine.devices import device_of
from gpualloc.engine.observe import check_names, look
from gpualloc.errors import UnreachableError, UsageError
from gpualloc.model.audit import AuditEntry
from gpualloc.model.desired import MAX_REASON_CHARS, Cordon, CordonState
from gpualloc.model.gang import living_parts
from gpualloc.model.inventory import NodeState
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.ports import JournalWriter

Place = tuple[str, str | None]
"""A node, and the UUID of a device on it or None for the node as a whole."""

THERE = (WorkloadState.RUNNING, WorkloadState.SUSPENDED)
"""States of work that lives on a node."""


def cordon(
    ctx: Context, nodes: Sequence[str], device: str | None, reason: str | None, *, wait_s: float = 0.0
) -> tuple[tuple[Cordon, CordonState], ...]:
    """Let the nodes, or one device of one node, take no new work.

    Args:
        ctx: the ports.
        nodes: their names.
        device: index or UUID of a device of the only node named; None is the nodes as a whole.
        reason: what an operator reads wherever the cordon shows; None names who made it.
        wait_s: how long to wait for the apply lock.

    Returns:
        each cordon, and how its place stands now.

    Raises:
        NotFoundError: no such node or device.
        UnreachableError: a device is named by its index, and its node does not answer.
        UsageError: a device of several nodes, or a reason that cannot be shown in a line.
        LockedError: another gpualloc is at work.
    """
    places = places_of(ctx, nodes, device)
    with ctx.journal.write("cordon", wait_s) as writer:
        made = put(ctx, writer, places, reason, drain=False)
        there = ctx.journal.workloads(THERE)
    return tuple((each, state_of(each, there)) for each in made)


def put(
    ctx: Context, writer: JournalWriter, places: Sequence[Place], reason: str | None, *, drain: bool
) -> tuple[Cordon, ...]:
    """As `cordon`, for a command that holds the apply lock; `drain` says that work there is to go, too.

    A place that is cordoned already keeps its reason unless there is a new one, and stays drained.
    """
    now_s = ctx.clock.now_s()
    said = checked_reason(reason)
    before = {(each.node, each.device): each for each in ctx.journal.cordons()}
    made = []
    for place in places:
        new = Cordon(*place, f"by {ctx.actor}", ctx.actor, now_s)
        known = before.get(place, new)
        made.append(replace(known, reason=said or known.reason, drain=drain or known.drain))
    kind = "drain" if drain else "cordon"
    writer.cordon(made, [_entry(kind, ctx, (each.node, each.device), {"reason": each.reason}) for each in made])
    return tuple(made)


def uncordon(
    ctx: Context, nodes: Sequence[str], device: str | None, *, wait_s: float = 0.0
) -> tuple[tuple[Place, bool], ...]:
    """Let the nodes, or one device of one node, take new work again.

    Returns:
        each place, and whether it was cordoned.

    Raises:
        As `cordon`.
    """
    places = places_of(ctx, nodes, device)
    with ctx.journal.write("uncordon", wait_s) as writer:
        there = {(each.node, each.device) for each in ctx.journal.cordons()}
        for place in places:
            if place in there:
                writer.uncordon(*place, [_entry("uncordon", ctx, place, {})])
    return tuple((place, place in there) for place in places)


def places_of(ctx: Context, nodes: Sequence[str], device: str | None) -> tuple[Place, ...]:
    """The nodes as places, or the one device that is named; raises as `cordon`."""
    check_names(ctx, nodes)
    if device is None:
        return tuple((node, None) for node in dict.fromkeys(nodes))
    if len(set(nodes)) != 1:
        raise UsageError("--device is one device of one node", hint="name a single node with it")
    (node,) = look(ctx, nodes[:1]).nodes
    if node.state is NodeState.OK:
        return ((node.name, device_of(node, device).uuid),)
    known = [(each.node, each.device) for each in ctx.journal.cordons()]
    known += [(each.node, each.device) for each in ctx.journal.desired()]
    if (node.name, device) not in known:
        raise UnreachableError(
            f"{node.name} does not answer ({node.state.value}), so which device {device} is cannot be found out",
            hint="cordon the whole node",
            node=node.name,
        )
    return ((node.name, device),)


def checked_reason(reason: str | None) -> str | None:
    """The reason without blanks around it; None when there is none.

    Raises:
        UsageError: it is too long, or holds control characters.
    """
    if reason is None or not reason.strip():
        return None
    if len(reason) > MAX_REASON_CHARS or not reason.isprintable():
        raise UsageError(f"--reason is a line of at most {MAX_REASON_CHARS} printable characters")
    return reason.strip()


def work_at(places: Collection[Place], workloads: Iterable[Workload]) -> tuple[Workload, ...]:
    """The workloads that run or are suspended at one of the places.

    Suspended work is on its node, but on no device.
    """
    found = []
    for workload in workloads:
        if workload.state not in THERE:
            continue
        running = workload.state is WorkloadState.RUNNING
        parts = living_parts(workload)
        held: set[Place] = {(part.node, None) for part in parts}
        held |= {(part.node, grant.device) for part in parts for grant in part.grants if running}
        if held & set(places):
            found.append(workload)
    return tuple(found)


def state_of(cordon: Cordon, workloads: Iterable[Workload]) -> CordonState:
    """How a cordoned place stands, given all work that is not ended."""
    if not cordon.drain:
        return CordonState.CORDONED
    there = work_at([(cordon.node, cordon.device)], workloads)
    return CordonState.DRAINING if there else CordonState.DRAINED


def _entry(kind: str, ctx: Context, place: Place, detail: dict[str, object]) -> AuditEntry:
    node, device = place
    return AuditEntry(ctx.clock.now_s(), kind, ctx.actor, None, node, {"device": device, **detail})
