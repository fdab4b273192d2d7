"""The packer: filters, scores, and the choice. The one place where built-in policies decide, live and in simulation.

Scores are rounded before they are compared. The highest wins; among equals the first row of the board, and on it the
first device. Where an objective is given, only places with the least burden by it are compared at all. A kind of
request keeps its scores, and only nodes that changed since are scored again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from gpualloc.model.shapes import GPU_MILLI
from gpualloc.policies.ask import Ask
from gpualloc.policies.board import Board, Flags, Floats, Ints, Spot
from gpualloc.policies.options import Options

DIGITS = 6
"""Decimals of a score that count; what lies below is the noise of floating point."""

Scorer = Callable[[Options], Floats]
"""Rates the options of a request: (P,), higher is better."""
Burden = Callable[[Options], Ints]
"""What an objective has against the options of a request: (P,), lower is better; depends on their nodes alone."""
_MOST = np.iinfo(np.int64).max


class PricedScorer(ABC):
    """A scorer part of which depends on the whole cluster, so that it changes with every placement.

    For each node and each way (0: opens no idle device, 1: opens one or more) the best option is remembered; what the
    cluster asks for it is added when a place is chosen.
    """

    @abstractmethod
    def __call__(self, options: Options) -> Floats:
        """Rate the options, (P,), by what depends on their nodes alone."""

    goods: int
    """How many goods may have a price, Q."""

    @abstractmethod
    def costs(self, options: Options) -> Ints:
        """How much of each good the request would take on each node in each way, (Q, 2, K)."""

    @abstractmethod
    def prices(self, ask: Ask) -> tuple[list[tuple[int, float]], Floats | None]:
        """What is to be taken off the ratings of the request now.

        Returns:
            The goods that have a price for it (as places, with the price of one): the dearest of what it would take
            counts. And what every node costs beside, (N,); None is nothing.
        """


class _Row:
    """What is known of one kind of request: the best option of every node, in one way or in two."""

    __slots__ = ("at", "best", "burden", "costs", "pick", "takes")

    def __init__(self, ways: int, nodes: int, goods: int) -> None:
        self.at = -1
        """How many changes of the board are in; -1 before the first look."""
        self.best: Floats = np.full((ways, nodes), -np.inf)
        """Score of the best option of each node in each way; minus infinity where nothing fits."""
        self.burden: Ints = np.zeros((ways, nodes), np.int64)
        """The least burden of any option of each node in each way; the best is one of those that have it."""
        self.pick: Ints = np.zeros((ways, nodes), np.int64)
        """Which device that is for, when devices are options."""
        self.costs: npt.NDArray[np.int16] = np.zeros((goods, ways, nodes), np.int16)
        """How much it takes of each good that may have a price."""
        self.takes: npt.NDArray[np.bool_] = np.zeros((ways, nodes), np.bool_)
        """Where it fits and takes any of them."""


class Packer:
    """Decides places on a board by one scorer."""

    def __init__(self, board: Board, scorer: Scorer | PricedScorer, burden: Burden | None = None) -> None:
        self._board = board
        self._burden = burden
        self._scorer = scorer
        self._pricing = scorer if isinstance(scorer, PricedScorer) else None
        self._rows: dict[int, _Row] = {}

    def best(self, ask: Ask) -> Spot | None:
        """The best place for the request now; None when it fits nowhere. Takes nothing."""
        row = self._up_to_date(ask)
        scores = self._least(ask, row, self._now(ask, row))
        found = _first_best(scores)
        if found is not None and self._board.memory[found[1]] < ask.shape.memory_mib:
            found = _first_best(np.where(self._board.memory >= ask.shape.memory_mib, scores, -np.inf))
        if found is None:
            return None
        way, node = found
        return self.spot(ask, node, int(row.pick[way, node]))

    def drawn(self, ask: Ask, lot: int) -> Spot | None:
        """One of the best nodes, and of the devices that would do there, by lot; None when it fits nowhere.

        Args:
            ask: the request.
            lot: a number of 128 bits that should decide nothing else.
        """
        row = self._up_to_date(ask)
        scores = self._least(ask, row, self._now(ask, row)).round(DIGITS).max(axis=0)
        scores = np.where(self._roomy(ask), scores, -np.inf)
        nodes = np.flatnonzero((scores == scores.max(initial=-np.inf)) & (scores > -np.inf))
        if not len(nodes):
            return None
        node = int(nodes[(lot >> 64) % len(nodes)])
        devices = self._least_devices(ask, node)
        return self.spot(ask, node, int(devices[lot % 2**64 % len(devices)]) if ask.shape.gpus else 0)

    def scores(self, ask: Ask) -> tuple[Floats, Ints]:
        """Each node's best score (minus infinity where it does not fit) and option; (N,), not to be changed.

        With an objective, the best of those places on the node that are the least burden.
        """
        row = self._up_to_date(ask)
        rated = self._now(ask, row).round(DIGITS)
        if self._burden is not None:
            rated = np.where(row.burden == self.burdens(ask), rated, -np.inf)
        best = rated.max(axis=0)
        pick = row.pick[0] if len(rated) == 1 else np.where(rated[1] > rated[0], row.pick[1], row.pick[0])
        if ask.shape.memory_mib:
            best = np.where(self._roomy(ask), best, -np.inf)
        return best, pick

    def burdens(self, ask: Ask) -> Ints:
        """Each node's least burden, (N,); more than any where the request does not fit."""
        row = self._up_to_date(ask)
        least: Ints = np.where((row.best > -np.inf) & self._roomy(ask), row.burden, _MOST).min(axis=0)
        return least

    def _roomy(self, ask: Ask) -> Flags:
        """(N,) nodes with the host memory that the request wants."""
        found: Flags = self._board.memory >= ask.shape.memory_mib
        return found

    def _least(self, ask: Ask, row: _Row, scores: Floats) -> Floats:
        """The scores (W, N), those out that are not of the least burden."""
        if self._burden is None:
            return scores
        fits = (scores > -np.inf) & self._roomy(ask)
        least = np.where(fits, row.burden, _MOST).min(initial=_MOST)
        return np.where(fits & (row.burden == least), scores, -np.inf)

    def _least_devices(self, ask: Ask, node: int) -> Ints:
        """The devices of the node that would do, of the least burden where that tells one from another."""
        rows = np.array([node])
        usable = ask.usable(self._board, rows)
        if self._burden is None or ask.shape.gpus != 1 or ask.shape.milli == GPU_MILLI:
            return np.flatnonzero(usable[0])
        options = Options(self._board, ask, rows, usable)
        burden = self._burden(options)
        least: Ints = options.device[burden == burden.min()]
        return least

    def _now(self, ask: Ask, row: _Row) -> Floats:
        """The scores of a row with what the cluster asks taken off; not rounded."""
        goods, every = self._pricing.prices(ask) if self._pricing is not None else ([], None)
        scores = row.best if every is None else row.best - every
        at = np.flatnonzero(row.takes)
        if goods and len(at):
            places, prices = zip(*goods, strict=True)
            taken = row.costs.reshape(-1, row.takes.size)[np.array(places)[:, None], at]
            dearest = (taken * np.array(prices)[:, None]).max(axis=0)
            if every is not None:
                dearest += every[at % len(every)]
            scores = scores.copy() if scores is row.best else scores
            scores.reshape(-1)[at] = row.best.reshape(-1)[at] - dearest
        return scores

    def _up_to_date(self, ask: Ask) -> _Row:
        row = self._rows.get(ask.kind)
        if row is None:
            row = self._rows[ask.kind] = self._new_row()
        changes = self._board.changes
        if row.at < 0:
            self._first_look(ask, row)
        elif row.at < len(changes):
            self._score(ask, row, np.array(sorted(set(changes[row.at :])), np.int64))
        row.at = len(changes)
        return row

    def spot(self, ask: Ask, node: int, pick: int) -> Spot:
        """The place that an option of a node stands for."""
        if ask.shape.gpus == 0:
            return Spot(node, ())
        if ask.shape.gpus == 1 and ask.shape.milli < GPU_MILLI:
            return Spot(node, (pick,))
        rows = np.array([node])
        usable = ask.usable(self._board, rows)
        if ask.shape.milli == GPU_MILLI:
            return Spot(node, tuple(np.flatnonzero(usable[0])[: ask.shape.gpus].tolist()))
        options = Options(self._board, ask, rows, usable)
        return Spot(node, tuple(np.flatnonzero(options.taken()[0]).tolist()))

    def take(self, ask: Ask, spot: Spot) -> None:
        """Take the place out of what is left."""
        gpu_memory: Sequence[int] = ()
        if ask.memory_each is not None:
            gpu_memory = ask.memory_each[spot.node, list(spot.devices)].tolist()
        self._board.take(spot, ask.share, ask.shape, gpu_memory)

    def _new_row(self) -> _Row:
        if self._pricing is None:
            return _Row(1, self._board.nodes, 0)
        return _Row(2, self._board.nodes, self._pricing.goods)

    def _first_look(self, ask: Ask, row: _Row) -> None:
        """Score all nodes; while nothing has changed yet, one of each kind of node stands for those like it."""
        if self._board.changes or not ask.nodes.all() or self._burden is not None:
            self._score(ask, row, np.arange(self._board.nodes))
            return
        first, same = self._board.alike
        self._score(ask, row, first)
        row.best[:] = row.best[:, first[same]]
        row.pick[:] = row.pick[:, first[same]]
        row.costs[:] = row.costs[:, :, first[same]]
        row.takes[:] = row.takes[:, first[same]]

    def _score(self, ask: Ask, row: _Row, rows: Ints) -> None:
        usable = ask.usable(self._board, rows)
        fits = ask.fits(self._board, rows, usable)
        row.best[:, rows], row.takes[:, rows] = -np.inf, False
        if not fits.all():
            rows, usable = rows[fits], usable[fits]
        if not len(rows):
            return
        options = Options(self._board, ask, rows, usable)
        rated = self._scorer(options).round(DIGITS)
        burden = self._burden(options) if self._burden is not None else None
        if self._pricing is None:
            self._keep(row, 0, options, rated, burden)
            return
        costs = self._pricing.costs(options)
        row.costs[:, :, rows], row.takes[:, rows] = costs, costs.any(axis=0)
        if options.by_device:
            opens = options.free == GPU_MILLI  # at most one idle device of a node is an option
            row.best[1, options.rows[opens]] = rated[opens]
            row.pick[1, options.rows[opens]] = options.device[opens]
            if burden is not None:
                row.burden[1, options.rows[opens]] = burden[opens]
                burden = np.where(opens, _MOST, burden)
            self._keep(row, 0, options, np.where(opens, -np.inf, rated), burden)
        else:
            self._keep(row, 1 if ask.shape.gpus else 0, options, rated, burden)

    def _keep(self, row: _Row, way: int, options: Options, rated: Floats, burden: Ints | None) -> None:
        """Remember the best option of each node in one way, of those with the least burden."""
        if burden is not None:
            least = np.full(self._board.nodes, _MOST)
            np.minimum.at(least, options.rows, burden)
            row.burden[way, options.nodes] = least[options.nodes]
            rated = np.where(burden == least[options.rows], rated, -np.inf)
        row.best[way, options.nodes], row.pick[way, options.nodes] = options.best(rated)


def _first_best(scores: Floats) -> tuple[int, int] | None:
    """Way and node of the highest of the scores (W, N) when rounded; of equals the first node, and there the first way.

    None when nothing fits. Only the scores that may be equal are rounded.
    """
    flat = scores.reshape(-1)
    highest = flat.max(initial=-np.inf)
    if highest == -np.inf:
        return None
    near = np.flatnonzero(flat >= highest - 2 * 10.0**-DIGITS)
    rated = flat[near].round(DIGITS)
    ways, nodes = np.divmod(near[rated == rated.max()], scores.shape[1])
    first = int(nodes.argmin())
    return int(ways[first]), int(nodes[first])
