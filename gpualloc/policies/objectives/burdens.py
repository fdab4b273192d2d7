"""What an objective has against places on the board, as whole numbers of which lower is better.

Each says what its `Aim` says in scores, for all options of a request at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from gpualloc.model.allocation import Share
from gpualloc.model.shapes import GPU_MILLI
from gpualloc.policies.board import Board, Flags, Floats, Ints
from gpualloc.policies.objectives.aim import Aim
from gpualloc.policies.objectives.cost import Cost
from gpualloc.policies.objectives.energy import Energy
from gpualloc.policies.objectives.jct import Jct
from gpualloc.policies.options import Options
from gpualloc.policies.packer import Burden
from gpualloc.policies.room import NodeRoom

_FULL = 10**9
"""A whole free GPU of the fastest node."""


def burden_of(aim: Aim, board: Board, rooms: Collection[NodeRoom]) -> Burden:
    """What the objective has against places on the board, which was read from the rooms."""
    if isinstance(aim, Cost):
        return _cost(aim, board)
    if isinstance(aim, Energy):
        return _energy(aim, board, rooms)
    assert isinstance(aim, Jct)
    return _jct(aim, board)


def _cost(aim: Cost, board: Board) -> Burden:
    prices = [aim.prices[name] for name in board.names]
    places, count = _places(prices)
    priced: Flags = np.array([price != 0 for price in prices], np.bool_)

    def rate(options: Options) -> Ints:
        begins = priced[options.rows] & ~board.used[options.rows]
        found: Ints = begins * count + places[options.rows]
        return found

    return rate


def _energy(aim: Energy, board: Board, rooms: Collection[NodeRoom]) -> Burden:
    places, count = _places(aim.watts.values())
    place_of = dict(zip(aim.watts, places.tolist(), strict=True))
    watts: Ints = np.zeros(board.model.shape, np.int64)
    for row, room in enumerate(rooms):
        for column, place in enumerate(board.columns[row]):
            watts[row, column] = place_of[room.devices[place].device.uuid]

    def rate(options: Options) -> Ints:
        begins = (~board.used[options.rows]).astype(np.int64)
        if not options.shape.gpus:
            return begins
        found: Ints = (begins * (board.devices + 1) + options.opened()) * count + options.hardest(watts)
        return found

    return rate


def _jct(aim: Jct, board: Board) -> Burden:
    known = [aim.speeds[name] for name in board.names]
    fastest = max((speed for speed in known if speed is not None), default=1.0)
    speeds: Floats = np.array([(speed or 0.0) / fastest for speed in known])

    def rate(options: Options) -> Ints:
        if not options.shape.gpus:
            return np.zeros(options.size, np.int64)
        free: Ints = np.full(options.size, GPU_MILLI)
        if aim.enough and options.ask.share is Share.TIME_SLICE:
            free = GPU_MILLI - options.hardest(GPU_MILLI - board.free)
        speed = speeds[options.rows]
        rated = np.floor(speed * free * (_FULL // GPU_MILLI)).astype(np.int64)
        return np.where(speed > 0, _FULL - rated, _FULL + 1 + GPU_MILLI - free)

    return rate


def _places(values: Iterable[float | None]) -> tuple[Ints, int]:
    """The place of each value among the different ones, and how many places there are; None comes last."""
    listed = list(values)
    known = sorted({value for value in listed if value is not None})
    place = {value: number for number, value in enumerate(known)}
    found = [len(known) if value is None else place[value] for value in listed]
    return np.array(found, np.int64), len(known) + 1
