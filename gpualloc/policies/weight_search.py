"""Search of weights: the separable evolution strategy with covariance matrix adaptation (sep-CMA-ES).

Ros & Hansen, "A simple modification in CMA-ES achieving linear time and space complexity", PPSN 2008. Steps are drawn
from a Gaussian with a variance of its own for each number, moved towards the better half of each generation. All draws
come from one seeded generator, so a search takes the same course each time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random

import numpy as np

from gpualloc.policies.board import Floats
from gpualloc.policies.profile import MAX_WEIGHT, Profile
from gpualloc.policies.weights import POSITIVE

FIRST_STEP = 0.3
"""Standard deviation of the first generation, in parts of each number."""
_LEAST_SCALE = 0.1
"""A weight of 0 is searched as if it were this."""
FIXED = frozenset({"gpu.demand", "cpu.demand", "cpu.regret", "cpu.assort", "cpu.model"})
"""Weights of `pack` that stay: scores count relative to `demand`, and the rest means nothing for work without GPUs."""


class Strategy:
    """sep-CMA-ES over vectors, minimising; begins around 0 with deviation `step` in every direction."""

    def __init__(self, size: int, step: float, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - repeatable on purpose
        self._mean: Floats = np.zeros(size)
        self._step = step
        self._variance: Floats = np.ones(size)
        self._path_step: Floats = np.zeros(size)
        self._path: Floats = np.zeros(size)
        self.population = 4 + int(3 * math.log(size)) if size > 1 else 4
        ranks = np.arange(1, self.population // 2 + 1)
        weights = math.log(self.population / 2 + 0.5) - np.log(ranks)
        self._weights: Floats = weights / weights.sum()
        self._mass = mass = float(1 / (self._weights**2).sum())
        self._learn_path = (4 + mass / size) / (size + 4 + 2 * mass / size)
        self._learn_step = (mass + 2) / (size + mass + 5)
        self._damping = 1 + 2 * max(0.0, math.sqrt((mass - 1) / (size + 1)) - 1) + self._learn_step
        faster = (size + 2) / 3  # what being separable allows
        self._learn_one = min(1.0, faster * 2 / ((size + 1.3) ** 2 + mass))
        self._learn_many = min(1 - self._learn_one, faster * 2 * (mass - 2 + 1 / mass) / ((size + 2) ** 2 + mass))
        self._usual = math.sqrt(size) * (1 - 1 / (4 * size) + 1 / (21 * size**2))
        self._told = 0
        self._asked: list[Floats] = []

    def ask(self) -> list[Floats]:
        """The vectors of the next generation."""
        draws = [[self._random.gauss(0, 1) for _ in self._mean] for _ in range(self.population)]
        spread = self._step * np.sqrt(self._variance)
        self._asked = [self._mean + spread * np.array(draw) for draw in draws]
        return self._asked

    def tell(self, scores: Sequence[float]) -> None:
        """Learn from the scores, lower is better, in the order of `ask`."""
        order = np.argsort(scores, kind="stable")[: len(self._weights)]
        steps = (np.array([self._asked[place] for place in order]) - self._mean) / self._step
        move = self._weights @ steps
        self._mean = self._mean + self._step * move
        keep = 1 - self._learn_step
        pull = math.sqrt(self._learn_step * (2 - self._learn_step) * self._mass)
        self._path_step = keep * self._path_step + pull * move / np.sqrt(self._variance)
        self._told += 1
        length = float(np.linalg.norm(self._path_step)) / math.sqrt(1 - keep ** (2 * self._told))
        steady = length < (1.4 + 2 / (len(self._mean) + 1)) * self._usual
        self._path = (1 - self._learn_path) * self._path
        if steady:
            self._path = self._path + math.sqrt(self._learn_path * (2 - self._learn_path) * self._mass) * move
        self._variance = (
            (1 - self._learn_one - self._learn_many) * self._variance
            + self._learn_one * self._path**2
            + self._learn_many * (self._weights @ steps**2)
        )
        grown = float(np.linalg.norm(self._path_step)) / self._usual - 1
        self._step *= math.exp(min(1.0, self._learn_step / self._damping * grown))


class WeightSearch:
    """Profiles with other weights than one of the same policy has."""

    def __init__(self, start: Profile, seed: int) -> None:
        self.start = start
        self._moved = tuple(name for name in start.weights if name not in FIXED)
        self._strategy = Strategy(len(self._moved), FIRST_STEP, seed)

    def ask(self) -> tuple[Profile, ...]:
        """The next generation."""
        return tuple(self._profile(vector) for vector in self._strategy.ask())

    def tell(self, scores: Sequence[float]) -> None:
        """How good each of the generation is, lower is better."""
        self._strategy.tell(scores)

    def _profile(self, vector: Floats) -> Profile:
        moved = {
            name: _moved(name, self.start.weights, step)
            for name, step in zip(self._moved, vector.tolist(), strict=True)
        }
        return Profile(self.start.name, self.start.policy, {**self.start.weights, **moved})


def _moved(name: str, weights: Mapping[str, float], step: float) -> float:
    """What is divided by, and parts of the demand, grow and shrink by factors; weights by parts of themselves."""
    value = weights[name]
    if name in POSITIVE or name.startswith("constants."):
        return value * math.exp(max(-3.0, min(3.0, step)))
    return max(-MAX_WEIGHT, min(MAX_WEIGHT, value + step * max(abs(value), _LEAST_SCALE)))
