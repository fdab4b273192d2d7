"""The packer: filters, scores, and the choice. The one place where built-in policies decide, live and in simulation.

Scores are rounded before they are compared. The highest wins; among equals the first row of the board, and on it the
first device. A kind of request keeps its scores, and only nodes that changed since are scored again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gpualloc.model.allocation import Share
from gpualloc.policies.ask import Ask
from gpualloc.policies.board import Board, Floats, Ints, Spot
from gpualloc.policies.options import Options
from gpualloc.policies.shapes import GPU_MILLI

DIGITS = 6
"""Decimals of a score that count; what lies below is the noise of floating point."""

Scorer = Callable[[Options], Floats]
"""Rates the options of a request: (K, O), higher is better. What it says of options that are not valid is ignored."""


class _Row:
    """What is known of one kind of request: the best option of every node."""

    __slots__ = ("at", "best", "pick")

    def __init__(self, nodes: int) -> None:
        self.at = -1
        """How many changes of the board are in; -1 before the first look."""
        self.best: Floats = np.full(nodes, -np.inf)
        """(N,) score of the best option of each node; minus infinity where nothing fits."""
        self.pick: Ints = np.zeros(nodes, np.int64)
        """(N,) which option that is."""


class Packer:
    """Decides places on a board by one scorer."""

    def __init__(self, board: Board, scorer: Scorer) -> None:
        self._board = board
        self._scorer = scorer
        self._rows: dict[int, tuple[Ask, _Row]] = {}

    def best(self, ask: Ask) -> Spot | None:
        """The best place for the request now; None when it fits nowhere. Takes nothing."""
        scores, picks = self.scores(ask)
        node = int(scores.argmax()) if len(scores) else 0
        if not len(scores) or scores[node] == -np.inf:
            return None
        return self.spot(ask, node, int(picks[node]))

    def scores(self, ask: Ask) -> tuple[Floats, Ints]:
        """Each node's best score (minus infinity where nothing fits) and option; (N,) both, not to be changed."""
        # An Ask lives as long as its row, so its identity is its own.
        _, row = self._rows.setdefault(id(ask), (ask, _Row(self._board.nodes)))
        changes = self._board.changes
        if row.at < 0:
            self._score(ask, row, np.arange(self._board.nodes))
        elif row.at < len(changes):
            self._score(ask, row, np.array(sorted(set(changes[row.at :])), np.int64))
        row.at = len(changes)
        return row.best, row.pick

    def spot(self, ask: Ask, node: int, pick: int) -> Spot:
        """The place that an option of a node stands for."""
        if ask.shape.gpus == 0:
            return Spot(node, ())
        if ask.shape.gpus == 1 and ask.shape.milli < GPU_MILLI:
            return Spot(node, (pick,))
        options = Options(self._board, ask, np.array([node]))
        return Spot(node, tuple(np.flatnonzero(options.first_usable[0]).tolist()))

    def take(self, ask: Ask, spot: Spot) -> None:
        """Take the place out of what is left."""
        gpu_memory: Sequence[int] = ()
        if ask.share is not Share.EXCLUSIVE:
            gpu_memory = ask.memory_each(self._board.shareable[spot.node, list(spot.devices)]).tolist()
        self._board.take(spot, ask.share, ask.shape, gpu_memory)

    def _score(self, ask: Ask, row: _Row, rows: Ints) -> None:
        options = Options(self._board, ask, rows)
        row.best[rows] = -np.inf
        some = np.flatnonzero(options.fits)
        if not len(some):
            return
        if len(some) < len(rows):
            options = Options(self._board, ask, rows[some])
        rated = np.where(options.valid, np.round(self._scorer(options), DIGITS), -np.inf)
        picks = rated.argmax(axis=1)
        row.best[options.rows] = np.take_along_axis(rated, picks[:, None], axis=1)[:, 0]
        row.pick[options.rows] = picks
