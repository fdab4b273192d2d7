"""What the free slots of a fleet's devices are worth to what runs and waits on it, and which instance to give out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from gpualloc.model.allocation import Share
from gpualloc.model.inventory import Device
from gpualloc.model.mig import MigProfile, profiles_for
from gpualloc.model.workload import Request, Workload
from gpualloc.policies.room import MEMORY_MARGIN_MIB, DeviceRoom, NodeRoom, Target

if TYPE_CHECKING:
    from gpualloc.policies.slot_worth import SlotWorth


class MigWorth:
    """The worth of slots under the demand that rooms and requests show; worked out once for each table of profiles."""

    def __init__(self, rooms: Iterable[NodeRoom], requests: Iterable[Workload]) -> None:
        self._used = [name for room in rooms for device in room.devices for name in _profiles_in_use(device)]
        self._waiting = [workload.request for workload in requests if workload.request.share is Share.MIG]
        self._known: dict[tuple[MigProfile, ...], SlotWorth | None] = {}

    def of(self, device: Device) -> SlotWorth | None:
        """What slots of such a device are worth; None when it tells no profiles, or more places than can be listed."""
        # numpy is slow to import, and most commands have no MIG work to place.
        from gpualloc.policies.slot_worth import demand_of, worth_of

        profiles = device.mig_profiles
        if profiles not in self._known:
            self._known[profiles] = worth_of(profiles, demand_of(profiles, self._seen(profiles)))
        return self._known[profiles]

    def instance_scores(self, target: Target) -> tuple[float, float]:
        """How much it would be a pity to give this free instance out; lower goes first, equal ones are equally good.

        First whether it is not known (1) or known (0), then what using it gives away: worth of a device that has the
        instances in use on it less that of one that has this one too.
        """
        found, instance = self.of(target.room.device), target.instance
        if found is None or instance is None or instance.start is None or instance.size is None:
            return 1.0, 0.0
        from gpualloc.policies.slots import Slot

        used = [each for each in target.room.device.mig_instances if _in_use(target.room, each.uuid)]
        taken = frozenset(
            Slot(each.start, each.size) for each in used if each.start is not None and each.size is not None
        )
        cost = found.given_away(taken, Slot(instance.start, instance.size)) if len(taken) == len(used) else None
        return (1.0, 0.0) if cost is None else (0.0, cost)

    def _seen(self, profiles: Sequence[MigProfile]) -> Iterator[str]:
        yield from self._used
        for request in self._waiting:
            yield from serving(profiles, request)[:1] * request.gpus


def serving(profiles: Sequence[MigProfile], request: Request) -> list[str]:
    """Names of the profiles an instance of which would serve a request for MIG, the best first."""
    needed_mib = None if request.gpu_memory_mib is None else request.gpu_memory_mib + MEMORY_MARGIN_MIB
    fitting = [profile.name for profile in profiles_for(profiles, needed_mib, request.sm_count)]
    if request.mig_profile is None:
        return fitting
    named = [profile for profile in profiles if profile.name == request.mig_profile]
    return [profile.name for profile in named if needed_mib is None or profile.memory_mib >= needed_mib]


def _profiles_in_use(room: DeviceRoom) -> Iterator[str]:
    return (each.profile for each in room.device.mig_instances if _in_use(room, each.uuid))


def _in_use(room: DeviceRoom, instance: str) -> bool:
    return room.holds(instance) or instance in room.strangers
