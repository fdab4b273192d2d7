"""What could be had right now, for an operator who is about to ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from gpualloc.model.allocation import Allocation, Share
from gpualloc.model.decision import Problem
from gpualloc.model.inventory import Snapshot
from gpualloc.model.workload import Request
from gpualloc.policies.filters import takes_work
from gpualloc.policies.offer import Offer, offer
from gpualloc.policies.room import MEMORY_MARGIN_MIB, NodeRoom
from gpualloc.policies.survey import survey

_ANY_GPU = Request(command=("",))


class FreeRoom(Struct, frozen=True):
    """What is free on managed nodes that are not cordoned. None means nothing, or nothing that is known."""

    gpus: int
    """Whole GPUs that an exclusive request could get, all nodes together."""
    models: tuple[tuple[str, int], ...]
    """How many of them are of which model, by model."""
    largest_on_one_node: tuple[str, int] | None
    """The node with the most of them, and how many."""
    gpu_memory_largest_mib: int | None
    """Most GPU memory one of them can give."""
    mig_instances: tuple[tuple[str, int], ...]
    """Free MIG instances by profile."""
    cpus_largest: tuple[str, float] | None
    """The node with the most free CPUs, and how many."""
    memory_largest_mib: tuple[str, int] | None
    """The node with the most free memory, and how much."""


def free_room(snapshot: Snapshot, running: Sequence[Allocation] = ()) -> FreeRoom:
    """What could be had right now, beside the claims in the snapshot and the running allocations."""
    rooms = [room for room in survey(Problem(snapshot, (), tuple(running))).values() if takes_work(room.node)]
    offers = [found for found in (offer(room, _ANY_GPU) for room in rooms) if found.usable]
    free = [target.room for found in offers for target in found.usable]
    cpus = [(room.node.name, room.cpus_free) for room in rooms if room.cpus_free is not None]
    memory = [(room.node.name, room.memory_free_mib) for room in rooms if room.memory_free_mib is not None]
    return FreeRoom(
        gpus=len(free),
        models=_counted([room.device.model for room in free]),
        largest_on_one_node=_most(offers),
        gpu_memory_largest_mib=max(
            (max(0, (room.memory_free_mib or 0) - MEMORY_MARGIN_MIB) for room in free), default=None
        ),
        mig_instances=_counted([profile for room in rooms for profile in _free_profiles(room)]),
        cpus_largest=max(cpus, key=lambda item: item[1], default=None),
        memory_largest_mib=max(memory, key=lambda item: item[1], default=None),
    )


def _most(offers: Sequence[Offer]) -> tuple[str, int] | None:
    return max(((found.node, len(found.usable)) for found in offers), key=lambda item: item[1], default=None)


def _counted(words: Sequence[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(Counter(words).items()))


def _free_profiles(room: NodeRoom) -> list[str]:
    """The profile of each free instance on the node."""
    profiles = {target.instance.profile for target in room.targets(Share.MIG) if target.instance}
    wanted = (Request(command=("",), mig_profile=profile) for profile in sorted(profiles))
    return [request.mig_profile or "" for request in wanted for _ in offer(room, request).usable]
