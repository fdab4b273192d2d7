"""A simulated cluster as it stands: its clock, its nodes, its faults; to and from plain JSON."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field, to_builtins

import gpualloc.sim.adopting
import gpualloc.sim.evicting
import gpualloc.sim.partitioning
import gpualloc.sim.resizing
import gpualloc.sim.setting
import gpualloc.sim.sharing
import gpualloc.sim.signalling
import gpualloc.sim.suspending  # noqa: F401 - each puts its steps into `sim.host.HANDLERS`
from gpualloc.errors import ConfigError, NewerStateError, StateError
from gpualloc.sim.catalog import find
from gpualloc.sim.clock import VirtualClock
from gpualloc.sim.cluster import ClusterSpec, Fault, HostSpec, check_cluster
from gpualloc.sim.gpu import SICK, FaultKind, GpuModel, GpuRefusal, device_uuid
from gpualloc.sim.host import Faults, SimulatedHost
from gpualloc.sim.host_rows import kernel_rows
from gpualloc.sim.work import HostedWork

FORMAT = 1
"""Version of the plain form; another one is refused."""


class SimulatedCluster(Struct):
    """State of a simulated cluster."""

    spec: ClusterSpec
    start_s: float
    """When the simulation started, epoch seconds."""
    clock: VirtualClock
    hosts: dict[str, SimulatedHost]
    faults: list[Fault] = field(default_factory=list)
    """Added while it ran, beside those of the spec."""
    saves: dict[str, float] = field(default_factory=dict)
    """What work saved of itself, as `SimulatedHost.saves`: where all nodes find it."""

    def __post_init__(self) -> None:
        for host in self.hosts.values():
            host.saves = self.saves

    @classmethod
    def start(cls, spec: ClusterSpec, wall_s: float) -> SimulatedCluster:
        """A new cluster, its time beginning at that wall time; raises ConfigError."""
        check_cluster(spec)
        hosts = {host.name: _new_host(host, spec, wall_s) for host in spec.nodes}
        return cls(spec, wall_s, VirtualClock(wall_s, wall_s, spec.speed), hosts)

    @classmethod
    def from_plain(cls, plain: dict[str, Any], spec: ClusterSpec, wall_s: float) -> SimulatedCluster:
        """The cluster of a plain form, fitted to a spec that may have changed since.

        A node whose hardware is as before keeps its state; others start fresh, missing ones are dropped. The clock
        goes on at the new speed.

        Raises:
            NewerStateError: a newer gpualloc wrote it.
            StateError: a node that would be dropped or start fresh still runs work, or the seed changed.
            ConfigError: the spec cannot be simulated.
            KeyError, TypeError, ValueError: the plain form is broken.
        """
        if plain["format"] > FORMAT:
            raise NewerStateError(f"simulated cluster {spec.name!r} was written by a newer gpualloc")
        check_cluster(spec)
        clock = VirtualClock.from_plain(plain["clock"])
        _check_change(plain, spec, clock.at(wall_s))
        start_s = float(plain["start_s"])
        before = plain["hosts"]
        kept = {name for name, hardware in _hardware(spec).items() if plain["hardware"].get(name) == hardware}
        hosts = {
            host.name: SimulatedHost.from_plain(before[host.name], host)
            if host.name in kept
            else _new_host(host, spec, start_s)
            for host in spec.nodes
        }
        faults = [Fault(**{**fault, "kind": FaultKind(fault["kind"])}) for fault in plain["faults"]]
        return cls(spec, start_s, clock.with_speed(spec.speed, wall_s), hosts, faults, dict(plain.get("saves", {})))

    def to_plain(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "format": FORMAT,
            "simulated": True,
            "name": self.spec.name,
            "seed": self.spec.seed,
            "start_s": self.start_s,
            "clock": self.clock.to_plain(),
            "hardware": _hardware(self.spec),
            "hosts": {name: host.to_plain() for name, host in self.hosts.items()},
            "faults": [to_builtins(fault) for fault in self.faults],
            "saves": self.saves,
        }

    def host(self, name: str, wall_s: float) -> SimulatedHost:
        """The node as it stands at that wall time; raises KeyError."""
        host = self.hosts[name]
        now_s = self.clock.at(wall_s)
        faults, troubles = self._gpu_faults(name, now_s)
        host.advance(now_s, faults, troubles)
        return host

    def kernel_log(self, node: str, wall_s: float) -> list[dict[str, Any]]:
        """The lines about GPUs in the kernel log of a node at that wall time, oldest first."""
        host = self.host(node, wall_s)
        own = (fault for fault in (*self.spec.faults, *self.faults) if fault.node == node)
        return kernel_rows(own, self.start_s, host.booted_s or self.start_s, host.now_s)

    def unreachable_since(self, node: str, now_s: float) -> float | None:
        """Since when the node cannot be reached; None when it can."""
        since = [from_s for fault, from_s in self._active(node, now_s) if fault.kind is FaultKind.UNREACHABLE]
        return min(since, default=None)

    def _active(self, node: str, now_s: float) -> list[tuple[Fault, float]]:
        """Faults of the node in force now, each with when it began."""
        age_s = now_s - self.start_s
        return [
            (fault, self.start_s + fault.from_s)
            for fault in (*self.spec.faults, *self.faults)
            if fault.node == node and fault.from_s <= age_s and (fault.until_s is None or age_s < fault.until_s)
        ]

    def _gpu_faults(self, node: str, now_s: float) -> tuple[Faults, dict[int, frozenset[FaultKind]]]:
        """What makes GPUs sick, and what they work in spite of, by index."""
        active = [
            (fault.gpu, fault.kind, from_s) for fault, from_s in self._active(node, now_s) if fault.gpu is not None
        ]
        milder = {gpu for gpu, kind, _ in active if kind not in SICK}
        return (
            {gpu: (kind, from_s) for gpu, kind, from_s in active if kind in SICK},
            {gpu: frozenset(kind for its, kind, _ in active if its == gpu and kind not in SICK) for gpu in milder},
        )


def fits(plain: dict[str, Any], spec: ClusterSpec) -> bool:
    """Whether a plain form was written for this spec, so that taking it over changes nothing; raises KeyError."""
    return bool(plain["hardware"] == _hardware(spec) and plain["clock"]["speed"] == spec.speed)


def _check_change(plain: dict[str, Any], spec: ClusterSpec, now_s: float) -> None:
    if plain["seed"] != spec.seed:
        raise StateError(f"simulated cluster {spec.name!r} was started with seed {plain['seed']}, not {spec.seed}")
    wanted = _hardware(spec)
    for name, hardware in plain["hardware"].items():
        if wanted.get(name) != hardware and _busy(plain["hosts"][name], now_s):
            raise StateError(
                f"simulated node {name!r} was changed or removed while work runs on it",
                hint="put it back and release its work first, or start anew by removing the cluster's state folder",
                node=name,
            )


def _busy(host: dict[str, Any], now_s: float) -> bool:
    work = [HostedWork.from_plain(each) for each in host["work"]]
    for each in work:
        each.advance(now_s)
    return any(each.end is None for each in work)


def _hardware(spec: ClusterSpec) -> dict[str, Any]:
    """What a node cannot change and stay the same node, in the form that JSON gives back."""
    return {
        host.name: {
            "gpus": [find(model).product for model in host.gpus],
            "cpus": host.cpus,
            "memory_gib": host.memory_gib,
            "mig": sorted(host.mig),
            "instances": [list(instance) for instance in host.instances],
        }
        for host in spec.nodes
    }


def _seed(*names: object) -> int:
    return int(device_uuid(*names)[:8], 16)


def _new_host(host: HostSpec, spec: ClusterSpec, start_s: float) -> SimulatedHost:
    gpus = [
        GpuModel(
            kind=find(model),
            uuid=f"GPU-{device_uuid(spec.name, spec.seed, host.name, index)}",
            index=index,
            seed=_seed(spec.seed, host.name, index),
            mig_enabled=index in host.mig,
            mig_pending=index in host.mig,
        )
        for index, model in enumerate(host.gpus)
    ]
    for index, profile in host.instances:
        try:
            gpus[index].create_instance(profile)
        except GpuRefusal as refusal:
            raise ConfigError(f"simulated node {host.name!r}: {refusal}") from refusal
    new = SimulatedHost(spec=host, boot_id=device_uuid("boot", spec.name, host.name), gpus=gpus, now_s=start_s)
    for stranger in host.strangers:
        new.add_stranger(stranger)
    return new
