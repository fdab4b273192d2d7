"""Why a gang gets no place: one reason from the enum, one sentence with what comes closest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from gpualloc.model.decision import Rejection, RejectionReason
from gpualloc.model.inventory import Node, NodeState, Snapshot
from gpualloc.model.workload import Request, Workload
from gpualloc.policies.filters import allowed, conceivable
from gpualloc.policies.gangs import place_gang
from gpualloc.policies.offer import Offer, offer, shortages
from gpualloc.policies.survey import idle_room, open_room
from gpualloc.policies.wording import joined, need


def reject_gang(snapshot: Snapshot, offers: Mapping[str, Offer], workload: Workload) -> Rejection:
    """Why the gang fits nowhere; the reasons come in the same order as those of work on one node.

    Args:
        snapshot: all nodes, those that do not answer too.
        offers: what each node that answers offers now, by name.
        workload: what got no place.
    """
    request = workload.request
    nodes = [node for node in snapshot.nodes if conceivable(node, request)]
    reached = [node for node in nodes if node.state is NodeState.OK and allowed(node, request)]
    managed = [node for node in reached if node.manageable]
    wanted = f"needs {need(request)}"
    if could_hold_gang(managed, request):
        now = [offers[node.name] for node in managed]
        opened = {found.node: offer(open_room(found.room), request) for found in now}
        reason, detail = _no_room([found for found in now if found.room.node.cordon is None], request)
        if place_gang(opened, request) is not None:
            reason, detail = RejectionReason.RESERVED, f"{detail}; but for cordons it would fit"
    elif could_hold_gang(reached, request):
        others = sorted(node.name for node in reached if not node.manageable)
        reason, detail = RejectionReason.POLICY, f"it would need {joined(others)}, which gpualloc just observes"
    elif len(reached) < len(nodes):
        down = sorted(_silent(node) for node in nodes if node not in reached)
        reason, detail = RejectionReason.NODE_DOWN, f"no answer from {joined(down)}"
    else:
        reason, detail = RejectionReason.INFEASIBLE, most_of_gang(reached, request)
    return Rejection(workload.id, reason, f"{wanted}; {detail}")


def _silent(node: Node) -> str:
    """A node that does not answer, or does not tell whether a path is there."""
    return f"{node.name} ({node.state.value if node.state is not NodeState.OK else 'a path is not known to be there'})"


def could_hold_gang(nodes: Iterable[Node], request: Request) -> bool:
    """Whether the nodes could hold the gang if they were empty and healthy."""
    return place_gang({node.name: offer(idle_room(node), request) for node in nodes}, request) is not None


def most_of_gang(nodes: Sequence[Node], request: Request) -> str:
    """The most that the nodes could have for the gang if they were empty and healthy, in words."""
    return f"{_most([offer(idle_room(node), request) for node in nodes], request)} even when all is free"


def _no_room(offers: Sequence[Offer], request: Request) -> tuple[RejectionReason, str]:
    free = sum(len(found.usable) for found in offers)
    reason = RejectionReason.NO_CAPACITY if free < request.gpus else RejectionReason.FRAGMENTED
    return reason, _most(offers, request)


def _most(offers: Sequence[Offer], request: Request) -> str:
    """How many devices a gang could have now, on how many nodes: only where a member fits."""
    least = request.per_node or 1
    fit = [found for found in offers if len(found.usable) >= least and not shortages(found, replace(request, gpus=0))]
    gpus = sum(len(found.usable) for found in fit)
    where = f"on {len(fit)} nodes" if len(fit) != 1 else f"on {fit[0].node}"
    free = sum(len(found.usable) for found in offers)
    rest = f", {free - gpus} more where no member fits" if free > gpus else ""
    return f"{gpus} free {where}{rest}"
