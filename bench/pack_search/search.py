"""Search for the weights of the policy `pack`, and the figures that README.md shows.

    python bench/pack_search/search.py check [--traces default,cpu250] [--seed 42] [--arrivals 300]
    python bench/pack_search/search.py own   [--traces ...] [--orders 9400 9406] [--weights FILE]
    python bench/pack_search/search.py ablate [--traces ...] [--orders 9200 9202] [--changes NAME ...]
    python bench/pack_search/search.py tune  --out FILE [--start FILE] [--seed 4] [--generations 31]
    python bench/pack_search/search.py judge [--traces ...] [--weights FILE]

`check` compares decisions with gpualloc's own policy, and fails where one differs. `own`, `ablate` and `tune` draw
orders of arrival of their own; `judge` alone plays the published ones. A weights file is JSON, as `tune` writes it;
without one the weights are those of the product.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from statistics import fmean, mean

import cma
import numpy as np
from msgspec import to_builtins
from msgspec.structs import replace
from replay import KINDS, Ints, Outcome, Trace, library

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Expected, Problem
from gpualloc.policies.pack import Pack
from gpualloc.policies.weights import DEFAULT, Constants, Profile, Weights
from gpualloc.sim.traces.arrivals import read_arrivals
from gpualloc.sim.traces.cluster import requests_of, snapshot_of, workload_of
from gpualloc.sim.traces.lines import text_lines
from gpualloc.sim.traces.models import models_of
from gpualloc.sim.traces.reading import read_nodes, read_tasks
from gpualloc.sim.traces.trace import gather

OPENB = Path(__file__).parents[1] / "data" / "openb"
START = Path(__file__).with_name("start.json")
SEEDS = range(42, 52)
LOADS = (95, 100, 130)
TRACES = (
    *("default", "cpu050", "cpu100", "cpu200", "cpu250", "gpushare40", "gpushare60", "gpushare80", "gpushare100"),
    *("gpuspec10", "gpuspec20", "gpuspec25", "gpuspec33", "multigpu20", "multigpu30", "multigpu40", "multigpu50"),
)
TUNED_ON = ("default", "cpu250", "gpuspec33", "multigpu20", "multigpu50")
ABLATED_ON = ("default", "cpu250", "gpushare80", "gpuspec33", "multigpu20", "multigpu50")
LOAD = 1.3
JUST_PAST_100 = 1.0051
"""Load up to which the search plays: all arrivals that count as 100 %."""
FGD_ORDERS = range(9100, 9103)
"""Own orders that tell how many gangs and CPU-only tasks FGD refuses."""
GPU_STEPS = {"regret": 8.0, "deficit": 0.2, "cores": 0.2, "assort": 0.2, "whole": 0.3, "model": 1.5, "slot": 0.4}
CPU_STEPS = {"deficit": 0.15, "cores": 0.15, "whole": 0.15, "slot": 0.15}
CONSTANT_STEPS = {"spare_cpu": 0.15, "sharpness": 0.3, "model_demand": 0.04, "gang_demand": 0.15, "gang_spread": 0.3}
"""What is searched for, and how far it may move at once; of constants, their logarithm. The weight of `demand` is 1."""
CHANGES = (
    *("gpu.demand=0", "gpu.regret=0", "gpu.deficit=0", "gpu.cores=0", "gpu.whole=0", "gpu.assort=0", "gpu.model=0"),
    *("both.slot=0", "cpu.demand=0", "cpu.deficit=0", "cpu.cores=0", "cpu.slot=0", "cpu.whole=0.2", "spare_cpu=1"),
    *("gang_demand=1", "gang_demand=1.6", "sharpness=0.25", "sharpness=1"),
)


@cache
def trace(name: str) -> Trace:
    with (OPENB / "openb_node_list_gpu_node.csv.gz").open("rb") as file:
        nodes = sorted(read_nodes(text_lines(file, file.name), file.name), key=lambda node: node.name)
    with (OPENB / f"openb_pod_list_{name}.csv.gz").open("rb") as file:
        return Trace(name, nodes, gather(read_tasks(text_lines(file, file.name), file.name), file.name))


def own_order(of: Trace, seed: int) -> Ints:
    """An order nothing is judged on: a permutation, then tasks drawn up to the load, or tasks off its end."""
    numbers = np.random.default_rng(seed)
    order, goal = numbers.permutation(len(of.tasks)), LOAD * of.capacity_milli
    arrived = np.cumsum(of.tasks.gpu_milli[order])
    if arrived[-1] > goal:
        return order[: int(np.searchsorted(arrived, goal, side="right"))]
    drawn = numbers.integers(0, len(of.tasks), 40_000)
    arrived = arrived[-1] + np.cumsum(of.tasks.gpu_milli[drawn])
    return np.concatenate([order, drawn[: int(np.searchsorted(arrived, goal)) + 1]])


def published_order(of: Trace, seed: int) -> Ints:
    with (OPENB / "arrivals_seed42_51.npz").open("rb") as file:
        return read_arrivals(file, f"{of.name}_{seed}", file.name, len(of.tasks))


@cache
def published(name: str) -> dict[int, float]:
    """Mean unallocated part under FGD, by load."""
    with (OPENB / "published_seed42_51.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["trace"], row["policy"]) == (name, "fgd")]
    return {load: mean(float(row[str(load)]) for row in rows) for load in LOADS}


def play(
    of: Trace, orders: Iterable[Ints], profile: Profile, policy: str = "pack", load: float | None = None
) -> list[Outcome]:
    """Play the orders, as many at once as there are CPUs (the replay runs without Python's lock)."""
    library()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda order: of.play(order, profile, policy, load), orders))


def mean_unallocated(outcomes: Sequence[Outcome], load: int) -> float:
    return fmean(outcome.unallocated_pct[load] for outcome in outcomes)


def mean_failed(outcomes: Sequence[Outcome], kind: str) -> float:
    return fmean(outcome.failed[kind] for outcome in outcomes)


def read_profile(file: Path | None) -> Profile:
    if file is None:
        return DEFAULT
    told = json.loads(file.read_text())
    return Profile(Weights(**told["gpu"]), Weights(**told["cpu"]), told["spare_cpu"], Constants(**told["constants"]))


def changed(profile: Profile, change: str) -> Profile:
    """The profile with one number changed, such as `gpu.regret=0`, `both.slot=1` or `sharpness=1`."""
    name, value = change.split("=")
    kind, _, weight = name.rpartition(".")
    if kind:
        kinds = ("gpu", "cpu") if kind == "both" else (kind,)
        return replace(profile, **{one: replace(getattr(profile, one), **{weight: float(value)}) for one in kinds})
    if name in Constants.__struct_fields__:
        return replace(profile, constants=replace(profile.constants, **{name: float(value)}))
    return replace(profile, **{name: float(value)})


def to_point(profile: Profile) -> cma.Floats:
    constants = {"spare_cpu": profile.spare_cpu, **to_builtins(profile.constants)}
    return np.array(
        [getattr(profile.gpu, name) / profile.gpu.demand for name in GPU_STEPS]
        + [getattr(profile.cpu, name) / profile.cpu.demand for name in CPU_STEPS]
        + [math.log(constants[name]) for name in CONSTANT_STEPS]
    )


def to_profile(point: cma.Floats, start: Profile) -> Profile:
    """The profile that a point of the search stands for; what is not searched for is that of the start."""
    values = iter(point.tolist())
    gpu = Weights(demand=1.0, **{name: next(values) for name in GPU_STEPS})
    cpu = Weights(demand=1.0, **{name: next(values) for name in CPU_STEPS})
    constants = {name: math.exp(next(values)) for name in CONSTANT_STEPS}
    return Profile(gpu, cpu, constants.pop("spare_cpu"), replace(start.constants, **constants))


def objective(outcome: Outcome, fgd: dict[int, float], cpu_only: float, gangs: float) -> float:
    """How much better than published FGD, in parts of it: at 100, half as much at 95; less where it is hardly better,
    and where more gangs or CPU-only tasks are refused than FGD refuses.
    """
    at95, at100 = (outcome.unallocated_pct[load] / fgd[load] - 1 for load in (95, 100))
    value = at100 + 0.5 * at95 + 4 * max(0.0, at95 + 0.01) + 4 * max(0.0, at100 + 0.03)
    value += 0.3 * max(0.0, outcome.failed["CPU-only"] / (cpu_only + 5) - 1)
    return value + 0.05 * max(0.0, outcome.failed["several"] - gangs - 1)


def tune(names: Sequence[str], start: Profile, seed: int, generations: int, out: Path) -> None:
    allowed = {}
    for name in names:
        orders = [own_order(trace(name), number) for number in FGD_ORDERS]
        runs = play(trace(name), orders, start, "fgd", JUST_PAST_100)
        allowed[name] = mean_failed(runs, "CPU-only"), mean_failed(runs, "several")

    @cache
    def order(name: str, number: int) -> Ints:
        return own_order(trace(name), number)

    def rate(point: cma.Floats, generation: int) -> float:
        profile, number = to_profile(point, start), 5000 + 1000 * seed + generation % 40
        return fmean(
            objective(
                trace(name).play(order(name, number), profile, load=JUST_PAST_100), published(name), *allowed[name]
            )
            for name in names
        )

    scale = np.array([*GPU_STEPS.values(), *CPU_STEPS.values(), *CONSTANT_STEPS.values()])
    means = cma.search(rate, to_point(start), scale, seed)
    for generation, (centre, best) in zip(range(generations), means, strict=False):
        print(f"generation {generation}: best {best:.4f}", flush=True)
        out.write_text(json.dumps(to_builtins(to_profile(centre, start)), indent=1) + "\n")


def check(name: str, seed: int, arrivals: int | None) -> bool:
    """Whether the replay decides as gpualloc's own policy does, arrival by arrival."""
    of = trace(name)
    rows = published_order(of, seed)[:arrivals]
    ours = of.play(rows, DEFAULT)
    requests = requests_of(of.tasks.shapes, models_of(of.nodes))
    counts = Counter(of.tasks.shape_of.tolist())
    expected = tuple(Expected(requests[shape], count) for shape, count in sorted(counts.items()))
    snapshot = snapshot_of(of.nodes)
    device = {device.uuid: device.index for node in snapshot.nodes for device in node.devices}
    session = Pack().begin(Problem(snapshot, (), expected=expected, explain=False))
    for number, row in enumerate(rows.tolist()):
        answer = session.place(workload_of(number, "", requests[of.tasks.shape_of[row]]))
        theirs = None
        if isinstance(answer, Allocation):
            theirs = answer.node, sum(1 << device[grant.device] for grant in answer.grants)
        node = int(ours.node[number])
        mine = None if node < 0 else (of.nodes[node].name, int(ours.gpus[number]))
        if mine != theirs:
            print(f"{name} {seed}: differs at arrival {number} (node, bits of GPUs): replay {mine}, gpualloc {theirs}")
            return False
    print(f"{name} {seed}: {len(rows)} equal decisions, {int((ours.node < 0).sum())} of them refusals", flush=True)
    return True


def report(names: Sequence[str], profile: Profile, seeds: Sequence[int], judged: bool) -> None:
    print("in brackets FGD: as published, and what our replay of it refuses on the same orders")
    print("| trace | " + " | ".join(f"at {load}" for load in LOADS) + " | refused | " + " | ".join(KINDS) + " |")
    print("| --- " * (5 + len(KINDS)) + "|")
    for name in names:
        of = trace(name)
        orders = [published_order(of, seed) if judged else own_order(of, seed) for seed in seeds]
        ours, fgd = play(of, orders, profile), play(of, orders, profile, "fgd")
        cells = [f"{mean_unallocated(ours, load):.3f} ({published(name)[load]:.2f})" for load in LOADS]
        failed = [(mean_failed(ours, kind), mean_failed(fgd, kind)) for kind in KINDS]
        cells.append(f"{sum(mine for mine, _ in failed):.0f} ({sum(theirs for _, theirs in failed):.0f})")
        cells += [f"{mine:.0f} ({theirs:.0f})" for mine, theirs in failed]
        print(" | ".join([f"| {name}", *cells]) + " |", flush=True)


def ablate(names: Sequence[str], profile: Profile, seeds: Sequence[int], changes: Sequence[str]) -> None:
    print("at 95 / at 100 (CPU-only refused, gangs refused), up to 100 %; last: mean change at 95, at 100")
    print("| change | " + " | ".join(names) + " | 95 | 100 |")
    print("| --- " * (3 + len(names)) + "|")
    orders = {name: [own_order(trace(name), seed) for seed in seeds] for name in names}
    first: list[tuple[float, float]] = []
    for change in ("", *changes):
        cells, figures = [], []
        for name in names:
            runs = play(trace(name), orders[name], changed(profile, change) if change else profile, load=JUST_PAST_100)
            at95, at100 = mean_unallocated(runs, 95), mean_unallocated(runs, 100)
            refused = f"{mean_failed(runs, 'CPU-only'):.0f}, {mean_failed(runs, 'several'):.0f}"
            cells.append(f"{at95:.2f} / {at100:.2f} ({refused})")
            figures.append((at95, at100))
        first = first or figures
        worse = [fmean(now[at] - then[at] for now, then in zip(figures, first, strict=True)) for at in (0, 1)]
        print(" | ".join([f"| {change or 'as it is'}", *cells, *(f"{one:+.3f}" for one in worse)]) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("check", "own", "ablate", "tune", "judge"))
    parser.add_argument("--traces", help="names, with commas between them")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--seed", type=int, help="of the published run to check, or of the search")
    parser.add_argument("--arrivals", type=int, help="how many to check")
    parser.add_argument("--orders", type=int, nargs=2, metavar=("FIRST", "END"), help="seeds of own orders")
    parser.add_argument("--changes", nargs="+", default=CHANGES)
    parser.add_argument("--start", type=Path, default=START)
    parser.add_argument("--generations", type=int, default=31)
    parser.add_argument("--out", type=Path, help="where tune writes")
    chosen = parser.parse_args()
    usual = {"check": ("default",), "ablate": ABLATED_ON, "tune": TUNED_ON}
    names = chosen.traces.split(",") if chosen.traces else usual.get(chosen.what, TRACES)
    profile = read_profile(chosen.weights)
    if chosen.what == "check":
        seed = 42 if chosen.seed is None else chosen.seed
        differing = [name for name in names if not check(name, seed, chosen.arrivals)]
        sys.exit(1 if differing else 0)
    elif chosen.what == "ablate":
        ablate(names, profile, range(*chosen.orders or (9200, 9202)), chosen.changes)
    elif chosen.what == "tune":
        if chosen.out is None:
            parser.error("tune needs --out")
        tune(
            names, read_profile(chosen.start), 4 if chosen.seed is None else chosen.seed, chosen.generations, chosen.out
        )
    elif chosen.what == "own":
        report(names, profile, range(*chosen.orders or (9400, 9406)), judged=False)
    else:
        report(names, profile, SEEDS, judged=True)


if __name__ == "__main__":
    main()
