"""Random: any node on which the request fits, each as likely, and on it any device for a part of one.

The baseline of Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient
Descent", USENIX ATC 2023. The lot is drawn from the seed of the problem and the workload, not from what came before.
"""

from __future__ import annotations

from gpualloc.model.decision import Problem
from gpualloc.policies.first_fit import indifferent
from gpualloc.policies.instances import ANY
from gpualloc.policies.session import BoardSession, Taste


class Random:
    """Takes any node that fits, and on it any device, by lot; of MIG instances the first."""

    name = "random"
    version = "1"

    def begin(self, problem: Problem) -> BoardSession:
        """Start deciding the problem."""
        return BoardSession(problem, Taste(indifferent, ANY, by_lot=True))
