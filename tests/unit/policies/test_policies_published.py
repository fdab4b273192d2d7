"""Published runs come out of our policies, at every published load; bench/packing_published.py plays all of them."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Expected, Problem
from gpualloc.policies import registry
from gpualloc.sim.traces.arrivals import read_arrivals
from gpualloc.sim.traces.cluster import requests_of, snapshot_of, workload_of
from gpualloc.sim.traces.curve import REPORTED_PCT, Curve
from gpualloc.sim.traces.lines import text_lines
from gpualloc.sim.traces.models import models_of
from gpualloc.sim.traces.reading import read_nodes, read_tasks
from gpualloc.sim.traces.trace import gather

DATA = Path(__file__).parents[3] / "bench" / "data" / "openb"


def _played(policy: str, trace: str, seed: int) -> dict[int, float | None]:
    with (DATA / "openb_node_list_gpu_node.csv.gz").open("rb") as file:
        nodes = list(read_nodes(text_lines(file, file.name), file.name))
    with (DATA / f"openb_pod_list_{trace}.csv.gz").open("rb") as file:
        tasks = gather(read_tasks(text_lines(file, file.name), file.name), file.name)
    with np.load(DATA / "node_order_seed42_51.npz", allow_pickle=False) as orders:
        order = orders[f"{trace}_{seed}"].tolist()
    nodes = [replace(nodes[row], name=f"{rank:04d}") for rank, row in enumerate(order)]
    requests = requests_of(tasks.shapes, models_of(nodes))
    expected = tuple(Expected(requests[shape], count) for shape, count in Counter(tasks.shape_of.tolist()).items())
    session = registry.load(policy).begin(Problem(snapshot_of(nodes), (), expected=expected, explain=False))
    curve, arrived, allocated = Curve(1000 * sum(node.gpus for node in nodes)), 0, 0
    with (DATA / "arrivals_seed42_51.npz").open("rb") as file:
        arrivals = read_arrivals(file, f"{trace}_{seed}", file.name, len(tasks)).tolist()
    for number, row in enumerate(arrivals):
        shape = tasks.shape_of[row]
        answer = session.place(workload_of(number, "", requests[shape]))
        arrived += tasks.shapes[shape].gpu_milli
        allocated += tasks.shapes[shape].gpu_milli * isinstance(answer, Allocation)
        curve.add(arrived, allocated)
    return {load: curve.unallocated_pct(load) for load in REPORTED_PCT}


@pytest.mark.parametrize(
    ("policy", "trace", "seed"),
    [
        ("fgd", "default", 42),
        ("clustering", "multigpu50", 45),
        ("gpu-packing", "multigpu50", 43),
        ("best-fit", "multigpu50", 44),
        ("dot-product", "multigpu50", 46),
    ],
)
def test_published_run(policy: str, trace: str, seed: int) -> None:
    with (DATA / "published_seed42_51.csv").open(newline="") as file:
        run = next(
            row
            for row in csv.DictReader(file)
            if (row["trace"], row["policy"], row["seed"]) == (trace, policy, str(seed))
        )
    assert _played(policy, trace, seed) == pytest.approx(
        {load: float(run[str(load)]) for load in REPORTED_PCT}, abs=0.011
    )
