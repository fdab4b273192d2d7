"""The configuration as the rest of gpualloc reads it: validated, frozen, standard library only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field

from gpualloc.model.alert import AlertSettings
from gpualloc.model.allocation import GANG_PORTS
from gpualloc.model.desired import Repartition
from gpualloc.model.enforcement import NO_RULES, Rules
from gpualloc.model.health import DEFAULT_HEALTH_RULES, HealthRules
from gpualloc.model.inventory import NodeSpec
from gpualloc.model.objective import Objective
from gpualloc.model.rebalancing import DEFAULT_RULES, RebalanceRules
from gpualloc.model.scaling import ScalingSettings

HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What a node may be called: it becomes an argument of ssh and part of a key in the state."""

POOL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""What a pool may be called: one part of a dotted configuration key."""


class Source(StrEnum):
    """Where a value comes from; later ones win."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    FLAG = "flag"


class Origin(Struct, frozen=True):
    """Which source gave a value, and where in it."""

    source: Source
    where: str
    """The file, the variable's name or the flag."""
    line: int = 0
    """1-based line in a file; 0 where there are no lines."""

    def __str__(self) -> str:
        """As messages name it."""
        if self.source is Source.ENVIRONMENT:
            return f"environment variable {self.where}"
        return f"{self.where}, line {self.line}" if self.line else self.where


class SshSettings(Struct, frozen=True):
    """How the nodes of a pool are reached over ssh, beyond what the operator's own ssh configuration says."""

    user: str | None = None
    """Account on the node; None leaves it to ssh."""
    port: int | None = None
    """1..65535; None leaves it to ssh."""
    options: tuple[tuple[str, str], ...] = ()
    """Pairs for `ssh -o Key=value`, in order."""
    engine: str = "auto"
    """What carries the sessions of watching: `openssh`, `asyncssh`, or `auto` for either by how wide the fleet is."""
    command: tuple[str, ...] = ("ssh",)
    """The ssh program and arguments that always go first."""


class Pool(Struct, frozen=True):
    """Nodes that share a way to reach them, labels, a price and what is kept free on each."""

    name: str
    nodes: tuple[str, ...]
    """Names in the order of the configuration, none twice."""
    transport: str | None = None
    """`local` or `ssh`; None: `local` for this machine, `ssh` for any other."""
    ssh: SshSettings = SshSettings()
    labels: Mapping[str, str] = field(default_factory=dict)
    node_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Labels of single nodes by name, over those of the pool."""
    price_per_gpu_hour: float | None = None
    reserved_cpus: float = 0.0
    reserved_memory_mib: int = 0
    manage: bool | None = None
    """As `NodeSpec.manage`."""
    power_budget_w: float | None = None
    """Watts that its busy devices may take together; None is no limit."""
    interface: str | None = None
    """As `NodeSpec.interface`."""
    keep_s: float = 0.0
    """As `NodeSpec.keep_s`."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """`NodeSpec.address` by node; nodes without one are reached by their host name."""
    scaling: ScalingSettings | None = None
    """How its size follows its demand; None: it does not."""
    gpus: int | None = None
    """As `NodeSpec.gpus`."""


class ApplySettings(Struct, frozen=True):
    """How steps are carried out."""

    grace_s: float = 10.0
    """Time between TERM and KILL."""
    step_timeout_s: float = 60.0
    """Longest time a node may take for one step."""
    width: int = 16
    """Most nodes that steps are carried out on at once."""
    per_node: int = 1
    """Most workloads or devices that steps are carried out for at once on one node."""
    max_disturbed: int = 10
    """Most workloads, processes and devices that one run may disturb unless an operator named them."""


class HookSettings(Struct, frozen=True):
    """The operator's programs around changes; an empty command is none."""

    pre_apply: tuple[str, ...] = ()
    pre_step: tuple[str, ...] = ()
    post_step: tuple[str, ...] = ()
    notify: tuple[str, ...] = ()
    exit: tuple[str, ...] = ()
    timeout_s: float = 30.0
    """How long one may take."""
    burnin: tuple[str, ...] = ()
    burnin_timeout_s: float = 3600.0
    """How long that one may take."""

    def timeout_of(self, name: str) -> float:
        """How long that hook may take, in seconds."""
        return self.burnin_timeout_s if name == "burnin" else self.timeout_s

    def commands(self) -> Mapping[str, tuple[str, ...]]:
        """The commands that are set, by the name of the hook."""
        named = {
            "pre_apply": self.pre_apply,
            "pre_step": self.pre_step,
            "post_step": self.post_step,
            "notify": self.notify,
            "exit": self.exit,
            "burnin": self.burnin,
        }
        return {name: command for name, command in named.items() if command}


class Config(Struct, frozen=True):
    """The whole configuration."""

    pools: tuple[Pool, ...]
    """Sorted by name; never empty."""
    nodes: tuple[NodeSpec, ...]
    """Every node of the pools, sorted by name, with its transport decided."""
    policy: str = "pack"
    policy_profile: str = ""
    """Name of a saved profile of the policy; empty: it decides by its own numbers."""
    objective: Objective = Objective.BALANCED
    """What places are chosen for."""
    forecaster: str = "auto"
    sample_every_s: float = 10.0
    history_retention_s: float = 14 * 86400.0
    history_minutes_s: float = 30 * 86400.0
    history_hours_s: float = 366 * 86400.0
    apply: ApplySettings = ApplySettings()
    repartition: Repartition = Repartition.MODE
    hooks: HookSettings = HookSettings()
    enforce: Rules = NO_RULES
    gang_ports: tuple[int, int] = GANG_PORTS
    """First and last port on which a gang's members may meet."""
    rebalance: RebalanceRules = DEFAULT_RULES
    rebalance_deadline_s: float = 60.0
    """How long `rebalance` may take until it has decided."""
    health: HealthRules = DEFAULT_HEALTH_RULES
    alerts: AlertSettings = field(default_factory=AlertSettings)

    def pool(self, name: str) -> Pool:
        """The pool of that name; raises KeyError when there is none."""
        for pool in self.pools:
            if pool.name == name:
                return pool
        raise KeyError(name)

    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Pool name to node names, for `@pool` in node sets."""
        return {pool.name: pool.nodes for pool in self.pools}


def is_this_host(name: str, host: str) -> bool:
    """Whether a node name means this machine, called `host` by its kernel."""
    return name.lower() in {"localhost", host.lower(), host.partition(".")[0].lower()}


def specs_of(pools: tuple[Pool, ...], host: str) -> tuple[NodeSpec, ...]:
    """Every node of the pools, sorted by name, on the machine called `host`."""
    specs = (
        NodeSpec(
            name=name,
            pool=pool.name,
            transport=pool.transport or ("local" if is_this_host(name, host) else "ssh"),
            labels={**pool.labels, **pool.node_labels.get(name, {})},
            price_per_gpu_hour=pool.price_per_gpu_hour,
            reserved_cpus=pool.reserved_cpus,
            reserved_memory_mib=pool.reserved_memory_mib,
            manage=pool.manage,
            address=pool.addresses.get(name),
            interface=pool.interface,
            gpus=pool.gpus,
            keep_s=pool.keep_s,
        )
        for pool in pools
        for name in pool.nodes
    )
    return tuple(sorted(specs, key=lambda spec: spec.name))


def local_pools(host: str) -> tuple[Pool, ...]:
    """The fleet when no pool is configured: this machine alone, under a name made from its host name."""
    name = re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9._-]", "", host) or "localhost"
    return (Pool(name="default", nodes=(name,), transport="local"),)
