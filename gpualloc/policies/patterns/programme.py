"""A linear or integer programme, built in blocks of columns and rows and solved by HiGHS.

HiGHS (MIT licence, Huangfu and Hall 2018) comes with the extra `lp`. It runs on one thread from a fixed seed and is
stopped by counts of nodes, never by a clock, so that equal programmes have equal answers on every machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from gpualloc.errors import ConfigError, InfeasibleError

if TYPE_CHECKING:
    import highspy

Indices = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

UNBOUNDED = float("inf")
"""No limit on a column or a row."""


class Solution(Struct, frozen=True):
    """The best values found."""

    gain: float
    """What the columns gain in all."""
    values: Values
    """Value of each column."""


class Programme:
    """Columns to choose, 0 or more each, whose gain is to be as large as the rows allow."""

    def __init__(self) -> None:
        self._gains: list[Values] = []
        self._uppers: list[Values] = []
        self._row_lowers: list[Values] = []
        self._row_uppers: list[Values] = []
        self._entries: list[tuple[Indices, Indices, Values]] = []
        self.columns = 0
        """Columns so far."""
        self.rows = 0
        """Rows so far."""

    def add_columns(self, count: int, *, gain: npt.ArrayLike = 0.0, upper: npt.ArrayLike = UNBOUNDED) -> Indices:
        """New columns with what one unit of each gains and the most each may be; their indices."""
        self._gains.append(_filled(gain, count))
        self._uppers.append(_filled(upper, count))
        self.columns += count
        return np.arange(self.columns - count, self.columns, dtype=np.int64)

    def add_rows(self, count: int, *, lower: npt.ArrayLike = -UNBOUNDED, upper: npt.ArrayLike = UNBOUNDED) -> Indices:
        """New rows with the limits of their sums; their indices."""
        self._row_lowers.append(_filled(lower, count))
        self._row_uppers.append(_filled(upper, count))
        self.rows += count
        return np.arange(self.rows - count, self.rows, dtype=np.int64)

    def add_entries(self, rows: npt.ArrayLike, columns: npt.ArrayLike, values: npt.ArrayLike) -> None:
        """Put values where rows and columns cross; what is given twice is added up. Scalars repeat."""
        row, column, value = np.broadcast_arrays(
            np.asarray(rows, dtype=np.int64), np.asarray(columns, dtype=np.int64), np.asarray(values, dtype=np.float64)
        )
        self._entries.append((row.ravel(), column.ravel(), value.ravel()))

    def solve(self) -> Solution:
        """The best values.

        Raises:
            ConfigError: HiGHS is not installed.
            InfeasibleError: no values keep all rows.
        """
        return self._solved(_solver(), integer=False)

    def solve_integer(self, *, gap: float, nodes: int) -> Solution:
        """The best whole numbers.

        Args:
            gap: relative distance from the optimum that is near enough.
            nodes: most nodes of the search tree; what was best until then counts.

        Raises:
            ConfigError: HiGHS is not installed.
            InfeasibleError: no values that keep all rows were found.
        """
        solver = _solver()
        solver.setOptionValue("mip_rel_gap", gap)
        solver.setOptionValue("mip_max_nodes", nodes)
        return self._solved(solver, integer=True)

    def _solved(self, solver: highspy.Highs, *, integer: bool) -> Solution:
        if self.columns == 0:  # which HiGHS takes for no answer
            return Solution(0.0, np.zeros(0))
        solver.passModel(self._model(integer))
        solver.run()
        found = solver.getSolution()
        if not found.value_valid:
            raise InfeasibleError(
                f"HiGHS found no values for {self.columns} columns in {self.rows} rows: "
                f"{solver.modelStatusToString(solver.getModelStatus())}"
            )
        return Solution(solver.getObjectiveValue(), np.asarray(found.col_value, dtype=np.float64))

    def _model(self, integer: bool) -> highspy.HighsLp:
        import highspy

        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = self.columns, self.rows
        model.sense_ = highspy.ObjSense.kMaximize
        model.col_cost_ = np.concatenate(self._gains)
        model.col_lower_ = np.zeros(self.columns)
        model.col_upper_ = np.concatenate(self._uppers)
        model.row_lower_ = np.concatenate(self._row_lowers)
        model.row_upper_ = np.concatenate(self._row_uppers)
        if integer:
            model.integrality_ = [highspy.HighsVarType.kInteger] * self.columns
        row, column, value = (np.concatenate(part) for part in zip(*self._entries, strict=True))
        cells, where = np.unique(row * self.columns + column, return_inverse=True)
        matrix = model.a_matrix_
        matrix.format_ = highspy.MatrixFormat.kRowwise
        matrix.num_col_, matrix.num_row_ = self.columns, self.rows
        matrix.start_ = np.searchsorted(cells, np.arange(self.rows + 1) * self.columns)
        matrix.index_ = cells % self.columns
        matrix.value_ = np.bincount(where, weights=value, minlength=len(cells)).astype(np.float64)
        return model


def _filled(values: npt.ArrayLike, count: int) -> Values:
    return np.broadcast_to(np.asarray(values, dtype=np.float64), (count,))


def _solver() -> highspy.Highs:
    try:
        import highspy
    except ImportError as error:
        raise ConfigError(
            "HiGHS, which solves the linear programmes of bounds and of the policy batch, is not installed",
            hint='pip install "gpualloc[lp]"',
        ) from error
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.setOptionValue("random_seed", 0)
    solver.setOptionValue("mip_detect_symmetry", False)
    return solver
