"""What is told of a waiting workload: what it gets now, and why."""

from __future__ import annotations

from msgspec import Struct

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Ranked, Rejection
from gpualloc.model.objective import Objective
from gpualloc.model.workload import Workload
from gpualloc.policies.remedies import Remedy
from gpualloc.policies.why import Obstacle


class Explanation(Struct, frozen=True):
    """What a waiting workload gets now, and why."""

    workload: Workload
    answer: Allocation | Rejection
    """As a plan made now would have it."""
    ahead: tuple[str, ...]
    """Ids of the waiting workloads that go before it."""
    nodes: int
    """How many nodes there are."""
    ranked: tuple[Ranked, ...] = ()
    """The places that the policy likes best, the best first; empty when there is none, or it does not tell."""
    obstacles: tuple[Obstacle, ...] = ()
    """What keeps it from each node that cannot hold it now; of a gang, its smallest member."""
    remedies: tuple[Remedy, ...] = ()
    """What would make it fit; empty when it has a place, and for gangs, of which that is not known."""
    layouts: tuple[str, ...] = ()
    """The changes of MIG layouts that make its place, in words."""
    objective: Objective = Objective.BALANCED
    """What places are chosen for."""

    @property
    def fitting(self) -> int:
        """On how many nodes it fits now."""
        return self.nodes - sum(len(each.nodes) for each in self.obstacles)

    @property
    def overruled(self) -> Ranked | None:
        """The place with the highest score, where the objective took another one; None when the score decided."""
        if not self.ranked or not isinstance(self.answer, Allocation) or self.answer.node != self.ranked[0].node:
            return None
        best = max(self.ranked, key=lambda each: each.score)
        return best if best.score > self.ranked[0].score else None
