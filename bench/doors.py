"""What readings cost on their way out at fleet size: a page for Prometheus, CSV, a recording.

Run it as `python bench/doors.py`; it prints the figures of docs/exporter.md and docs/record.md. Nodes are made in
memory, each device with every reading that an H100 has, all of which are other in each tick.
"""

from __future__ import annotations

import random
import resource
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from gpualloc.adapters.recorded_nodes import Recording
from gpualloc.adapters.recording import Recorder
from gpualloc.model.inventory import Device, HostReading, Node, NodeSpec, NodeState, Snapshot
from gpualloc.model.readings import Activity, Board, Ecc, NvLink, Pcie, Throttle
from gpualloc.views.exporter import Exposition, OwnCost
from gpualloc.views.nodes_csv import nodes_csv

NODES = 1000
GPUS = 8
TICKS = 12
EVERY_S = 10
START_S = 1_790_000_000.0
COST = OwnCost("bench", START_S, 0.0, None, None)
_R = TypeVar("_R")


def device(node: int, index: int) -> Device:
    """An H100 that tells everything."""
    return Device(
        uuid=f"GPU-{node:08d}-0000-0000-0000-{index:012d}",
        index=index,
        model="NVIDIA H100 80GB HBM3",
        memory_total_mib=81559,
        power_limit_w=700.0,
        mig_enabled=False,
        mig_pending=False,
        architecture="hopper",
        memory_clock_mhz=2619,
        performance_state=0,
        encoder_utilization_ratio=0.0,
        decoder_utilization_ratio=0.0,
        throttles=(Throttle.POWER_CAP,),
        ecc=Ecc(True, True, 0, 0, 0, 0, 0, 0, False, False),
        nvlinks=tuple(NvLink(link, True, "switch", 0) for link in range(18)),
        board=Board(f"0000:{index:02x}:00.0", "1650000000000", "96.00.74.00.01", "G520.0200.00.05"),
        energy_j=0.0,
    )


def moved(one: Device, chance: random.Random) -> Device:
    """The device a tick later: everything that moves has moved."""
    return replace(
        one,
        memory_used_mib=chance.randrange(81559),
        gpu_utilization_ratio=chance.randrange(101) / 100,
        memory_utilization_ratio=chance.randrange(101) / 100,
        power_w=round(chance.uniform(90, 700), 3),
        temperature_c=chance.randrange(30, 85),
        memory_temperature_c=chance.randrange(30, 95),
        sm_clock_mhz=chance.randrange(345, 1980),
        energy_j=(one.energy_j or 0.0) + round(chance.uniform(900, 7000), 3),
        activity=Activity(*(round(chance.random(), 4) for _ in range(4))),
        pcie=Pcie(5, 16, 5, 16, 0, chance.randrange(10**10), chance.randrange(10**10)),
        nvlink_rx_bytes_per_s=chance.randrange(4 * 10**11),
        nvlink_tx_bytes_per_s=chance.randrange(4 * 10**11),
    )


def fleet() -> list[Node]:
    """The nodes before anything was told."""
    host = HostReading(192, 0.25, 2_000_000, 1_500_000, 7_000_000, 100_000, 1e6, 2e6, 0.0, 0.0, 10.0, 20.0, 0.0)
    return [
        Node(
            NodeSpec(f"gpu{node:04d}", "main", "ssh"),
            NodeState.OK,
            START_S,
            driver_version="570.124.06",
            host=host,
            devices=tuple(device(node, index) for index in range(GPUS)),
        )
        for node in range(NODES)
    ]


def later(nodes: list[Node], at_s: float, chance: random.Random) -> list[Node]:
    """All nodes a tick later."""
    return [replace(node, at_s=at_s, devices=tuple(moved(one, chance) for one in node.devices)) for node in nodes]


def timed(work: Callable[[], _R]) -> tuple[float, _R]:
    """CPU seconds that it took, and its result."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def packed(page: bytes) -> bytes:
    """The page as Prometheus asks for it."""
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(page) + packer.flush()


def page_figures(nodes: list[Node], chance: random.Random) -> None:
    """Pages: all nodes new, all the same, packed."""
    exposition = Exposition(simulated=False, processes=False)
    exposition.page(nodes, START_S, COST)
    nodes = later(nodes, START_S, chance)
    all_new_s, page = timed(lambda: exposition.page(nodes, START_S, COST))
    same_s, _ = timed(lambda: exposition.page(nodes, START_S, COST))
    pack_s, small = timed(lambda: packed(page))
    print(f"page: {page.count(10):,} lines, {len(page) / 1e6:.1f} MB; gzip {len(small) / 1e6:.1f} MB in {pack_s:.2f} s")
    print(f"page made: {all_new_s:.2f} s when all nodes told something, {same_s:.2f} s when none did")
    csv_s, text = timed(lambda: nodes_csv(Snapshot(START_S, tuple(nodes))))
    print(f"nodes --csv: {csv_s:.2f} s, {len(text) / 1e6:.1f} MB")


def recording_figures(nodes: list[Node], chance: random.Random, folder: Path) -> None:
    """A recording: time and bytes of a tick, and of playing it."""
    path = folder / "bench.rec"
    recorder = Recorder(path, [node.spec for node in nodes], began_s=START_S, every_s=EVERY_S, commands=True)
    spent, sizes = [], []
    for tick in range(TICKS):
        at_s = START_S + tick * EVERY_S
        nodes = later(nodes, at_s, chance)
        took_s, _ = timed(lambda at_s=at_s, nodes=nodes: recorder.tick(at_s, nodes))
        spent.append(took_s)
        sizes.append(recorder.size_bytes)
    recorder.close()
    each = (sizes[-1] - sizes[0]) / (TICKS - 1)
    print(f"record: first tick {spent[0]:.2f} s, {sizes[0] / 1e6:.2f} MB; then {sum(spent[1:]) / (TICKS - 1):.2f} s,")
    day_gb = each * 86_400 / EVERY_S / 1e9
    print(f"  {each / 1e6:.2f} MB a tick, {each / NODES / 1024:.2f} KiB a node; {day_gb:.1f} GB a day")
    played = Recording(path)
    play_s, _ = timed(lambda: [played.play() for _ in range(TICKS)])
    look_s, _ = timed(lambda: [played.node(node.name) for node in nodes])
    played.close()
    print(f"play: {play_s / TICKS:.2f} s a tick; {look_s:.2f} s more to look at all nodes")


def main() -> None:
    """Print all figures."""
    chance = random.Random(7)
    nodes = fleet()
    print(f"{NODES:,} nodes x {GPUS} GPUs, CPU time of one process")
    page_figures(nodes, chance)
    with tempfile.TemporaryDirectory() as folder:
        recording_figures(nodes, chance, Path(folder))
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
