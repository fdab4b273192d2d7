"""How far from the optimum a packing can be: the bound, and what the batch packer reaches on an empty cluster.

    .venv/bin/python bench/packing_bound.py [default gpushare100 ...] [--seeds 42 43] [--loads 95 100 130]

Prints one line per trace and load with the means over the seeds: unallocated GPU percent of the bound and of the
batch, tasks that the batch left out by kind, and the CPU time of each. `--first-refusal` adds, per seed, the first task
that has to be refused and the unallocated percent then. Needs the extra `lp`.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import numpy as np

from gpualloc.model.shapes import GPU_MILLI, NodeClass, Shape
from gpualloc.policies.batch_nodes import FreeNodes
from gpualloc.policies.batch_pack import Batch, pack_batch
from gpualloc.policies.bound import first_refusal, unallocated_bound
from gpualloc.sim.traces.arrivals import read_arrivals
from gpualloc.sim.traces.lines import text_lines
from gpualloc.sim.traces.reading import read_nodes, read_tasks
from gpualloc.sim.traces.trace import TraceNode, gather

OPENB = Path(__file__).parent / "data" / "openb"
PODS = 1001
"""Tasks that one node takes in the published runs."""
KINDS = ("CPU-only", "part", "one", "several")

T = TypeVar("T")


def nodes_of(file: Path) -> list[TraceNode]:
    with file.open("rb") as stream:
        return list(read_nodes(text_lines(stream, str(file)), str(file)))


def arrivals_of(tasks: Path, orders: Path, key: str) -> list[Shape]:
    """What the tasks of that run ask for, in the order in which they come."""
    with tasks.open("rb") as stream:
        table = gather(read_tasks(text_lines(stream, str(tasks)), str(tasks)), str(tasks))
    shapes = [Shape(s.cpu_milli, s.memory_mib, s.gpus, s.milli, s.models) for s in table.shapes]
    with orders.open("rb") as stream:
        rows = read_arrivals(stream, key, str(orders), len(table))
    return [shapes[index] for index in table.shape_of[rows]]


def until(arrivals: Sequence[Shape], capacity_milli: int, load_pct: float) -> list[Shape]:
    """The arrivals up to the one that brings the demand to that load."""
    demand = np.cumsum([shape.gpu_milli for shape in arrivals])
    return list(arrivals[: int(np.searchsorted(demand, load_pct / 100 * capacity_milli)) + 1])


def empty(nodes: Sequence[TraceNode]) -> FreeNodes:
    widest = max(node.gpus for node in nodes)
    return FreeNodes(
        cpu_milli=np.array([node.cpu_milli for node in nodes]),
        memory_mib=np.array([node.memory_mib for node in nodes]),
        gpu_milli=np.array([[GPU_MILLI * (gpu < node.gpus) for gpu in range(widest)] for node in nodes]),
        models=tuple(node.model for node in nodes),
        task_slots=np.full(len(nodes), PODS),
    )


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """The result, and the CPU time in seconds: what else the machine does does not count."""
    begin = time.process_time()
    return work(), time.process_time() - begin


def kinds_left(batch: Batch) -> Counter[str]:
    left: Counter[str] = Counter()
    for shape, count in batch.left.items():
        left[KINDS[0 if shape.gpus == 0 else 1 if shape.milli < GPU_MILLI else 2 if shape.gpus == 1 else 3]] += count
    return left


def report(trace: str, load_pct: float, runs: Sequence[list[Shape]], nodes: Sequence[TraceNode]) -> None:
    classes = Counter(NodeClass(node.cpu_milli, node.memory_mib, node.gpus, node.model) for node in nodes)
    capacity_milli = sum(node.gpus for node in nodes) * GPU_MILLI
    arrived = [Counter(until(run, capacity_milli, load_pct)) for run in runs]
    bounds = [timed(lambda tasks=tasks: unallocated_bound(classes, tasks)) for tasks in arrived]
    batches = [timed(lambda tasks=tasks: pack_batch(empty(nodes), tasks)) for tasks in arrived]
    left = sum((kinds_left(batch) for batch, _ in batches), Counter())
    print(
        f"{trace:12} {load_pct:5g} | bound {fmean(bound.unallocated_pct for bound, _ in bounds):6.2f} "
        f"in {fmean(s for _, s in bounds):5.2f} s "
        f"| batch {fmean(100 - 100 * batch.gpu_milli / capacity_milli for batch, _ in batches):6.2f} "
        f"in {fmean(s for _, s in batches):5.2f} s | left out "
        + ", ".join(f"{kind} {left[kind] / len(runs):g}" for kind in KINDS),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", nargs="*", default=["default"])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(42, 52)))
    parser.add_argument("--loads", nargs="+", type=float, default=[95.0, 100.0, 130.0])
    parser.add_argument("--nodes", type=Path, default=OPENB / "openb_node_list_gpu_node.csv.gz")
    parser.add_argument("--tasks", default=str(OPENB / "openb_pod_list_{}.csv.gz"), help="{} stands for the trace")
    parser.add_argument("--arrivals", type=Path, default=OPENB / "arrivals_seed42_51.npz")
    parser.add_argument("--first-refusal", action="store_true")
    chosen = parser.parse_args()
    nodes = nodes_of(chosen.nodes)
    classes = Counter(NodeClass(node.cpu_milli, node.memory_mib, node.gpus, node.model) for node in nodes)
    for trace in chosen.traces:
        tasks = Path(chosen.tasks.format(trace))
        runs = [arrivals_of(tasks, chosen.arrivals, f"{trace}_{seed}") for seed in chosen.seeds]
        for load_pct in chosen.loads:
            report(trace, load_pct, runs, nodes)
        for seed, run in zip(chosen.seeds, runs, strict=True) if chosen.first_refusal else ():
            refusal = first_refusal(classes, run)
            told = f"task {refusal.task}, unallocated {refusal.unallocated_pct:.2f}" if refusal else "none"
            print(f"{trace:12} seed {seed} | first refusal: {told}", flush=True)


if __name__ == "__main__":
    main()
