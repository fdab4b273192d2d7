"""Arrivals and departures on the openb cluster, scaled to a load: how long tasks wait under each policy.

    .venv/bin/python bench/packing_churn.py [--policies pack fgd] [--loads 0.9 1.0] [--seeds 1 2] [--trace default]

One line for each load and policy, mean ± standard deviation over the seeds: GPUs in use, expected fragment, mean wait
by kind in seconds, the longest wait of a task of several GPUs, and the time of a decision. `--migrations N` moves up to
N running tasks in an hour of the trace's time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

from gpualloc.engine.churn import simulate_churn
from gpualloc.engine.churn_trial import ChurnTrial, MigrationBudget
from gpualloc.model.shapes import GPU_MILLI
from gpualloc.policies.registry import load
from gpualloc.sim.traces.churn import ChurnResult
from gpualloc.sim.traces.lines import text_lines
from gpualloc.sim.traces.reading import read_nodes, read_tasks
from gpualloc.sim.traces.result import KINDS
from gpualloc.sim.traces.timetable import timetable
from gpualloc.sim.traces.trace import Tasks, TraceNode, gather

OPENB = Path(__file__).parent / "data" / "openb"
HEAD = (
    "| load | policy | in use % | fragment % | wait s: CPU-only | part | one | several | longest | waiting | moves "
    "| µs | wrong |"
)


def nodes_of(file: Path) -> tuple[TraceNode, ...]:
    with file.open("rb") as stream:
        return tuple(read_nodes(text_lines(stream, str(file)), str(file)))


def tasks_of(file: Path) -> Tasks:
    with file.open("rb") as stream:
        return gather(read_tasks(text_lines(stream, str(file)), str(file)), str(file))


def spread(values: Sequence[float], digits: int = 1) -> str:
    deviation = stdev(values) if len(values) > 1 else 0.0
    return f"{fmean(values):.{digits}f} ± {deviation:.{digits}f}"


def line(load_part: float, policy: str, results: Sequence[ChurnResult]) -> str:
    waits = [spread([one.waits[kind].mean_s or 0.0 for one in results]) for kind in KINDS]
    cells = [
        f"{load_part:g}",
        policy,
        spread([one.allocated_pct for one in results], 2),
        spread([one.fragmentation_pct or 0.0 for one in results], 2),
        *waits,
        spread([one.waits["multi"].longest_s or 0.0 for one in results], 0),
        spread([one.waiting_at_end for one in results], 0),
        f"{fmean(one.migrations.moves for one in results):.0f}",
        f"{fmean(one.times.mean_us for one in results):.0f}",
        str(sum(one.violations + one.refusals_that_fitted + one.never_placed.total for one in results)),
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policies", nargs="+", default=["pack", "best-fit", "fgd"])
    parser.add_argument("--loads", nargs="+", type=float, default=[0.9, 1.0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--trace", default="default")
    parser.add_argument("--migrations", type=int, default=0)
    given = parser.parse_args()
    nodes = nodes_of(OPENB / "openb_node_list_gpu_node.csv.gz")
    tasks = tasks_of(OPENB / f"openb_pod_list_{given.trace}.csv.gz")
    capacity_milli = sum(node.gpus for node in nodes) * GPU_MILLI
    print(HEAD)
    for load_part in given.loads:
        tables = {seed: timetable(tasks, capacity_milli, load_part, seed) for seed in given.seeds}
        for policy in given.policies:
            results = [
                simulate_churn(
                    ChurnTrial(nodes, tasks, table, load_part, seed, budget=MigrationBudget(given.migrations)),
                    load(policy),
                    time.perf_counter,
                )
                for seed, table in tables.items()
            ]
            print(line(load_part, policy, results), flush=True)


if __name__ == "__main__":
    main()
