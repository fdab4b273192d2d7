"""The session that the built-in policies share: filter, score, choose.

The order among places is explicit: first the policy's own scores (lower goes first), then the node's name as text; on
the node the policy's scores of targets, then device index, device UUID, and place of the MIG instance. Nothing else
decides, so the order of the input does not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Problem, Rejection
from gpualloc.model.workload import Workload
from gpualloc.policies.filters import allowed, takes_work
from gpualloc.policies.market import Market
from gpualloc.policies.offer import Candidate, allocate, enough
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

    def free(self, allocation: Allocation) -> None:
        """Give an allocation's room back; one on a node that does not answer has no room here."""
        room = self._market.room(allocation.node)
        if room is not None:
            self._market.put(room.give_back(allocation))

    def room(self, node: str) -> NodeRoom | None:
        """What is left on the node now; None when it did not answer."""
        return self._market.room(node)

    def _choose(self, usable: tuple[Target, ...], count: int) -> tuple[Target, ...]:
        ranked = sorted(usable, key=lambda target: (self._preference.targets(target), target.order))
        return tuple(ranked[:count])
