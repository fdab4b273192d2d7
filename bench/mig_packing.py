"""How many MIG workloads are accepted: gpualloc's rule beside first-fit, best-fit, the driver's own places and others.

    python bench/mig_packing.py [workers]           the tables of docs/bench-mig-packing.md
    python bench/mig_packing.py tune [workers]      the two numbers of policies.slot_worth, on other seeds

Every request asks for one instance, which is made where the rule says and destroyed when its work ends; nothing is
moved, and nothing is refused that fits somewhere. *Churn*: requests arrive at random, work stays for exponential times
of mean 1, the first third of a run does not count. *Burst*: work stays; requests come until they ask for the load in
sum. All rules of a row meet the same requests.
"""

from __future__ import annotations

import heapq
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import product

import mig_exact
import numpy as np
from mig_rules import DEMANDS, Kind, Rule, kind_of, least_loss, patterns, rule, rules, worth
from mig_simplex import best_mix
from msgspec import Struct

from gpualloc.policies import slot_worth
from gpualloc.policies.slots import Slot

DEVICES = 100
LIFETIMES = 12
"""Length of a churn run in mean lifetimes."""
SEEDS = range(10)
TUNING_SEEDS = range(1000, 1004)
COUNTED = 1 / 3
OURS, BASE = "worth", "best-fit"
CASES = [
    *(("churn", "A100-80GB", demand, load) for demand in DEMANDS for load in (0.5, 0.8, 1.0, 1.2, 1.5)),
    *(("churn", "A30-24GB", demand, load) for demand in DEMANDS for load in (1.0, 1.5)),
    *(("burst", "A100-80GB", demand, load) for demand in DEMANDS for load in (1.0, 1.3)),
]
Case = tuple[str, str, str, float]


class Requests(Struct, frozen=True):
    """What is asked for: the profile of each, when it comes and when its work would end."""

    profiles: np.ndarray
    come: np.ndarray
    end: np.ndarray


def drawn(kind: Kind, scenario: str, load: float, seed: int) -> Requests:
    """The requests of one run."""
    rng = np.random.default_rng(seed)
    per_device = kind.rates(load).sum()
    if scenario == "churn":
        count = int(per_device * DEVICES * LIFETIMES)
        come = np.cumsum(rng.exponential(1 / (per_device * DEVICES), count))
        profiles = rng.choice(len(kind.parts), count, p=kind.parts)
        return Requests(profiles, come, come + rng.exponential(1.0, count))
    profiles = rng.choice(len(kind.parts), int(per_device * DEVICES * 2), p=kind.parts)
    profiles = profiles[np.cumsum(kind.sizes[profiles]) <= load * DEVICES * kind.axis.units]
    come = np.arange(len(profiles), dtype=float)
    return Requests(profiles, come, np.full(len(profiles), np.inf))


Choice = Callable[[int, np.ndarray], tuple[int, int] | None]
"""Of a profile and the states of all devices: the device and the state it gets; None when it fits nowhere."""


def by_rule(chosen: Rule) -> Choice:
    """The device that the rule scores lowest."""

    def choose(profile: int, states: np.ndarray) -> tuple[int, int] | None:
        scores = chosen.score[profile][states]
        device = int(scores.argmin())
        return (device, int(chosen.after[profile, states[device]])) if scores[device] < np.inf else None

    return choose


def by_chance(kind: Kind, seed: int) -> Choice:
    """A device drawn among those that would do, and a start there."""
    rng = np.random.default_rng(seed)
    options = cache(kind.options)

    def choose(profile: int, states: np.ndarray) -> tuple[int, int] | None:
        able = [device for device in range(DEVICES) if options(profile, int(states[device]))]
        if not able:
            return None
        device = able[rng.integers(len(able))]
        places = options(profile, int(states[device]))
        return device, places[rng.integers(len(places))]

    return choose


def accepted(kind: Kind, choose: Choice, requests: Requests) -> np.ndarray:
    """Per request whether there was a place for it."""
    states = np.zeros(DEVICES, dtype=np.int64)
    taken, numbers = kind.axis.states, kind.axis.numbers
    leaving: list[tuple[float, int, int, frozenset[Slot]]] = []
    found = np.zeros(len(requests.profiles), dtype=bool)
    for number, (profile, now, end) in enumerate(zip(requests.profiles, requests.come, requests.end, strict=True)):
        while leaving and leaving[0][0] <= now:
            _, _, device, gone = heapq.heappop(leaving)
            states[device] = numbers[taken[states[device]] - gone]
        place = choose(int(profile), states)
        if place is not None:
            device, after = place
            heapq.heappush(leaving, (end, number, device, taken[after] - taken[states[device]]))
            states[device], found[number] = after, True
    return found


Shares = dict[str, tuple[float, float, float]]
"""By rule: accepted in % of requests, of the units asked for, and of the requests for the largest profile."""


def one_run(case: Case, seed: int) -> Shares:
    """Every rule on the same requests."""
    scenario, key, demand, load = case
    kind = _kind(key, demand)
    requests = drawn(kind, scenario, load, seed)
    answers = {name: accepted(kind, by_rule(table), requests) for name, table in _rules(key, demand).items()}
    answers["random"] = accepted(kind, by_chance(kind, seed), requests)
    return {name: shares(kind, requests, found, scenario) for name, found in answers.items()}


def shares(kind: Kind, requests: Requests, found: np.ndarray, scenario: str) -> tuple[float, float, float]:
    """Accepted in %: requests, units, requests for the largest profile."""
    first = int(len(found) * COUNTED) if scenario == "churn" else 0
    got, sizes = found[first:], kind.sizes[requests.profiles[first:]]
    large = got[requests.profiles[first:] == 0]
    return 100 * got.mean(), 100 * (got @ sizes) / sizes.sum(), 100 * float(large.mean())


def bound(case: Case) -> float:
    """The most that can be accepted in %, also by a rule that moves, refuses and knows what will come."""
    _, key, demand, load = case
    kind = _kind(key, demand)
    rates = kind.rates(load)
    return 100 * best_mix(patterns(kind), rates, np.ones(len(rates)))[0] / float(rates.sum())


@cache
def _kind(key: str, demand: str) -> Kind:
    return kind_of(key, demand)


@cache
def _rules(key: str, demand: str) -> dict[str, Rule]:
    return rules(_kind(key, demand))


def progress(results: Iterable[object], count: int) -> Iterator[object]:
    """The results as they come, with a bar on a terminal."""
    start_s = time.monotonic()
    for number, result in enumerate(results, 1):
        if sys.stderr.isatty():
            full = 40 * number // count
            passed_s = time.monotonic() - start_s
            print(f"\r[{'#' * full:40}] {number}/{count} {passed_s:.0f} s", end="", file=sys.stderr, flush=True)
        yield result
    if sys.stderr.isatty():
        print(file=sys.stderr)


def spread(values: Iterable[float], digits: int = 1) -> str:
    """Mean and standard deviation."""
    each = np.array(list(values))
    return f"{each.mean():.{digits}f} ± {each.std(ddof=1):.{digits}f}"


def tables(workers: int) -> None:
    system = f"{platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}"
    print(f"{system}, numpy {np.__version__}\n")
    pairs = list(product(CASES, SEEDS))
    with ProcessPoolExecutor(workers) as pool:
        runs = list(progress(pool.map(one_run, *zip(*pairs, strict=True), chunksize=len(SEEDS)), len(pairs)))
    found: dict[Case, list[Shares]] = {case: [] for case in CASES}
    for (case, _), run in zip(pairs, runs, strict=True):
        found[case].append(run)
    names = list(runs[0])
    print("| scenario | model | demand | load % | bound | " + " | ".join(names) + " |")
    print("| --- " * (5 + len(names)) + "|")
    for case, each in found.items():
        scenario, key, demand, load = case
        cells = [f"{np.mean([run[name][0] for run in each]):.1f}" for name in names]
        print(f"| {scenario} | {key} | {demand} | {load * 100:.0f} | {bound(case):.1f} | {' | '.join(cells)} |")
    against_base(found)


def against_base(found: dict[Case, list[Shares]]) -> None:
    """What the rule gains over best-fit, seed by seed."""
    ratio = f"{OURS} / {BASE}"
    print(f"\n| scenario | model | demand | load % | {ratio}, requests | {ratio}, units | bound / {BASE} | largest |")
    print("| --- " * 8 + "|")
    for case, each in found.items():
        scenario, key, demand, load = case
        ratios = [[run[OURS][what] / run[BASE][what] for run in each] for what in (0, 1)]
        most = bound(case) / np.mean([run[BASE][0] for run in each])
        large = ", ".join(f"{np.nanmean([run[name][2] for run in each]):.1f}" for name in (BASE, OURS))
        cells = " | ".join(spread(values, 3) for values in ratios)
        print(f"| {scenario} | {key} | {demand} | {load * 100:.0f} | {cells} | {most:.3f} | {large} |")


def tune(workers: int) -> None:
    """Mean gain over best-fit for a grid of the two numbers, on seeds that the tables do not use."""
    cases = [("churn", "A100-80GB", demand, load) for demand in DEMANDS[:4] for load in (0.9, 1.1, 1.4)]
    cases += [("burst", "A100-80GB", demand, 1.2) for demand in DEMANDS[:4]]
    grid = list(product((1.0, 2.0, 3.0, 4.0, 6.0, 8.0), (1.0, 1.25, 1.5, 1.75, 2.0)))
    pairs = list(product(grid, cases))
    with ProcessPoolExecutor(workers) as pool:
        gains = list(progress(pool.map(_gain, *zip(*pairs, strict=True)), len(pairs)))
    print("| load | power | requests: mean, least | units: mean, least |\n| --- | --- | --- | --- |")
    for number, (load, power) in enumerate(grid):
        part = np.array(gains[number * len(cases) : (number + 1) * len(cases)])
        cells = " | ".join(f"{part[:, what].mean():.4f}, {part[:, what].min():.4f}" for what in (0, 1))
        print(f"| {load} | {power} | {cells} |")


def _gain(numbers: tuple[float, float], case: Case) -> tuple[float, float]:
    slot_worth.LOAD, slot_worth.GAIN_POWER = numbers
    scenario, key, demand, load = case
    kind = kind_of(key, demand)
    ours = least_loss(kind, worth(kind, kind.parts))
    base = rule(kind, lambda before, _: kind.axis.free[before])
    gains = []
    for seed in TUNING_SEEDS:
        requests = drawn(kind, scenario, load, seed)
        got, had = (shares(kind, requests, accepted(kind, by_rule(each), requests), scenario) for each in (ours, base))
        gains.append((got[0] / had[0], got[1] / had[1]))
    return tuple(np.mean(gains, axis=0))


def main(words: list[str]) -> None:
    workers = int(words[-1]) if words and words[-1].isdigit() else 2
    if words[:1] == ["tune"]:
        tune(workers)
        return
    tables(workers)
    mig_exact.tables()


if __name__ == "__main__":
    main(sys.argv[1:])
