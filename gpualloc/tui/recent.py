"""What the dashboard itself saw lately, for charts of what was not sampled by anybody: bounded, whatever the fleet."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from gpualloc.model.inventory import Node, NodeState
from gpualloc.model.sample import SeriesKey, SeriesKind

DEVICE_METRICS = ("gpu_utilization_ratio", "gpu_memory_used_mib", "power_w", "temperature_c", "sm_clock_mhz")
NODE_METRICS = (
    "cpu_utilization_ratio",
    "memory_available_mib",
    "network_rx_bytes_per_s",
    "network_tx_bytes_per_s",
)
KEPT_S = 3600.0
"""How long readings are kept, if there is room."""
BUDGET_BYTES = 15 * 1024 * 1024
"""Room of the readings themselves; what holds them together takes about 0.4 KiB more for each GPU."""
_VALUE_BYTES, _TIME_BYTES = 4, 8
_LEAST = 8
"""So many readings are always kept."""
_CLOSEST_S, _FURTHEST_S = 1.0, 10.0
_SPARE = 1.1
"""Readings are thrown away in pieces, when there are so many times as many as are to be kept."""


class _Track(Struct):
    """The readings of one node and its devices: all have the same times."""

    times: array[float] = field(default_factory=lambda: array("d"))
    values: dict[str, array[float]] = field(default_factory=dict)
    """By device UUID, "" for the node: row by row one value for each metric; NaN is unknown."""


class Recent:
    """The latest readings of nodes and devices; not for use by several threads at once.

    Up to about 400 GPUs looked at every 2 s all readings of the last hour are kept. Above, they are further apart the
    more GPUs there are, up to 10 s at about 2,000; above that it is less than an hour: a quarter of one at 8,000.

    Args:
        kept_s: how long readings are kept.
        budget_bytes: room for them.
    """

    def __init__(self, kept_s: float = KEPT_S, budget_bytes: int = BUDGET_BYTES) -> None:
        self._kept_s, self._budget_bytes = kept_s, budget_bytes
        self._tracks: dict[str, _Track] = {}
        self._row_bytes = 0
        """Of one reading of everything."""

    @property
    def apart_s(self) -> float:
        """Seconds between two readings that are kept, at least; what comes between them is not."""
        return min(_FURTHEST_S, max(_CLOSEST_S, self._kept_s / self.most))

    @property
    def most(self) -> int:
        """How many readings of each series are kept, about."""
        return max(_LEAST, self._budget_bytes // max(1, self._row_bytes))

    def take(self, nodes: Sequence[Node]) -> None:
        """Keep what nodes told of themselves; what is not newer, or too soon after the last, is not kept."""
        for node in nodes:
            track = self._tracks.get(node.name)
            if node.state is not NodeState.OK:
                continue
            if track is None:
                track = self._tracks[node.name] = _Track()
            if not track.times or not 0 <= node.at_s - track.times[-1] < self.apart_s * 0.9:
                self._add(track, node)

    def points(self, key: SeriesKey, metric: str, since_s: float = 0.0) -> list[tuple[float, float | None]]:
        """(epoch seconds, value or None) of a metric, oldest first; empty where nothing is kept of it."""
        track, metrics = self._tracks.get(key.node), _METRICS.get(key.kind, ())
        values = None if track is None else track.values.get(key.key)
        if track is None or values is None or metric not in metrics:
            return []
        place, width = metrics.index(metric), len(metrics)
        return [
            (track.times[row], None if math.isnan(value := values[row * width + place]) else value)
            for row in range(bisect_left(track.times, since_s), len(track.times))
        ]

    def _add(self, track: _Track, node: Node) -> None:
        if track.times and node.at_s < track.times[-1]:
            # The clock was set back: what is kept would lie in the future.
            track.times, track.values = array("d"), {}
        before = _row_bytes(track)
        # Whoever draws first does not wait for what sampling needs.
        from gpualloc.engine.sample import device_values, host_values

        told = {"": _row(host_values(node), NODE_METRICS)}
        told |= {device.uuid: _row(device_values(device), DEVICE_METRICS) for device in node.devices}
        for key, row in told.items():
            if key not in track.values:
                track.values[key] = array("f", [math.nan]) * (len(row) * len(track.times))
            track.values[key].extend(row)
        for key in [key for key in track.values if key not in told]:
            width = len(DEVICE_METRICS)
            track.values[key].extend([math.nan] * width)
        track.times.append(node.at_s)
        self._shorten(track, node.at_s)
        self._row_bytes += _row_bytes(track) - before

    def _shorten(self, track: _Track, now_s: float) -> None:
        """Drop what is too old or too much, and devices of which nothing is left."""
        excess = max(bisect_left(track.times, now_s - self._kept_s), len(track.times) - self.most)
        if excess <= max(0, (_SPARE - 1) * len(track.times)):
            return
        del track.times[:excess]
        for key, values in list(track.values.items()):
            del values[: excess * len(NODE_METRICS if key == "" else DEVICE_METRICS)]
            if key and all(map(math.isnan, values)):
                del track.values[key]


_METRICS: Mapping[SeriesKind, tuple[str, ...]] = {SeriesKind.DEVICE: DEVICE_METRICS, SeriesKind.NODE: NODE_METRICS}


def _row(values: Mapping[str, float | None], metrics: Sequence[str]) -> list[float]:
    found = (values[metric] for metric in metrics)
    return [math.nan if value is None else value for value in found]


def _row_bytes(track: _Track) -> int:
    devices = len(track.values) - ("" in track.values)
    values = devices * len(DEVICE_METRICS) + len(NODE_METRICS) * ("" in track.values)
    return values * _VALUE_BYTES + _TIME_BYTES
