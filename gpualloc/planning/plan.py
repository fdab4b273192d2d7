"""A decision made into a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpualloc.model.decision import Decision
from gpualloc.model.inventory import Snapshot
from gpualloc.model.plan import Plan, Step
from gpualloc.model.workload import Workload
from gpualloc.planning.base import base_digest, base_facts
from gpualloc.planning.budget import Cap, cap_steps, resting_on_caps
from gpualloc.planning.moving import resting_on_moves
from gpualloc.planning.order import joined
from gpualloc.planning.partition import Partition, partition_steps, resting_on_layouts
from gpualloc.planning.steps import steps_for


def build(
    decision: Decision,
    snapshot: Snapshot,
    workloads: Mapping[str, Workload],
    *,
    plan_id: str,
    created_at_s: float,
    simulated: bool,
    extra_steps: Sequence[Step] = (),
    partitions: Sequence[Partition] = (),
    caps: Sequence[Cap] = (),
) -> Plan:
    """The plan that brings the decision about, bound to the facts it rests on.

    Args:
        decision: what to allocate and what to refuse.
        snapshot: what the decision was made on.
        workloads: every workload that the steps name, by id.
        plan_id: id of the new plan.
        created_at_s: epoch seconds.
        simulated: whether the snapshot is of a simulated cluster.
        extra_steps: steps to take first, such as releases or clean-up, numbered from 1.
        partitions: layouts that the allocations rest on, each device at most once.
        caps: power limits to set before the allocations are brought about, or to give back.
    """
    starts = steps_for(decision.allocations, workloads, snapshot)
    steps = joined(extra_steps, *map(partition_steps, partitions), cap_steps(caps), starts)
    steps = resting_on_moves(resting_on_caps(resting_on_layouts(steps)), workloads)
    facts = base_facts(snapshot, steps, workloads)
    return Plan(
        id=plan_id,
        created_at_s=created_at_s,
        policy=decision.policy,
        policy_version=decision.policy_version,
        seed=decision.seed,
        simulated=simulated,
        base=facts,
        base_digest=base_digest(facts),
        steps=steps,
        rejections=decision.rejections,
        objective=decision.objective,
    )
