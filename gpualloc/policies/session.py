"""The session that the built-in policies share: filter, score, choose.

The order among places is explicit: first the policy's own scores (lower goes first), then the node's name as text; on
the node the policy's scores of targets, then device index, device UUID, and place of the MIG instance. Nothing else
decides, so the order of the input does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Problem, Rejection
from gpualloc.model.workload import Workload
from gpualloc.policies.filters import allowed, takes_work
from gpualloc.policies.gang_rejection import reject_gang
from gpualloc.policies.gangs import gang_allocation, place_gang
from gpualloc.policies.market import Market
from gpualloc.policies.offer import Candidate, Offer, allocate, enough
from gpualloc.policies.rejection import reject
from gpualloc.policies.room import NodeRoom, Target
from gpualloc.policies.survey import survey

Scores = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Preference:
    """What a policy likes better; all that tells one built-in from another."""

    nodes: Callable[[Candidate], Scores]
    """Scores of a node with the targets that would be taken there."""
    targets: Callable[[Target], Scores]
    """Scores of one device or MIG instance."""


class RoomSession:
    """One problem being decided, with the room that is left after each placement."""

    def __init__(self, problem: Problem, preference: Preference) -> None:
        self._snapshot = problem.snapshot
        self._preference = preference
        self._market = Market(survey(problem))

    def place(self, workload: Workload) -> Allocation | Rejection:
        """Give the workload the place the policy likes best among those that fit, or say why there is none."""
        request = workload.request
        offers = self._market.offers(request)
        if request.gang:
            return self._place_gang(workload, offers)
        candidates = [
            Candidate(found.room, request, found.usable, self._choose(found.usable, request.gpus))
            for found in offers.values()
            if takes_work(found.room.node) and allowed(found.room.node, request) and enough(found, request)
        ]
        if not candidates:
            return reject(self._snapshot, offers, self._market.able(request), workload)
        best = min(candidates, key=lambda found: (self._preference.nodes(found), found.room.node.name))
        allocation = allocate(workload.id, best)
        self._market.put(best.room.book(allocation))
        return allocation

    def _place_gang(self, workload: Workload, offers: Mapping[str, Offer]) -> Allocation | Rejection:
        """Give all members a place, or none."""
        request = workload.request
        usable = {
            name: found
            for name, found in offers.items()
            if takes_work(found.room.node) and allowed(found.room.node, request)
        }
        candidates = place_gang(usable, request)
        if candidates is None:
            return reject_gang(self._snapshot, offers, workload)
        allocation = gang_allocation(workload.id, candidates)
        for candidate, part in zip(candidates, allocation.parts, strict=True):
            self._market.put(candidate.room.book(part))
        return allocation

    def free(self, allocation: Allocation) -> None:
        """Give an allocation's room back; what is on a node that does not answer has no room here."""
        for part in allocation.parts:
            room = self._market.room(part.node)
            if room is not None:
                self._market.put(room.give_back(part))

    def room(self, node: str) -> NodeRoom | None:
        """What is left on the node now; None when it did not answer."""
        return self._market.room(node)

    def _choose(self, usable: tuple[Target, ...], count: int) -> tuple[Target, ...]:
        ranked = sorted(usable, key=lambda target: (self._preference.targets(target), target.order))
        return tuple(ranked[:count])
