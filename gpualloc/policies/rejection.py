"""Why a request gets nothing now: one reason from the enum, one sentence with what comes closest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set

from gpualloc.model.decision import Rejection, RejectionReason
from gpualloc.model.inventory import Node, NodeState, Snapshot
from gpualloc.model.workload import Request, Workload
from gpualloc.policies.ask import Ask
from gpualloc.policies.board import Board
from gpualloc.policies.feasibility import closest
from gpualloc.policies.filters import allowed, conceivable, cordoned
from gpualloc.policies.offer import Offer, enough, offer, shortages
from gpualloc.policies.survey import open_room
from gpualloc.policies.wording import have, joined, need


def reject(snapshot: Snapshot, offers: Mapping[str, Offer], able: Set[str], workload: Workload) -> Rejection:
    """Why the workload fits nowhere.

    Args:
        snapshot: all nodes, those that do not answer too.
        offers: what each node that answers offers now, by name.
        able: names of the nodes that could hold the request if they were empty and healthy.
        workload: what got no place.

    Nodes with another name, other labels, or without a path asked for do not count. In this order: a managed node
    could hold it when empty (reserved when it could do so now but for a cordon, or when every such node is cordoned;
    else fragmented, else no capacity); an observed node could (policy); a node that does not answer, or does not tell
    whether a path is there, might (node down); nothing could (infeasible).
    """
    request = workload.request
    nodes = [node for node in sorted(snapshot.nodes, key=lambda node: node.name) if conceivable(node, request)]
    reached = [node for node in nodes if node.state is NodeState.OK and allowed(node, request)]
    holders = [node for node in reached if node.name in able]
    if any(node.manageable for node in holders):
        managed = [offers[node.name] for node in reached if node.manageable]
        held_back = _cordoned(managed, able, request)
        reason, detail = held_back or _no_room(managed, able, request)
    elif holders:
        reason, detail = RejectionReason.POLICY, _observed(holders, request)
    elif len(reached) < len(nodes):
        reason, detail = RejectionReason.NODE_DOWN, _down(nodes, request)
    else:
        reason, detail = RejectionReason.INFEASIBLE, f"needs {need(request)}: {closest(snapshot, request).detail}"
    return Rejection(workload.id, reason, detail)


def reject_briefly(board: Board, ask: Ask, workload: str) -> Rejection:
    """The reason alone, from the board: for simulations of many thousand arrivals."""
    if not ask.conceivable:
        return Rejection(workload, RejectionReason.INFEASIBLE, "")
    in_sum = int(board.free.sum()) >= ask.shape.gpu_milli and int(board.cpu.sum()) >= ask.shape.cpu_milli
    return Rejection(workload, RejectionReason.FRAGMENTED if in_sum else RejectionReason.NO_CAPACITY, "")


def _cordoned(offers: Sequence[Offer], able: Set[str], request: Request) -> tuple[RejectionReason, str] | None:
    """What to say when only a cordon keeps the request from its place; None when it is not that."""
    holders = [found for found in offers if found.node in able]
    now = [found for found in holders if _but_for_cordons(found, request)]
    if now:
        return RejectionReason.RESERVED, f"needs {need(request)}; {_on_cordon(now, 'could hold it')}"
    if all(found.room.node.cordon is not None for found in holders):
        return RejectionReason.RESERVED, f"needs {need(request)}; {_on_cordon(holders, 'could hold it when free')}"
    return None


def _but_for_cordons(found: Offer, request: Request) -> bool:
    closed = found.room.node.cordon is not None or any(room.device.cordon is not None for room in found.room.devices)
    return closed and enough(offer(open_room(found.room), request), request)


def _on_cordon(offers: Sequence[Offer], could: str) -> str:
    """The first of the nodes with its cordon, or those of its devices, and how many more there are."""
    first, *more = offers
    others = f"; so are {len(more)} more nodes" if len(more) > 1 else "; so is another node" if more else ""
    return f"{first.node} {could}, but {_closed(first)}{others}"


def _closed(found: Offer) -> str:
    if found.room.node.cordon is not None:
        return f"is {cordoned(found.room.node.cordon)}"
    devices = [room.device for room in found.room.devices]
    said = [f"its GPU {device.index} is {cordoned(device.cordon)}" for device in devices if device.cordon is not None]
    return joined(said)


def _no_room(offers: Sequence[Offer], able: Set[str], request: Request) -> tuple[RejectionReason, str]:
    best = min(offers, key=lambda found: (found.node not in able, *_distance(found, request), found.node))
    detail = f"needs {need(request)} on one node; the closest is {have(best, request)}"
    if not _fits_in_sum(offers, request):
        return RejectionReason.NO_CAPACITY, detail
    return RejectionReason.FRAGMENTED, f"{detail}; enough is free in sum, but not together"


def _distance(found: Offer, request: Request) -> tuple[int, int]:
    return len(shortages(found, request)), -len(found.usable)


def _fits_in_sum(offers: Sequence[Offer], request: Request) -> bool:
    """Whether all nodes with the wanted CPU list together have enough of everything."""
    useful = [found for found in offers if "cpuset" not in shortages(found, request)]
    gpus = sum(len(found.usable) for found in useful)
    cpus = math.fsum(found.room.cpus_free or 0.0 for found in useful)
    memory_mib = sum(found.room.memory_free_mib or 0 for found in useful)
    return gpus >= request.gpus and cpus >= (request.cpus or 0.0) and memory_mib >= (request.memory_mib or 0)


def _observed(holders: Sequence[Node], request: Request) -> str:
    owners = [f"{node.name} ({_owner(node)})" for node in holders]
    return f"needs {need(request)}, which only nodes that gpualloc just observes could hold: {joined(owners)}"


def _owner(node: Node) -> str:
    return f"owned by {', '.join(node.other_controllers)}" if node.other_controllers else "manage = false"


def _down(nodes: Sequence[Node], request: Request) -> str:
    down = [f"{node.name} ({node.state.value})" for node in nodes if node.state is not NodeState.OK]
    silent = [f"no answer from {joined(down)}"] if down else []
    for path in request.near:
        doubtful = [node.name for node in nodes if node.state is NodeState.OK and node.near.get(path) is None]
        silent += [f"no word from {joined(doubtful)} whether {path} is there"] if doubtful else []
    known = any(node.state is NodeState.OK and allowed(node, request) for node in nodes)
    others = " and no node that answers could ever hold it" if known else ""
    return f"needs {need(request)}; {', '.join(silent)}{others}"
