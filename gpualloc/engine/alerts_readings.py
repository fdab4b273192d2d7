"""What a look says of one place under one rule, and the readings that rules about metrics look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from gpualloc.model.alert import MetricTest, Place
from gpualloc.model.inventory import Device, Node, NodeState
from gpualloc.model.readings import NO_THROTTLE
from gpualloc.model.sample import METRICS

Column = Mapping[Place, float | None]
"""One metric of every place that told something; None is unknown."""


class Reading(NamedTuple):
    """What is known of a place."""

    bad: bool
    good: bool
    """Never with `bad`; neither is between the limit and where it is well again."""
    said: str = ""
    """One sentence on a condition or event; empty where there is nothing to say."""
    test: MetricTest | None = None
    """What was measured; None for a condition or event."""
    value: float | None = None
    since_s: float | None = None
    """Since when it holds; None: as far as is known since now."""
    heard_s: float | None = None
    """When the event was that makes it bad; None where something holds."""

    @property
    def what(self) -> str:
        """One sentence; made only for what changes, since most looks change nothing."""
        if self.test is None or self.value is None:
            return self.said
        unit = METRICS[self.test.metric].unit
        measure = "" if unit == "ratio" else f" {unit}"
        limit = f", {'below' if self.test.below else 'above'} {self.test.limit:g}" if self.bad else ""
        return f"{self.test.metric} is {self.value:g}{measure}{limit}"


def _throttled(device: Device) -> float | None:
    if device.throttles is None:
        return None
    return float(any(reason not in NO_THROTTLE for reason in device.throttles))


OF_DEVICES: Mapping[str, Callable[[Device], float | None]] = {
    **{
        name: attrgetter(name)
        for name in (
            "gpu_utilization_ratio",
            "memory_utilization_ratio",
            "power_w",
            "temperature_c",
            "sm_clock_mhz",
            "memory_temperature_c",
            "memory_clock_mhz",
            "energy_j",
            "nvlink_rx_bytes_per_s",
            "nvlink_tx_bytes_per_s",
        )
    },
    "gpu_memory_used_mib": attrgetter("memory_used_mib"),
    "gpu_memory_total_mib": attrgetter("memory_total_mib"),
    "throttled": _throttled,
    "sm_active_ratio": attrgetter("activity.sm_active_ratio"),
    "tensor_active_ratio": attrgetter("activity.tensor_active_ratio"),
    "dram_active_ratio": attrgetter("activity.dram_active_ratio"),
    "pcie_rx_bytes_per_s": attrgetter("pcie.rx_bytes_per_s"),
    "pcie_tx_bytes_per_s": attrgetter("pcie.tx_bytes_per_s"),
    "ecc_uncorrected": attrgetter("ecc.volatile_uncorrected"),
}
"""How each metric of devices is read; any other metric is a reading of the host, under its own name."""


class Columns:
    """The readings of one look, each metric gathered when it is first asked for.

    Args:
        nodes: what was looked at; of a node that did not answer nothing is known.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._told = [node for node in nodes if node.state is NodeState.OK]
        self._devices = [device for node in self._told for device in node.devices]
        self._places = [Place(node.name, device.uuid) for node in self._told for device in node.devices]
        self._hosts = [Place(node.name, "") for node in self._told]
        self._columns: dict[str, Column] = {}

    def readings(self, test: MetricTest, watched: Iterable[Place]) -> Iterator[tuple[Place, Reading | None]]:
        """Each place that is bad, and each watched one; None where nothing is known."""
        column = self._of(test.metric)
        watched = frozenset(watched)
        for place in _beyond(test, column):
            if place not in watched:
                yield place, _measured(test, column[place])
        for place in watched:
            yield place, _measured(test, column.get(place))

    def _of(self, metric: str) -> Column:
        column = self._columns.get(metric)
        if column is None:
            read = OF_DEVICES.get(metric)
            if read is not None:
                column = dict(zip(self._places, map(read, self._devices), strict=True))
            else:
                read_host = attrgetter(f"host.{metric}")
                column = dict(zip(self._hosts, map(read_host, self._told), strict=True))
            self._columns[metric] = column
        return column


def _beyond(test: MetricTest, column: Column) -> list[Place]:
    """The places beyond the limit, as `MetricTest.bad` says; the loop that everything goes through."""
    limit = test.limit
    if test.below:
        return [place for place, value in column.items() if value is not None and value < limit]
    return [place for place, value in column.items() if value is not None and value > limit]


def _measured(test: MetricTest, value: float | None) -> Reading | None:
    if value is None:
        return None
    return Reading(test.bad(value), test.good(value), "", test, value)
