"""One simulated GPU: its MIG instances, processes and faults, and what it reads at a moment."""

from __future__ import annotations

import math
from enum import StrEnum
from random import Random
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from gpualloc.sim.catalog import GpuKind, MigProfile, find, mig_table
from gpualloc.sim.energy import EnergyMeter
from gpualloc.sim.placement import Held, default_start, free_count, legal_starts
from gpualloc.sim.use import Pattern, mean_utilization, utilization

_NAMESPACE = "6f0c8a5e-3f54-5d0b-9b60-2f3f0f1f7a11"
_DRIVER_MIB = 4
"""Memory a driver holds on a GPU that nobody uses."""
_MAX_GI = 14
"""Highest id of a GPU instance."""
_IDLE_PART, _BUSY_PART = 0.13, 0.82
"""Power without any work, and what full use adds, as parts of the highest power limit; assumed."""
_SLOWEST = 0.1
"""Under no power limit work goes slower than this part of its speed."""


class FaultKind(StrEnum):
    """What can be wrong with a GPU or, for UNREACHABLE, with a whole node."""

    HUNG = "hung"
    LOST = "lost"
    NEEDS_RESET = "needs-reset"
    NO_PERMISSION = "no-permission"
    MISSING = "missing"
    """It is on the bus, and the driver no longer tells of it."""
    THROTTLED = "throttled"
    PCIE_DEGRADED = "pcie-degraded"
    GHOST_BUSY = "ghost-busy"
    REMAP_PENDING = "row-remap-pending"
    ECC_ERRORS = "ecc-errors"
    XID = "xid"
    """A line in the kernel log at its beginning, with the fault's code."""
    UNREACHABLE = "unreachable"


SICK = frozenset({FaultKind.HUNG, FaultKind.LOST, FaultKind.NEEDS_RESET, FaultKind.NO_PERMISSION, FaultKind.MISSING})
"""Faults under which a GPU takes no work and tells nothing."""


class GpuRefusal(Exception):
    """The GPU refused a change, and nothing changed. `reason` is the driver's word, such as `in use`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Instance(Struct, frozen=True):
    """A MIG instance."""

    uuid: str
    gi: int
    """Id of the GPU instance: opaque, tells nothing of its place."""
    profile: MigProfile
    start: int
    generation: int
    """Counts the instances ever made on the GPU: a new one in the same place, with the same UUID, is another one."""
    complete: bool = True
    """Whether it has its compute instance; without one it takes its place and is no MIG device."""


class GpuProcess(Struct, frozen=True):
    """A process that uses the GPU."""

    pid: int
    user: str
    command: str
    started_at_s: float
    memory_mib: int
    pattern: Pattern
    instance: str | None = None
    """UUID of the MIG instance; None on the whole GPU."""
    workload: str | None = None
    """gpualloc workload it belongs to; None for a stranger."""
    intensity: float = 1.0
    """Part of the GPU it can use at most, in (0, 1]."""
    stopped: bool = False
    """Whether a signal stopped it: it keeps its memory and uses nothing."""


class GpuSettings(Struct, frozen=True):
    """What is set on a GPU until the driver is unloaded. Defaults are what a freshly loaded driver has."""

    power_limit_w: float | None = None
    """None is the default of the model."""
    sm_clock_min_mhz: int = 0
    """Locked clock range; both ends 0: not locked."""
    sm_clock_max_mhz: int = 0
    compute_mode: str = "default"
    persistence: bool = False


class Readings(Struct, frozen=True):
    """What the GPU's sensors say. None is not told by this model or in this mode."""

    memory_used_mib: int
    gpu_utilization_ratio: float | None
    """None in MIG mode."""
    memory_utilization_ratio: float | None
    """None in MIG mode."""
    power_w: float | None
    temperature_c: int
    sm_clock_mhz: int | None


def device_uuid(*names: object) -> str:
    """A UUID that is the same whenever the same names are given."""
    from uuid import UUID, uuid5  # slow to load, and needed for new devices only

    return str(uuid5(UUID(_NAMESPACE), "/".join(str(name) for name in names)))


class GpuModel(Struct):
    """State of one simulated GPU. Changes only by its methods; time is always given."""

    kind: GpuKind
    uuid: str
    index: int
    seed: int = 0
    mig_enabled: bool = False
    mig_pending: bool = False
    scrambled_ids: bool = True
    """Whether GPU instance ids come in no order, as some drivers give them, or ascending."""
    instances: list[Instance] = field(default_factory=list)
    instances_made: int = 0
    processes: list[GpuProcess] = field(default_factory=list)
    settings: GpuSettings = GpuSettings()
    energy: EnergyMeter = field(default_factory=EnergyMeter)

    # ---- settings

    @property
    def power_limit_w(self) -> float | None:
        """The power limit in force; None when the model's is not sourced."""
        return self.kind.power_limit_w if self.settings.power_limit_w is None else self.settings.power_limit_w

    def change_settings(self, **changes: Any) -> None:
        """Change fields of `GpuSettings`.

        Raises:
            GpuRefusal: `invalid argument` (a power limit or clock range that cannot be), `not supported` (compute mode
                in MIG mode, power limit of a model whose power is not sourced).
        """
        if "power_limit_w" in changes:
            low, high = self.kind.power_limit_min_w, self.kind.power_limit_w
            if low is None or high is None:
                raise GpuRefusal("not supported", f"the power of {self.kind.product} is not known")
            if not low <= changes["power_limit_w"] <= high:
                raise GpuRefusal("invalid argument", f"a power limit is in {low:g}..{high:g} W")
        if changes.get("sm_clock_min_mhz", 0) > changes.get("sm_clock_max_mhz", 0):
            raise GpuRefusal("invalid argument", "the lower clock is above the upper one")
        if "compute_mode" in changes and self.mig_enabled:
            raise GpuRefusal("not supported", f"GPU {self.index} is in MIG mode")
        self.settings = replace(self.settings, **changes)

    # ---- MIG

    @property
    def mig_devices(self) -> list[Instance]:
        """The instances that can be used: those with a compute instance."""
        return [instance for instance in self.instances if instance.complete]

    @property
    def held(self) -> list[Held]:
        """Profile and start of each instance."""
        return [(instance.profile, instance.start) for instance in self.instances]

    def set_mig_mode(self, enabled: bool, *, clients: bool = False) -> str:
        """Ask for MIG mode on or off; answers the activation: `ok` or `in use` (then it stays pending).

        Where the change needs a reset, settings are lost by it.

        Args:
            enabled: the mode wanted.
            clients: whether a monitor holds the GPU open, which blocks the change where it needs a reset.

        Raises:
            ConfigError: the model has no MIG that can be simulated.
        """
        table = mig_table(self.kind)
        self.mig_pending = enabled
        if enabled == self.mig_enabled:
            return "ok"
        if self.processes or self.instances or (clients and table.mode_needs_reset):
            return "in use"
        self.mig_enabled = enabled
        if table.mode_needs_reset:
            self.settings = GpuSettings()
        return "ok"

    def create_instance(self, profile_name: str, start: int | None = None, *, complete: bool = True) -> Instance:
        """Make a MIG instance at that start, or where the driver would put it.

        Args:
            profile_name: such as `2g.10gb`.
            start: unit of the axis; None leaves it to the driver.
            complete: whether to make its compute instance too.

        Raises:
            GpuRefusal: `not supported` (MIG is off, no such profile), `invalid argument` (no such start),
                `insufficient resources`.
        """
        if not self.mig_enabled or self.kind.mig is None:
            raise GpuRefusal("not supported", f"GPU {self.index} is not in MIG mode")
        table = self.kind.mig
        try:
            profile = table.profile(profile_name)
        except KeyError:
            raise GpuRefusal("not supported", f"{self.kind.product} has no MIG profile {profile_name!r}") from None
        if start is None:
            start = default_start(table, self.held, profile)
        elif start not in profile.starts:
            raise GpuRefusal("invalid argument", f"{profile_name} cannot start at {start}; it can at {profile.starts}")
        if start is None or start not in legal_starts(table, self.held, profile):
            raise GpuRefusal("insufficient resources", f"no room for {profile_name} on GPU {self.index}")
        gi = self._free_gi()
        self.instances_made += 1
        instance = Instance(self.mig_uuid(gi), gi, profile, start, self.instances_made, complete)
        self.instances = sorted([*self.instances, instance], key=lambda each: each.gi)
        return instance

    def complete_instance(self, gi: int, *, complete: bool = True) -> None:
        """Make the compute instance of a GPU instance, or with `complete` False remove it.

        Raises:
            GpuRefusal: `not found`, `insufficient resources` (it has one), or `in use` by a process.
        """
        found = next((instance for instance in self.instances if instance.gi == gi), None)
        if found is None or (not complete and not found.complete):
            raise GpuRefusal("not found", f"GPU {self.index} has no such instance")
        if complete and found.complete:
            raise GpuRefusal("insufficient resources", f"GPU instance {gi} has its compute instance")
        self._check_unused(found.uuid)
        self.instances = [replace(each, complete=complete) if each.gi == gi else each for each in self.instances]

    def destroy_instance(self, instance_uuid: str) -> None:
        """Remove a MIG instance.

        Raises:
            GpuRefusal: `not found`, or `in use` by a process.
        """
        if all(instance.uuid != instance_uuid for instance in self.instances):
            raise GpuRefusal("not found", f"GPU {self.index} has no MIG instance {instance_uuid}")
        self._check_unused(instance_uuid)
        self.instances = [instance for instance in self.instances if instance.uuid != instance_uuid]

    def free_instances(self) -> dict[str, int]:
        """How many more instances of each profile could be made."""
        table = mig_table(self.kind)
        return {profile.name: free_count(table, self.held, profile) for profile in table.profiles}

    def instance(self, instance_uuid: str | None) -> Instance | None:
        """The MIG device of that UUID, or None."""
        return next((each for each in self.mig_devices if each.uuid == instance_uuid), None)

    def gi_order(self) -> list[int]:
        """Ids of GPU instances in the order in which they are given."""
        numbers = list(range(1, _MAX_GI + 1))
        if self.scrambled_ids:
            Random(self.seed).shuffle(numbers)  # noqa: S311 - repeatable on purpose
        return numbers

    def mig_uuid(self, gi: int) -> str:
        """UUID of the MIG device on that GPU instance, now and whenever the id comes back."""
        return f"MIG-{device_uuid(self.uuid, gi, 0)}"

    def reset(self) -> None:
        """Reset the GPU: processes, instances and settings are gone, the pending MIG mode is in force."""
        self.processes, self.instances = [], []
        self.settings = GpuSettings()
        self.mig_enabled = self.mig_pending

    def reload_driver(self) -> None:
        """Unload and load the driver, as a reboot does: as a reset, and without MIG mode where it is not kept."""
        self.reset()
        self.energy = EnergyMeter()
        if self.kind.mig is not None and not self.kind.mig.mode_survives_reboot:
            self.mig_enabled = self.mig_pending = False

    def _free_gi(self) -> int:
        taken = {instance.gi for instance in self.instances}
        return next(number for number in self.gi_order() if number not in taken)

    def _check_unused(self, instance_uuid: str) -> None:
        if any(process.instance == instance_uuid for process in self.processes):
            raise GpuRefusal("in use", f"a process runs on MIG instance {instance_uuid}")

    # ---- use

    def can_run(self, instance_uuid: str | None) -> bool:
        """Whether CUDA work could run there: in MIG mode only on an instance, else only on the whole GPU."""
        return self.instance(instance_uuid) is not None if self.mig_enabled else instance_uuid is None

    def memory_used_mib(self, instance_uuid: str | None = None) -> int:
        """Memory used on one MIG instance, or on the whole GPU."""
        if instance_uuid is not None:
            return sum(process.memory_mib for process in self.processes if process.instance == instance_uuid)
        total = self.kind.memory_total_mib
        return min(total, _DRIVER_MIB + sum(process.memory_mib for process in self.processes))

    def readings(self, at_s: float) -> Readings:
        """What the sensors say at that time, were nothing wrong."""
        load = self.load(at_s)
        power = self._power_w(load)
        return Readings(
            memory_used_mib=self.memory_used_mib(),
            gpu_utilization_ratio=None if self.mig_enabled else round(load, 2),
            memory_utilization_ratio=None if self.mig_enabled else round(load * 0.6, 2),
            power_w=None if power is None else round(power, 1),
            temperature_c=round(31 + 42 * load + self.index % 4),
            sm_clock_mhz=self._sm_clock_mhz(busy=load > 0.01),
        )

    def load(self, at_s: float, instance_uuid: str | None = None) -> float:
        """Part of the GPU, or of one of its MIG instances, that is in use at that time, 0..1."""
        if instance_uuid is None:
            return min(1.0, sum(self._load(process, at_s) for process in self.processes))
        own = [process for process in self.processes if process.instance == instance_uuid]
        return min(1.0, sum(self.use_of(process, at_s) for process in own))

    def use_of(self, process: GpuProcess, at_s: float) -> float:
        """Part of what it was given that a process uses at that time, 0..1."""
        if process.stopped:
            return 0.0
        # A person goes on with a notebook on whichever device it is.
        seed = process.pid if process.pattern is Pattern.NOTEBOOK else self.seed ^ process.pid
        return utilization(process.pattern, seed, max(0.0, at_s - process.started_at_s), at_s) * process.intensity

    @property
    def mean_power_w(self) -> float | None:
        """Power over a long time with what is on it; None when the model's is not sourced."""
        going = [process for process in self.processes if not process.stopped]
        return self._power_w(
            min(1.0, sum(mean_utilization(one.pattern) * one.intensity * self._share(one) for one in going))
        )

    def let_pass(self, until_s: float) -> None:
        """Sum up the energy that was taken; to be called before anything on it changes."""
        self.energy.let_pass(until_s, self.mean_power_w or 0.0)

    def energy_j(self, at_s: float) -> float | None:
        """Energy since its driver was loaded; None when its power is not sourced."""
        power_w = self.mean_power_w
        return None if power_w is None else self.energy.at(at_s, power_w)

    def _power_w(self, load: float) -> float | None:
        highest, limit = self.kind.power_limit_w, self.power_limit_w
        if highest is None or limit is None:
            return None
        return min(highest * (_IDLE_PART + _BUSY_PART * load), limit)

    @property
    def pace(self) -> float:
        """How fast work goes on that computes all the time, in (0, 1]; below 1 under a power limit.

        The power above that of an idle GPU is taken to go with the square of the clock. Assumed, to the slow side:
        with the voltage going down, too, it is nearer to the cube, and then less speed is lost.
        """
        highest, limit = self.kind.power_limit_w, self.power_limit_w
        if highest is None or limit is None:
            return 1.0
        left = (limit / highest - _IDLE_PART) / _BUSY_PART
        return min(1.0, math.sqrt(max(left, _SLOWEST**2)))

    def _sm_clock_mhz(self, *, busy: bool) -> int | None:
        highest = self.kind.max_sm_clock_mhz
        if highest is None:
            return None
        clock = round(highest * (0.95 if busy else 0.15))
        locked = self.settings
        if not locked.sm_clock_max_mhz:
            return clock
        return min(highest, max(locked.sm_clock_min_mhz, min(clock, locked.sm_clock_max_mhz)))

    def _load(self, process: GpuProcess, at_s: float) -> float:
        return self.use_of(process, at_s) * self._share(process)

    def _share(self, process: GpuProcess) -> float:
        instance = self.instance(process.instance)
        return 1.0 if instance is None or self.kind.mig is None else instance.profile.size / self.kind.mig.units

    # ---- plain JSON

    def to_plain(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "product": self.kind.product,
            "uuid": self.uuid,
            "index": self.index,
            "seed": self.seed,
            "mig": [self.mig_enabled, self.mig_pending],
            "scrambled_ids": self.scrambled_ids,
            "instances": [
                [each.uuid, each.gi, each.profile.name, each.start, each.generation, each.complete]
                for each in self.instances
            ],
            "instances_made": self.instances_made,
            "processes": [process_to_plain(process) for process in self.processes],
            "settings": {name: getattr(self.settings, name) for name in GpuSettings.__struct_fields__},
            "energy": [self.energy.taken_j, self.energy.until_s],
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> GpuModel:
        """From plain JSON; raises KeyError, TypeError, ValueError, ConfigError."""
        kind = find(plain["product"])
        return cls(
            kind=kind,
            uuid=plain["uuid"],
            index=plain["index"],
            seed=plain["seed"],
            mig_enabled=plain["mig"][0],
            mig_pending=plain["mig"][1],
            scrambled_ids=plain["scrambled_ids"],
            instances=[
                Instance(name, gi, mig_table(kind).profile(profile), start, generation, *complete)
                for name, gi, profile, start, generation, *complete in plain["instances"]
            ],
            instances_made=plain["instances_made"],
            processes=[process_from_plain(process) for process in plain["processes"]],
            settings=GpuSettings(**plain.get("settings", {})),
            energy=EnergyMeter(*plain.get("energy", ())),
        )


def process_to_plain(process: GpuProcess) -> dict[str, Any]:
    """A process as plain JSON."""
    return {name: getattr(process, name) for name in GpuProcess.__struct_fields__}


def process_from_plain(plain: dict[str, Any]) -> GpuProcess:
    """A process from plain JSON; raises TypeError, ValueError."""
    return GpuProcess(**{**plain, "pattern": Pattern(plain["pattern"])})
