"""Power caps while little is asked for. Pure.

In a trough nobody waits for work to be done, so that busy devices may do it slower and at fewer watts for each
operation. A pool with a power budget has its caps from that, and is left alone here.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence

from gpualloc.engine.outlook import DEMAND, SNAPSHOT, Outlook
from gpualloc.model.allocation import Allocation, Share
from gpualloc.model.desired import DesiredDevice
from gpualloc.model.inventory import Device, DeviceState, Node, Snapshot
from gpualloc.model.rebalancing import Move, MoveKind, RebalanceRules
from gpualloc.planning.drift import POWER_TOLERANCE_W

OVER = 0.1
"""By which part of the pool demand must be above the threshold before a trough is over."""


def trough_moves(
    snapshot: Snapshot,
    desired: Iterable[DesiredDevice],
    running: Sequence[Allocation],
    outlook: Outlook,
    rules: RebalanceRules,
    *,
    budgeted: Collection[str] = (),
) -> tuple[Move, ...]:
    """Caps for the busy devices of pools in a trough, and the end of caps in pools whose trough is over.

    Args:
        snapshot: what was seen.
        desired: what devices are meant to be; tells which are capped.
        running: what our own work has, that which starts in the same plan included.
        outlook: the forecast of demand; a pool without one keeps what it has.
        rules: when a trough is, and how far to cap.
        budgeted: pools with a power budget.
    """
    if not rules.trough_below:
        return ()
    capped = {row.device: row for row in desired if row.cap_w is not None}
    busy = {grant.device for item in running for grant in item.grants}
    moves: list[Move] = []
    for pool in sorted({node.spec.pool for node in snapshot.reached} - set(budgeted)):
        nodes = [node for node in snapshot.reached if node.spec.pool == pool]
        part = _part(nodes, pool, running, outlook)
        if part is None:
            continue
        for node, device in _settable(nodes):
            row = capped.get(device.uuid)
            share = f"up to {part:.0%} of pool {pool} are expected to be wanted"
            if row is None and part < rules.trough_below and device.uuid in busy:
                watts = _capped_w(device, rules)
                moves += _moves(MoveKind.CAP, node, device, watts, f"{share}: a trough, and less power will do")
            elif row is not None and part > rules.trough_below + OVER:
                moves += _moves(MoveKind.UNCAP, node, device, row.uncapped_w, f"{share}: the trough is over")
    return tuple(moves)


def _part(nodes: Collection[Node], pool: str, running: Sequence[Allocation], outlook: Outlook) -> float | None:
    """The most of the pool that is expected to be wanted until the last horizon, by its upper quantile.

    At least what is held: work that could go to any pool counts for this one only since it was placed here.
    """
    devices = sum(len(node.devices) for node in nodes)
    bands = [band for _, band in outlook.forecast(pool)]
    if not devices or len(bands) < len(outlook.horizons_s):
        return None
    here = {node.name for node in nodes}
    held = math.fsum(
        grant.fraction
        for item in running
        for part in item.parts
        if part.node in here
        for grant in part.grants
        if grant.share is not Share.MIG
    )
    return max(held, *(band.high for band in bands)) / devices


def _settable(nodes: Iterable[Node]) -> Iterator[tuple[Node, Device]]:
    for node in nodes:
        if node.manageable and node.privileged:
            yield from ((node, device) for device in node.devices if device.state is DeviceState.OK)


def _capped_w(device: Device, rules: RebalanceRules) -> float | None:
    """The limit for a trough; None where the device has none, or not a lower one."""
    whole_w, now_w, least_w = device.power_limit_default_w, device.power_limit_w, device.power_limit_min_w
    if whole_w is None or now_w is None or least_w is None:
        return None
    watts = float(round(max(least_w, whole_w * rules.trough_power)))
    return watts if watts < now_w - POWER_TOLERANCE_W else None


def _moves(kind: MoveKind, node: Node, device: Device, watts: float | None, why: str) -> Iterator[Move]:
    """The change of a limit; none when there is nothing to set. It gains the part of the power that it changes."""
    whole_w, now_w = device.power_limit_default_w, device.power_limit_w
    if watts is None or not whole_w or now_w is None:
        return
    yield Move(
        kind,
        node.name,
        why,
        (SNAPSHOT, DEMAND),
        gain_gpu_s=abs(now_w - watts) / whole_w,
        cost_gpu_s=0.0,
        bundle=0,
        device=device.uuid,
        watts=watts,
    )
