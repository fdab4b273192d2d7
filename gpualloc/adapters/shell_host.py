"""The host of a node without python3: its size and load, from what the shell program tells of /proc."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from gpualloc.adapters.shell_proc import (
    Clock,
    Counters,
    read_clock,
    read_cpus,
    read_disk,
    read_memory,
    read_network,
)
from gpualloc.adapters.shell_talk import Told

WORDS = ("clock", "meminfo", "stat", "network", "disk")
"""What is asked for each look."""

_MIN_WINDOW_S = 0.05
"""A rate over less than this would be noise."""

_SIZES = ("cpus", "memory_total_mib", "disk_total_mib")
_LOAD = (
    "cpu_utilization_ratio",
    "memory_available_mib",
    "disk_used_mib",
    "network_rx_bytes_per_s",
    "network_tx_bytes_per_s",
    "network_errors_per_s",
)


class ShellHost(Struct):
    """Makes the wire's rows of a host; remembers the counters of the look before to make rates of them."""

    clock: Clock | None = None
    """The node's time at the last look."""
    booted_at_s: float | None = None
    """Epoch seconds of the boot by the node's clock; the first answer counts, so that processes keep their identity."""
    _before: Counters | None = None

    def take(self, ask: Callable[..., list[Told]]) -> tuple[dict[str, object], dict[str, object]]:
        """Look: `host` of `inventory` and of `sample`."""
        clock, meminfo, stat, network, disk = ask(*WORDS)
        self.clock = read_clock(clock.lines)
        if self.clock is not None and self.booted_at_s is None:
            self.booted_at_s = self.clock.epoch_s - self.clock.uptime_s
        memory, (cpus, ticks) = read_memory(meminfo.lines), read_cpus(stat.lines)
        total_mib, used_mib = read_disk(disk.lines) or (None, None)
        sizes = dict(zip(_SIZES, (cpus, memory.get("MemTotal"), total_mib), strict=True))
        load: dict[str, object] = dict.fromkeys(_LOAD)
        load.update(memory_available_mib=memory.get("MemAvailable"), disk_used_mib=used_mib)
        if self.clock is not None:
            counted = read_network(network.lines) or (None, None, None)
            load.update(self._rates(Counters(self.clock.uptime_s, ticks, *counted)))
        return dict(sizes), load

    def _rates(self, now: Counters) -> dict[str, object]:
        before = self._before
        if before is not None and now.uptime_s - before.uptime_s < _MIN_WINDOW_S:
            return {}
        self._before = now
        if before is None:
            return {}
        elapsed_s = now.uptime_s - before.uptime_s
        rates: dict[str, object] = {
            "network_rx_bytes_per_s": _rate(before.received, now.received, elapsed_s),
            "network_tx_bytes_per_s": _rate(before.sent, now.sent, elapsed_s),
            "network_errors_per_s": _rate(before.errors, now.errors, elapsed_s),
        }
        if before.cpu is not None and now.cpu is not None and now.cpu[1] > before.cpu[1]:
            busy = (now.cpu[0] - before.cpu[0]) / (now.cpu[1] - before.cpu[1])
            rates["cpu_utilization_ratio"] = min(1.0, max(0.0, busy))
        return rates


def _rate(before: int | None, now: int | None, elapsed_s: float) -> float | None:
    """None when a counter is unknown or went back, as when an interface goes away."""
    if before is None or now is None or now < before:
        return None
    return (now - before) / elapsed_s
