"""What a hole of a shared GPU is worth, and what a placement makes it lose.

Cutting stock: if all expected shares were to be served on the fewest GPUs,

    minimise the number of GPUs  sum_p x_p   so that   sum_p a[s, p] x_p >= n_s,   x >= 0

over patterns p, of which one lets a[s, p] shares of size s have a GPU together. The dual value v_s is what one share of
that size is worth, in GPUs. The best that a hole of r can hold is B(r) = max(B(r - 1), max_s B(r - s) + v_s), to put s
into it loses B(r) - B(r - s) - v_s: nothing, exactly where a pattern of the optimum would do it.

Gilmore and Gomory, "A Linear Programming Approach to the Cutting-Stock Problem", Operations Research, 1961. A corner of
a flat optimum is arbitrary, so the values are the mean over several demands that differ by a fraction of the noise of a
count; signs come from Walsh functions, so that nothing is random.
"""

from __future__ import annotations

import numpy as np

from gpualloc.model.shapes import GPU_MILLI
from gpualloc.policies.board import Floats, Ints

DRAWS = 16
"""Demands whose values are averaged."""
NOISE = 0.6
"""How far a count is moved, in square roots of the count."""
_EPS = 1e-9
_MOST_PIVOTS = 2000


def regrets(sizes: Ints, values: Floats) -> Floats:
    """(S, 1001) GPUs lost by putting a share of each size into a hole of that many milli; infinite where it is too
    large."""
    best = best_fill(sizes, values)
    lost = np.full((len(sizes), GPU_MILLI + 1), np.inf)
    for place, size in enumerate(sizes.tolist()):
        lost[place, size:] = np.maximum(0.0, best[size:] - best[: GPU_MILLI + 1 - size] - values[place])
    return lost


def share_values(sizes: Ints, demand: Floats, gpus: float) -> Floats:
    """(S,) what a share of each size is worth, 0..1 GPU.

    Args:
        sizes: distinct sizes in milli, ascending.
        demand: how many shares of each size are expected, relative to the others.
        gpus: GPUs of the cluster, which the demand is scaled to fill.
    """
    need = demand * gpus * GPU_MILLI / float(demand @ sizes)
    total = np.zeros(len(sizes))
    for draw in range(DRAWS):
        sign = np.array([1 - 2 * ((draw & (place + 1)).bit_count() & 1) for place in range(len(sizes))])
        total += _duals(sizes, np.maximum(need + NOISE * sign * np.sqrt(need), 0.1 * need))
    return total / DRAWS


def best_fill(sizes: Ints, values: Floats) -> Floats:
    """(1001,) the largest value of shares that fit together into a hole of that many milli."""
    best = np.zeros(GPU_MILLI + 1)
    for size, value in zip(sizes.tolist(), values.tolist(), strict=True):
        if value > _EPS:
            for _ in range(GPU_MILLI // size):
                best[size:] = np.maximum(best[size:], best[: GPU_MILLI + 1 - size] + value)
    return np.maximum.accumulate(best)


def _best_pattern(sizes: Ints, values: Floats, best: Floats) -> Floats:
    """(S,) counts of a pattern of the best value: the first size that explains it, again and again."""
    count = np.zeros(len(sizes))
    left = GPU_MILLI
    while best[left] > _EPS:
        for place, size in enumerate(sizes.tolist()):
            if size <= left and values[place] > _EPS and best[left - size] + values[place] >= best[left] - _EPS:
                count[place] += 1
                left -= size
                break
        else:
            left -= 1
    return count


def _duals(sizes: Ints, demand: Floats) -> Floats:
    """(S,) dual values of one cutting-stock LP, by column generation in a revised simplex with a row for each size."""
    count = len(sizes)
    need = demand * (1.0 + 1e-5 * (1.0 + np.arange(count)) / max(count, 1))  # no two ratios of the simplex are equal
    cost = np.ones(count)
    inverse = np.diag(1.0 / (GPU_MILLI // sizes))
    amount = inverse @ need
    for _ in range(_MOST_PIVOTS):
        value = cost @ inverse
        entering = _entering(sizes, value)
        if entering is None:
            break
        column, price = entering
        step = inverse @ column
        ratio = np.where(step > _EPS, amount / np.where(step > _EPS, step, 1.0), np.inf)
        row = int(ratio.argmin())
        amount = amount - ratio[row] * step
        amount[row] = ratio[row]
        pivot = inverse[row] / step[row]
        inverse = inverse - np.outer(step, pivot)
        inverse[row] = pivot
        cost[row] = price
    return np.clip(cost @ inverse, 0.0, 1.0)


def _entering(sizes: Ints, value: Floats) -> tuple[Floats, float] | None:
    """The column that makes the solution better, with its cost; None when it is optimal."""
    low = int(value.argmin())
    if value[low] < -_EPS:  # too much of this size may be served
        column = np.zeros(len(sizes))
        column[low] = -1.0
        return column, 0.0
    fill = best_fill(sizes, value)
    if fill[GPU_MILLI] <= 1.0 + 1e-7:
        return None
    return _best_pattern(sizes, value, fill), 1.0
