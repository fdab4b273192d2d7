"""A made-up cluster that looks like a real one to a store: work comes and goes, memory stands, temperatures drift.

Everything follows from the seed. Units and steps are those of NVML: utilization in whole percent, power in milliwatts,
PCIe throughput in KB/s that is read once a minute, clocks in steps of 15 MHz.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from gpualloc.model.sample import Sample, SeriesKey, SeriesKind

GPUS_PER_NODE = 8
TOTAL_MIB = 81_559
BUSY_SHARE = 0.6
"""Of the GPUs, how many have work at a time."""
MEAN_WORK_S = 7200.0
SLOW_S = 60
"""How often the dear readings are taken; they are told again until then."""

_INSTANCES, _WORKLOADS = 100, 20
"""One device in so many has a MIG instance, or work of gpualloc."""
_OF_INSTANCES = ("gpu_memory_used_mib", "gpu_memory_total_mib")
_OF_WORKLOADS = ("gpu_memory_used_mib", "gpu_utilization_ratio", "power_w")

Floats = NDArray[np.float64]


class Cluster:
    """A number of GPUs, eight to a node, moved on tick by tick."""

    def __init__(self, gpus: int, seed: int, every_s: int) -> None:
        self._random = np.random.default_rng(seed)
        self._every_s = every_s
        self.devices = [
            SeriesKey(SeriesKind.DEVICE, f"node{number // GPUS_PER_NODE:04d}", f"GPU-{number:08x}-7c1e-41ab-9d3e")
            for number in range(gpus)
        ]
        self.series = {
            SeriesKind.DEVICE: self.devices,
            SeriesKind.NODE: [
                SeriesKey(SeriesKind.NODE, f"node{number:04d}", "") for number in range(gpus // GPUS_PER_NODE)
            ],
            SeriesKind.MIG_INSTANCE: [
                SeriesKey(SeriesKind.MIG_INSTANCE, key.node, f"MIG-{key.key[4:]}") for key in self.devices[::_INSTANCES]
            ],
            SeriesKind.WORKLOAD: [
                SeriesKey(SeriesKind.WORKLOAD, key.node, f"w{number:08d}")
                for number, key in enumerate(self.devices[::_WORKLOADS])
            ],
        }
        draw = self._random
        self._busy = draw.random(gpus) < BUSY_SHARE
        self._work_mean, self._work_noise = draw.uniform(0.5, 1.0, gpus), draw.uniform(0.0, 0.12, gpus)
        self._period_s, self._dip = draw.uniform(40, 900, gpus), draw.uniform(0.02, 0.25, gpus)
        self._used = np.where(self._busy, draw.integers(8_000, 80_000, gpus), 4)
        self._temperature = np.where(self._busy, 62.0, 33.0)
        self._energy = draw.uniform(1e7, 1e9, gpus)
        self._power = np.full(gpus, 70.0)
        self._slow: dict[str, Floats] = {}
        self._host = draw.random((len(self.series[SeriesKind.NODE]), 2))

    def tick(self, at_s: int) -> list[Sample]:
        """Every series at that second; call it with ascending seconds."""
        samples = []
        for kind, columns in self.readings(at_s).items():
            rows = zip(self.series[kind], _rows(columns), strict=True)
            samples += [Sample(key, at_s, values) for key, values in rows]
        return samples

    def readings(self, at_s: int) -> dict[SeriesKind, dict[str, Floats]]:
        """The same as a column for each reading, in the order of `series`."""
        self._work()
        devices = self._device_values(at_s)
        return {
            SeriesKind.DEVICE: devices,
            SeriesKind.NODE: self._host_values(),
            SeriesKind.MIG_INSTANCE: {name: devices[name][::_INSTANCES] for name in _OF_INSTANCES},
            SeriesKind.WORKLOAD: {name: devices[name][::_WORKLOADS] for name in _OF_WORKLOADS},
        }

    def _work(self) -> None:
        """Some work ends, other work begins, and memory sometimes steps."""
        draw, gpus = self._random, len(self._busy)
        ends = self._busy & (draw.random(gpus) < self._every_s / MEAN_WORK_S)
        idle_s = MEAN_WORK_S * (1 - BUSY_SHARE) / BUSY_SHARE
        begins = ~self._busy & (draw.random(gpus) < self._every_s / idle_s)
        self._busy = (self._busy & ~ends) | begins
        self._work_mean[begins] = draw.uniform(0.5, 1.0, begins.sum())
        self._work_noise[begins] = draw.uniform(0.0, 0.12, begins.sum())
        self._used[begins] = draw.integers(8_000, 80_000, begins.sum())
        self._used[ends] = 4
        steps = self._busy & (draw.random(gpus) < 0.002)
        self._used[steps] = np.minimum(self._used[steps] + draw.integers(2, 512, steps.sum()), TOTAL_MIB)

    def _device_values(self, at_s: int) -> dict[str, Floats]:
        draw, gpus, busy = self._random, len(self._busy), self._busy
        dipping = (at_s % self._period_s) < self._period_s * self._dip
        active = np.clip(self._work_mean + self._work_noise * draw.standard_normal(gpus), 0, 1)
        active = np.where(busy, np.where(dipping, active * 0.15, active), 0.0)
        self._power += 0.7 * (68 + 560 * active - self._power)
        power = np.round(self._power + np.where(busy, 9.0, 0.25) * draw.standard_normal(gpus), 3)
        self._temperature += 0.06 * (28 + power / 15 - self._temperature) + 0.1 * draw.standard_normal(gpus)
        self._energy += power * self._every_s
        hot = self._temperature > 71
        clock = np.where(busy, 1980 - 15 * np.floor(np.abs(draw.standard_normal(gpus)) * np.where(hot, 6, 0.7)), 345)
        values = {
            "gpu_utilization_ratio": np.round(active, 2),
            "memory_utilization_ratio": np.round(active * 0.6, 2),
            "gpu_memory_used_mib": self._used.astype(float),
            "gpu_memory_total_mib": np.full(gpus, float(TOTAL_MIB)),
            "power_w": power,
            "temperature_c": np.round(self._temperature),
            "sm_clock_mhz": clock.astype(float),
            "memory_temperature_c": np.round(self._temperature + 7),
            "memory_clock_mhz": np.where(busy, 2619.0, 1593.0),
            "energy_j": np.round(self._energy),
            "throttled": hot.astype(float),
            "sm_active_ratio": np.round(active * 0.9 + 0.002 * draw.standard_normal(gpus) * busy, 4).clip(0, 1),
            "tensor_active_ratio": np.round(active * 0.4 + 0.002 * draw.standard_normal(gpus) * busy, 4).clip(0, 1),
            "dram_active_ratio": np.round(active * 0.5 + 0.002 * draw.standard_normal(gpus) * busy, 4).clip(0, 1),
            "ecc_uncorrected": np.zeros(gpus),
        }
        if at_s % SLOW_S == 0 or not self._slow:
            self._slow = {
                "pcie_rx_bytes_per_s": np.round(active * 4e6 * draw.random(gpus)) * 1000,
                "pcie_tx_bytes_per_s": np.round(active * 2e6 * draw.random(gpus)) * 1000,
                "nvlink_rx_bytes_per_s": np.round(active * 9e7 * draw.random(gpus)) * 1024,
                "nvlink_tx_bytes_per_s": np.round(active * 9e7 * draw.random(gpus)) * 1024,
            }
        return values | self._slow

    def _host_values(self) -> dict[str, Floats]:
        draw, nodes = self._random, len(self.series[SeriesKind.NODE])
        self._host = np.clip(self._host + 0.01 * draw.standard_normal(self._host.shape), 0, 1)
        return {
            "cpu_utilization_ratio": np.round(self._host[:, 0], 4),
            "memory_available_mib": np.round(2_000_000 * (1 - 0.5 * self._host[:, 1])),
            "disk_used_mib": np.round(500_000 + 1000 * self._host[:, 1]),
            "network_rx_bytes_per_s": np.round(1e9 * self._host[:, 0] * draw.random(nodes)),
            "network_tx_bytes_per_s": np.round(1e9 * self._host[:, 0] * draw.random(nodes)),
            "swap_in_bytes_per_s": np.zeros(nodes),
            "disk_reads_per_s": np.round(200 * draw.random(nodes) ** 4),
            "disk_writes_per_s": np.round(400 * draw.random(nodes) ** 4),
            "network_errors_per_s": np.zeros(nodes),
            "rdma_rx_bytes_per_s": np.round(5e10 * self._host[:, 0] * draw.random(nodes)),
            "rdma_tx_bytes_per_s": np.round(5e10 * self._host[:, 0] * draw.random(nodes)),
        }


def _rows(columns: Mapping[str, Floats]) -> list[dict[str, float]]:
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in _transposed(columns)]


def _transposed(columns: Mapping[str, Floats]) -> Iterator[tuple[float, ...]]:
    return zip(*(column.tolist() for column in columns.values()), strict=True)
