"""What a plan comes to in figures, so that plans can be compared. What is not known is None, never 0. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from gpualloc.model.allocation import Allocation
from gpualloc.model.inventory import Device, Node, Snapshot
from gpualloc.model.plan import Plan, StepKind
from gpualloc.model.rates import limit_of, price_of, speed_of
from gpualloc.planning.blast import unnamed_victims

_DIGITS = 6
"""Decimals that count: what lies below is the noise of adding up."""


class Figures(Struct, frozen=True):
    """One plan in figures, as things stand once it is applied; nodes that do not answer are not in them."""

    placed: int
    """Workloads that wait now and get a place."""
    gpus_on: int
    """GPUs with work or a process on them."""
    nodes_on: int
    """Nodes with work, or with a process on a GPU."""
    cost_per_hour: float | None
    """Price of all GPUs of the nodes that are on; None when one of these has no price."""
    watts: float | None
    """What the GPUs that are on may draw: as measured, where work begins the power limit; None when one is not told."""
    start_delay_s: float | None
    """How long, on average, those that wait now wait at most from now on; None when that has no known end for one."""
    speed: float | None
    """Speed, on average, of the nodes where work with GPUs begins; None when one is not told, or none begins."""
    disturbed: int
    """Workloads, foreign processes and devices that the plan disturbs."""

    @property
    def tolls(self) -> tuple[float | None, ...]:
        """All of them such that lower is better."""
        speed = None if self.speed is None else -self.speed
        on = self.gpus_on, self.nodes_on, self.cost_per_hour, self.watts
        return -self.placed, *on, self.start_delay_s, speed, self.disturbed


def figures_of(plan: Plan, snapshot: Snapshot, running: Iterable[Allocation], start_delay_s: float | None) -> Figures:
    """The figures of a plan.

    Args:
        plan: the plan.
        snapshot: what it was made on.
        running: allocations in force according to our books.
        start_delay_s: as in `Figures`.
    """
    begun = {(step.node, step.workload): step.allocation for step in plan.steps if step.kind is StepKind.START}
    given = [allocation for allocation in begun.values() if allocation is not None]
    caps = {
        step.device: step.wanted.power_limit_w
        for step in plan.steps
        if step.kind is StepKind.SET and step.device is not None and step.wanted is not None
    }
    fresh = {grant.device for allocation in given for grant in allocation.grants}
    there = _on_now(snapshot, running)
    nodes = there.keys() | {part.node for part in given}
    on = [node for node in snapshot.reached if node.name in nodes]
    busy = [device for node in on for device in node.devices if device.uuid in fresh | there.get(node.name, set())]
    return Figures(
        placed=len({workload for _, workload in begun}),
        gpus_on=len(busy),
        nodes_on=len(on),
        cost_per_hour=_sum(_cost(node) for node in on),
        watts=_sum(_watts(device, caps, fresh=device.uuid in fresh) for device in busy),
        start_delay_s=start_delay_s,
        speed=_mean_speed(given, snapshot),
        disturbed=len(unnamed_victims(plan.steps)),
    )


def _on_now(snapshot: Snapshot, running: Iterable[Allocation]) -> dict[str, set[str]]:
    """The nodes in use, each with the devices that are."""
    found: dict[str, set[str]] = {}
    for allocation in running:
        for part in allocation.parts:
            found.setdefault(part.node, set()).update(grant.device for grant in part.grants)
    for node in snapshot.reached:
        seen = {claim.device for claim in node.claims} | {process.device for process in node.processes}
        if seen:
            found.setdefault(node.name, set()).update(seen)
    return found


def _cost(node: Node) -> float | None:
    price = price_of(node)
    return None if price is None else price * len(node.devices)


def _watts(device: Device, caps: Mapping[str, float | None], *, fresh: bool) -> float | None:
    if caps.get(device.uuid) is not None:
        return caps[device.uuid]
    return limit_of(device) if fresh or device.power_w is None else device.power_w


def _mean_speed(given: Iterable[Allocation], snapshot: Snapshot) -> float | None:
    """A gang is as fast as its slowest node."""
    speeds = {node.name: speed_of(node) for node in snapshot.reached}
    slowest: dict[str, float | None] = {}
    for part in given:
        if part.grants:
            speed, before = speeds[part.node], slowest.get(part.workload, speeds[part.node])
            slowest[part.workload] = None if speed is None or before is None else min(speed, before)
    total = _sum(slowest.values())
    return None if total is None or not slowest else round(total / len(slowest), _DIGITS)


def _sum(values: Iterable[float | None]) -> float | None:
    listed = list(values)
    known = [value for value in listed if value is not None]
    return round(sum(known), _DIGITS) if len(known) == len(listed) else None
