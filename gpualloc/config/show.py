"""The configuration in force, key by key."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from gpualloc.config.alerts import alert_entries
from gpualloc.config.load import Loaded
from gpualloc.config.settings import Config, Origin, Pool, Source
from gpualloc.model.rebalancing import FreezeWindow, RebalanceRules
from gpualloc.model.scaling import ScalingSettings

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DEFAULT = Origin(Source.DEFAULT, "default")


class Entry(Struct, frozen=True):
    """One key with its value and where that comes from."""

    key: str
    value: object
    """Text, number, list or table; times in seconds, sizes in MiB; None is not set."""
    unit: str | None
    """`s` or `MiB` where the value has one."""
    origin: Origin


def entries(loaded: Loaded) -> tuple[Entry, ...]:
    """Every key of the configuration, pools last."""
    values = [*_general(loaded.config), *(item for pool in loaded.config.pools for item in _pool(pool))]
    return tuple(Entry(key, value, unit, _origin(loaded, key)) for key, value, unit in values)


def _general(config: Config) -> Iterator[tuple[str, object, str | None]]:
    yield "policy", config.policy, None
    yield "policy_profile", config.policy_profile, None
    yield "objective", config.objective.value, None
    yield "forecaster", config.forecaster, None
    yield "sampling.every", config.sample_every_s, "s"
    yield "history.retention", config.history_retention_s, "s"
    yield "history.minutes", config.history_minutes_s, "s"
    yield "history.hours", config.history_hours_s, "s"
    yield "apply.grace", config.apply.grace_s, "s"
    yield "apply.step_timeout", config.apply.step_timeout_s, "s"
    yield "apply.width", config.apply.width, None
    yield "apply.per_node", config.apply.per_node, None
    yield "apply.max_disturbed", config.apply.max_disturbed, None
    for name in ("pre_apply", "pre_step", "post_step", "notify", "exit"):
        yield f"hooks.{name}", list(getattr(config.hooks, name)), None
    yield "hooks.timeout", config.hooks.timeout_s, "s"
    yield "hooks.burnin", list(config.hooks.burnin), None
    yield "hooks.burnin_timeout", config.hooks.burnin_timeout_s, "s"
    yield "enforce.mode", config.enforce.mode.value, None
    yield "enforce.after_sightings", config.enforce.after_sightings, None
    yield "enforce.grace", config.enforce.grace_s, "s"
    for name in ("exempt_users", "exempt_commands", "exempt_devices", "exempt_nodes"):
        yield f"enforce.{name}", list(getattr(config.enforce, name)), None
    rules = config.health
    for name in ("ghost_busy_after", "throttled_after", "idle_after", "swapping_after"):
        yield f"health.{name}", getattr(rules, f"{name}_s"), "s"
    yield "health.held_memory", rules.held_memory_mib, "MiB"
    yield "mig.repartition", config.repartition.value, None
    yield "gangs.ports", "-".join(map(str, config.gang_ports)), None
    yield from _rebalance(config)
    yield from alert_entries(config.alerts)


def _rebalance(config: Config) -> Iterator[tuple[str, object, str | None]]:
    rules = config.rebalance
    for name in ("moves", "min_run", "cool_down", "tenant_moves", "tenant_window"):
        yield _rule(rules, name)
    yield "rebalance.freeze", [_window(window) for window in rules.freeze], None
    for name in (
        "max_age", "gain_ratio", "horizon", "idle_after", "idle_worth", "predict", "ahead", "trough_below",
        "trough_power",
    ):  # fmt: skip
        yield _rule(rules, name)
    yield "rebalance.deadline", config.rebalance_deadline_s, "s"


def _rule(rules: RebalanceRules, name: str) -> tuple[str, object, str | None]:
    seconds = hasattr(rules, f"{name}_s")
    return f"rebalance.{name}", getattr(rules, f"{name}_s" if seconds else name), "s" if seconds else None


def _window(window: FreezeWindow) -> str:
    days = ",".join(_DAYS[day] for day in sorted(window.days))
    return f"{days} {_time(window.from_s)}-{_time(window.until_s)}"


def _time(second: int) -> str:
    return f"{second // 3600:02}:{second % 3600 // 60:02}"


def _pool(pool: Pool) -> Iterator[tuple[str, object, str | None]]:
    table = f"pools.{pool.name}."
    yield table + "nodes", list(pool.nodes), None
    yield table + "transport", pool.transport, None
    yield table + "ssh.user", pool.ssh.user, None
    yield table + "ssh.port", pool.ssh.port, None
    yield table + "ssh.options", [f"{key}={value}" for key, value in pool.ssh.options], None
    yield table + "ssh.engine", pool.ssh.engine, None
    yield table + "ssh.command", list(pool.ssh.command), None
    yield table + "labels", dict(pool.labels), None
    yield table + "node_labels", {name: dict(labels) for name, labels in pool.node_labels.items()}, None
    yield table + "gpus", pool.gpus, None
    yield table + "price_per_gpu_hour", pool.price_per_gpu_hour, None
    yield table + "reserved.cpus", pool.reserved_cpus, None
    yield table + "reserved.memory", pool.reserved_memory_mib, "MiB"
    yield table + "power_budget_w", pool.power_budget_w, None
    yield table + "interface", pool.interface, None
    yield table + "keep", pool.keep_s, "s"
    yield table + "addresses", dict(pool.addresses), None
    yield table + "manage", pool.manage, None
    if pool.scaling is not None:
        yield from _scaling(table + "scaling.", pool.scaling)


def _scaling(table: str, scaling: ScalingSettings) -> Iterator[tuple[str, object, str | None]]:
    yield table + "policy", scaling.policy.value, None
    yield table + "min", scaling.min_nodes, None
    yield table + "max", scaling.max_nodes, None
    yield table + "up", scaling.up_ratio, None
    yield table + "down", scaling.down_ratio, None
    yield table + "up_cooldown", scaling.up_cooldown_s, "s"
    yield table + "down_cooldown", scaling.down_cooldown_s, "s"
    yield table + "warmup", scaling.warmup_s, "s"
    yield table + "horizon", scaling.horizon_s, "s"
    yield table + "risk", scaling.risk, None
    yield table + "steps", [list(step) for step in scaling.steps], None
    yield table + "schedule", [str(hours) for hours in scaling.hours], None
    yield table + "up_hook", list(scaling.up_hook), None
    yield table + "down_hook", list(scaling.down_hook), None
    yield table + "hook_timeout", scaling.hook_timeout_s, "s"
    yield table + "evict", scaling.evict, None
    spot = scaling.spot
    yield table + "spot", spot is not None, None
    yield table + "max_interruptions_per_hour", None if spot is None else spot.max_interruptions_per_hour, None
    yield table + "spread", None if spot is None else spot.spread, None
    yield table + "prices", scaling.prices, None


def _origin(loaded: Loaded, key: str) -> Origin:
    """Where the key itself was set; a table that is there without the key sets nothing."""
    return loaded.origins.get(key, DEFAULT)
