"""Readings over time: the metrics gpualloc keeps, their units, and points of a series."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field


class SeriesKind(StrEnum):
    """What a series describes."""

    DEVICE = "device"
    MIG_INSTANCE = "mig-instance"
    NODE = "node"
    WORKLOAD = "workload"


class Level(StrEnum):
    """How finely readings are kept."""

    RAW = "raw"
    MINUTE = "minute"
    HOUR = "hour"

    @property
    def step_s(self) -> int:
        """How long a step of a rollup is; 0 for readings as they were taken."""
        return {Level.RAW: 0, Level.MINUTE: 60, Level.HOUR: 3600}[self]


class Metric(Struct, frozen=True):
    """One kept reading. Stored as round(value × scale) in an integer column, NULL when unknown."""

    name: str
    unit: str
    scale: int
    kinds: frozenset[SeriesKind]


_GPU = frozenset({SeriesKind.DEVICE})
_USED = _GPU | {SeriesKind.WORKLOAD}
_GPU_LIKE = frozenset({SeriesKind.DEVICE, SeriesKind.MIG_INSTANCE, SeriesKind.WORKLOAD})
_ACTIVE = _GPU | {SeriesKind.MIG_INSTANCE}
_NODE = frozenset({SeriesKind.NODE})

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("gpu_utilization_ratio", "ratio", 10_000, _USED),
        Metric("memory_utilization_ratio", "ratio", 10_000, _GPU),
        Metric("gpu_memory_used_mib", "MiB", 1, _GPU_LIKE),
        Metric("gpu_memory_total_mib", "MiB", 1, _GPU | {SeriesKind.MIG_INSTANCE}),
        Metric("power_w", "W", 1000, _USED),
        Metric("temperature_c", "°C", 1, _GPU),
        Metric("sm_clock_mhz", "MHz", 1, _GPU),
        Metric("cpu_utilization_ratio", "ratio", 10_000, _NODE),
        Metric("memory_available_mib", "MiB", 1, _NODE),
        Metric("disk_used_mib", "MiB", 1, _NODE),
        Metric("network_rx_bytes_per_s", "B/s", 1, _NODE),
        Metric("network_tx_bytes_per_s", "B/s", 1, _NODE),
        Metric("memory_temperature_c", "°C", 1, _GPU),
        Metric("memory_clock_mhz", "MHz", 1, _GPU),
        Metric("energy_j", "J", 1, _GPU),
        Metric("throttled", "ratio", 1, _GPU),
        Metric("sm_active_ratio", "ratio", 10_000, _ACTIVE),
        Metric("tensor_active_ratio", "ratio", 10_000, _ACTIVE),
        Metric("dram_active_ratio", "ratio", 10_000, _ACTIVE),
        Metric("pcie_rx_bytes_per_s", "B/s", 1, _GPU),
        Metric("pcie_tx_bytes_per_s", "B/s", 1, _GPU),
        Metric("nvlink_rx_bytes_per_s", "B/s", 1, _GPU),
        Metric("nvlink_tx_bytes_per_s", "B/s", 1, _GPU),
        Metric("ecc_uncorrected", "errors", 1, _GPU),
        Metric("swap_in_bytes_per_s", "B/s", 1, _NODE),
        Metric("disk_reads_per_s", "1/s", 1, _NODE),
        Metric("disk_writes_per_s", "1/s", 1, _NODE),
        Metric("network_errors_per_s", "1/s", 1000, _NODE),
        Metric("rdma_rx_bytes_per_s", "B/s", 1, _NODE),
        Metric("rdma_tx_bytes_per_s", "B/s", 1, _NODE),
    )
}
"""Every metric by name; the order is the order of the columns."""


class SeriesKey(Struct, frozen=True):
    """What a series belongs to; stable over restarts."""

    kind: SeriesKind
    node: str
    key: str
    """Device or MIG UUID, workload id, or "" for the node itself."""


class Sample(Struct, frozen=True):
    """All readings of one series at one tick. A metric that is absent or None is unknown."""

    series: SeriesKey
    at_s: int
    """Epoch seconds, snapped to the sampling grid."""
    values: Mapping[str, float | None] = field(default_factory=dict)


class KeptSamples(Struct, frozen=True):
    """What is kept of one moment: of each series its newest sample, or the newest step of a rollup."""

    level: Level
    """Of a rollup the values are means over the steps, and `at_s` is where these begin."""
    samples: tuple[Sample, ...]
    """One of each series at most, in no particular order."""


class Series(Struct, frozen=True):
    """Points of one metric of one series, oldest first."""

    key: SeriesKey
    metric: Metric
    points: tuple[tuple[float, float | None], ...]
    """(epoch seconds, value or None for unknown)."""


class Digest(Struct, frozen=True):
    """Some metrics of one series on an even grid of times: doubles, NaN where nothing is known of the tick."""

    key: SeriesKey
    start_s: int
    """Epoch seconds at which the first tick begins."""
    step_s: int
    """How long a tick is; it tells of the samples from its beginning to just before its end."""
    mean: Mapping[str, array[float]]
    """By metric: the mean of the known samples of each tick."""
    high: Mapping[str, array[float]]
    """By metric: the highest of them."""


class Rollup(Struct, frozen=True):
    """One metric of one series by even steps: doubles, NaN where nothing is known of the step."""

    key: SeriesKey
    metric: Metric
    start_s: int
    """Epoch seconds at which the first step begins."""
    step_s: int
    low: array[float]
    """The lowest known sample of each step."""
    mean: array[float]
    high: array[float]
    p95: array[float]
    """The sample of nearest rank: the lowest that at least 95 % of the known samples of the step do not exceed."""
    known: array[int]
    """How many samples of the step are known."""
    unknown: array[int]
    """How many were taken without learning the value."""
