"""Remember what was seen: ticks of samples on the grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress

from msgspec import Struct

from gpualloc.engine.alerting import alerting, raise_alerts
from gpualloc.engine.context import Context
from gpualloc.engine.events import record
from gpualloc.engine.history import forget_old
from gpualloc.engine.observe import complaint, observe
from gpualloc.errors import LockedError, StateError
from gpualloc.model.health import Event
from gpualloc.model.inventory import Device, Node, NodeState, Snapshot
from gpualloc.model.readings import NO_THROTTLE, Activity
from gpualloc.model.sample import Sample, SeriesKey, SeriesKind

PRUNE_EVERY_S = 3600.0
"""Old samples are dropped that often: retention need not be exact."""
_SLICE_S = 0.2
"""Longest wait until it is asked again whether to stop."""
_GRACE, _MAX_GRACE_S = 0.1, 1.0
"""A tick is kept so late, as a part of the period: what was heard in it may still be on its way."""
_COMPLAINTS = 8
ALERTS_REST_S = 5.0
"""How long the end waits for what is being delivered; the next one goes on with the rest."""


def sample(ctx: Context, snapshot: Snapshot | None = None) -> int:
    """Store one tick of everything seen; looks at the fleet when no snapshot is given. Old samples are dropped.

    Returns:
        the number of rows stored.

    Raises:
        UnreachableError: no node answered.
    """
    seen = snapshot or observe(ctx)
    grid_s = ctx.settings.sample_every_s
    rows = ctx.history.append(list(samples_of(seen.nodes, int(seen.at_s // grid_s * grid_s))))
    with alerting(ctx):
        events = record(ctx, seen.nodes)
        raise_alerts(ctx, seen.nodes, ctx.events.conditions(), events)
    forget_old(ctx, seen.at_s)
    return rows


class Tick(Struct, frozen=True):
    """One tick as it was kept."""

    at_s: int
    """Epoch second at which it begins."""
    nodes: int
    """How many nodes told of themselves in it."""
    rows: int
    """Samples stored."""
    trouble: str | None
    """What went wrong; None when nothing did."""
    events: tuple[Event, ...] = ()
    """What is new in it."""


def sample_every(ctx: Context, every_s: float, stopped: Callable[[], bool], on_tick: Callable[[Tick], None]) -> None:
    """Let the nodes tell of themselves, and keep what they tell on the grid, until `stopped`.

    A tick in which no node tells anything is a gap, not an end, and so is one that cannot be stored. What was heard is
    stored before it ends.

    Args:
        ctx: the ports.
        every_s: width of the grid in seconds.
        stopped: asked several times a second.
        on_tick: called after each tick.

    Raises:
        LockedError: another one does this for the same state.
    """
    keeping = _Keeping(ctx, every_s, on_tick)
    with (
        ctx.journal.sampling(),
        alerting(ctx, ALERTS_REST_S),
        closing(ctx.fleet.watch(every_s, keep=ctx.journal.controller)) as watch,
    ):
        while not stopped():
            keeping.take(watch.hear(_SLICE_S))
            keeping.take_late(watch.late())
            keeping.keep_what_is_whole()
        keeping.take(watch.hear(0))
        keeping.keep_all()


class _Keeping:
    """What was heard and is not stored or judged yet."""

    def __init__(self, ctx: Context, every_s: float, on_tick: Callable[[Tick], None]) -> None:
        self._ctx = ctx
        self._every_s = every_s
        self._on_tick = on_tick
        self._heard: dict[int, dict[str, Node]] = {}
        """By tick and name."""
        self._newest: dict[str, Node] = {}
        """Nodes that were heard since they were judged."""
        self._failing: dict[str, Node] = {}
        self._last_tick = self._tick_of(ctx.clock.now_s())
        self._prune_at_s = ctx.clock.now_s() + PRUNE_EVERY_S

    def take(self, nodes: Sequence[Node]) -> None:
        """Put nodes to the ticks in which they told of themselves."""
        for node in nodes:
            self._newest[node.name] = node
            if node.state is NodeState.OK:
                self._failing.pop(node.name, None)
            else:
                self._failing[node.name] = node
        self.take_late([node for node in nodes if node.state is NodeState.OK])

    def take_late(self, nodes: Sequence[Node]) -> None:
        """Put looks at nodes to their ticks that say nothing of how these stand now."""
        for node in nodes:
            self._heard.setdefault(self._tick_of(node.at_s), {})[node.name] = node

    def keep_what_is_whole(self) -> None:
        """Store the ticks that are over; tell of those in which nobody was heard."""
        now_s = self._ctx.clock.now_s()
        current = self._tick_of(now_s - min(_MAX_GRACE_S, _GRACE * self._every_s))
        if current == self._last_tick:
            return
        if current > self._last_tick and self._last_tick not in self._heard:
            self._heard[self._last_tick] = {}
        # A clock that was set back leaves ticks behind that lie in its future.
        self._keep(tick for tick in sorted(self._heard) if not current <= tick <= self._tick_of(now_s))
        self._last_tick = current
        if now_s >= self._prune_at_s or now_s < self._prune_at_s - PRUNE_EVERY_S:
            self._prune_at_s = now_s + PRUNE_EVERY_S
            # Where that is not possible, the ticks that cannot be stored tell of it.
            with suppress(StateError, LockedError):
                forget_old(self._ctx, now_s)

    def keep_all(self) -> None:
        """Store whatever was heard."""
        self._keep(iter(sorted(self._heard)))

    def _keep(self, ticks: Iterator[int]) -> None:
        events, judged = self._judge()
        for at_s in list(ticks):
            nodes = list(self._heard.pop(at_s).values())
            rows, trouble = self._store(nodes, at_s) if nodes else (0, self._complaints())
            self._on_tick(Tick(at_s, len(nodes), rows, trouble or judged, events))
            events = ()

    def _store(self, nodes: Sequence[Node], at_s: int) -> tuple[int, str | None]:
        """Samples stored, and why none could be."""
        try:
            return self._ctx.history.append(list(samples_of(nodes, at_s))), None
        except (StateError, LockedError) as error:
            return 0, error.message

    def _judge(self) -> tuple[tuple[Event, ...], str | None]:
        """What is new in how nodes stand, and why it could not be kept; what fails is judged again as time goes on."""
        nodes = list({**self._failing, **self._newest}.values())
        events: tuple[Event, ...] = ()
        trouble = None
        try:
            events = record(self._ctx, nodes)
            self._newest = {}
        except (StateError, LockedError) as error:
            trouble = error.message
        with suppress(StateError, LockedError):
            raise_alerts(self._ctx, nodes, self._ctx.events.conditions(), events)
        return events, trouble

    def _tick_of(self, at_s: float) -> int:
        return int(at_s // self._every_s * self._every_s)

    def _complaints(self) -> str:
        failing = [self._failing[name] for name in sorted(self._failing)]
        more = f"; and {len(failing) - _COMPLAINTS} more" if len(failing) > _COMPLAINTS else ""
        return "no node answered: " + ("; ".join(map(complaint, failing[:_COMPLAINTS])) or "none was heard") + more


def samples_of(nodes: Sequence[Node], at_s: int) -> Iterator[Sample]:
    """One sample for each node, device, MIG instance and running workload that was seen at all.

    A node that was not reached has no sample: a gap, not a row of zeros.
    """
    for node in nodes:
        if node.state is not NodeState.OK:
            continue
        yield Sample(SeriesKey(SeriesKind.NODE, node.name, ""), at_s, host_values(node))
        for device in node.devices:
            yield Sample(SeriesKey(SeriesKind.DEVICE, node.name, device.uuid), at_s, device_values(device))
            for instance in device.mig_instances:
                yield Sample(
                    SeriesKey(SeriesKind.MIG_INSTANCE, node.name, instance.uuid),
                    at_s,
                    {
                        "gpu_memory_used_mib": instance.memory_used_mib,
                        "gpu_memory_total_mib": instance.memory_total_mib,
                        **_active(instance.activity),
                    },
                )
        for work in node.workloads:
            if work.end is None:
                values = _workload_values(node, work.workload)
                yield Sample(SeriesKey(SeriesKind.WORKLOAD, node.name, work.workload), at_s, values)


def host_values(node: Node) -> Mapping[str, float | None]:
    """Readings of a node that are kept, by metric; None is unknown."""
    host = node.host
    return {
        "cpu_utilization_ratio": host.cpu_utilization_ratio,
        "memory_available_mib": host.memory_available_mib,
        "disk_used_mib": host.disk_used_mib,
        "network_rx_bytes_per_s": host.network_rx_bytes_per_s,
        "network_tx_bytes_per_s": host.network_tx_bytes_per_s,
        "swap_in_bytes_per_s": host.swap_in_bytes_per_s,
        "disk_reads_per_s": host.disk_reads_per_s,
        "disk_writes_per_s": host.disk_writes_per_s,
        "network_errors_per_s": host.network_errors_per_s,
        "rdma_rx_bytes_per_s": host.rdma_rx_bytes_per_s,
        "rdma_tx_bytes_per_s": host.rdma_tx_bytes_per_s,
    }


def device_values(device: Device) -> Mapping[str, float | None]:
    """Readings of a device that are kept, by metric; None is unknown."""
    return {
        "gpu_utilization_ratio": device.gpu_utilization_ratio,
        "memory_utilization_ratio": device.memory_utilization_ratio,
        "gpu_memory_used_mib": device.memory_used_mib,
        "gpu_memory_total_mib": device.memory_total_mib,
        "power_w": device.power_w,
        "temperature_c": device.temperature_c,
        "sm_clock_mhz": device.sm_clock_mhz,
        "memory_temperature_c": device.memory_temperature_c,
        "memory_clock_mhz": device.memory_clock_mhz,
        "energy_j": device.energy_j,
        "throttled": _throttled(device),
        "pcie_rx_bytes_per_s": device.pcie.rx_bytes_per_s,
        "pcie_tx_bytes_per_s": device.pcie.tx_bytes_per_s,
        "nvlink_rx_bytes_per_s": device.nvlink_rx_bytes_per_s,
        "nvlink_tx_bytes_per_s": device.nvlink_tx_bytes_per_s,
        "ecc_uncorrected": device.ecc.volatile_uncorrected,
        **_active(device.activity),
    }


def _active(activity: Activity) -> Mapping[str, float | None]:
    return {
        "sm_active_ratio": activity.sm_active_ratio,
        "tensor_active_ratio": activity.tensor_active_ratio,
        "dram_active_ratio": activity.dram_active_ratio,
    }


def _throttled(device: Device) -> float | None:
    """1 where something holds its clocks down that is not a setting or want of work, else 0."""
    if device.throttles is None:
        return None
    return float(any(reason not in NO_THROTTLE for reason in device.throttles))


def _workload_values(node: Node, workload: str) -> Mapping[str, float | None]:
    """What it uses on the node; of devices that it shares only its memory is known.

    Utilization is the mean over its devices, power their sum.
    """
    devices = _own_devices(node, workload)
    used = [device.gpu_utilization_ratio for device in devices if device.gpu_utilization_ratio is not None]
    power_w = [device.power_w for device in devices if device.power_w is not None]
    return {
        "gpu_memory_used_mib": _memory_of(node, workload),
        "gpu_utilization_ratio": sum(used) / len(used) if used and len(used) == len(devices) else None,
        "power_w": sum(power_w) if power_w and len(power_w) == len(devices) else None,
    }


def _own_devices(node: Node, workload: str) -> list[Device]:
    """The devices it holds or uses; empty when one of them is not all its own, or is not told of.

    An instance is a part of its device, whose readings are of the whole.
    """
    holders: dict[str, set[str | None]] = {}
    for claim in node.claims:
        holders.setdefault(claim.device, set()).add(claim.workload if claim.mig_instance is None else None)
    for process in node.processes:
        holders.setdefault(process.device, set()).add(process.workload if process.mig_instance is None else None)
    held = {claim.device for claim in node.claims if claim.workload == workload}
    held |= {process.device for process in node.processes if process.workload == workload}
    own = [device for device in node.devices if device.uuid in held]
    return own if len(own) == len(held) and all(holders[uuid] == {workload} for uuid in held) else []


def _memory_of(node: Node, workload: str) -> int | None:
    """GPU memory of all its processes; None when it has none on a GPU, or one is unknown."""
    used = [process.gpu_memory_used_mib for process in node.processes if process.workload == workload]
    known = [mib for mib in used if mib is not None]
    return sum(known) if used and len(known) == len(used) else None
