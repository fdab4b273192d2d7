"""The objectives by name."""

from __future__ import annotations

from collections.abc import Collection

from gpualloc.model.decision import Problem
from gpualloc.model.objective import Objective
from gpualloc.policies.objectives.aim import Aim
from gpualloc.policies.objectives.cost import Cost
from gpualloc.policies.objectives.energy import Energy
from gpualloc.policies.objectives.jct import Jct
from gpualloc.policies.room import NodeRoom


def aim_of(problem: Problem, rooms: Collection[NodeRoom]) -> Aim | None:
    """What the problem is to be decided for; None when the policy decides alone.

    Args:
        problem: what is to be decided.
        rooms: what is left on its nodes before anything is decided.
    """
    match problem.objective:
        case Objective.COST:
            return Cost(rooms)
        case Objective.JCT:
            return Jct(rooms, problem.requests)
        case Objective.ENERGY:
            return Energy(rooms)
    return None
