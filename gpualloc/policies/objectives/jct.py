"""Job completion time: where work would end first, as far as that is known."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from gpualloc.model.allocation import Share
from gpualloc.model.inventory import DeviceState
from gpualloc.model.rates import speed_of
from gpualloc.model.workload import Workload
from gpualloc.policies.objectives.aim import Aim, Scores, worse_if_unknown
from gpualloc.policies.room import NodeRoom, whole


class Jct(Aim):
    """The highest speed first; of a GPU that is shared in turns the free part counts, as if all of it were used.

    Parts of GPUs go to whole free ones only where there are enough of those for everybody who waits: a GPU that is
    taken for a part makes work wait that needs it whole. A speed that nobody told counts as less than any that was.
    """

    def __init__(self, rooms: Collection[NodeRoom], waiting: Iterable[Workload]) -> None:
        self.speeds: Mapping[str, float | None] = {room.node.name: speed_of(room.node) for room in rooms}
        """Speed by node; None when nobody told it."""
        wanted = sum(work.request.gpus for work in waiting if work.request.share is not Share.MIG)
        self.enough = sum(map(_free_gpus, rooms)) >= wanted
        """Whether there are as many free GPUs as those that wait ask for, parts counted as whole ones."""

    def of_node(self, room: NodeRoom) -> Scores:
        """Its speed, the fastest first."""
        unknown, speed = worse_if_unknown(self.speeds[room.node.name])
        return unknown, -speed

    def words(self, room: NodeRoom) -> str:
        """Its speed."""
        speed = self.speeds[room.node.name]
        return "speed not told" if speed is None else f"speed {speed:g}"


def _free_gpus(room: NodeRoom) -> int:
    """GPUs of a node that can be given as a whole."""
    return sum(
        each.idle and whole(each) and each.device.state is DeviceState.OK and each.device.cordon is None
        for each in room.devices
    )
