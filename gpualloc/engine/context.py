"""What every engine function takes first: the ports, and a few settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct, field

from gpualloc.engine.serial import (
    NoAlerts,
    NoEvents,
    NoForecaster,
    NoHooks,
    NoMessenger,
    NoScaleHook,
    OneAtATime,
)
from gpualloc.model.alert import AlertSettings, Delivered, Transition
from gpualloc.model.allocation import GANG_PORTS
from gpualloc.model.desired import Repartition
from gpualloc.model.enforcement import NO_RULES, Rules
from gpualloc.model.health import DEFAULT_HEALTH_RULES, HealthRules
from gpualloc.model.identity import RANDOM_BYTES, new_id
from gpualloc.model.objective import Objective
from gpualloc.model.plan import Run
from gpualloc.model.rebalancing import DEFAULT_RULES, RebalanceRules
from gpualloc.model.scaling import ScalingSettings
from gpualloc.ports import (
    Alerts,
    Clock,
    Crew,
    Events,
    Fleet,
    Forecaster,
    History,
    Hooks,
    Journal,
    Messenger,
    Playback,
    Policy,
    ScaleHook,
)


class Settings(Struct, frozen=True):
    """Settings of the loop that come from the configuration."""

    grace_s: float = 10.0
    """Time between TERM and KILL when a workload is stopped."""
    sample_every_s: float = 10.0
    """Width of the sampling grid."""
    history_retention_s: float = 14 * 86400.0
    """Samples older than this are dropped."""
    history_minutes_s: float = 30 * 86400.0
    """Rollups by minutes older than this are dropped; never before the samples."""
    history_hours_s: float = 366 * 86400.0
    """Rollups by hours older than this are dropped; never before those by minutes."""
    repartition: Repartition = Repartition.MODE
    enforce: Rules = NO_RULES
    width: int = 16
    """Most nodes that steps are carried out on at once."""
    per_node: int = 1
    """Most workloads or devices that steps are carried out for at once on one node."""
    power_budgets: Mapping[str, float] = field(default_factory=dict)
    """Watts that the busy devices of a pool may take together, by pool; pools without one have no limit."""
    gang_ports: tuple[int, int] = GANG_PORTS
    """First and last port on which a gang's members may meet."""
    rebalance: RebalanceRules = DEFAULT_RULES
    rebalance_deadline_s: float = 60.0
    """How long `rebalance` may take until it has decided."""
    scaling: Mapping[str, ScalingSettings] = field(default_factory=dict)
    """How the size of pools follows their demand, by pool; pools without it keep their size."""
    max_disturbed: int = 10
    """Most workloads, foreign processes and devices that one run may disturb unless an operator named them."""
    objective: Objective = Objective.BALANCED
    """What places are chosen for."""
    health: HealthRules = DEFAULT_HEALTH_RULES
    alerts: AlertSettings = field(default_factory=AlertSettings)


class Context(Struct, frozen=True):
    """One gpualloc: its world, its state, its policy, and who runs it."""

    fleet: Fleet
    journal: Journal
    history: History
    clock: Clock
    policy: Policy
    actor: str
    """Unix account on whose behalf the command runs."""
    simulated: bool = False
    settings: Settings = field(default_factory=Settings)
    events: Events = field(default_factory=NoEvents)
    alerts: Alerts = field(default_factory=NoAlerts)
    messenger: Messenger = field(default_factory=NoMessenger)
    hooks: Hooks = field(default_factory=NoHooks)
    scale_hook: ScaleHook = field(default_factory=NoScaleHook)
    forecaster: Forecaster = field(default_factory=NoForecaster)
    playback: Playback | None = None
    """The recording that this world is; None when it is none."""
    crew: Callable[[], Crew] = OneAtATime
    """Makes the crew of one run."""
    stopped: Callable[[], bool] = lambda: False
    """Asked before each step; once True, steps under way are finished and no other is begun."""
    on_resume: Callable[[Run], None] = lambda _run: None
    """Told of each interrupted run that is taken up."""
    on_alert: Callable[[Transition], None] = lambda _transition: None
    """Told of each alert whose rule wants it in the log."""
    on_undelivered: Callable[[Delivered], None] = lambda _delivered: None
    """Told of each notice that is given up."""

    def fresh_id(self, prefix: str) -> str:
        """A new id: `w` for a workload, `p` for a plan, `r` for a run, `s` for an order of nodes."""
        import secrets  # It brings the whole of OpenSSL, and commands that only look need no id.

        return new_id(prefix, secrets.token_bytes(RANDOM_BYTES))
