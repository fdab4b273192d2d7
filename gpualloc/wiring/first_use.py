"""Ports that open or look up what is behind them when they are first asked: most commands use few of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gpualloc.config.settings import Config
from gpualloc.model.health import Condition, Event, Heard, Looked, Severity
from gpualloc.store.paths import StatePaths

if TYPE_CHECKING:
    from gpualloc.model.decision import Problem
    from gpualloc.model.forecast import Forecasts, Grid
    from gpualloc.model.foresight import KeptForecast, Steps, Subject
    from gpualloc.model.sample import Digest, KeptSamples, Level, Metric, Rollup, Sample, Series, SeriesKind
    from gpualloc.model.scaling import ScaleAnswer, ScaleOrder
    from gpualloc.ports import Forecaster, HookEvent, HookOutcome, Policy, Session
    from gpualloc.store.events import SqliteEvents
    from gpualloc.store.history import SqliteHistory


class HistoryAtFirstUse:
    """`ports.History` that opens history.db when it is first asked: most commands never read it."""

    def __init__(self, paths: StatePaths) -> None:
        self._paths = paths
        self._opened: SqliteHistory | None = None

    def append(self, samples: Sequence[Sample]) -> int:
        """As `History.append`."""
        return self._history().append(samples)

    def read(
        self,
        metric: Metric,
        since_s: float,
        until_s: float,
        *,
        kind: SeriesKind | None = None,
        node: str | None = None,
        key: str | None = None,
    ) -> Iterator[Series]:
        """As `History.read`."""
        return self._history().read(metric, since_s, until_s, kind=kind, node=node, key=key)

    def rollups(
        self,
        metric: Metric,
        level: Level,
        since_s: float,
        until_s: float,
        *,
        kind: SeriesKind | None = None,
        node: str | None = None,
        key: str | None = None,
    ) -> Iterator[Rollup]:
        """As `History.rollups`."""
        return self._history().rollups(metric, level, since_s, until_s, kind=kind, node=node, key=key)

    def digests(
        self, kind: SeriesKind, metrics: Sequence[Metric], start_s: int, step_s: int, ticks: int
    ) -> Iterator[Digest]:
        """As `History.digests`."""
        return self._history().digests(kind, metrics, start_s, step_s, ticks)

    def grid(
        self, metric: Metric, kind: SeriesKind, steps: Steps, nodes: Sequence[str] | None = None, key: str | None = None
    ) -> Grid:
        """As `History.grid`."""
        return self._history().grid(metric, kind, steps, nodes, key)

    def span(self) -> tuple[int, int] | None:
        """As `History.span`."""
        return self._history().span()

    def moment(self, at_s: float, reach_s: float) -> KeptSamples:
        """As `History.moment`."""
        return self._history().moment(at_s, reach_s)

    def neighbours(self, at_s: float) -> tuple[int | None, int | None]:
        """As `History.neighbours`."""
        return self._history().neighbours(at_s)

    def workloads_seen(self) -> Mapping[str, float]:
        """As `History.workloads_seen`."""
        return self._history().workloads_seen()

    def keep(self, forecasts: Sequence[KeptForecast]) -> int:
        """As `History.keep`."""
        return self._history().keep(forecasts)

    def kept(self, what: str | None = None) -> tuple[KeptForecast, ...]:
        """As `History.kept`."""
        return self._history().kept(what)

    def last_kept(self, subject: Subject, since_s: float) -> Mapping[tuple[str, int], int]:
        """As `History.last_kept`."""
        return self._history().last_kept(subject, since_s)

    def prune(
        self, before_s: float, *, minutes_before_s: float | None = None, hours_before_s: float | None = None
    ) -> int:
        """As `History.prune`."""
        return self._history().prune(before_s, minutes_before_s=minutes_before_s, hours_before_s=hours_before_s)

    def close(self) -> None:
        """Close the database if it was opened."""
        if self._opened is not None:
            self._opened.close()

    def _history(self) -> SqliteHistory:
        if self._opened is None:
            from gpualloc.store.history import SqliteHistory

            self._opened = SqliteHistory(self._paths)
        return self._opened


class EventsAtFirstUse:
    """`ports.Events` that opens history.db when it is first asked."""

    def __init__(self, paths: StatePaths) -> None:
        self._paths = paths
        self._opened: SqliteEvents | None = None

    def note(self, events: Sequence[Event]) -> tuple[Event, ...]:
        """As `Events.note`."""
        return self._events().note(events)

    def events(
        self,
        since_s: float,
        until_s: float | None = None,
        *,
        node: str | None = None,
        device: str | None = None,
        least: Severity = Severity.INFO,
    ) -> tuple[Event, ...]:
        """As `Events.events`."""
        return self._events().events(since_s, until_s, node=node, device=device, least=least)

    def keep(self, looked: Looked) -> tuple[Event, ...]:
        """As `Events.keep`."""
        return self._events().keep(looked)

    def mark(self) -> int:
        """As `Events.mark`."""
        return self._events().mark()

    def kept_after(self, mark: int) -> tuple[tuple[Event, ...], int]:
        """As `Events.kept_after`."""
        return self._events().kept_after(mark)

    def conditions(self, nodes: Collection[str] | None = None, *, suspected: bool = False) -> tuple[Condition, ...]:
        """As `Events.conditions`."""
        return self._events().conditions(nodes, suspected=suspected)

    def heard(self, nodes: Collection[str] | None = None) -> dict[str, Heard]:
        """As `Events.heard`."""
        return self._events().heard(nodes)

    def devices_seen(self, node: str | None = None) -> dict[str, dict[str, float]]:
        """As `Events.devices_seen`."""
        return self._events().devices_seen(node)

    def forget(self, node: str, part: str) -> bool:
        """As `Events.forget`."""
        return self._events().forget(node, part)

    def close(self) -> None:
        """Close the database if it was opened."""
        if self._opened is not None:
            self._opened.close()

    def _events(self) -> SqliteEvents:
        if self._opened is None:
            from gpualloc.store.events import SqliteEvents

            self._opened = SqliteEvents(self._paths)
        return self._opened


class PolicyAtFirstUse:
    """`ports.Policy` that is looked up among the installed packages when it first decides: most commands never do."""

    def __init__(self, configured: str, profile: str, paths: StatePaths) -> None:
        self._configured = configured
        self._profile = profile
        self._paths = paths
        self._loaded: Policy | None = None

    @property
    def name(self) -> str:
        """As `Policy.name`."""
        return self._policy().name

    @property
    def version(self) -> str:
        """As `Policy.version`."""
        return self._policy().version

    def begin(self, problem: Problem) -> Session:
        """As `Policy.begin`."""
        return self._policy().begin(problem)

    def _policy(self) -> Policy:
        if self._loaded is None:
            from gpualloc.policies.registry import load as load_policy

            policy = load_policy(self._configured)
            if self._profile:
                policy = self._profiled(policy)
            self._loaded = policy
        return self._loaded

    def _profiled(self, policy: Policy) -> Policy:
        from gpualloc.policies.profile import profiled
        from gpualloc.store.profiles import SavedProfiles

        profiles = SavedProfiles(self._paths.profiles)
        return profiled(policy, profiles.read(self._profile), str(profiles.path(self._profile)))


class ForecasterAtFirstUse:
    """`ports.Forecaster` that is looked up among the installed packages when it first forecasts."""

    def __init__(self, configured: str) -> None:
        self._configured = configured
        self._loaded: Forecaster | None = None

    @property
    def name(self) -> str:
        """As `Forecaster.name`."""
        return self._forecaster().name

    @property
    def version(self) -> str:
        """As `Forecaster.version`."""
        return self._forecaster().version

    def forecast(self, grid: Grid, horizons: Sequence[int]) -> Forecasts:
        """As `Forecaster.forecast`."""
        return self._forecaster().forecast(grid, horizons)

    def least_ticks(self, horizon: int) -> int | None:
        """What the forecaster says that it needs; None when it does not say."""
        from gpualloc.engine.foresee import least_ticks

        return least_ticks(self._forecaster(), horizon)

    def _forecaster(self) -> Forecaster:
        if self._loaded is None:
            from gpualloc.forecast.registry import load as load_forecaster

            self._loaded = load_forecaster(self._configured)
        return self._loaded


class HooksAtFirstUse:
    """`ports.Hooks` that learns to run programs when one is configured and due."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def run(self, name: str, event: HookEvent) -> HookOutcome | None:
        """As `Hooks.run`."""
        commands = self._config.hooks.commands()
        if name not in commands:
            return None
        from gpualloc.adapters.hooks import ProgramHooks

        return ProgramHooks(commands, self._config.hooks.timeout_of(name)).run(name, event)


class ScaleHookAtFirstUse:
    """`ports.ScaleHook` that learns to run programs when one is due."""

    def run(self, command: Sequence[str], timeout_s: float, order: ScaleOrder) -> ScaleAnswer:
        """As `ScaleHook.run`."""
        from gpualloc.adapters.scale_hook import ProgramScaleHook

        return ProgramScaleHook().run(command, timeout_s, order)
