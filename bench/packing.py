"""How fast policies decide, how much memory that takes, and how both grow; the tables of docs/bench-packing.md.

    python bench/packing.py [openb] [large] [plan] [memory] [growth]     # all when none is named

Wall time is what an operator waits. CPU time is that of the deciding thread alone, and moves less when the machine is
busy. Policies take turns, round after round, so that whatever else the machine does falls on all of them alike. Nothing
here uses more than one core. `growth` writes docs/images/packing-growth.svg.
"""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from packing_chart import Line, Panel, chart

from gpualloc.engine.decide import decide
from gpualloc.model.allocation import Claim, Share
from gpualloc.model.decision import Expected, Problem
from gpualloc.model.inventory import Node, Snapshot
from gpualloc.model.shapes import Shape
from gpualloc.model.workload import Request, Workload
from gpualloc.policies import registry
from gpualloc.sim.traces.arrivals import read_arrivals
from gpualloc.sim.traces.cluster import requests_of, snapshot_of, workload_of
from gpualloc.sim.traces.lines import text_lines
from gpualloc.sim.traces.models import models_of
from gpualloc.sim.traces.reading import read_nodes, read_tasks
from gpualloc.sim.traces.trace import Tasks, TraceNode, gather

DATA = Path(__file__).parent / "data" / "openb"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "packing-growth.svg"
POLICIES = ("pack", "fgd", "best-fit", "first-fit")
ROUNDS = 3
WIDE = 8
"""GPUs of every node of a made-up cluster."""
WARM = 1000
"""Decisions that are not counted, in which most kinds of requests come for the first time."""
HELD = 0.85
"""Part of the GPUs of a made-up cluster that other work has."""
NODES = (100, 300, 1000, 3000, 10_000)
SHAPES = (10, 30, 91, 300)


class Times(Struct, frozen=True):
    """Seconds of each decision, and of what came before the first."""

    wall_s: np.ndarray
    cpu_s: np.ndarray
    begin_s: float
    """CPU time of reading the problem."""


@cache
def openb_nodes() -> tuple[TraceNode, ...]:
    with (DATA / "openb_node_list_gpu_node.csv.gz").open("rb") as file:
        return tuple(read_nodes(text_lines(file, file.name), file.name))


@cache
def openb_tasks() -> tuple[Tasks, tuple[int, ...]]:
    """The tasks of `default`, and their rows in the order of seed 42."""
    with (DATA / "openb_pod_list_default.csv.gz").open("rb") as file:
        tasks = gather(read_tasks(text_lines(file, file.name), file.name), file.name)
    with (DATA / "arrivals_seed42_51.npz").open("rb") as file:
        return tasks, tuple(read_arrivals(file, "default_42", file.name, len(tasks)).tolist())


@cache
def made_up(nodes: int) -> Snapshot:
    """The openb nodes with eight GPUs again and again; other work has part of the GPUs, node by node another one."""
    wide = [node for node in openb_nodes() if node.gpus == WIDE]
    fleet = [replace(node, name=f"n{number:05d}") for number, node in enumerate(islice(cycle(wide), nodes))]
    draw = np.random.default_rng(42)
    counts = draw.binomial(WIDE, HELD, nodes).tolist()
    seen = snapshot_of(fleet)
    return replace(seen, nodes=tuple(held(node, count) for node, count in zip(seen.nodes, counts, strict=True)))


def held(node: Node, count: int) -> Node:
    claims = tuple(
        Claim(device.uuid, f"w{node.name}", "bench", Share.EXCLUSIVE, None, 1.0, None, 0.0)
        for device in node.devices[:count]
    )
    return replace(node, claims=claims)


def idle(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, nodes=tuple(replace(node, claims=()) for node in snapshot.nodes))


def mix(shapes: int | None = None) -> tuple[list[Request], list[int], tuple[Expected, ...]]:
    """Requests of each shape, which of them arrives when, and what is expected.

    Args:
        shapes: the most frequent ones, or so many that each comes in several sizes of CPU; None is as in the trace.
    """
    tasks, order = openb_tasks()
    counts = Counter(tasks.shape_of.tolist())
    arrivals = [int(tasks.shape_of[row]) for row in order]
    kept: list[Shape] = list(tasks.shapes)
    if shapes is not None:
        ranked = [shape for shape, _ in counts.most_common()]
        variants = [(shape, extra) for extra in range(-(-shapes // len(ranked))) for shape in ranked][:shapes]
        kept = [
            replace(tasks.shapes[shape], cpu_milli=tasks.shapes[shape].cpu_milli + 10 * extra)
            for shape, extra in variants
        ]
        weights = np.array([counts[shape] for shape, _ in variants], np.float64)
        arrivals = np.random.default_rng(42).choice(len(kept), len(order), p=weights / weights.sum()).tolist()
        counts = Counter(arrivals)
    requests = list(requests_of(kept, models_of(openb_nodes())))
    expected = tuple(Expected(request, counts[number] or 1) for number, request in enumerate(requests))
    return requests, arrivals, expected


def run(policy: str, snapshot: Snapshot, shapes: int | None = None, decisions: int | None = None) -> Times:
    """Let work arrive, and time each decision."""
    requests, arrivals, expected = mix(shapes)
    came = [workload_of(number, "", requests[shape]) for number, shape in enumerate(arrivals[:decisions])]
    before = time.thread_time()
    session = registry.load(policy).begin(Problem(snapshot, (), seed=42, expected=expected, explain=False))
    begin_s = time.thread_time() - before
    wall, cpu = np.zeros(len(came)), np.zeros(len(came))
    for number, workload in enumerate(came):
        wall_from, cpu_from = time.perf_counter(), time.thread_time()
        session.place(workload)
        cpu[number], wall[number] = time.thread_time() - cpu_from, time.perf_counter() - wall_from
    return Times(wall, cpu, begin_s)


def spread(values: Iterable[float], digits: int = 0) -> str:
    """Median and range."""
    known = list(values)
    return f"{statistics.median(known):.{digits}f} ({min(known):.{digits}f} to {max(known):.{digits}f})"


def table(title: str, runs: dict[str, list[Times]], goal_us: tuple[float, float | None], warm: int = 0) -> None:
    """A line for each policy: median and range over the rounds."""
    print(f"\n{title}\n")
    print(
        "| policy | mean us, CPU | p50 | p99 | largest | mean us, wall | p99, wall | begin s, CPU | goal: mean, p99 |"
    )
    print("| --- " * 9 + "|")
    for policy, times in runs.items():
        cpu = [1e6 * one.cpu_s[warm:] for one in times]
        wall = [1e6 * one.wall_s[warm:] for one in times]
        mean, p99 = (
            statistics.median(one.mean() for one in cpu),
            statistics.median(np.percentile(one, 99) for one in cpu),
        )
        met = ["met" if mean <= goal_us[0] else "MISSED"]
        met += [] if goal_us[1] is None else ["met" if p99 <= goal_us[1] else "MISSED"]
        cells = [
            policy,
            spread(one.mean() for one in cpu),
            *(spread(np.percentile(one, part) for one in cpu) for part in (50, 99)),
            spread(one.max() for one in cpu),
            spread(one.mean() for one in wall),
            spread(np.percentile(one, 99) for one in wall),
            spread((one.begin_s for one in times), 2),
            ", ".join(met),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def openb() -> None:
    snapshot = snapshot_of(openb_nodes())
    runs: dict[str, list[Times]] = {policy: [] for policy in POLICIES}
    for _ in range(ROUNDS):
        for policy, times in runs.items():
            times.append(run(policy, snapshot))
    count = len(runs[POLICIES[0]][0].cpu_s)
    table(f"1,213 nodes, 6,212 GPUs, openb default, seed 42, {count:,} decisions, {ROUNDS} rounds", runs, (100, 1000))


def large() -> None:
    snapshot = made_up(10_000)
    runs: dict[str, list[Times]] = {policy: [] for policy in POLICIES}
    for _ in range(ROUNDS):
        for policy, times in runs.items():
            times.append(run(policy, snapshot, decisions=4 * WARM))
    title = f"10,000 nodes, 80,000 GPUs, {HELD:.0%} held, {3 * WARM:,} decisions after {WARM:,}, {ROUNDS} rounds"
    table(title, runs, (1000, None), WARM)


def plan() -> None:
    """1,000 requests that wait, decided at once, refusals explained."""
    requests, arrivals, _ = mix()
    waiting = tuple(workload_of(number, "", requests[shape]) for number, shape in enumerate(arrivals[:1000]))
    print("\n1,000 requests that wait, 1,000 nodes, 8,000 GPUs, refusals explained\n")
    print("| policy | GPUs held % | placed | refused | s, CPU | s, wall | begin s, CPU | refusals s, CPU | goal 2 s |")
    print("| --- " * 9 + "|")
    for held_pct, snapshot in ((0, idle(made_up(1000))), (round(100 * HELD), made_up(1000))):
        problem = Problem(snapshot, waiting)
        for policy in POLICIES:
            plan_row(policy, held_pct, problem)


def plan_row(policy: str, held_pct: int, problem: Problem) -> None:
    cpu, wall, begin, refusals = [], [], [], []
    for _ in range(ROUNDS):
        chosen = Watched(policy)
        wall_from, cpu_from = time.perf_counter(), time.thread_time()
        found = decide(problem, chosen)
        cpu.append(time.thread_time() - cpu_from)
        wall.append(time.perf_counter() - wall_from)
        begin.append(chosen.begin_s)
        refusals.append(chosen.refusals_s)
    met = "met" if statistics.median(cpu) <= 2 else "MISSED"
    counts = f"{len(found.allocations)} | {len(found.rejections)}"
    times = " | ".join(spread(each, 2) for each in (cpu, wall, begin, refusals))
    print(f"| {policy} | {held_pct} | {counts} | {times} | {met} |", flush=True)


class Watched:
    """A policy whose time is taken apart."""

    def __init__(self, name: str) -> None:
        self._policy = registry.load(name)
        self.name, self.version = name, self._policy.version
        self.begin_s = self.refusals_s = 0.0

    def begin(self, problem: Problem) -> Watched:
        began = time.thread_time()
        self._session = self._policy.begin(problem)
        self.begin_s = time.thread_time() - began
        return self

    def place(self, workload: Workload) -> object:
        began = time.thread_time()
        answer = self._session.place(workload)
        if hasattr(answer, "reason"):
            self.refusals_s += time.thread_time() - began
        return answer


def memory() -> None:
    """What a session holds, in a process of its own for each size and policy."""
    print("\n| policy | nodes | session MiB at most | whole process MiB at most |\n| --- | --- | --- | --- |")
    for nodes in (1000, 10_000):
        for policy in POLICIES:
            command = [sys.executable, __file__, "--memory-of", policy, str(nodes)]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            print(f"| {policy} | {nodes:,} | {told[0]} | {told[1]} |", flush=True)


def memory_of(policy: str, nodes: int) -> None:
    snapshot = made_up(nodes)
    tracemalloc.start()
    run(policy, snapshot, decisions=2 * WARM)
    session = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    highest = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())  # ru_maxrss counts the parent's
    print(f"{session:.0f} {int(highest[1]) / 1024:.0f}" if highest else f"{session:.0f} ?")


def growth() -> None:
    """Mean CPU time of a decision by nodes and by shapes, as a table and as a picture."""
    by_nodes = {policy: [grown(policy, nodes, None) for nodes in NODES] for policy in POLICIES}
    by_shapes = {policy: [grown(policy, 1000, shapes) for shapes in SHAPES] for policy in POLICIES}
    for title, sizes, found in (("nodes (91 shapes)", NODES, by_nodes), ("shapes (1,000 nodes)", SHAPES, by_shapes)):
        print(f"\n| mean us, CPU, by {title} | " + " | ".join(f"{size:,}" for size in sizes) + " |")
        print("| --- " * (len(sizes) + 1) + "|")
        for policy, means in found.items():
            print(f"| {policy} | " + " | ".join(f"{mean:.0f}" for mean in means) + " |")
    panels = [panel("nodes, of eight GPUs", NODES, by_nodes), panel("shapes of requests", SHAPES, by_shapes)]
    PICTURE.write_text(chart("Mean CPU time of one decision, microseconds", panels))


def panel(title: str, sizes: Sequence[int], found: dict[str, list[float]]) -> Panel:
    return Panel(title, tuple(Line(policy, tuple(zip(sizes, means, strict=True))) for policy, means in found.items()))


def grown(policy: str, nodes: int, shapes: int | None) -> float:
    return float(1e6 * run(policy, made_up(nodes), shapes, 3 * WARM).cpu_s[WARM:].mean())


PARTS = {"openb": openb, "large": large, "plan": plan, "memory": memory, "growth": growth}


def main(arguments: Sequence[str]) -> None:
    if arguments[:1] == ["--memory-of"]:
        memory_of(arguments[1], int(arguments[2]))
        return
    if unknown := set(arguments) - set(PARTS):
        raise SystemExit(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    system = f"{platform.machine()}, {platform.system()} {platform.release()}, {os.cpu_count()} CPUs"
    load = f"load average {os.getloadavg()[0]:.1f}"
    print(f"{system}, {load}, Python {platform.python_version()}, numpy {np.__version__}")
    for name in arguments or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
