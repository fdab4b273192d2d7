"""The published packing figures beside what our policies reach on the same arrivals (docs/packing.md).

    python bench/packing_published.py [--traces default,cpu250] [--policies fgd,random] [--by-name]

Every run is one policy, list of tasks and seed of the openb data (bench/data/openb), at the published loads. Ties go to
the first node in the order of the published run, or with `--by-name` to the first by name.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Expected, Problem
from gpualloc.policies import registry
from gpualloc.sim.traces.arrivals import read_arrivals
from gpualloc.sim.traces.cluster import requests_of, snapshot_of, workload_of
from gpualloc.sim.traces.curve import Curve
from gpualloc.sim.traces.lines import text_lines
from gpualloc.sim.traces.models import models_of
from gpualloc.sim.traces.reading import read_nodes, read_tasks
from gpualloc.sim.traces.trace import Tasks, TraceNode, gather

DATA = Path(__file__).parent / "data" / "openb"
SEEDS = range(42, 52)
LOADS = (90, 95, 100, 130)
POLICIES = ("random", "dot-product", "clustering", "gpu-packing", "best-fit", "fgd")


class Run(Struct, frozen=True):
    policy: str
    trace: str
    seed: int
    by_name: bool


class Outcome(Struct, frozen=True):
    unallocated_pct: dict[int, float]
    decision_us: float
    """Mean time of one decision."""


@cache
def nodes() -> tuple[TraceNode, ...]:
    with (DATA / "openb_node_list_gpu_node.csv.gz").open("rb") as file:
        return tuple(read_nodes(text_lines(file, file.name), file.name))


@cache
def tasks(trace: str) -> Tasks:
    with (DATA / f"openb_pod_list_{trace}.csv.gz").open("rb") as file:
        return gather(read_tasks(text_lines(file, file.name), file.name), file.name)


def in_order(run: Run) -> tuple[TraceNode, ...]:
    """The nodes, named such that the order of names is that in which the published run broke ties."""
    if run.by_name:
        return nodes()
    with np.load(DATA / "node_order_seed42_51.npz", allow_pickle=False) as orders:
        order = orders[f"{run.trace}_{run.seed}"].tolist()
    return tuple(replace(nodes()[row], name=f"{rank:04d}-{nodes()[row].name}") for rank, row in enumerate(order))


def replay(run: Run) -> Outcome:
    """Play one published run with our policy."""
    table, cluster = tasks(run.trace), in_order(run)
    requests = requests_of(table.shapes, models_of(cluster))
    counts = Counter(table.shape_of.tolist())
    expected = tuple(Expected(requests[shape], count) for shape, count in sorted(counts.items()))
    with (DATA / "arrivals_seed42_51.npz").open("rb") as file:
        order = read_arrivals(file, f"{run.trace}_{run.seed}", file.name, len(table)).tolist()
    curve = Curve(1000 * sum(node.gpus for node in cluster))
    session = registry.load(run.policy).begin(
        Problem(snapshot_of(cluster), (), seed=run.seed, expected=expected, explain=False)
    )
    arrived = allocated = 0
    spent = 0.0
    for arrival, row in enumerate(order):
        shape = table.shape_of[row]
        workload = workload_of(arrival, "", requests[shape])
        began = time.perf_counter()
        answer = session.place(workload)
        spent += time.perf_counter() - began
        arrived += table.shapes[shape].gpu_milli
        allocated += table.shapes[shape].gpu_milli if isinstance(answer, Allocation) else 0
        curve.add(arrived, allocated)
    return Outcome({load: curve.unallocated_pct(load) or 0.0 for load in LOADS}, 1e6 * spent / len(order))


def published() -> dict[tuple[str, str, int], dict[int, float]]:
    """Unallocated part by list, policy and seed."""
    with (DATA / "published_seed42_51.csv").open(newline="") as file:
        return {
            (row["trace"], row["policy"], int(row["seed"])): {load: float(row[str(load)]) for load in LOADS}
            for row in csv.DictReader(file)
        }


def finished(runs: list[Run]) -> Iterator[tuple[Run, Outcome]]:
    """Play the runs in as many processes as there are CPUs, with a progress bar on a terminal."""
    with ProcessPoolExecutor() as pool:
        waiting = {pool.submit(replay, run): run for run in runs}
        for number, done in enumerate(as_completed(waiting), 1):
            if sys.stderr.isatty():
                bar = "#" * (40 * number // len(runs))
                print(f"\r[{bar:40}] {number}/{len(runs)}", end="", file=sys.stderr, flush=True)
            yield waiting[done], done.result()
    if sys.stderr.isatty():
        print(file=sys.stderr)


def row(trace: str, policy: str, outcomes: dict[int, Outcome]) -> str:
    """A line of the table: ours, its standard deviation, published and the difference at each load."""
    known = published()
    cells = [trace, policy]
    for load in LOADS[1:]:
        ours = [outcome.unallocated_pct[load] for outcome in outcomes.values()]
        theirs = [known[trace, policy, seed][load] for seed in outcomes] if (trace, policy, 42) in known else None
        spread = statistics.stdev(ours) if len(ours) > 1 else 0.0
        beside = (
            f"{statistics.mean(theirs):.2f} | {statistics.mean(ours) - statistics.mean(theirs):+.2f}"
            if theirs
            else "- | -"
        )
        cells.append(f"{statistics.mean(ours):.2f} | {spread:.2f} | {beside}")
    if (trace, policy, 42) in known:
        apart = max(
            abs(round(outcome.unallocated_pct[load], 2) - known[trace, policy, seed][load])
            for seed, outcome in outcomes.items()
            for load in LOADS
        )
        cells.append(f"{apart:.2f}")
    else:
        cells.append("-")
    cells.append(f"{statistics.mean(outcome.decision_us for outcome in outcomes.values()):.0f}")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", default="default", help="names, with commas between them")
    parser.add_argument("--policies", default=",".join(POLICIES))
    parser.add_argument("--by-name", action="store_true", help="break ties by the names of the nodes")
    options = parser.parse_args()
    kinds = [(trace, policy) for trace in options.traces.split(",") for policy in options.policies.split(",")]
    runs = [Run(policy, trace, seed, options.by_name) for trace, policy in kinds for seed in SEEDS]
    found: defaultdict[tuple[str, str], dict[int, Outcome]] = defaultdict(dict)
    for run, outcome in finished(runs):
        found[run.trace, run.policy][run.seed] = outcome
    titles = [f"at {load} | sd | published | difference" for load in LOADS[1:]]
    print("| trace | policy | " + " | ".join(titles) + " | largest of any run | us |")
    print("| --- " * (4 + 4 * len(titles)) + "|")
    for trace, policy in kinds:
        print(row(trace, policy, found[trace, policy]))


if __name__ == "__main__":
    main()
