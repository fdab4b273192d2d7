"""The best mix of layouts for a demand, as a small linear programme, solved here since it has a dozen rows."""

from __future__ import annotations

import numpy as np

_SMALL = 1e-9


def maximum(gains: np.ndarray, rows: np.ndarray, limits: np.ndarray) -> tuple[float, np.ndarray]:
    """The most of gains @ x over x >= 0 with rows @ x <= limits, none of them negative, and the dual value of each row.

    The simplex method on a dense table with Bland's rule, which ends on every input.
    """
    count, width = rows.shape
    table = np.zeros((count + 1, width + count + 1))
    table[:count, :width], table[:count, width:-1], table[:count, -1] = rows, np.eye(count), limits
    table[count, :width] = -gains
    basis = list(range(width, width + count))
    while (table[count, :-1] < -_SMALL).any():
        column = int(np.argmax(table[count, :-1] < -_SMALL))
        up = table[:count, column] > _SMALL
        ratios = np.full(count, np.inf)
        ratios[up] = table[:count, -1][up] / table[:count, column][up]
        if not up.any():
            raise ValueError("the gain has no limit")
        ties = np.flatnonzero(ratios <= ratios.min() + _SMALL)
        row = min(ties, key=lambda number: basis[number])
        table[row] /= table[row, column]
        others = np.arange(count + 1) != row
        table[others] -= np.outer(table[others, column], table[row])
        basis[row] = column
    return float(table[count, -1]), table[count, width:-1].copy()


def best_mix(patterns: np.ndarray, rates: np.ndarray, gains: np.ndarray) -> tuple[float, np.ndarray]:
    """The most that a device can gain per lifetime in the long run, and what a place of each kind is worth.

    Whatever the rule, also one that moves, refuses and knows all that will come: the instances that a device has are
    at any time a part of one pattern, and of each kind no more can run than are asked for.

    Args:
        patterns: maximal layouts as counts, one row per layout and one column per kind.
        rates: requests of each kind per device and mean lifetime.
        gains: what one of each kind counts.
    """
    layouts, kinds = patterns.shape
    rows = np.zeros((2 * kinds + 1, kinds + layouts))
    rows[:kinds, :kinds] = rows[kinds : 2 * kinds, :kinds] = np.eye(kinds)
    rows[kinds : 2 * kinds, kinds:] = -patterns.T
    rows[-1, kinds:] = 1
    limits = np.concatenate([rates, np.zeros(kinds), [1.0]])
    gain, values = maximum(np.concatenate([gains, np.zeros(layouts)]), rows, limits)
    return gain, values[kinds : 2 * kinds]
