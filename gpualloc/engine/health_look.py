"""Look at the fleet and say what is wrong with it now."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from gpualloc.engine.context import Context
from gpualloc.engine.events import look_back
from gpualloc.engine.health import worst_first
from gpualloc.engine.observe import check_names, look
from gpualloc.errors import GpuallocError, LockedError, NotFoundError, StateError
from gpualloc.model.health import Condition, Severity
from gpualloc.model.inventory import Node, Snapshot

DAY_S = 86_400.0


class Health(Struct, frozen=True):
    """How the nodes stand."""

    snapshot: Snapshot
    conditions: tuple[Condition, ...]
    """Those that are told, worst first."""
    indices: dict[str, int | None]
    """Index of each device that is there or expected, by UUID."""
    recent: int
    """Events of severity error or worse that began in the last day."""
    unkept: GpuallocError | None
    """Why it could not be kept for the next look; None when it was."""

    def at_least(self, severity: Severity) -> tuple[Condition, ...]:
        """The conditions of this severity or worse."""
        return tuple(condition for condition in self.conditions if condition.severity.rank >= severity.rank)


def look_at_health(
    ctx: Context, names: Sequence[str] | None = None, progress: Callable[[Node], None] | None = None
) -> Health:
    """Look at all nodes, or those named, judge them with what is kept, and keep what came of it.

    Where that cannot be kept, it is told all the same.

    Raises:
        NotFoundError: a name is not in the fleet.
    """
    snapshot = look(ctx, names, progress)
    looked = look_back(ctx, snapshot.nodes)
    unkept: GpuallocError | None = None
    looked_at = frozenset(node.name for node in snapshot.nodes)
    told = ctx.events.conditions(looked_at) if looked is None else looked.conditions
    if looked is not None:
        try:
            ctx.events.keep(looked)
        except (StateError, LockedError) as error:
            unkept = error
    heard = {**ctx.events.heard(looked_at), **{each.node: each for each in (looked.heard if looked else ())}}
    recent = [
        event
        for event in ctx.events.events(snapshot.at_s - DAY_S, least=Severity.ERROR)
        if event.node in looked_at and not event.over
    ]
    indices = {device.uuid: device.index for each in heard.values() for device in each.devices}
    return Health(
        snapshot=snapshot,
        conditions=worst_first((condition for condition in told if condition.confirmed), indices),
        indices=indices,
        recent=len(recent),
        unkept=unkept,
    )


def forget(ctx: Context, node: str, part: str) -> str:
    """No longer expect a GPU (its UUID, or the index it had) or a port of a node; returns its UUID or name.

    Raises:
        NotFoundError: there is no such node, or nothing of that name is expected there.
        StateError: it cannot be kept.
    """
    check_names(ctx, (node,))
    heard = ctx.events.heard((node,)).get(node)
    by_index = {str(device.index): device.uuid for device in (heard.devices if heard else ())}
    name = by_index.get(part, part)
    if not ctx.events.forget(node, name):
        raise NotFoundError(
            f"nothing called {part!r} is expected on {node}",
            hint="name a GPU by UUID or index, or a network port; `gpualloc health` names what is missing",
            node=node,
        )
    return name
