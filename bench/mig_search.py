"""Every layout to every target: that the planner finds a way wherever there is one, and how long it takes.

    python bench/mig_search.py [workers]

For each ordered pair of layouts that a GPU model can have: with all in use that both have, the transition must be
carried out without a refusal and leave that untouched; for a drawn part of the pairs also with drawn instances in use,
when a way must be found exactly where trying everything finds one. Then `layout_for` makes room for drawn work on every
layout. Prints counts and times; any wrong answer ends it. A large model takes ten minutes and more: the tests look at a
share of the same.
"""

from __future__ import annotations

import platform
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random
from statistics import quantiles

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes import mig_tables

from gpualloc.errors import InfeasibleError
from gpualloc.model.mig import Layout
from gpualloc.planning.mig import Held, Transition, transition
from gpualloc.planning.mig_fit import layout_for

MODELS = ["A30-24GB", "RTX-PRO-6000-96GB", "A100-40GB", "H100-80GB"]
TIMED = 20_000
DRAWN = 0.05
"""Part of the pairs looked at a second time, with drawn instances in use."""
WANTED = 10
"""Drawn needs of waiting work for each layout."""


def planned(key: str, held: list[Held], target: Layout) -> Transition | None:
    """The transition; None when the planner refuses."""
    try:
        return transition(mig_tables.profiles(key), held, target)
    except InfeasibleError:
        return None


def sweep(key: str, current: Layout) -> Counter[str]:
    """All targets from one layout."""
    counts: Counter[str] = Counter()
    chance = Random(f"{key} {current}")
    for target in mig_tables.layouts(key):
        common = tuple(place for place in current if place in target)
        found = planned(key, mig_tables.held(current, common), target)
        assert found is not None, (current, target)
        assert mig_tables.carried_out(key, current, found.operations) == target
        assert {held.place for held in found.kept} == set(common)
        counts["carried out"] += 1
        if chance.random() >= DRAWN:
            continue
        drawn = tuple(place for place in current if chance.random() < 0.3)
        found = planned(key, mig_tables.held(current, drawn), target)
        possible = target in mig_tables.reachable(key, drawn)
        assert (found is not None) == possible, (current, drawn, target)
        counts["possible with drawn use" if possible else "impossible with drawn use"] += 1
    return counts


def times(key: str) -> dict[str, list[float]]:
    """CPU seconds of single calls, on drawn input."""
    chance, every = Random(key), list(mig_tables.layouts(key))
    names = [profile.name for profile in mig_tables.profiles(key)]
    taken: dict[str, list[float]] = {"transition": [], "layout_for": []}
    for _ in range(TIMED):
        held = mig_tables.held(chance.choice(every))
        target = chance.choice(every)
        start_s = time.process_time()
        transition(mig_tables.profiles(key), held, target)
        taken["transition"].append(time.process_time() - start_s)
    for current in every * WANTED:
        held = mig_tables.held(current, [place for place in current if chance.random() < 0.3])
        wanted = chance.choices(names, k=chance.randint(1, 4))
        start_s = time.process_time()
        layout_for(mig_tables.profiles(key), held, wanted)
        taken["layout_for"].append(time.process_time() - start_s)
    return taken


def main(workers: int) -> None:
    print(f"{platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}\n")
    print("| model | layouts | pairs carried out | drawn use: possible, not | transition CPU us p50, p99, max |")
    print("| --- | --- | --- | --- | --- |")
    rooms = []
    with ProcessPoolExecutor(workers) as pool:
        for key in MODELS:
            every = list(mig_tables.layouts(key))
            counts = sum(pool.map(sweep, [key] * len(every), every, chunksize=16), Counter())
            drawn = f"{counts['possible with drawn use']}, {counts['impossible with drawn use']}"
            taken = times(key)
            print(
                f"| {key} | {len(every)} | {counts['carried out']} | {drawn} | {spread(taken['transition'])} |",
                flush=True,
            )
            rooms.append(f"| {key} | {len(taken['layout_for'])} | {spread(taken['layout_for'])} |")
    print("\n| model | needs | layout_for CPU us p50, p99, max |\n| --- | --- | --- |", *rooms, sep="\n")


def spread(seconds: list[float]) -> str:
    """Median, 99th percentile and maximum, in microseconds."""
    steps = quantiles(seconds, n=100)
    return ", ".join(f"{each * 1e6:.0f}" for each in (steps[49], steps[98], max(seconds)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
