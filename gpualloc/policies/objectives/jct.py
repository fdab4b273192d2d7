"""Job completion time: where work would end first, as far as that is known."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from gpualloc.model.allocation import Share
from gpualloc.model.inventory import DeviceState
from gpualloc.model.shapes import GPU_MILLI
from gpualloc.model.workload import Workload
from gpualloc.policies.board import Board, Floats, Ints
from gpualloc.policies.objectives.aim import Aim, Scores, worse_if_unknown
from gpualloc.policies.objectives.facts import speed_of
from gpualloc.policies.options import Options
from gpualloc.policies.packer import Burden
from gpualloc.policies.room import NodeRoom, whole

_FULL = 10**9
"""A whole free GPU of the fastest node."""


class Jct(Aim):
    """The highest speed first; of a GPU that is shared in turns the free part counts, as if all of it were used.

    Parts of GPUs go to whole free ones only while there are enough of those for everybody who waits: a GPU that is taken
    for a part makes work wait that needs it whole. A speed that nobody told counts as less than any that was.
    """

    def __init__(self, rooms: Collection[NodeRoom], waiting: Iterable[Workload]) -> None:
        self._speeds = {room.node.name: speed_of(room.node) for room in rooms}
        self._enough = sum(map(_free_gpus, rooms)) >= sum(work.request.gpus for work in waiting)

    def burden(self, board: Board) -> Burden:
        """What it has against places on the board."""
        known = [self._speeds[name] for name in board.names]
        fastest = max((speed for speed in known if speed is not None), default=1.0)
        speeds: Floats = np.array([(speed or 0.0) / fastest for speed in known])

        def rate(options: Options) -> Ints:
            if not options.shape.gpus:
                return np.zeros(options.size, np.int64)
            free: Ints = np.full(options.size, GPU_MILLI)
            if self._enough and options.ask.share is Share.TIME_SLICE:
                free = GPU_MILLI - options.hardest(GPU_MILLI - board.free)
            speed = speeds[options.rows]
            rated = np.floor(speed * free * (_FULL // GPU_MILLI)).astype(np.int64)
            return np.where(speed > 0, _FULL - rated, _FULL + 1 + GPU_MILLI - free)

        return rate

    def of_node(self, room: NodeRoom) -> Scores:
        """Its speed, the fastest first."""
        unknown, speed = worse_if_unknown(self._speeds[room.node.name])
        return unknown, -speed

    def words(self, room: NodeRoom) -> str:
        """Its speed."""
        speed = self._speeds[room.node.name]
        return "speed not told" if speed is None else f"speed {speed:g}"


def _free_gpus(room: NodeRoom) -> int:
    """GPUs of a node that can be given as a whole."""
    return sum(
        each.idle and whole(each) and each.device.state is DeviceState.OK and each.device.cordon is None
        for each in room.devices
    )
