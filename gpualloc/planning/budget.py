"""The power budget of a pool: what its busy devices may take together, kept by lowering caps before work starts. Pure.

A device is busy when it is claimed, given by our books, or used by any process. It counts with its power limit, which
is the most it can take; devices of nodes that do not answer are not seen and do not count. Work that would exceed the
budget starts with lowered caps on its own devices, all to the same level where their ranges allow it; work for which
even the lowest caps are too much waits. A cap is lifted when its device is idle again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Decision, Rejection, RejectionReason
from gpualloc.model.desired import DesiredDevice, DeviceSettings
from gpualloc.model.inventory import Device, DeviceState, Node, Snapshot
from gpualloc.model.plan import Step, StepKind, StepReason
from gpualloc.planning.drift import POWER_TOLERANCE_W
from gpualloc.planning.settings import numbered, set_step


class Cap(Struct, frozen=True):
    """A power limit that a device gets before work starts on it, or when it is idle again."""

    node: Node
    device: Device
    watts: float
    why: str


def within_budgets(
    decision: Decision,
    snapshot: Snapshot,
    running: Iterable[Allocation],
    desired: Iterable[DesiredDevice],
    budgets: Mapping[str, float],
) -> tuple[Decision, tuple[Cap, ...]]:
    """Keep the starts of a decision within the budgets of their pools.

    Args:
        decision: what the policy made of it, in the order decided.
        snapshot: what was seen.
        running: allocations in force according to our books.
        desired: what devices are meant to be; tells which are capped.
        budgets: watts by pool; pools without one are not looked at.

    Returns:
        the decision, with those that got no power among the rejections, and the limits to set first.
    """
    if not budgets:
        return decision, ()
    pools = _Pools(snapshot, running, desired, budgets)
    kept, refused, caps = [], [], []
    for allocation in decision.allocations:
        answer = pools.take(allocation)
        if isinstance(answer, Rejection):
            refused.append(answer)
        else:
            kept.append(allocation)
            caps += answer
    return replace(decision, allocations=tuple(kept), rejections=(*decision.rejections, *refused)), tuple(caps)


def lifted(
    snapshot: Snapshot, desired: Iterable[DesiredDevice], busy: Collection[str], going: Collection[str] = ()
) -> tuple[Cap, ...]:
    """The caps that are given back, since nothing runs on their devices any more.

    Args:
        snapshot: what was seen.
        desired: what devices are meant to be.
        busy: UUIDs of devices that are, or are about to be, given.
        going: ids of workloads that are about to end.
    """
    caps = []
    for wanted in desired:
        node = snapshot.node(wanted.node)
        device = next((each for each in node.devices if each.uuid == wanted.device), None) if node else None
        if node is None or device is None or not node.manageable or device.state is not DeviceState.OK:
            continue
        idle = device.uuid not in busy and not _users(node, device.uuid, going)
        if wanted.cap_w is not None and wanted.uncapped_w is not None and idle:
            caps.append(Cap(node, device, wanted.uncapped_w, "it is idle, and its cap for the budget is lifted"))
    return tuple(caps)


def cap_steps(caps: Iterable[Cap]) -> tuple[Step, ...]:
    """The steps that set the limits, numbered from 1."""
    return numbered(
        [
            set_step(cap.node, cap.device, DeviceSettings(power_limit_w=cap.watts), StepReason.BUDGET, cap.why)
            for cap in caps
        ]
    )


def resting_on_caps(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps, each first step of a start needing the caps of its devices."""
    caps = {step.device: step.seq for step in steps if step.reason is StepReason.BUDGET and step.kind is StepKind.SET}
    begun = set()
    rested = []
    for step in steps:
        first = step.reason is StepReason.WAITING and (step.node, step.workload) not in begun
        begun.add((step.node, step.workload))
        grants = step.allocation.grants if first and step.allocation is not None else ()
        needs = {caps[grant.device] for grant in grants if grant.device in caps}
        rested.append(replace(step, needs=tuple(sorted({*step.needs, *needs}))) if needs else step)
    return tuple(rested)


class _Pools:
    """What the busy devices of each pool take, while starts are added one after another."""

    def __init__(
        self,
        snapshot: Snapshot,
        running: Iterable[Allocation],
        desired: Iterable[DesiredDevice],
        budgets: Mapping[str, float],
    ) -> None:
        self._snapshot = snapshot
        self._budgets = budgets
        self._uncapped = {row.device: row.uncapped_w for row in desired if row.cap_w is not None}
        self._given = {grant.device for allocation in running for grant in allocation.grants}
        self._taken: dict[str, dict[str, float | None]] = {pool: {} for pool in budgets}
        for node in snapshot.reached:
            if node.spec.pool in budgets:
                for device in node.devices:
                    if device.uuid in self._given or _users(node, device.uuid):
                        self._taken[node.spec.pool][device.uuid] = device.power_limit_w

    def take(self, allocation: Allocation) -> list[Cap] | Rejection:
        """The limits to set before the allocation's work starts, or why it gets no power: all of it, or nothing."""
        before = {pool: dict(taken) for pool, taken in self._taken.items()}
        caps: list[Cap] = []
        for pool, new in self._not_busy(allocation).items():
            answer = self._share_out(allocation, pool, new)
            if isinstance(answer, Rejection):
                self._taken = before
                return answer
            caps += answer
        return caps

    def _not_busy(self, allocation: Allocation) -> dict[str, list[tuple[Node, Device]]]:
        """The devices of the allocation that take no power yet, by pool, of pools with a budget."""
        new: dict[str, list[tuple[Node, Device]]] = {}
        for part in allocation.parts:
            node = self._snapshot.node(part.node)
            if node is None or node.spec.pool not in self._budgets:
                continue
            asked = {grant.device for grant in part.grants} - self._taken[node.spec.pool].keys()
            found = [(node, device) for device in node.devices if device.uuid in asked]
            if found:
                new.setdefault(node.spec.pool, []).extend(found)
        return new

    def _share_out(
        self, allocation: Allocation, pool: str, new: Sequence[tuple[Node, Device]]
    ) -> list[Cap] | Rejection:
        """As `take`, for the new devices of one pool."""
        taken = self._taken[pool]
        unknown = [uuid for uuid, watts in taken.items() if watts is None]
        unknown += [device.uuid for _, device in new if self._most_w(device) is None]
        if unknown:
            return self._refused(allocation, pool, f"the power limit of {unknown[0]} is not known")
        room_w = self._budgets[pool] - sum(watts for watts in taken.values() if watts is not None)
        ranges = [self._range_w(device) for _, device in new]
        levels = shared_out(ranges, room_w)
        if levels is None:
            least_w = sum(low for low, _ in ranges)
            return self._refused(allocation, pool, f"its GPUs take {least_w:g} W at least, and {room_w:g} W are left")
        taken.update({device.uuid: watts for (_, device), watts in zip(new, levels, strict=True)})
        return [
            Cap(node, device, watts, self._why(pool))
            for (node, device), watts in zip(new, levels, strict=True)
            if device.power_limit_w is None or not watts - POWER_TOLERANCE_W <= device.power_limit_w <= watts
        ]

    def _most_w(self, device: Device) -> float | None:
        """The limit that it has without a cap of ours."""
        uncapped = self._uncapped.get(device.uuid)
        return device.power_limit_w if uncapped is None else uncapped

    def _range_w(self, device: Device) -> tuple[float, float]:
        most = self._most_w(device) or 0.0
        low = device.power_limit_min_w
        return (most, most) if low is None else (min(low, most), most)

    def _refused(self, allocation: Allocation, pool: str, why: str) -> Rejection:
        detail = f"power budget of pool {pool} ({self._budgets[pool]:g} W), {len(self._taken[pool])} GPUs busy: {why}"
        return Rejection(allocation.workload, RejectionReason.QUOTA, detail)

    def _why(self, pool: str) -> str:
        return f"pool {pool} has {self._budgets[pool]:g} W for {len(self._taken[pool])} busy GPUs"


def shared_out(ranges: Sequence[tuple[float, float]], room_w: float) -> list[float] | None:
    """Whole watts for devices with these (lowest, highest) limits: the highest common level whose sum fits.

    Where everything fits each has its highest. None when even the lowest do not fit.
    """
    if sum(high for _, high in ranges) <= room_w:
        return [high for _, high in ranges]
    if sum(low for low, _ in ranges) > room_w:
        return None
    below, above = 0, int(max(high for _, high in ranges)) + 1
    while above - below > 1:
        level = (below + above) // 2
        if sum(_at(level, low, high) for low, high in ranges) <= room_w:
            below = level
        else:
            above = level
    return [_at(below, low, high) for low, high in ranges]


def _at(level: float, low: float, high: float) -> float:
    return min(high, max(low, level))


def _users(node: Node, device: str, going: Collection[str] = ()) -> bool:
    """Whether anybody but the work that goes has or uses the device."""
    claimed = any(each.device == device and each.workload not in going for each in node.claims)
    return claimed or any(each.device == device and each.workload not in going for each in node.processes)
