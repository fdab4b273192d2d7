"""Linear quantile regression by reweighted least squares, pooled over series."""

from __future__ import annotations

import numpy as np

from gpualloc.forecast.grid import Matrix

MAX_ROWS = 10_000
"""Rows that are fitted at most; of more an even choice is taken."""
FEWEST_ROWS_PER_COLUMN = 10
_STEPS, _STEPS_AGAIN = 25, 8
"""Steps at most from nothing, and from the weights of an earlier fit."""
_CLOSE = 1e-5
_NEAR = 1e-3
"""Residuals below count as this, so that no row gets all the weight."""
_RIDGE = 1e-6


def fit(features: Matrix, targets: Matrix, quantile: float, begin: Matrix | None = None) -> Matrix | None:
    """The weights under which `features @ weights` is that quantile of the targets; None with too few rows.

    Args:
        features: a row for each observation, the first column 1; all known.
        targets: as many.
        quantile: above 0 and below 1.
        begin: weights to start from, such as those of an earlier fit.
    """
    rows, columns = features.shape
    if rows < columns * FEWEST_ROWS_PER_COLUMN:
        return None
    if rows > MAX_ROWS:
        chosen = np.linspace(0, rows - 1, MAX_ROWS).astype(np.int64)
        features, targets = features[chosen], targets[chosen]
    if begin is None:
        weights: Matrix = np.zeros(columns)
        weights[0] = np.quantile(targets, quantile)
    else:
        weights = begin
    ridge = _RIDGE * float(np.einsum("ij,ij->", features, features)) / columns * np.eye(columns)
    for _ in range(_STEPS if begin is None else _STEPS_AGAIN):
        residuals = targets - features @ weights
        pull = np.where(residuals > 0, quantile, 1 - quantile) / np.maximum(np.abs(residuals), _NEAR)
        pulled = (features * pull[:, None]).T
        before, weights = weights, np.linalg.solve(pulled @ features + ridge, pulled @ targets)
        if float(np.abs(weights - before).max()) < _CLOSE:
            break
    return weights
