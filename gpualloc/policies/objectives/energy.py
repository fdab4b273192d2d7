"""Watts: what is on already is filled before anything else begins to draw; then the GPUs that may draw least."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gpualloc.model.inventory import Device
from gpualloc.model.rates import limit_of, speed_of
from gpualloc.policies.instance_scores import devices_opened
from gpualloc.policies.objectives.aim import Aim, Scores, worse_if_unknown
from gpualloc.policies.offer import Candidate
from gpualloc.policies.room import NodeRoom, Target


class Energy(Aim):
    """Nodes in use before empty ones, GPUs in use before idle ones, then the fewest watts for a unit of work.

    Watts are power limits. A unit of work is what a GPU of speed 1 does where all nodes with GPUs tell their speed,
    else what any GPU does. A limit that nobody told counts as more than any that was.
    """

    def __init__(self, rooms: Collection[NodeRoom]) -> None:
        speeds = {room.node.name: speed_of(room.node) for room in rooms if room.devices}
        known = None not in speeds.values()
        self.watts: Mapping[str, float | None] = {
            each.device.uuid: _per_unit(each.device, speeds[room.node.name] if known else None)
            for room in rooms
            for each in room.devices
        }
        """Watts for a unit of work by UUID; None when nobody told them."""

    def of_node(self, room: NodeRoom) -> Scores:
        """Whether the node is empty, and the most that a GPU of it may draw."""
        return float(not room.in_use), *max((self._hunger(each.device) for each in room.devices), default=())

    def of_instances(self, candidate: Candidate) -> Scores:
        """Whether the node is empty, how many idle GPUs are begun, and the most that one of the GPUs may draw."""
        hungriest = max(self._hunger(target.room.device) for target in candidate.chosen)
        return float(not candidate.room.in_use), devices_opened(candidate), *hungriest

    def of_instance(self, target: Target) -> Scores:
        """Whether its GPU is idle, and what that may draw."""
        return float(target.room.idle), *self._hunger(target.room.device)

    def words(self, room: NodeRoom) -> str:
        """Whether the node is in use, and what its GPUs may draw."""
        limits = [limit_of(each.device) for each in room.devices]
        known = [limit for limit in limits if limit is not None]
        told = f"up to {max(known):.0f} W a GPU" if known and len(known) == len(limits) else "power limit not told"
        return ", ".join(["in use" if room.in_use else "empty", *([told] if limits else [])])

    def _hunger(self, device: Device) -> Scores:
        return worse_if_unknown(self.watts[device.uuid])


def _per_unit(device: Device, speed: float | None) -> float | None:
    limit = limit_of(device)
    return limit if limit is None or speed is None else limit / speed
