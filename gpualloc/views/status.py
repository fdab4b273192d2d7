"""How gpualloc itself stands."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gpualloc.model.desired import Cordon, CordonState
from gpualloc.views.cordon import cordon_data, cordon_text
from gpualloc.views.look import Look, Role
from gpualloc.views.submission import starter_text
from gpualloc.views.text import ago, escape, stamp


class Standing(Struct, frozen=True):
    """What `status` tells."""

    workloads: Mapping[str, int]
    """Number of workloads by state word."""
    starter: str
    """`watch`, `cron` or `nobody`."""
    last_rebalance_at_s: float | None
    last_rebalance_s: float | None
    """Seconds since then; None when never."""
    last_rebalance: str | None
    """What it did."""
    open_runs: tuple[tuple[str, str, float], ...]
    """Runs without an end: id, who began it, epoch seconds when."""
    held_by: str | None
    """Who holds the apply lock; None when it is free."""
    policy: str
    simulated: bool
    cordons: tuple[tuple[Cordon, CordonState], ...] = ()
    """What takes no new work."""


def status_data(standing: Standing) -> dict[str, object]:
    """`data` of `status --json`."""
    return {
        "simulated": standing.simulated,
        "policy": standing.policy,
        "workloads": dict(standing.workloads),
        "starter": standing.starter,
        "last_rebalance": (
            None
            if standing.last_rebalance_at_s is None
            else {"at_s": standing.last_rebalance_at_s, "did": standing.last_rebalance}
        ),
        "open_runs": [{"run": run, "actor": actor, "started_at_s": at_s} for run, actor, at_s in standing.open_runs],
        "lock_held_by": standing.held_by,
        "cordons": [cordon_data(each, state) for each, state in standing.cordons],
    }


def status_text(standing: Standing, look: Look) -> str:
    """A line for each fact."""
    counts = ", ".join(f"{count} {state}" for state, count in standing.workloads.items()) or "none"
    did = f": {escape(standing.last_rebalance)}" if standing.last_rebalance else ""
    facts = [
        ("workloads", counts),
        ("policy", escape(standing.policy)),
        ("rebalance", ago(standing.last_rebalance_s) + did),
        ("starter", starter_text(standing.starter, standing.last_rebalance_s)),
        ("lock", f"held by {escape(standing.held_by)}" if standing.held_by else "free"),
        *((state.value, cordon_text(each)) for each, state in standing.cordons),
        *(("open run", f"{run}, begun {stamp(at_s)} by {escape(actor)}") for run, actor, at_s in standing.open_runs),
    ]
    head = [look.paint("simulated", Role.WARN)] if standing.simulated else []
    return "\n".join([*head, *(f"{label + ':':<11} {text}" for label, text in facts)])
