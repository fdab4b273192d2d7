"""How well changes in a workload's series are found, and what they cost: made series with known changes.

    .venv/bin/python bench/phases.py [--seeds 20] [--first-seed 1000] [--ruptures] [--demand | --names]

A day at a reading every 10 s. For each family of series and each rule: precision and recall within 30 s, changes
found that are none per day, and the time for a day. The families are drawn at random: level, noise (AR(1), so that it
wobbles), gaps, and where the changes lie. Beside `phases` stand two rules that operators write themselves: CUSUM of
the use against what was seen since the last alarm, and a threshold on the difference of two windows. The one number of
each rule was chosen on the families with changes, seeds 1 to 10. `--ruptures` adds the PELT of that library (mean of
Gaussian series, on the use, with the readings' own noise), where it is installed.

`--demand` instead predicts the use of the next hours from what was seen of the day so far, at eight moments of each
day: how often the actual mean of an interval lies in the band, how wide the bands are, and the error of the median
beside that of the mean of the last 15 minutes. `--names` tells how many of the parts that are there were called so.
"""

from __future__ import annotations

import argparse
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from random import Random
from statistics import fmean

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gpualloc.forecast.change_points import partition
from gpualloc.forecast.phases import MEMORY, USE, PhaseName, find_phases
from gpualloc.forecast.profile import demand_profile
from gpualloc.forecast.regime import Past
from gpualloc.model.forecast import Grid
from gpualloc.sim.use import Pattern, utilization

Array = NDArray[np.float64]
STEP_S = 10
TICKS = 86_400 // STEP_S
NEAR = 3
"""Ticks within which a found change is the one that is there."""
NAMED = ("epochs", "stalls", "sim: training")
ALARM = 40.0
"""Standard deviations in sum at which CUSUM says that something changed."""
APART = 0.2
"""Difference of two minutes' use at which the threshold rule does."""
AHEAD_S = (900.0, 3600.0, 3 * 3600.0)
FLOORS = (0.03, 400.0, 8.0)


class Case(Struct, frozen=True):
    """A series and where it changes."""

    values: Array
    changes: list[int]


def noise(random: Random, deviation: float, wobble: float) -> Array:
    """AR(1) around 0."""
    generator = np.random.default_rng(random.getrandbits(32))
    fresh = generator.normal(0.0, deviation * (1 - wobble**2) ** 0.5, TICKS)
    out = np.empty(TICKS)
    last = 0.0
    for at, one in enumerate(fresh.tolist()):
        last = out[at] = wobble * last + one
    return out


def measured(random: Random, use: Array, memory: Array, changes: list[int]) -> Case:
    """What a node would tell of it: noisy, within 0..1, with gaps."""
    use = np.clip(use + noise(random, random.uniform(0.01, 0.06), random.uniform(0.0, 0.7)), 0.0, 1.0)
    power = 90.0 + 560.0 * use + noise(random, 8.0, 0.3)
    values = np.stack((use, memory, power), axis=1)
    values[np.random.default_rng(random.getrandbits(32)).random(TICKS) < 0.02] = np.nan
    return Case(values, changes)


def steps(random: Random) -> Case:
    """A few levels; with some of them the memory changes too."""
    changes = sorted(random.sample(range(60, TICKS - 60, 60), random.randint(3, 8)))
    use, memory = np.empty(TICKS), np.full(TICKS, 40_000.0)
    level, first = random.uniform(0.3, 0.95), 0
    for end in [*changes, TICKS]:
        use[first:end] = level
        level = random.choice([each / 100 for each in range(5, 98) if abs(each / 100 - level) > 0.15])
        if random.random() < 0.5:
            memory[end:] = random.uniform(10_000, 75_000)
        first = end
    return measured(random, use, memory, changes)


def faint(random: Random) -> Case:
    """A few levels that differ by little, under more noise."""
    changes = sorted(random.sample(range(60, TICKS - 60, 60), random.randint(3, 8)))
    use, first, level = np.empty(TICKS), 0, random.uniform(0.4, 0.6)
    for end in [*changes, TICKS]:
        use[first:end] = level
        level += random.choice([-1, 1]) * random.uniform(0.04, 0.12)
        first = end
    values = np.clip(use + noise(random, random.uniform(0.04, 0.1), random.uniform(0.3, 0.8)), 0.0, 1.0)
    return Case(np.stack((values, np.full(TICKS, 25_000.0), 90 + 560 * values), axis=1), changes)


def epochs(random: Random) -> Case:
    """Training: a slow start, then a dip at the end of every epoch."""
    warm, period = random.randint(6, 60), random.randint(60, 360)
    length = random.randint(4, max(5, min(24, period // 5)))
    use = np.full(TICKS, random.uniform(0.75, 0.97))
    use[:warm] = 0.05
    changes = [warm]
    low = random.uniform(0.05, 0.45)
    for begin in range(warm + period, TICKS - length - NEAR, period):
        use[begin : begin + length] = low
        changes += [begin, begin + length]
    return measured(random, use, np.full(TICKS, 60_000.0), changes)


def stalls(random: Random) -> Case:
    """Steady work that waits for its data now and then."""
    use = np.full(TICKS, random.uniform(0.6, 0.95))
    changes: list[int] = []
    at = random.randint(100, 600)
    while at < TICKS - 200:
        length = random.randint(5, 60)
        use[at : at + length] = random.uniform(0.0, 0.08)
        changes += [at, at + length]
        at += length + random.randint(80, 1500)
    return measured(random, use, np.full(TICKS, 30_000.0), changes)


def quiet(random: Random) -> Case:
    """Nothing happens."""
    return measured(random, np.full(TICKS, random.uniform(0.1, 0.9)), np.full(TICKS, 20_000.0), [])


def simulated(pattern: Pattern) -> Callable[[Random], Case]:
    """A pattern of the simulated nodes, as they tell it."""

    def make(random: Random) -> Case:
        seed = random.getrandbits(16)
        use = np.array([round(utilization(pattern, seed, at * STEP_S), 2) for at in range(TICKS)])
        values = np.stack((use, np.full(TICKS, 50_000.0), 100 + 550 * use), axis=1)
        # A pause for validation ends each epoch of 600 s, from the reading after 540 s.
        ends = [at for at in range(1, TICKS) if at % 60 in (0, 55)] if pattern is Pattern.TRAINING else []
        return Case(values, ends)

    return make


FAMILIES: dict[str, Callable[[Random], Case]] = {
    "levels": steps,
    "faint levels": faint,
    "epochs": epochs,
    "stalls": stalls,
    "nothing": quiet,
    **{f"sim: {pattern.value}": simulated(pattern) for pattern in Pattern if pattern is not Pattern.DAILY},
}


def by_phases(values: Array) -> list[int]:
    return list(partition(values, FLOORS).bounds[1:-1])


def by_cusum(values: Array) -> list[int]:
    """Two-sided, allowance of half a standard deviation; the change is where the sum began to grow."""
    use = _filled(values[:, 0])
    deviation = max(float(np.median(np.abs(np.diff(use)))) / 0.954, 0.03)
    found: list[int] = []
    since, mean, count, up, down, up_from, down_from = 0, float(use[0]), 1, 0.0, 0.0, 0, 0
    for at, value in enumerate(use.tolist()):
        apart = (value - mean) / deviation
        up, down = max(0.0, up + apart - 0.5), max(0.0, down - apart - 0.5)
        up_from, down_from = (up_from if up else at + 1), (down_from if down else at + 1)
        if up > ALARM or down > ALARM:
            since = up_from if up > ALARM else down_from
            found.append(since)
            mean, count, up, down, up_from, down_from = value, 1, 0.0, 0.0, at + 1, at + 1
            continue
        count += 1
        mean += (value - mean) / count
    return found


def by_threshold(values: Array) -> list[int]:
    """Where the means of the minute before and the minute after differ by much, and most so in the neighbourhood."""
    use, width = _filled(values[:, 0]), 6
    sums = np.concatenate(([0.0], use.cumsum()))
    at = np.arange(width, len(use) - width + 1)
    apart = np.abs(sums[at + width] - 2 * sums[at] + sums[at - width]) / width
    found: list[int] = []
    for place in np.flatnonzero(apart > APART).tolist():
        near = apart[max(0, place - width) : place + width + 1]
        if apart[place] == near.max() and (not found or place + width - found[-1] > width):
            found.append(place + width)
    return found


def by_ruptures(values: Array) -> list[int]:
    import ruptures

    use = _filled(values[:, 0])
    deviation = max(float(np.median(np.abs(np.diff(use)))) / 0.954, 0.03)
    search = ruptures.Pelt(model="l2", min_size=3, jump=1).fit(use / deviation)
    return list(search.predict(pen=3 * np.log(len(use))))[:-1]


def _filled(column: Array) -> Array:
    """Each unknown reading as the one before."""
    places = np.maximum.accumulate(np.where(np.isnan(column), 0, np.arange(len(column))))
    return np.nan_to_num(column[places])


def matched(found: Sequence[int], there: Sequence[int]) -> int:
    """How many of the changes that are there were found, each by another one."""
    left, count = sorted(found), 0
    for change in there:
        near = [one for one in left if abs(one - change) <= NEAR]
        if near:
            left.remove(min(near, key=lambda one: abs(one - change)))
            count += 1
    return count


def line(family: str, name: str, rule: Callable[[Array], list[int]], cases: Sequence[Case]) -> str:
    """A row of the table."""
    hits = false = missed = 0
    times = []
    for case in cases:
        begun_s = time.process_time()
        found = rule(case.values)
        times.append(time.process_time() - begun_s)
        right = matched(found, case.changes)
        hits, false, missed = hits + right, false + len(found) - right, missed + len(case.changes) - right
    precision = f"{100 * hits / (hits + false):.1f}" if hits + false and hits + missed else "-"
    recall = f"{100 * hits / (hits + missed):.1f}" if hits + missed else "-"
    return (
        f"| {family} | {name} | {hits + missed} | {precision} | {recall} | {false / len(cases):.2f} "
        f"| {1000 * fmean(times):.0f} |"
    )


def demand_lines(family: str, cases: Sequence[Case]) -> list[str]:
    """A row for each interval ahead."""
    inside: dict[int, list[bool]] = {at: [] for at in range(len(AHEAD_S))}
    widths: dict[int, list[float]] = {at: [] for at in inside}
    errors: dict[int, list[tuple[float, float]]] = {at: [] for at in inside}
    for case in cases:
        use = case.values[:, 0]
        for now in range(TICKS // 12, TICKS - int(AHEAD_S[-1]) // STEP_S, TICKS // 9):
            grid = Grid((USE, MEMORY), 0.0, STEP_S, now, array("d", case.values[:now, :2].T.reshape(-1)))
            for at, demand in enumerate(demand_profile(Past(grid), (), (), AHEAD_S)):
                first, end = (now + int(edge_s) // STEP_S for edge_s in (demand.start_s, demand.end_s))
                actual, last = float(np.nanmean(use[first:end])), float(np.nanmean(use[now - 90 : now]))
                if demand.use is not None:
                    inside[at].append(demand.use.low <= actual <= demand.use.high)
                    widths[at].append(demand.use.high - demand.use.low)
                    errors[at].append((abs(demand.use.median - actual), abs(last - actual)))
    return [
        f"| {family} | to {AHEAD_S[at] / 60:g} min | {len(inside[at])} | {100 * fmean(inside[at]):.0f} "
        f"| {100 * fmean(widths[at]):.1f} | {100 * fmean(one for one, _ in errors[at]):.2f} "
        f"| {100 * fmean(one for _, one in errors[at]):.2f} |"
        for at in inside
    ]


def name_lines(cases: Mapping[str, Sequence[Case]]) -> list[str]:
    """A row for each kind of part: those between two changes, by what is known of how they were made."""
    right: dict[tuple[str, str], list[bool]] = {}
    for family, several in cases.items():
        for case in several:
            grid = Grid((USE, MEMORY), 0.0, STEP_S, TICKS, array("d", case.values[:, :2].T.reshape(-1)))
            found = find_phases(grid, from_start=True).phases
            dips = PhaseName.STALL if family == "stalls" else PhaseName.EPOCH
            kinds = [PhaseName.STEADY, dips] * len(case.changes)
            truth = [PhaseName.WARM_UP, *kinds] if family == "epochs" else kinds
            edges = [0, *case.changes, TICKS]
            for kind, first, end in zip(truth, edges, edges[1:], strict=False):
                middle_s = (first + end) / 2 * STEP_S
                name = next(phase.name for phase in found if phase.end_s > middle_s)
                right.setdefault((family, kind.value), []).append(name is kind)
    return [f"| {family} | {kind} | {len(told)} | {100 * fmean(told):.1f} |" for (family, kind), told in right.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--ruptures", action="store_true")
    parser.add_argument("--demand", action="store_true")
    parser.add_argument("--names", action="store_true")
    chosen = parser.parse_args()
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    if chosen.names:
        print("| series | part | there | called so % |")
        print("| --- | --- | --- | --- |")
        made = {family: [FAMILIES[family](Random(seed)) for seed in seeds] for family in NAMED}
        print("\n".join(name_lines(made)))
        return
    if chosen.demand:
        print("| series | ahead | told | in the band % | width, points | error | error of the last 15 min |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for family, make in FAMILIES.items():
            print("\n".join(demand_lines(family, [make(Random(seed)) for seed in seeds])), flush=True)
        return
    rules = {"phases": by_phases, "CUSUM": by_cusum, "threshold": by_threshold}
    if chosen.ruptures:
        rules["ruptures PELT"] = by_ruptures
    print("| series | rule | changes | precision % | recall % | false a day | CPU ms a day |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for family, make in FAMILIES.items():
        cases = [make(Random(seed)) for seed in seeds]
        for name, rule in rules.items():
            print(line(family, name, rule, cases), flush=True)


if __name__ == "__main__":
    main()
