"""The exact optimum of small cases, and what the rules reach of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from mig_rules import Kind, Rule, kind_of, rules

CHURN = [("A30-24GB", demand, load) for demand in ("uniform", "skewed small", "bimodal") for load in (0.7, 1.2)]
CHURN += [("A100-80GB", "uniform", load) for load in (0.7, 1.2)]
BURST = [("A100-80GB", demand, 1.3) for demand in ("uniform", "skewed small", "skewed big", "bimodal")]
BURST_DEVICES = 2
BURST_SEEDS = range(200)
SHOWN = ("first-fit", "best-fit", "driver", "fragmentation", "worth")
_CLOSE = 1e-6
_ROUNDS = 5000

Pairs = np.ndarray
"""A number for each state of two devices."""


def tables() -> None:
    """Two devices in churn, by value iteration over all their states, and in a burst, by looking at every way."""
    print("\nTwo devices, churn, accepted in % of requests (no simulation: solved):\n")
    head()
    for key, demand, load in CHURN:
        kind = kind_of(key, demand)
        known = rules(kind)
        ways = [optimal(kind), *(by_rule(known[name]) for name in SHOWN)]
        row(key, demand, load, [long_run(kind, 2 * kind.rates(load), way) for way in ways])
    print(f"\nTwo devices, burst, mean of {len(BURST_SEEDS)} drawn bursts (the optimum knows all of it in advance):\n")
    head()
    for key, demand, load in BURST:
        kind = kind_of(key, demand)
        known = rules(kind)
        row(key, demand, load, np.mean([burst(kind, load, seed, known) for seed in BURST_SEEDS], axis=0))


def head() -> None:
    print("| model | demand | load % | optimum | " + " | ".join(SHOWN) + " |\n" + "| --- " * (4 + len(SHOWN)) + "|")


def row(key: str, demand: str, load: float, cells: Iterable[float]) -> None:
    print(f"| {key} | {demand} | {load * 100:.0f} | {' | '.join(f'{cell:.2f}' for cell in cells)} |", flush=True)


def long_run(kind: Kind, rates: np.ndarray, values_after: Callable[[Pairs, int], Pairs]) -> float:
    """Accepted in % of requests in the long run, by value iteration on the chain made uniform in time."""
    count = len(kind.axis.states)
    leave = np.zeros((count, count))
    smaller, slot = np.nonzero(kind.axis.after >= 0)
    np.add.at(leave, (kind.axis.after[smaller, slot], smaller), 1.0)
    held = leave.sum(axis=1)
    pace = rates.sum() + 2 * held.max()
    stay = pace - rates.sum() - held[:, None] - held[None, :]
    values = np.zeros((count, count))
    for _ in range(_ROUNDS):
        new = leave @ values + values @ leave.T + stay * values
        for number, rate in enumerate(rates):
            after = values_after(values, number)
            new += rate * np.where(np.isfinite(after), after + 1.0, values)
        change = new / pace - values
        values = new / pace - new[0, 0] / pace
        if change.max() - change.min() < _CLOSE:
            break
    return 100 * float(change.max() + change.min()) / 2 * pace / float(rates.sum())


def optimal(kind: Kind) -> Callable[[Pairs, int], Pairs]:
    """The best of all places on both devices."""

    def values_after(values: Pairs, number: int) -> Pairs:
        best = np.full(values.shape, -np.inf)
        for slot in kind.axis.slots_of(kind.profiles[number]):
            after = kind.axis.after[:, slot]
            fits = after >= 0
            best[fits, :] = np.maximum(best[fits, :], values[after[fits], :])
            best[:, fits] = np.maximum(best[:, fits], values[:, after[fits]])
        return best

    return values_after


def by_rule(chosen: Rule) -> Callable[[Pairs, int], Pairs]:
    """The place that a rule takes."""

    def values_after(values: Pairs, number: int) -> Pairs:
        score, after = chosen.score[number], chosen.after[number]
        first = score[:, None] <= score[None, :]
        found = np.where(first, values[after, :], values[:, after])
        return np.where(np.isfinite(np.minimum(score[:, None], score[None, :])), found, -np.inf)

    return values_after


def burst(kind: Kind, load: float, seed: int, known: dict[str, Rule]) -> list[float]:
    """Accepted in % of one burst: the optimum, then the shown rules."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(kind.parts), 100, p=kind.parts)
    drawn = drawn[np.cumsum(kind.sizes[drawn]) <= load * BURST_DEVICES * kind.axis.units]
    counts = [best_of_burst(kind, drawn), *(rule_in_burst(known[name], drawn) for name in SHOWN)]
    return [100 * count / len(drawn) for count in counts]


def best_of_burst(kind: Kind, drawn: np.ndarray) -> int:
    """The most that can be accepted: all states that any choice leads to, each with its best count."""
    reached = {(0,) * BURST_DEVICES: 0}
    for number in drawn:
        following: dict[tuple[int, ...], int] = {}
        for states, count in reached.items():
            ways = [
                (tuple(sorted((*states[:device], after, *states[device + 1 :]))), count + 1)
                for device in range(BURST_DEVICES)
                for after in kind.options(number, states[device])
            ]
            for way, total in ways or [(states, count)]:
                following[way] = max(total, following.get(way, 0))
        reached = following
    return max(reached.values())


def rule_in_burst(chosen: Rule, drawn: np.ndarray) -> int:
    """How many the rule accepts."""
    states, count = np.zeros(BURST_DEVICES, dtype=np.int64), 0
    for number in drawn:
        scores = chosen.score[number][states]
        device = int(scores.argmin())
        if scores[device] < np.inf:
            states[device] = chosen.after[number, states[device]]
            count += 1
    return count
