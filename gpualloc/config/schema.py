"""What a configuration file may hold, as pydantic models. Imported only when no cached result is at hand."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gpualloc.config.alerts_table import AlertTable, ChannelTable
from gpualloc.config.rebalance_table import RebalanceTable
from gpualloc.config.schedule import read_hours
from gpualloc.config.settings import ApplySettings, Config, HookSettings, Pool, SshSettings, specs_of
from gpualloc.config.table import HOUR_S, Count, Duration, Table
from gpualloc.errors import UsageError
from gpualloc.model.alert import AlertSettings
from gpualloc.model.allocation import GANG_PORTS
from gpualloc.model.desired import Repartition
from gpualloc.model.enforcement import NO_RULES, EnforceMode, Rules
from gpualloc.model.health import DEFAULT_HEALTH_RULES, HealthRules
from gpualloc.model.objective import Objective
from gpualloc.model.scaling import ScalingName, ScalingSettings, SpotRules
from gpualloc.model.units import parse_memory_mib
from gpualloc.model.workload import LABEL_NAME, MAX_LABEL_CHARS

MAX_NODES = 100_000
PRESET = ScalingSettings()
POLICY_GROUP = "gpualloc.policies"
FORECASTER_GROUP = "gpualloc.forecasters"

_PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@\\-]{0,127}")
_SSH_OPTION = re.compile(r"([A-Za-z][A-Za-z0-9]*)=(\S.*)")
_PORTS = re.compile(r"([0-9]{1,5})-([0-9]{1,5})")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,14}")
_ADDRESS = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:_-]{0,252}")


def _command(words: list[str]) -> list[str]:
    if words and not words[0]:
        raise ValueError("the program is an empty text")
    if not all(word.isprintable() for word in words):
        raise ValueError("printable characters only")
    return words


def _memory_mib(value: object) -> object:
    """Text with a unit; anything else is left for the strict check to refuse."""
    if not isinstance(value, str):
        raise ValueError("write a size with its unit, in quotes")
    try:
        return parse_memory_mib(value)
    except UsageError as error:
        raise ValueError(error.hint) from error


def _known_policy(name: str) -> str:
    return _installed(POLICY_GROUP, name)


def _known_forecaster(name: str) -> str:
    return _installed(FORECASTER_GROUP, name)


def _installed(group: str, name: str) -> str:
    known = sorted(point.name for point in entry_points(group=group))
    if known and name not in known:
        raise ValueError(f"installed: {', '.join(known)}")
    return name


def _profile_name(name: str) -> str:
    if name and not _PROFILE.fullmatch(name):
        raise ValueError("letters, digits, and . _ - inside, at most 64 characters")
    return name


def _account(name: str) -> str:
    if not _ACCOUNT.fullmatch(name):
        raise ValueError("letters, digits, and then also . _ - @ and \\")
    return name


def _ssh_option(text: str) -> tuple[str, str]:
    match = _SSH_OPTION.fullmatch(text)
    if match is None or not text.isprintable():
        raise ValueError('as in: "ServerAliveInterval=5"')
    return match[1], match[2]


def _label(value: str) -> str:
    if len(value) > MAX_LABEL_CHARS or not value.isprintable():
        raise ValueError(f"at most {MAX_LABEL_CHARS} printable characters")
    return value


def _label_name(name: str) -> str:
    if not LABEL_NAME.fullmatch(name):
        raise ValueError("a name has letters, digits, and then also . _ / -")
    return name


def _ports(text: str) -> str:
    match = _PORTS.fullmatch(text)
    if match is None or not 1024 <= int(match[1]) <= int(match[2]) <= 65535:
        raise ValueError('as in: "29000-29499", from 1024 on')
    return text


def _interface(name: str) -> str:
    if not _INTERFACE.fullmatch(name):
        raise ValueError("at most 15 letters, digits and . _ - : @")
    return name


def _step(pair: list[float]) -> list[float]:
    if len(pair) != 2 or not 0 < pair[0] < math.inf or pair[1] not in range(1, MAX_NODES + 1):
        raise ValueError("as in: [0.85, 2]")
    return pair


def _hours(text: str) -> str:
    read_hours(text)
    return text


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError("a host name or an IP address")
    return text


Labels = dict[Annotated[str, AfterValidator(_label_name)], Annotated[str, AfterValidator(_label)]]
Memory = Annotated[int, BeforeValidator(_memory_mib)]
Command = Annotated[list[str], AfterValidator(_command)]
Globs = list[Annotated[str, Field(min_length=1, max_length=200)]]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class SamplingTable(Table):
    """`[sampling]`."""

    every: Annotated[Duration, Field(ge=1, le=HOUR_S)] = 10.0


class HistoryTable(Table):
    """`[history]`."""

    retention: Annotated[Duration, Field(ge=HOUR_S)] = 14 * 24 * HOUR_S
    minutes: Annotated[Duration, Field(ge=HOUR_S)] = 30 * 24 * HOUR_S
    hours: Annotated[Duration, Field(ge=HOUR_S)] = 366 * 24 * HOUR_S


class ApplyTable(Table):
    """`[apply]`."""

    grace: Annotated[Duration, Field(le=HOUR_S)] = ApplySettings().grace_s
    step_timeout: Annotated[Duration, Field(ge=1, le=HOUR_S)] = ApplySettings().step_timeout_s
    width: Annotated[Count, Field(ge=1, le=256)] = ApplySettings().width
    per_node: Annotated[Count, Field(ge=1, le=64)] = ApplySettings().per_node
    max_disturbed: Annotated[Count, Field(ge=0)] = ApplySettings().max_disturbed

    def settings(self) -> ApplySettings:
        """The settings these keys describe."""
        return ApplySettings(self.grace, self.step_timeout, self.width, self.per_node, self.max_disturbed)


class HooksTable(Table):
    """`[hooks]`."""

    pre_apply: Command = []
    pre_step: Command = []
    post_step: Command = []
    notify: Command = []
    exit: Command = []
    timeout: Annotated[Duration, Field(ge=1, le=HOUR_S)] = HookSettings().timeout_s
    burnin: Command = []
    burnin_timeout: Annotated[Duration, Field(ge=1, le=24 * HOUR_S)] = HookSettings().burnin_timeout_s

    def settings(self) -> HookSettings:
        """The settings these keys describe."""
        return HookSettings(
            pre_apply=tuple(self.pre_apply),
            pre_step=tuple(self.pre_step),
            post_step=tuple(self.post_step),
            notify=tuple(self.notify),
            exit=tuple(self.exit),
            timeout_s=self.timeout,
            burnin=tuple(self.burnin),
            burnin_timeout_s=self.burnin_timeout,
        )


class EnforceTable(Table):
    """`[enforce]`."""

    mode: Literal["report", "notify", "suspend", "terminate"] = "report"
    after_sightings: Annotated[Count, Field(ge=2, le=1000)] = NO_RULES.after_sightings
    grace: Annotated[Duration, Field(le=HOUR_S)] = NO_RULES.grace_s
    exempt_users: Globs = []
    exempt_commands: Globs = []
    exempt_devices: Globs = []
    exempt_nodes: Globs = []

    def rules(self) -> Rules:
        """The rules these keys describe."""
        return Rules(
            mode=EnforceMode(self.mode),
            after_sightings=self.after_sightings,
            grace_s=self.grace,
            exempt_users=tuple(self.exempt_users),
            exempt_commands=tuple(self.exempt_commands),
            exempt_devices=tuple(self.exempt_devices),
            exempt_nodes=tuple(self.exempt_nodes),
        )


class HealthTable(Table):
    """`[health]`."""

    ghost_busy_after: Annotated[Duration, Field(le=24 * HOUR_S)] = DEFAULT_HEALTH_RULES.ghost_busy_after_s
    throttled_after: Annotated[Duration, Field(le=24 * HOUR_S)] = DEFAULT_HEALTH_RULES.throttled_after_s
    idle_after: Annotated[Duration, Field(le=7 * 24 * HOUR_S)] = DEFAULT_HEALTH_RULES.idle_after_s
    swapping_after: Annotated[Duration, Field(le=24 * HOUR_S)] = DEFAULT_HEALTH_RULES.swapping_after_s
    held_memory: Memory = DEFAULT_HEALTH_RULES.held_memory_mib

    def rules(self) -> HealthRules:
        """The rules these keys describe."""
        return HealthRules(
            self.ghost_busy_after, self.throttled_after, self.idle_after, self.swapping_after, self.held_memory
        )


class MigTable(Table):
    """`[mig]`."""

    repartition: Literal["off", "instances", "mode"] = "mode"


class GangsTable(Table):
    """`[gangs]`."""

    ports: Annotated[str, AfterValidator(_ports)] = "{}-{}".format(*GANG_PORTS)

    def range(self) -> tuple[int, int]:
        """First and last port."""
        first, _, last = self.ports.partition("-")
        return int(first), int(last)


class SshTable(Table):
    """`[pools.NAME.ssh]`."""

    user: Annotated[str, AfterValidator(_account)] | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    options: list[Annotated[str, AfterValidator(_ssh_option)]] = []
    engine: Literal["auto", "openssh", "asyncssh"] = "auto"
    command: Annotated[Command, Field(min_length=1)] = list(SshSettings().command)


class ReservedTable(Table):
    """`reserved` of a pool."""

    cpus: Amount = 0.0
    memory: Memory = 0


class ScalingTable(Table):
    """`[pools.NAME.scaling]`."""

    policy: Literal["threshold", "step", "target-tracking", "scheduled", "predictive"] = "threshold"
    min: Annotated[Count, Field(ge=0, le=MAX_NODES)] = PRESET.min_nodes
    max: Annotated[Count, Field(ge=1, le=MAX_NODES)] = PRESET.max_nodes
    up: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] = PRESET.up_ratio
    down: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = PRESET.down_ratio
    up_cooldown: Duration = PRESET.up_cooldown_s
    down_cooldown: Duration = PRESET.down_cooldown_s
    warmup: Annotated[Duration, Field(le=24 * HOUR_S)] = PRESET.warmup_s
    horizon: Annotated[Duration, Field(le=24 * HOUR_S)] = PRESET.horizon_s
    risk: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = PRESET.risk
    steps: Annotated[list[Annotated[list[float], AfterValidator(_step)]], Field(min_length=1)] = [
        list(step) for step in PRESET.steps
    ]
    schedule: list[Annotated[str, AfterValidator(_hours)]] = []
    up_hook: Command = []
    down_hook: Command = []
    hook_timeout: Annotated[Duration, Field(ge=1, le=HOUR_S)] = PRESET.hook_timeout_s
    evict: bool = False
    spot: bool = False
    max_interruptions_per_hour: Amount | None = None
    spread: Annotated[Count, Field(ge=1, le=MAX_NODES)] | None = None
    prices: Annotated[str, Field(min_length=1, max_length=4096)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> ScalingTable:
        """Refuse numbers that contradict each other."""
        if self.min > self.max:
            raise ValueError(f"min is {self.min}, and max is {self.max}")
        if self.down >= self.up:
            raise ValueError(f"down is {self.down:g}, and up is {self.up:g}")
        return self

    def settings(self) -> ScalingSettings:
        """The settings these keys describe."""
        rules = SpotRules(self.max_interruptions_per_hour, self.spread)
        return ScalingSettings(
            policy=ScalingName(self.policy),
            min_nodes=self.min,
            max_nodes=self.max,
            up_ratio=self.up,
            down_ratio=self.down,
            up_cooldown_s=self.up_cooldown,
            down_cooldown_s=self.down_cooldown,
            warmup_s=self.warmup,
            horizon_s=self.horizon,
            risk=self.risk,
            steps=tuple(sorted((load, int(nodes)) for load, nodes in self.steps)),
            hours=tuple(read_hours(text) for text in self.schedule),
            up_hook=tuple(self.up_hook),
            down_hook=tuple(self.down_hook),
            hook_timeout_s=self.hook_timeout,
            evict=self.evict,
            spot=rules if self.spot else None,
            prices=self.prices,
        )


class PoolTable(Table):
    """`[pools.NAME]`."""

    nodes: str
    transport: Literal["ssh", "local"] | None = None
    ssh: SshTable = SshTable()
    labels: Labels = {}
    node_labels: dict[str, Labels] = {}
    price_per_gpu_hour: Amount | None = None
    reserved: ReservedTable = ReservedTable()
    manage: bool | None = None
    power_budget_w: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    interface: Annotated[str, AfterValidator(_interface)] | None = None
    keep: Annotated[Duration, Field(ge=0, le=24 * HOUR_S)] = 0.0
    addresses: dict[str, Annotated[str, AfterValidator(_address)]] = {}
    scaling: ScalingTable | None = None
    gpus: Annotated[int, Field(ge=0, le=1024)] | None = None

    def pool(self, name: str, nodes: Sequence[str], node_labels: Mapping[str, Mapping[str, str]]) -> Pool:
        """The pool these keys describe, on nodes (and with labels of nodes) that were expanded already."""
        options: Sequence[object] = self.ssh.options
        return Pool(
            name=name,
            nodes=tuple(nodes),
            transport=self.transport,
            ssh=SshSettings(
                user=self.ssh.user,
                port=self.ssh.port,
                options=tuple(pair for pair in options if isinstance(pair, tuple)),
                command=tuple(self.ssh.command),
                engine=self.ssh.engine,
            ),
            labels=dict(self.labels),
            node_labels=node_labels,
            price_per_gpu_hour=self.price_per_gpu_hour,
            reserved_cpus=self.reserved.cpus,
            reserved_memory_mib=self.reserved.memory,
            manage=self.manage,
            power_budget_w=self.power_budget_w,
            interface=self.interface,
            keep_s=self.keep,
            addresses=dict(self.addresses),
            scaling=None if self.scaling is None else self.scaling.settings(),
            gpus=self.gpus,
        )


class File(Table):
    """The whole file."""

    policy: Annotated[str, AfterValidator(_known_policy)] = "pack"
    policy_profile: Annotated[str, AfterValidator(_profile_name)] = ""
    objective: Literal["cost", "jct", "energy", "balanced"] = "balanced"
    forecaster: Annotated[str, AfterValidator(_known_forecaster)] = "auto"
    sampling: SamplingTable = SamplingTable()
    history: HistoryTable = HistoryTable()
    apply: ApplyTable = ApplyTable()
    mig: MigTable = MigTable()
    gangs: GangsTable = GangsTable()
    rebalance: RebalanceTable = RebalanceTable()
    hooks: HooksTable = HooksTable()
    enforce: EnforceTable = EnforceTable()
    health: HealthTable = HealthTable()
    alerts: dict[str, AlertTable] = {}
    channels: dict[str, ChannelTable] = {}
    pools: dict[str, PoolTable] = {}

    def config(self, pools: tuple[Pool, ...], host: str, alerts: AlertSettings) -> Config:
        """The configuration these keys describe, with these pools and alerts, on the machine called `host`."""
        return Config(
            pools=pools,
            nodes=specs_of(pools, host),
            policy=self.policy,
            policy_profile=self.policy_profile,
            objective=Objective(self.objective),
            forecaster=self.forecaster,
            sample_every_s=self.sampling.every,
            history_retention_s=self.history.retention,
            history_minutes_s=self.history.minutes,
            history_hours_s=self.history.hours,
            repartition=Repartition(self.mig.repartition),
            apply=self.apply.settings(),
            hooks=self.hooks.settings(),
            enforce=self.enforce.rules(),
            alerts=alerts,
            gang_ports=self.gangs.range(),
            rebalance=self.rebalance.rules(),
            rebalance_deadline_s=self.rebalance.deadline,
            health=self.health.rules(),
        )
