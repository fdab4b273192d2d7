"""The carried copies of the openb traces: whole, readable, and in the published order."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest

from gpualloc.sim.traces.arrivals import inflate, read_arrivals
from gpualloc.sim.traces.cluster import requests_of, snapshot_of
from gpualloc.sim.traces.curve import Curve
from gpualloc.sim.traces.lines import text_lines
from gpualloc.sim.traces.models import check_models, models_of
from gpualloc.sim.traces.reading import read_nodes, read_tasks
from gpualloc.sim.traces.trace import Tasks, TraceNode, gather

FOLDER = Path(__file__).parents[3] / "bench" / "data" / "openb"
CAPACITY_MILLI = 6_212_000
ROWS = {
    "default": 8152, "cpu050": 7439, "cpu100": 7853, "cpu200": 8832, "cpu250": 9420,
    "gpushare40": 8152, "gpushare60": 8152, "gpushare80": 8152, "gpushare100": 8152,
    "gpuspec10": 8152, "gpuspec20": 8152, "gpuspec25": 8152, "gpuspec33": 8152,
    "multigpu20": 8324, "multigpu30": 8508, "multigpu40": 8746, "multigpu50": 9061,
}  # fmt: skip
"""The published lists."""
UNPUBLISHED = {"cpu037": 7336, "cpu072": 7608, "cpu300": 10_094, "gpuspec05": 8152}


def nodes() -> list[TraceNode]:
    file = FOLDER / "openb_node_list_gpu_node.csv.gz"
    with file.open("rb") as stream:
        return list(read_nodes(text_lines(stream, file.name), file.name))


def tasks(trace: str) -> Tasks:
    file = FOLDER / f"openb_pod_list_{trace}.csv.gz"
    with file.open("rb") as stream:
        return gather(read_tasks(text_lines(stream, file.name), file.name), file.name)


def order(key: str, of: Tasks) -> np.ndarray:
    with (FOLDER / "arrivals_seed42_51.npz").open("rb") as stream:
        return read_arrivals(stream, key, "arrivals", len(of))


def curve_of(arrivals: np.ndarray, of: Tasks) -> Curve:
    """Of a run in which nothing is refused."""
    curve = Curve(CAPACITY_MILLI)
    for arrived in accumulate(of.gpu_milli[arrivals].tolist()):
        curve.add(arrived, arrived)
    return curve


def test_the_files_are_those_that_were_made() -> None:
    sums = dict(line.split("  ")[::-1] for line in (FOLDER / "SHA256SUMS").read_text().splitlines())
    told = {name: hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() for name in sums}
    assert told == sums
    assert {file.name for file in FOLDER.iterdir()} == {*sums, "README.md", "LICENSE", "SHA256SUMS"}
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 5 << 20


def test_the_cluster_is_the_published_one() -> None:
    found = nodes()
    assert len(found) == 1213
    assert sum(node.gpus for node in found) * 1000 == CAPACITY_MILLI
    assert sum(node.cpu_milli for node in found) == 107_018_000
    assert sum(node.memory_mib for node in found) == 503_828_480
    assert {node.model: sum(each.gpus for each in found if each.model == node.model) for node in found} == {
        "G2": 4392, "T4": 842, "G3": 312, "P100": 265, "V100M32": 204, "V100M16": 195, "A10": 2,
    }  # fmt: skip
    assert [node.name for node in snapshot_of(found).nodes] == [node.name for node in found]


@pytest.mark.parametrize("trace", [*ROWS, *UNPUBLISHED])
def test_each_list_is_whole_and_fits_the_cluster(trace: str) -> None:
    found, cluster = tasks(trace), nodes()
    assert len(found) == (ROWS | UNPUBLISHED)[trace]
    assert check_models(cluster, found) == ()
    assert bool(np.isnan(found.arrives_s).any()) == trace.startswith(("gpuspec", "multigpu", *UNPUBLISHED))
    requests = requests_of(found.shapes, models_of(cluster))
    assert len(set(requests)) == len(found.shapes)
    assert {part for request in requests for part in (request.gpu_model or "").split("|")} <= {"", *models_of(cluster)}


def test_the_default_list_asks_for_what_is_published() -> None:
    found = tasks("default")
    assert Counter((task.gpus, task.milli < 1000) for task in found) == {
        (0, True): 1088, (1, True): 3078, (1, False): 3911, (2, False): 16, (4, False): 15, (8, False): 44,
    }  # fmt: skip
    assert found.gpu_milli.sum() == 6_086_800
    assert len({(shape.cpu_milli, shape.gpus, shape.milli) for shape in found.shapes}) == 91
    assert np.nanmax(found.leaves_s) < 13e6


@pytest.mark.parametrize("trace", ROWS)
def test_each_order_is_the_list_and_then_draws_up_to_the_load(trace: str) -> None:
    found = tasks(trace)
    total = int(found.gpu_milli.sum())
    goal = CAPACITY_MILLI * 13 // 10
    for seed in range(42, 52):
        arrivals = order(f"{trace}_{seed}", found)
        arrived = int(found.gpu_milli[arrivals].sum())
        if total > goal:
            assert len(set(arrivals.tolist())) == len(arrivals) < len(found)
            assert goal - 8000 < arrived <= goal
        else:
            assert sorted(arrivals[: len(found)].tolist()) == list(range(len(found)))
            assert goal - 1000 < arrived <= goal + 7000
            last = arrivals[-1]
            assert arrived - found.gpu_milli[last] + found.milli[last] <= goal


@pytest.mark.parametrize(
    ("key", "published"),
    [
        ("default_42", {0: 0.25, 1: 1.04, 2: 2.01, 50: 49.95}),
        ("cpu250_51", {7: 7.0, 33: 33.15}),
        ("gpushare100_42", {0: 0.27, 1: 1.0, 59: 58.98}),
        ("multigpu30_51", {30: 30.03, 31: 31.0}),
        ("multigpu50_44", {30: 29.97, 31: 30.98}),
        ("multigpu50_51", {50: 49.97, 51: 50.96}),
    ],
)
def test_the_published_curve_comes_out_where_nothing_is_refused(key: str, published: dict[int, float]) -> None:
    """Those of multigpu only come out with halves rounded to the even percent."""
    found = tasks(key.split("_", maxsplit=1)[0])
    curve = curve_of(order(key, found), found)
    assert {load: curve.allocated_pct(load) for load in published} == pytest.approx(published, abs=0.01)
    assert curve.loads_pct[0] == 0
    assert curve.loads_pct[-1] == 130
    assert len(curve.loads_pct) == 131


@pytest.mark.parametrize("trace", ["default", "multigpu20", "multigpu40", "gpushare100"])
def test_an_order_of_our_own_reaches_the_same_load_with_about_as_many_tasks(trace: str) -> None:
    found = tasks(trace)
    published = [len(order(f"{trace}_{seed}", found)) for seed in range(42, 52)]
    drawn = [len(inflate(found, CAPACITY_MILLI, 1.3, seed)) for seed in range(10)]
    spread = max(published) - min(published)
    assert min(published) - 2 * spread < np.mean(drawn) < max(published) + 2 * spread
    assert len({tuple(inflate(found, CAPACITY_MILLI, 1.3, seed)[:5].tolist()) for seed in range(10)}) == 10
