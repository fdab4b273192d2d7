"""Steps that take a running process in, and that let it go again."""

from __future__ import annotations

from gpualloc.model.allocation import Allocation
from gpualloc.model.inventory import Snapshot
from gpualloc.model.plan import ProcessTarget, Step, StepKind, StepReason
from gpualloc.model.workload import Workload
from gpualloc.planning.order import ordered
from gpualloc.planning.steps import ending_chain, giving_chain
from gpualloc.planning.target import limits_text


def adoption_steps(
    workload: Workload, allocation: Allocation, process: ProcessTarget, snapshot: Snapshot
) -> tuple[Step, ...]:
    """Claim what the process uses, make its group with the limits, take it in: all of it, or none left in force."""
    kinds = []
    if allocation.grants:
        kinds.append((StepKind.CLAIM, f"process {process.pid} of {workload.owner} uses it"))
    limits = limits_text(allocation)
    kinds.append((StepKind.LIMIT, f"it is held to {limits}" if limits else "it gets a group of its own"))
    kinds.append((StepKind.ADOPT, f"process {process.pid} of {workload.owner}, with all below it"))
    return ordered(giving_chain(kinds, allocation, workload, snapshot, reason=StepReason.OPERATOR, process=process))


def let_go_steps(workload: Workload) -> tuple[Step, ...]:
    """Take adopted work out of its group and give back what it claimed; it runs on. Nothing without an allocation."""
    allocation = workload.allocation
    if allocation is None:
        return ()
    kinds = [(StepKind.LET_GO, f"process {workload.pid} of {workload.owner} runs on, held by nothing")]
    if allocation.grants:
        kinds.append((StepKind.UNCLAIM, "what it uses counts as a stranger's from now on"))
    kinds.append((StepKind.UNLIMIT, "its control group is no longer needed"))
    return ending_chain(kinds, allocation, workload, StepReason.OPERATOR)
