"""First fit: the first node by name, the first devices by index."""

from __future__ import annotations

from gpualloc.model.decision import Problem
from gpualloc.policies.session import Preference, RoomSession

_NO_PREFERENCE = Preference(nodes=lambda _: (), targets=lambda _: ())


class FirstFit:
    """Takes the first place that fits, in the order of node names and device indices."""

    name = "first-fit"
    version = "1"

    def begin(self, problem: Problem) -> RoomSession:
        """Start deciding the problem."""
        return RoomSession(problem, _NO_PREFERENCE)
