"""Going back in time in the dashboard: what one step costs, from the key to what views draw.

Run it as `python bench/past.py [GPUS...]`; it prints a row for each place in the history: ticks that are not packed
yet, packed ones, and what is left of them by minutes and by hours. A step is what `[` does: find the moment before,
read it, and make nodes of it.
"""

from __future__ import annotations

import argparse
import queue
import statistics
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

from store import EVERY_S, START_S, fill
from store_data import Cluster

from gpualloc.adapters.clock import WallClock
from gpualloc.engine.context import Context
from gpualloc.engine.past_look import HistoryChronicle
from gpualloc.model.inventory import Device, Node, NodeSpec, NodeState
from gpualloc.model.sample import SeriesKind
from gpualloc.policies.registry import load
from gpualloc.store.events import SqliteEvents
from gpualloc.store.history import SqliteHistory
from gpualloc.store.history_times import HOUR_S
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal
from gpualloc.tui.past import Past, PastArrived
from gpualloc.tui.seen import Seen, SeenNode

PACKED_S = 3 * HOUR_S
TICKS_S = 600
STEPS = 15


class Fleet:
    """Says which nodes there are, and nothing else."""

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        self._specs = tuple(node.spec for node in nodes)

    def specs(self) -> tuple[NodeSpec, ...]:
        return self._specs


def nodes_of(cluster: Cluster) -> tuple[Node, ...]:
    by_node: dict[str, list[str]] = {}
    for key in cluster.series[SeriesKind.DEVICE]:
        by_node.setdefault(key.node, []).append(key.key)
    return tuple(
        Node(
            NodeSpec(name, "p", "ssh"),
            NodeState.OK,
            float(START_S),
            devices=tuple(Device(uuid, index, "NVIDIA H100 80GB HBM3", 81_559) for index, uuid in enumerate(uuids)),
        )
        for name, uuids in by_node.items()
    )


def measure(place: str, ctx: Context, nodes: tuple[Node, ...], at_s: float) -> None:
    heard: queue.Queue[object] = queue.Queue()
    past = Past(lambda: HistoryChronicle(ctx), heard.put)
    past.enter(Seen(tuple(SeenNode(node.spec).after(node, 0.0, 0.0) for node in nodes)))
    past.go(at_s)
    heard.get()
    wall, cpu = [], []
    for _ in range(STEPS):
        begun, used = time.perf_counter(), time.process_time()
        past.step(-1)
        message = heard.get()
        wall.append((time.perf_counter() - begun) * 1e3)
        cpu.append((time.process_time() - used) * 1e3)
        assert isinstance(message, PastArrived), message
    devices = sum(len(node.devices) for node in message.place.seen.nodes)
    spread = f"{statistics.median(wall):.0f} ({min(wall):.0f} to {max(wall):.0f})"
    print(f"| {devices:,} | {place} | {spread} | {statistics.median(cpu):.0f} |")
    past.stop()


def run(gpus: int, folder: Path) -> None:
    cluster, paths = Cluster(gpus, 1, EVERY_S), StatePaths(folder)
    nodes = nodes_of(cluster)
    with ExitStack() as opened:
        history, journal, events = (
            opened.enter_context(closing(make(paths))) for make in (SqliteHistory, SqliteJournal, SqliteEvents)
        )
        packed_s = START_S + PACKED_S
        fill(history, cluster, packed_s)
        for at_s in range(packed_s, packed_s + TICKS_S, EVERY_S):
            history.append(cluster.tick(at_s))
        ctx = Context(Fleet(nodes), journal, history, WallClock(), load("best-fit"), "bench", events=events)
        print(
            "| GPUs | where | ms per step on the wall, median (range) | ms of CPU, median |\n| --- | --- | --- | --- |"
        )
        measure("ticks", ctx, nodes, packed_s + TICKS_S)
        measure("packed", ctx, nodes, packed_s - 1800)
        # Of the first hour nothing but hours stays, and of the second one minutes.
        hours_s = START_S + HOUR_S
        history.prune(hours_s + HOUR_S, minutes_before_s=hours_s, hours_before_s=START_S)
        measure("minutes", ctx, nodes, hours_s + 1800)
        print(f"| {gpus:,} | hours | {one_look(ctx, nodes):.0f}, one look | |")


def one_look(ctx: Context, nodes: tuple[Node, ...]) -> float:
    chronicle = HistoryChronicle(ctx)
    chronicle.look(START_S + 60, nodes)
    begun = time.perf_counter()
    chronicle.look(START_S + 120, nodes)
    return (time.perf_counter() - begun) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gpus", nargs="*", type=int, default=[64, 8000])
    for gpus in parser.parse_args().gpus:
        with tempfile.TemporaryDirectory() as folder:
            run(gpus, Path(folder))


if __name__ == "__main__":
    main()
