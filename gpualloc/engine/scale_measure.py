"""What a pool has and what is wanted of it: nodes in service and on their way, GPUs in use and waited for."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.engine.context import Context
from gpualloc.engine.cordon import THERE, work_at
from gpualloc.engine.demand_series import demand_at, gpu_milli, pool_of, series_at
from gpualloc.forecast.gridding import ticks_of
from gpualloc.model.audit import AuditEntry
from gpualloc.model.desired import Cordon
from gpualloc.model.foresight import ANY_POOL, DEMAND, By, Subject
from gpualloc.model.inventory import DeviceState, Node, NodeSpec, NodeState, Snapshot
from gpualloc.model.scaling import ScalingName, ScalingSettings
from gpualloc.model.shapes import GPU_MILLI
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.policies.scaling.pool import Standing

STEP_S = 300
"""Step of the grid that a pool's past is read on."""
LOOK_BACK_S = 14 * 86_400
ENTRY = "scale"
"""Kind of the audit entries of orders."""
LEAVING = "scale-down of pool "
"""What the reason of a cordon begins with whose node is given back."""


class PoolView(Struct, frozen=True):
    """A pool as it stands."""

    standing: Standing
    serving: tuple[Node, ...]
    """Nodes of the pool that take work, by name; those that do not answer too."""
    held: tuple[Node, ...]
    """Nodes that take no work for another reason than that they are given back, by name: they count as not there."""
    leaving: tuple[Node, ...]
    """Nodes that are being given back, by name."""
    ordered: int
    """Nodes that were ordered and are not in the configuration yet."""
    unknown: tuple[str, ...]
    """Why the reading is not complete; empty when it is."""
    taken: frozenset[str]
    """Nodes that a program takes away, or said lately that it did; some may still answer."""


def view(ctx: Context, pool: str, settings: ScalingSettings, snapshot: Snapshot, work: Sequence[Workload]) -> PoolView:
    """The pool as it stands.

    Args:
        ctx: the ports.
        pool: its name.
        settings: how it is scaled.
        snapshot: its nodes as they were seen.
        work: all that has not ended, and what ended within the step before.
    """
    going = {cordon.node for cordon in ctx.journal.cordons() if is_leaving(cordon, pool)}
    nodes = [node for node in snapshot.nodes if node.spec.pool == pool]
    serving = tuple(node for node in nodes if node.cordon is None)
    held = tuple(node for node in nodes if node.cordon is not None and node.name not in going)
    entries = orders_of(ctx, pool, settings)
    ordered = _on_their_way(ctx, entries, settings)
    unknown = tuple(why for node in serving for why in _unread(node))
    now_s, specs = ctx.clock.now_s(), ctx.fleet.specs()
    booked = _booked(pool, specs, work, now_s) - _elsewhere(
        work, {node.name for node in nodes} - {node.name for node in serving}
    )
    beside = _strangers(serving, work) + _waiting_anywhere(pool, specs, work)
    standing = Standing(
        at_s=now_s,
        nodes=len(serving) + ordered,
        gpus_per_node=_gpus_per_node(nodes),
        demand_gpus=booked + beside,
        complete=not unknown,
        cpu_ratio=_cpu_ratio(serving),
        grown_at_s=_latest(entries, "up", "asked"),
        shrunk_at_s=_latest(entries, "down", "drained"),
    )
    if settings.policy is ScalingName.PREDICTIVE:
        standing = _looking_ahead(ctx, pool, settings, standing, booked=booked, beside=beside)
    leaving = tuple(node for node in nodes if node.name in going)
    return PoolView(standing, serving, held, leaving, ordered, unknown, _taken(entries))


def is_leaving(cordon: Cordon, pool: str) -> bool:
    """Whether a cordon is that of a node which the pool gives back."""
    return cordon.device is None and cordon.drain and cordon.reason == LEAVING + pool


def is_empty(node: Node, work: Sequence[Workload]) -> bool:
    """Whether a node answers and nothing runs there: no work of ours, suspended or not, and no stranger on a device."""
    there = work_at([(node.name, None)], [each for each in work if each.state in THERE])
    return node.state is NodeState.OK and not there and not node.processes and not list(_unread(node))


def orders_of(ctx: Context, pool: str, settings: ScalingSettings) -> tuple[AuditEntry, ...]:
    """The audit entries about orders of a pool that still matter, oldest first."""
    matters_s = max(settings.up_cooldown_s, settings.down_cooldown_s, settings.warmup_s)
    entries = ctx.journal.audit(since_s=ctx.clock.now_s() - matters_s)
    return tuple(entry for entry in entries if entry.kind == ENTRY and entry.detail.get("pool") == pool)


def _on_their_way(ctx: Context, entries: Sequence[AuditEntry], settings: ScalingSettings) -> int:
    """Nodes of orders that warm up and are not configured yet; of an order nobody knows the end of, all of them."""
    configured = {spec.name for spec in ctx.fleet.specs()}
    since_s = ctx.clock.now_s() - settings.warmup_s
    coming: dict[object, int] = {}
    for entry in entries:
        detail = entry.detail
        if entry.at_s < since_s or detail.get("direction") != "up":
            continue
        named, count = detail.get("nodes"), detail.get("count")
        if detail.get("state") == "asked":
            coming[detail.get("order")] = count if isinstance(count, int) else 0
        elif isinstance(named, list):
            coming[detail.get("order")] = len({str(name) for name in named} - configured)
    return sum(coming.values())


def _taken(entries: Sequence[AuditEntry]) -> frozenset[str]:
    """Nodes that programs took away or are taking away: those of the last entry of each order."""
    named: dict[object, object] = {}
    for entry in entries:
        if entry.detail.get("direction") == "down" and "order" in entry.detail:
            named[entry.detail["order"]] = entry.detail.get("nodes")
    return frozenset(str(name) for names in named.values() if isinstance(names, list) for name in names)


def _latest(entries: Sequence[AuditEntry], direction: str, state: str) -> float | None:
    wanted = (direction, state)
    times = [entry.at_s for entry in entries if (entry.detail.get("direction"), entry.detail.get("state")) == wanted]
    return max(times, default=None)


def _unread(node: Node) -> list[str]:
    """Why what happens on a node is not known in full."""
    if node.state is not NodeState.OK:
        return [f"{node.name}: {node.state.value}"]
    bad = [device for device in node.devices if device.state is not DeviceState.OK]
    return [f"{node.name}, device {device.index}: {device.state.value}" for device in bad]


def _gpus_per_node(nodes: Sequence[Node]) -> float:
    """The mean of the nodes that answer, at least 1."""
    counts = [len(node.devices) for node in nodes if node.state is NodeState.OK]
    return max(sum(counts) / len(counts), 1.0) if counts else 1.0


def _cpu_ratio(nodes: Sequence[Node]) -> float | None:
    ratios = [node.host.cpu_utilization_ratio for node in nodes if node.host.cpu_utilization_ratio is not None]
    return sum(ratios) / len(ratios) if ratios else None


def _booked(pool: str, specs: Sequence[NodeSpec], work: Sequence[Workload], now_s: float) -> float:
    """GPUs that work of the pool holds or waits for, by our books."""
    series = series_at(work, specs, Subject(DEMAND, By.POOL, pool), (now_s,), STEP_S)
    return series[pool][-1] if pool in series else 0.0


def _elsewhere(work: Sequence[Workload], gone: set[str]) -> float:
    """GPUs of work that lives only on nodes which take no new work: it needs no room elsewhere."""
    there = [each for each in work if each.state in THERE and each.allocation is not None]
    return (
        sum(gpu_milli(each) for each in there if each.allocation and gone.issuperset(each.allocation.nodes)) / GPU_MILLI
    )


def _waiting_anywhere(pool: str, specs: Sequence[NodeSpec], work: Sequence[Workload]) -> float:
    """GPUs of waiting work that could run in this pool and in others."""
    own = [spec for spec in specs if spec.pool == pool]
    waiting = [each for each in work if each.state is WorkloadState.PENDING and not each.adopted]
    return (
        sum(gpu_milli(each) for each in waiting if pool_of(each, specs) == ANY_POOL and pool_of(each, own) == pool)
        / GPU_MILLI
    )


def _strangers(nodes: Sequence[Node], work: Sequence[Workload]) -> int:
    """Devices in use by processes that are no work of ours, and given to none."""
    given = {
        grant.device for each in work if each.state in THERE and each.allocation for grant in each.allocation.grants
    }
    used = {process.device for node in nodes for process in node.processes if process.workload is None}
    return len(used - given)


def _looking_ahead(
    ctx: Context, pool: str, settings: ScalingSettings, standing: Standing, *, booked: float, beside: float
) -> Standing:
    """With the demand to be ready for; what is in no books is taken to stay as it is."""
    import numpy as np  # Only the predictive policy needs it.

    from gpualloc.policies.scaling.outlook import Outlook, caution_of, windows

    end_s = math.floor(standing.at_s / STEP_S) * STEP_S
    times = ticks_of(end_s - LOOK_BACK_S + STEP_S, STEP_S, LOOK_BACK_S // STEP_S)
    past = np.array(demand_at(ctx, Subject(DEMAND, By.POOL, pool), times, STEP_S)[pool])
    highest = [
        Outlook(past, end_s, STEP_S, window).highest(booked, standing.at_s, caution_of(settings.risk))
        for window in windows(settings.warmup_s, settings.horizon_s, STEP_S)
    ]
    soon, later = (None if value is None else value + beside for value in highest)
    return replace(standing, soon_gpus=soon, later_gpus=later)
