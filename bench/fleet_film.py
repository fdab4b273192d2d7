"""What a node of eight GPUs tells in an hour or so, recorded through the real node server over simulated hardware.

A film is the whole picture at some moments and the changes in between, in a circle, each as a line of the wire. Nodes
that play one cost next to nothing, and whoever watches them has all the work that real ones would make. Readings that
the simulation does not have are filled in here, so that a picture is as large as that of a real GPU; those of a GPU at
work change every time, as they do on real ones.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from gpualloc.adapters.simulated import SimulatedNodes
from gpualloc.node.telling import EACH, NOW_AND_THEN, Telling
from gpualloc.node.wire import encode
from gpualloc.sim.cluster import ClusterSpec, HostSpec, Stranger
from gpualloc.sim.use import Pattern

TICKS = 60
BEGIN_EVERY = 10
"""So many ticks apart a film can be begun."""
START_S = 1_790_000_000.5
MIXES: Mapping[str, tuple[tuple[Pattern, tuple[int, ...]], ...]] = {
    "training": ((Pattern.TRAINING, tuple(range(8))),),
    "mixed": ((Pattern.TRAINING, (0, 1, 2, 3)), (Pattern.INFERENCE, (4, 5)), (Pattern.STEADY, (6,))),
    "serving": ((Pattern.INFERENCE, (0, 1, 2, 3)), (Pattern.DAILY, (4, 5)), (Pattern.IDLE, (6, 7))),
    "quiet": ((Pattern.NOTEBOOK, (0,)),),
}
"""Who works the GPUs of a node."""


@dataclass
class Film:
    """Lines of the wire, as text; `marks` is the time of the reading as each line holds it."""

    wholes: dict[int, str]
    changes: list[str]
    """The one at k leads from tick k to the next."""
    marks: list[str]
    uuids: list[str]

    def text(self) -> str:
        """As a file that `fleet_player` reads."""
        return json.dumps(self.__dict__)

    @property
    def mean_change_bytes(self) -> float:
        return sum(map(len, self.changes)) / len(self.changes)

    @property
    def mean_whole_bytes(self) -> float:
        return sum(map(len, self.wholes.values())) / len(self.wholes)


def record(mix: str, every_s: float) -> Film:
    """A film of a node whose readings lie so many seconds apart."""
    strangers = tuple(
        Stranger("ann", f"python {pattern.value}.py --config big.yaml", gpus, 40_000, pattern)
        for pattern, gpus in MIXES[mix]
    )
    spec = ClusterSpec("film", (HostSpec("NODE", ("H100-80GB",) * 8, 192, 2048, strangers=strangers),), seed=11)
    answers = _Answers(spec, every_s)
    begin = {tick: _line(_told(answers, tick, 1)[0]) for tick in range(0, TICKS, BEGIN_EVERY)}
    records = _told(answers, 0, TICKS + 1)
    uuids = [row["uuid"] for row in answers.seen[0]["sample"]["devices"]]
    marks = [repr(answers.seen[tick]["sample"]["at_s"]) for tick in range(TICKS)]
    return Film(begin, [_line(each) for each in records[1:]], marks, uuids)


def _told(answers: _Answers, first: int, count: int) -> list[dict[str, Any]]:
    """What the node program would tell from that tick on."""
    telling = Telling(answers, lambda _record: None)  # type: ignore[arg-type]
    records = []
    for tick in range(first, first + count):
        answers.tick = tick % TICKS
        records.append(telling.record())
    return records


def _line(record: dict[str, Any]) -> str:
    return encode(record).decode("ascii")


class _Answers:
    """Stands for the node's server: what it answered at each tick, asked once."""

    def __init__(self, spec: ClusterSpec, every_s: float) -> None:
        self.tick = 0
        self._now_s = START_S
        with tempfile.TemporaryDirectory() as folder:
            nodes = SimulatedNodes(Path(folder), spec, wall=lambda: self._now_s)
            link = nodes.link("NODE")
            self.seen: list[dict[str, Any]] = []
            for tick in range(TICKS):
                self._now_s = START_S + tick * every_s
                asked = [{"id": 0, "verb": verb, "args": {}} for verb in (*EACH, *NOW_AND_THEN)]
                told = [answer["ok"] for answer in link.exchange(asked, 10.0)]
                self.seen.append(_filled(dict(zip((*EACH, *NOW_AND_THEN), told, strict=True)), tick, every_s))
            nodes.close()

    def handle(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"id": request["id"], "ok": self.seen[self.tick][request["verb"]]}


def _filled(told: dict[str, Any], tick: int, every_s: float) -> dict[str, Any]:
    """What the simulation told, with what real nodes tell besides."""
    noise = Random(tick)
    slow = Random(int(tick * every_s / 10))
    for index, row in enumerate(told["sample"]["devices"]):
        busy = (row["gpu_utilization_ratio"] or 0) > 0.01
        row.update({**_readings(row, noise, slow, busy), **{name: row[name] for name in row if row[name] is not None}})
        row["power_w"] = round(row["power_w"] + noise.uniform(-9, 9) * busy + noise.uniform(0, 0.4), 2)
        row["energy_j"] = round(1e7 + index + 300.0 * every_s * tick, 1)
        row["unavailable"] = {}
    for index, row in enumerate(told["inventory"]["devices"]):
        row["board"] = {
            "pci_bus_id": f"00000000:{0x10 + index:02x}:00.0",
            "serial": f"1650{index:09d}",
            "vbios_version": "96.00.61.00.01",
            "inforom_version": "G520.0200.00.05",
        }
        row["peers"] = {other["uuid"]: "NV18" for other in told["inventory"]["devices"] if other is not row}
    for row in told["processes"]["processes"]:
        busy = noise.random() < 0.9
        row.update(
            container="4f0a" * 3,
            pod=None,
            slurm_job=None,
            parent=1,
            gpu_utilization_ratio=round(noise.random(), 2) if busy else 0.0,
            cpu_utilization_ratio=round(noise.random(), 3),
            host_memory_mib=20_000 + slow.randrange(500),
        )
    told["sample"]["host"] = {**_host(noise), **told["sample"]["host"]}
    told["inventory"]["host"] = {**told["inventory"]["host"], "gpus_on_bus": 8}
    return told


def _readings(row: Mapping[str, Any], noise: Random, slow: Random, busy: bool) -> dict[str, Any]:
    """Readings of one device that a simulated one may lack; those behind calls that cost much change slowly."""
    used = noise.uniform(0.3, 0.95) if busy else 0.0
    flow = slow.uniform(1e8, 2e10) if busy else 0.0
    return {
        "memory_temperature_c": (row["temperature_c"] or 30) + 6,
        "memory_clock_mhz": 2619 if busy else 1593,
        "fan_ratio": None,
        "energy_j": 0.0,
        "performance_state": 0,
        "encoder_utilization_ratio": 0.0,
        "decoder_utilization_ratio": 0.0,
        "throttles": (["power cap"] if noise.random() < 0.2 else []) if busy else ["idle"],
        "activity": {
            "sm_active_ratio": round(used, 3),
            "sm_occupancy_ratio": round(used * 0.4, 3),
            "tensor_active_ratio": round(used * 0.5, 3),
            "dram_active_ratio": round(used * 0.6, 3),
        },
        "ecc": {
            "enabled": True,
            "pending": True,
            "volatile_corrected": 0,
            "volatile_uncorrected": 0,
            "aggregate_corrected": 2,
            "aggregate_uncorrected": 0,
            "remapped_corrected": 0,
            "remapped_uncorrected": 0,
            "remap_pending": False,
            "remap_failed": False,
        },
        "pcie": {
            "generation": 5,
            "width": 16,
            "generation_max": 5,
            "width_max": 16,
            "replays": 0,
            "rx_bytes_per_s": round(flow),
            "tx_bytes_per_s": round(flow / 3),
        },
        "nvlinks": [{"index": link, "up": True, "remote": "switch", "errors": 0} for link in range(18)],
        "nvlink_rx_bytes_per_s": round(flow * 4),
        "nvlink_tx_bytes_per_s": round(flow * 4),
    }


def _host(noise: Random) -> dict[str, Any]:
    rates = ("network_rx", "network_tx", "rdma_rx", "rdma_tx")
    return {
        **{f"{name}_bytes_per_s": round(noise.uniform(1e5, 1e9)) for name in rates},
        "swap_in_bytes_per_s": 0.0,
        "swap_out_bytes_per_s": 0.0,
        "disk_reads_per_s": round(noise.uniform(0, 300), 1),
        "disk_writes_per_s": round(noise.uniform(0, 300), 1),
        "network_errors_per_s": 0.0,
        "ports": [
            {
                "name": f"{kind}{port}",
                "kind": kind,
                "up": True,
                "speed_bytes_per_s": 5e10,
                "rx_bytes_per_s": round(noise.uniform(1e5, 1e9)),
                "tx_bytes_per_s": round(noise.uniform(1e5, 1e9)),
                "errors_per_s": 0.0,
            }
            for kind, ports in (("ethernet", 1), ("infiniband", 8))
            for port in range(ports)
        ],
    }
