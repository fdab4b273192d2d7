"""The plans that could be made now, for every objective by some policies, and which of them are worth a look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.engine.context import Context
from gpualloc.engine.observe import observe, wanted_paths
from gpualloc.engine.plan import LIVE, plan_on, problem_of
from gpualloc.engine.settle import catch_up
from gpualloc.engine.start_delay import start_delay_s
from gpualloc.model.inventory import Node, Snapshot
from gpualloc.model.objective import Objective
from gpualloc.model.plan import Plan
from gpualloc.model.workload import Workload
from gpualloc.planning.figures import figures_of
from gpualloc.planning.pareto import Choice, front
from gpualloc.policies import registry
from gpualloc.ports import Policy

POLICIES = ("pack", "best-fit", "fgd", "spread")
"""Policies that are tried beside the configured one."""
OBJECTIVES = (Objective.BALANCED, Objective.COST, Objective.JCT, Objective.ENERGY)


class Choices(Struct, frozen=True):
    """What there is to choose from."""

    shown: tuple[Choice, ...]
    """None is better than another."""
    tried: int
    """How many plans were made."""
    waiting: int
    """How many workloads are to be placed."""
    snapshot: Snapshot
    given: tuple[Choice, ...] = ()
    """Plans that were made before, in figures, in the order given."""


def choices(ctx: Context, progress: Callable[[Node], None] | None = None, *, given: Sequence[Plan] = ()) -> Choices:
    """Make the plans on one look at the fleet; none is stored.

    Args:
        ctx: the ports; its policy is tried first.
        progress: called with each node as it is seen.
        given: plans made before, to be told in figures beside those.

    Raises:
        UnreachableError: no node at all answers.
    """
    snapshot = observe(ctx, progress=progress, near=wanted_paths(ctx))
    catch_up(ctx, snapshot)
    workloads = ctx.journal.workloads(LIVE)
    made = [
        _choice(aimed, plan_on(aimed, snapshot, workloads), snapshot, workloads)
        for policy in _policies(ctx.policy)
        for objective in OBJECTIVES
        for aimed in (_aimed(ctx, policy, objective),)
    ]
    shown = tuple(
        replace(made[first], also=tuple((made[one].plan.objective, made[one].plan.policy) for one in same))
        for first, *same in front([choice.figures.tolls for choice in made])
    )
    before = tuple(_choice(ctx, plan, snapshot, workloads) for plan in given)
    return Choices(shown, len(made), len(problem_of(ctx, workloads, snapshot).requests), snapshot, before)


def _policies(configured: Policy) -> Iterator[Policy]:
    yield configured
    for name in POLICIES:
        if name != configured.name:
            yield registry.load(name)


def _aimed(ctx: Context, policy: Policy, objective: Objective) -> Context:
    return replace(ctx, policy=policy, settings=replace(ctx.settings, objective=objective))


def _choice(ctx: Context, plan: Plan, snapshot: Snapshot, workloads: tuple[Workload, ...]) -> Choice:
    problem = replace(problem_of(ctx, workloads, snapshot), explain=False)
    waiting = {rejection.workload for rejection in plan.rejections}
    delay_s = start_delay_s(problem, ctx.policy, workloads, waiting)
    return Choice(plan, figures_of(plan, snapshot, problem.running, delay_s))
