"""Separable CMA-ES: minimises a noisy function of some ten or twenty numbers, with one variance for each.

Ros and Hansen, "A Simple Modification in CMA-ES Achieving Linear Time and Space Complexity", PPSN 2008.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
POPULATION = 11
"""Points of a generation."""
FIRST_STEP = 0.5
MOST_CHANGE = 0.3
"""How much the logarithm of the step may change in a generation: the function is noisy."""


def search(
    rate: Callable[[Floats, int], float], start: Floats, scale: Floats, seed: int
) -> Iterator[tuple[Floats, float]]:
    """The mean and the best value of each generation, without end.

    Args:
        rate: what to minimise, given a point and the number of the generation.
        start: the first mean.
        scale: how far each number may sensibly move.
        seed: of the numbers drawn.
    """
    size = len(start)
    parents = POPULATION // 2
    share = math.log(parents + 0.5) - np.log(np.arange(1, parents + 1))
    share /= share.sum()
    effective = 1 / float((share**2).sum())
    step_rate = (effective + 2) / (size + effective + 5)
    path_rate = 4 / (size + 4)
    faster = (size + 2) / 3  # than with all covariances, since there are fewer numbers to learn
    one_rate = 2 / ((size + 1.3) ** 2 + effective) * faster
    many_rate = min(1 - one_rate, 2 * (effective - 2 + 1 / effective) / ((size + 2) ** 2 + effective) * faster)
    numbers = np.random.default_rng(seed)
    mean, step, variance = start.copy(), FIRST_STEP, np.ones(size)
    step_path, path = np.zeros(size), np.zeros(size)
    generation = 0
    while True:
        moves = numbers.standard_normal((POPULATION, size)) * np.sqrt(variance)
        values = np.array([rate(mean + step * move * scale, generation) for move in moves])
        chosen = moves[np.argsort(values)[:parents]]
        move = share @ chosen
        mean = mean + step * move * scale
        step_path = (1 - step_rate) * step_path + math.sqrt(step_rate * (2 - step_rate) * effective) * (
            move / np.sqrt(variance)
        )
        path = (1 - path_rate) * path + math.sqrt(path_rate * (2 - path_rate) * effective) * move
        variance = (1 - one_rate - many_rate) * variance + one_rate * path**2 + many_rate * (share @ chosen**2)
        growth = step_rate / (1 + step_rate) * (float(np.linalg.norm(step_path)) / math.sqrt(size) - 1)
        step *= math.exp(min(MOST_CHANGE, max(-MOST_CHANGE, growth)))
        yield mean, float(values.min())
        generation += 1
