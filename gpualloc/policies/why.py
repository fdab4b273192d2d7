"""Why a request fits nowhere: what keeps each node from holding it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.model.inventory import NodeState, Snapshot
from gpualloc.model.workload import Request
from gpualloc.policies.hurdles import hurdles
from gpualloc.policies.room import NodeRoom


class Obstacle(Struct, frozen=True):
    """What keeps some nodes from holding a request."""

    reasons: tuple[str, ...]
    """Such as `GPUs given to other work`. Without all of them the request fits there, and not without all but one."""
    nodes: tuple[str, ...]
    """The nodes it keeps out, by name."""


def one_of(request: Request) -> Request:
    """What the smallest member of a gang needs of its node; any other request as it is."""
    return replace(request, gang=False, per_node=None, gpus=request.per_node or 1) if request.gang else request


def obstacles(snapshot: Snapshot, rooms: Mapping[str, NodeRoom], request: Request) -> tuple[Obstacle, ...]:
    """What keeps each node from holding the request; those that keep out most nodes first. Nodes that could hold it
    are left out, each other node is in one of them. Of a gang it is what keeps out its smallest member.

    Args:
        snapshot: all nodes, those that do not answer too.
        rooms: what is left on the nodes that answer, by name.
        request: what is asked for.
    """
    asked = one_of(request)
    found: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for node in sorted(snapshot.nodes, key=lambda node: node.name):
        room = rooms.get(node.name)
        if room is None or node.state is not NodeState.OK:
            found[f"does not answer ({node.state.value})",].append(node.name)
        elif reasons := hurdles(room, asked):
            found[reasons].append(node.name)
    ranked = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(Obstacle(reasons, tuple(names)) for reasons, names in ranked)
