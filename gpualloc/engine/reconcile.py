"""Make things again as gpualloc made them: settle what interrupted runs did, then plan repairs of what is ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from gpualloc.engine.chain import OnStep, Report
from gpualloc.engine.context import Context
from gpualloc.engine.drift import Drift, compare
from gpualloc.engine.observe import look, observe
from gpualloc.engine.open_runs import look_again
from gpualloc.engine.plan import plan_of
from gpualloc.engine.recover import recover
from gpualloc.engine.settle import catch_up
from gpualloc.model.inventory import Node, NodeState, Snapshot
from gpualloc.model.plan import Plan, Step, StepState
from gpualloc.planning.repair import Left, repairs

BOOT_PAUSE_S = 2.0
"""Time between two looks at nodes that do not answer yet."""


class Doubts(Struct, frozen=True):
    """What became of what was in doubt."""

    recovered: tuple[Report, ...]
    """Interrupted runs that were brought to their end."""
    asked: tuple[tuple[Step, StepState | None], ...]
    """Steps of abandoned runs: in force (done), not any more (undone), or None where the node did not answer."""


class Proposal(Struct, frozen=True):
    """What differs, and the plan that takes it away."""

    drift: Drift
    plan: Plan
    left: Left
    """What the plan does not take away, and why."""


def clear_doubts(ctx: Context, *, wait_s: float = 0.0, on_step: OnStep | None = None) -> Doubts:
    """Bring interrupted runs to their end, and take back what abandoned ones have half done.

    Raises:
        LockedError: another gpualloc holds the lock for longer than `wait_s`.
    """
    with ctx.journal.write("reconcile", wait_s) as writer:
        recovered = recover(ctx, writer, on_step)
        asked = look_again(ctx, writer)
    return Doubts(tuple(recovered), asked)


def propose(
    ctx: Context, names: Sequence[str] | None = None, progress: Callable[[Node], None] | None = None
) -> Proposal:
    """Compare all nodes, or those named, and plan the repairs; nothing is changed on a node.

    Raises:
        NotFoundError: a name is not in the fleet.
        UnreachableError: not one of the nodes answered.
    """
    snapshot = observe(ctx, names, progress)
    workloads = [work for work in catch_up(ctx, snapshot) if not work.state.ended]
    drift = compare(ctx, snapshot, workloads)
    made = repairs(drift.differences, snapshot, workloads, ctx.journal.desired(), ctx.journal.controller)
    return Proposal(drift, plan_of(ctx, made.steps, workloads, snapshot), made.left)


def await_nodes(ctx: Context, names: Sequence[str] | None, wait_s: float) -> Snapshot:
    """Look until all nodes, or those named, have answered once, at most that many seconds."""
    until_s = ctx.clock.now_s() + wait_s
    while True:
        snapshot = look(ctx, names)
        silent = [node for node in snapshot.nodes if node.state is not NodeState.OK]
        if not silent or ctx.clock.now_s() + BOOT_PAUSE_S > until_s:
            return snapshot
        ctx.clock.sleep(BOOT_PAUSE_S)
