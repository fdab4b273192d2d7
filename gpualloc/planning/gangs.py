"""Where the members of a gang meet: an address, a port that no other gang there has, and an interface. Pure."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Set

from msgspec.structs import replace

from gpualloc.model.allocation import Allocation, Gang
from gpualloc.model.decision import Decision, Rejection, RejectionReason
from gpualloc.model.gang import with_members
from gpualloc.model.inventory import Node, Snapshot
from gpualloc.model.workload import Workload

LOOPBACK = "127.0.0.1"
_HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
"""What a node says of itself is told to other nodes, so it is taken for its name only when it can be one."""


def with_meeting_points(
    decision: Decision, workloads: Iterable[Workload], snapshot: Snapshot, ports: tuple[int, int]
) -> Decision:
    """The decision with address, port and interfaces of each gang; a gang for which no port is left is refused.

    The port depends on the workload and on which start of it this is, so that a start that failed because a stranger
    has the port is followed by one on another.

    Args:
        decision: what the policy made of it.
        workloads: all work that has not ended.
        snapshot: what was seen.
        ports: the first and the last that may be used.
    """
    known = {workload.id: workload for workload in workloads}
    taken = {pair for workload in known.values() if (pair := _met_at(workload)) is not None}
    kept, refused = [], []
    for allocation in decision.allocations:
        if allocation.gang is None:
            kept.append(allocation)
            continue
        attempt = known[allocation.workload].attempt + 1
        port = _free_port(f"{allocation.workload}/{attempt}", allocation.node, taken, ports)
        if port is None:
            detail = f"every port of {ports[0]}-{ports[1]} on {allocation.node} is given to another gang"
            refused.append(Rejection(allocation.workload, RejectionReason.NO_CAPACITY, detail))
            continue
        taken.add((allocation.node, port))
        kept.append(_meeting(allocation, allocation.gang, snapshot, port))
    return replace(decision, allocations=tuple(kept), rejections=(*decision.rejections, *refused))


def _met_at(workload: Workload) -> tuple[str, int] | None:
    """Node and port that a gang has; None for other work."""
    gang = workload.allocation.gang if workload.allocation is not None else None
    return None if gang is None or gang.port is None else (gang.members[0].node, gang.port)


def _free_port(key: str, node: str, taken: Set[tuple[str, int]], ports: tuple[int, int]) -> int | None:
    first, last = ports
    count = last - first + 1
    start = zlib.crc32(key.encode())
    order = (first + (start + offset) % count for offset in range(count))
    return next((port for port in order if (node, port) not in taken), None)


def _meeting(allocation: Allocation, gang: Gang, snapshot: Snapshot, port: int) -> Allocation:
    nodes = {node.name: node for node in snapshot.nodes}
    members = [replace(each, interface=nodes[each.node].spec.interface) for each in gang.members]
    address = LOOPBACK if gang.size == 1 else _address(nodes[allocation.node])
    return with_members(replace(allocation, gang=replace(gang, address=address, port=port)), members)


def _address(node: Node) -> str:
    """As configured, else the host name that the node tells, else what the configuration calls it."""
    if node.spec.address is not None:
        return node.spec.address
    return node.hostname if node.hostname and _HOST_NAME.fullmatch(node.hostname) else node.name
