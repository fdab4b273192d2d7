"""Look at the fleet once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec.structs import replace

from gpualloc.engine.context import Context
from gpualloc.engine.doubt import doubtful_nodes
from gpualloc.errors import NotFoundError, UnreachableError
from gpualloc.model.desired import Cordon
from gpualloc.model.inventory import Node, NodeState, Snapshot
from gpualloc.model.workload import WorkloadState
from gpualloc.ports import Watch

DOUBTFUL = "doubtful"
"""What the reason of a node begins with where it is not known what an interrupted run has done."""


def seen(ctx: Context, names: Sequence[str] | None = None, near: Sequence[str] = ()) -> Iterator[Node]:
    """Each node as it answers or fails, saying why it, or a device of it, takes no new work; as `look`."""
    yield from _marked(ctx, ctx.fleet.observe(names, near))


class Listening:
    """Looks, one after the other, over nodes that tell of themselves.

    Args:
        ctx: the ports.
        watch: what tells.
        every_s: longest time of one look, seconds.
    """

    def __init__(self, ctx: Context, watch: Watch, every_s: float) -> None:
        self._ctx = ctx
        self._watch = watch
        self._every_s = every_s
        self._names = frozenset(spec.name for spec in ctx.fleet.specs())
        self._failing: dict[str, Node] = {}

    def look(self) -> Iterator[Node]:
        """Each node as it tells of itself, until all did or the time is over; one that is failing still fails."""
        yield from _marked(self._ctx, self._hear())

    def _hear(self) -> Iterator[Node]:
        waiting = set(self._names)
        until_s = time.monotonic() + self._every_s
        while waiting and (left_s := until_s - time.monotonic()) > 0:
            for node in self._watch.hear(left_s):
                waiting.discard(node.name)
                if node.state is NodeState.OK:
                    self._failing.pop(node.name, None)
                else:
                    self._failing[node.name] = node
                yield node
            if waiting == self._failing.keys():
                break
        yield from (self._failing[name] for name in sorted(waiting & self._failing.keys()))


def _marked(ctx: Context, nodes: Iterable[Node]) -> Iterator[Node]:
    """The nodes, saying why they, or devices of them, take no new work."""
    cordons = ctx.journal.cordons()
    doubts = doubtful_nodes(ctx)
    for node in nodes:
        own = [cordon for cordon in cordons if cordon.node == node.name]
        yield _cordoned(node, own, doubts.get(node.name))


def look(
    ctx: Context,
    names: Sequence[str] | None = None,
    progress: Callable[[Node], None] | None = None,
    near: Sequence[str] = (),
) -> Snapshot:
    """See all nodes, or those named, at once; failing nodes are data in the snapshot, even if all fail.

    Args:
        ctx: the ports.
        names: node names; None is every node.
        progress: called with each node as it arrives.
        near: paths that each node is asked for; what is not asked for is not known to be there.

    Raises:
        NotFoundError: a name is not in the fleet.
    """
    check_names(ctx, names or ())
    nodes = []
    for node in seen(ctx, names, near):
        nodes.append(node)
        if progress is not None:
            progress(node)
    return Snapshot(at_s=ctx.clock.now_s(), nodes=tuple(sorted(nodes, key=lambda node: node.name)))


def observe(
    ctx: Context,
    names: Sequence[str] | None = None,
    progress: Callable[[Node], None] | None = None,
    near: Sequence[str] = (),
) -> Snapshot:
    """As `look`, for those who can do nothing without a node.

    Raises:
        NotFoundError: a name is not in the fleet.
        UnreachableError: not one of the nodes answered.
    """
    snapshot = look(ctx, names, progress, near)
    if snapshot.nodes and not snapshot.reached:
        raise UnreachableError(
            "no node answered: " + "; ".join(complaint(node) for node in snapshot.nodes[:8]),
            hint="gpualloc doctor says what is wrong with each node",
            node=snapshot.nodes[0].name if len(snapshot.nodes) == 1 else None,
        )
    return snapshot


def wanted_paths(ctx: Context) -> tuple[str, ...]:
    """The paths that waiting work asks for, each once, those of the oldest work first."""
    waiting = ctx.journal.workloads((WorkloadState.PENDING,))
    return tuple(dict.fromkeys(path for workload in waiting for path in workload.request.near))


def check_names(ctx: Context, names: Sequence[str]) -> None:
    """Refuse node names that are not in the fleet.

    Raises:
        NotFoundError: names the unknown node and the nearest known one.
    """
    known = [spec.name for spec in ctx.fleet.specs()]
    for name in names:
        if name not in known:
            from difflib import get_close_matches

            near = get_close_matches(name, known, n=1)
            raise NotFoundError(
                f"there is no node {name!r} in the fleet",
                hint=f"did you mean {near[0]!r}?" if near else "gpualloc nodes lists the nodes",
            )


def _cordoned(node: Node, cordons: Sequence[Cordon], doubt: str | None) -> Node:
    reasons = {cordon.device: cordon.reason for cordon in cordons}
    if doubt is not None:
        reasons[None] = f"{DOUBTFUL}: {doubt}"
    if not reasons:
        return node
    devices = tuple(
        replace(device, cordon=reasons[device.uuid]) if device.uuid in reasons else device for device in node.devices
    )
    return replace(node, cordon=reasons.get(None), devices=devices)


def complaint(node: Node) -> str:
    """How a node stands, in one line; may hold text that it sent."""
    return f"{node.name}: {node.state.value}" + (f" ({node.reason})" if node.reason else "")
