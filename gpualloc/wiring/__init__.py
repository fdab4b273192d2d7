"""Puts gpualloc together: options and configuration become a `Context`. The only place that knows both sides.

What is not needed to know the configuration is imported after it: the node program of this machine starts meanwhile.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct, field

from gpualloc.config.load import Loaded, load
from gpualloc.config.settings import Config
from gpualloc.errors import ConfigError, GpuallocError, UsageError
from gpualloc.model.inventory import Node, NodeSpec, Snapshot
from gpualloc.store.paths import StatePaths, default_state_dir
from gpualloc.wiring.first_use import (
    EventsAtFirstUse,
    ForecasterAtFirstUse,
    HistoryAtFirstUse,
    HooksAtFirstUse,
    PolicyAtFirstUse,
    ScaleHookAtFirstUse,
)
from gpualloc.wiring.first_use_alerts import AlertsAtFirstUse, MessengerAtFirstUse

if TYPE_CHECKING:
    from gpualloc.adapters.fleet import LinkedFleet
    from gpualloc.adapters.link import NodeLink
    from gpualloc.adapters.local import LocalLink
    from gpualloc.adapters.simulated import SimulatedNodes
    from gpualloc.adapters.ssh import SshTarget
    from gpualloc.adapters.streaming.channel import Dial
    from gpualloc.adapters.streaming.engine import Engine
    from gpualloc.adapters.workers import Workers
    from gpualloc.engine.context import Context, Settings
    from gpualloc.engine.doctor import LocalFacts
    from gpualloc.ports import Clock, Crew, Fleet, Playback
    from gpualloc.ports.kept import KeptFiles
    from gpualloc.store.parquet import ParquetRow
    from gpualloc.store.profiles import SavedProfiles

_T = TypeVar("_T")
_R = TypeVar("_R")

SIM_VARIABLE = "GPUALLOC_SIM"
SPEED_VARIABLE = "GPUALLOC_SIM_SPEED"


class Options(Struct, frozen=True):
    """What the command line says about which world to work on; None and empty leave it to the environment."""

    config: Path | None = None
    sim: str | None = None
    """Name of an embedded cluster, or the path of a cluster's file or of a recording."""
    state_dir: Path | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Dotted configuration key to text, from flags."""


@contextmanager
def open_context(options: Options | None = None, *, looks: bool = False) -> Iterator[Context]:
    """Open the world the options name, and close it at the end.

    Args:
        options: what the command line says.
        looks: whether the caller is going to look at the nodes; this machine's node program then starts at once.

    Raises:
        ConfigError: the configuration or the simulated cluster is wrong.
        StateError: the state cannot be used.
    """
    options = options or Options()
    config = load_config(options).config
    sim = options.sim or os.environ.get(SIM_VARIABLE) or None
    paths = _paths(options)
    if sim is not None:
        paths = paths.sim(_sim_key(sim))
    with ExitStack() as opened:
        begun = _begin(config, opened) if looks and sim is None else {}
        from gpualloc.engine.context import Context
        from gpualloc.store.state import SqliteJournal

        fleet, clock = _simulated(sim, paths, config, opened) if sim is not None else _real(config, begun)
        playback = None if sim is None else _playback(sim, opened)
        opened.callback(fleet.close)
        journal = SqliteJournal(paths)
        opened.callback(journal.close)
        history = HistoryAtFirstUse(paths)
        opened.callback(history.close)
        events = EventsAtFirstUse(paths)
        opened.callback(events.close)
        alerts = AlertsAtFirstUse(paths)
        opened.callback(alerts.close)
        messenger = MessengerAtFirstUse(config)
        opened.callback(messenger.close)
        yield Context(
            fleet=fleet,
            journal=journal,
            history=history,
            clock=clock,
            events=events,
            alerts=alerts,
            messenger=messenger,
            policy=PolicyAtFirstUse(config.policy, config.policy_profile, paths),
            forecaster=ForecasterAtFirstUse(config.forecaster),
            actor=actor(),
            simulated=sim is not None,
            playback=playback,
            settings=_settings(config),
            hooks=HooksAtFirstUse(config),
            scale_hook=ScaleHookAtFirstUse(),
            crew=_crew,
        )


def _settings(config: Config) -> Settings:
    from gpualloc.engine.context import Settings

    return Settings(
        grace_s=config.apply.grace_s,
        sample_every_s=config.sample_every_s,
        history_retention_s=config.history_retention_s,
        history_minutes_s=config.history_minutes_s,
        history_hours_s=config.history_hours_s,
        repartition=config.repartition,
        enforce=config.enforce,
        width=config.apply.width,
        per_node=config.apply.per_node,
        max_disturbed=config.apply.max_disturbed,
        gang_ports=config.gang_ports,
        rebalance=config.rebalance,
        rebalance_deadline_s=config.rebalance_deadline_s,
        objective=config.objective,
        alerts=config.alerts,
        scaling={pool.name: pool.scaling for pool in config.pools if pool.scaling is not None},
        health=config.health,
        power_budgets={pool.name: pool.power_budget_w for pool in config.pools if pool.power_budget_w is not None},
    )


def load_config(options: Options) -> Loaded:
    """The configuration in force, with where each value comes from.

    Raises:
        ConfigError: names file, line, key, what was expected and the nearest right key.
    """
    return load(options.config, os.environ, options.overrides, _paths(options).root / "cache")


def saved_profiles(options: Options) -> SavedProfiles:
    """The policy profiles beside the state that the options name; a simulated cluster has its own."""
    from gpualloc.store.profiles import SavedProfiles

    sim = options.sim or os.environ.get(SIM_VARIABLE) or None
    paths = _paths(options)
    return SavedProfiles((paths if sim is None else paths.sim(_sim_key(sim))).profiles)


def remembered_file(options: Options) -> Path:
    """Where the dashboard remembers how the user likes it; simulated clusters share it with the real one."""
    return _paths(options).remembered


def kept_files(options: Options) -> KeptFiles:
    """The databases of the state that the options name; a simulated cluster has its own."""
    from gpualloc.store.keeping import StateFiles

    sim = options.sim or os.environ.get(SIM_VARIABLE) or None
    paths = _paths(options)
    return StateFiles(paths if sim is None else paths.sim(_sim_key(sim)), simulated=sim is not None)


def may_not_write(options: Options) -> str | None:
    """Why nothing may be changed in the world that the options name, in one sentence; None when it may.

    Nothing is made, written or asked of a node to find out.
    """
    from gpualloc.store.permission import change_obstacle

    sim = options.sim or os.environ.get(SIM_VARIABLE) or None
    paths = _paths(options)
    if sim is None:
        return change_obstacle(paths)
    if _is_recording(sim):
        return f"{sim} is a recording, and what was cannot be changed"
    return change_obstacle(paths.sim(_sim_key(sim)))


def parquet_writer() -> Callable[[Path, Sequence[str], Iterable[ParquetRow]], int]:
    """What writes a table to a Parquet file: its path, the names of the readings, and the rows."""
    from gpualloc.store.parquet import write_parquet

    return write_parquet


def workers(work: Callable[[_T], _R], jobs: int) -> Workers[_T, _R]:
    """A number of processes for calculations; a context manager."""
    from gpualloc.adapters.workers import Workers

    return Workers(work, jobs)


def actor() -> str:
    """The unix account on whose behalf this runs: who called sudo, else who we are."""
    uid = os.environ.get("SUDO_UID") if os.geteuid() == 0 else None
    number = int(uid) if uid is not None and uid.isdigit() else os.geteuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def local_node() -> Node:
    """This machine as its own node program sees it; no state and no configuration is read."""
    from gpualloc.adapters.fleet import LinkedFleet
    from gpualloc.adapters.local import LocalLink
    from gpualloc.config.settings import local_pools, specs_of

    host = os.uname().nodename
    (spec,) = specs_of(local_pools(host), host)
    fleet = LinkedFleet([(spec, lambda: LocalLink(spec.name))])
    try:
        (node,) = fleet.observe()
    finally:
        fleet.close()
    return node


def look_for_doctor(options: Options) -> tuple[Snapshot | None, LocalFacts]:
    """Everything `doctor` judges; what is broken is data here, so that it can be told."""
    from gpualloc.adapters.clock import WallClock
    from gpualloc.config.surroundings import file_system_of, folder_problem, pynvml_distributions
    from gpualloc.engine.doctor import LocalFacts

    root = _paths(options).root
    file, problem, snapshot = None, None, None
    try:
        file = load_config(options).file
        with open_context(options) as ctx:
            nodes = tuple(sorted(ctx.fleet.observe(), key=lambda node: node.name))
            snapshot = Snapshot(at_s=ctx.clock.now_s(), nodes=nodes)
    except ConfigError as error:
        problem = error.message
    except GpuallocError:
        # The state is judged below, by itself.
        snapshot = None
    return snapshot, LocalFacts(
        config_file=str(file) if file else None,
        config_problem=problem,
        state_dir=str(root),
        state_problem=folder_problem(root),
        state_file_system=file_system_of(root),
        pynvml_distributions=pynvml_distributions(),
        now_s=WallClock().now_s(),
    )


def _crew() -> Crew:
    from gpualloc.adapters.crew import ThreadCrew

    return ThreadCrew()


def _paths(options: Options) -> StatePaths:
    return StatePaths(options.state_dir.absolute() if options.state_dir else default_state_dir(os.environ))


def _begin(config: Config, opened: ExitStack) -> dict[str, LocalLink]:
    """Start the node program of each node that is this machine; `opened` ends them, whether they were asked or not."""
    from gpualloc.adapters.local import LocalLink

    links = {spec.name: LocalLink(spec.name) for spec in config.nodes if spec.transport == "local"}
    for link in links.values():
        opened.callback(link.close)
        link.begin()
    return links


def _real(config: Config, begun: Mapping[str, LocalLink]) -> tuple[LinkedFleet, Clock]:
    from gpualloc.adapters.clock import WallClock
    from gpualloc.adapters.fleet import LinkedFleet

    links = [(spec, _link_of(spec, config, begun.get(spec.name))) for spec in config.nodes]
    engine_of = _engines(config)
    fleet = LinkedFleet(
        links,
        dials={spec.name: _dial_of(spec, config, engine_of) for spec in config.nodes},
        grace_s=config.apply.grace_s,
        step_s=config.apply.step_timeout_s,
    )
    return fleet, WallClock()


def _link_of(spec: NodeSpec, config: Config, begun: LocalLink | None) -> Callable[[], NodeLink]:
    def local() -> NodeLink:
        from gpualloc.adapters.local import LocalLink

        return begun or LocalLink(spec.name)

    def ssh() -> NodeLink:
        from gpualloc.adapters.ssh import SshLink

        return SshLink(spec.name, _target_of(spec, config))

    return local if spec.transport == "local" else ssh


def _dial_of(spec: NodeSpec, config: Config, engine_of: Callable[[str], Engine]) -> Callable[[], Dial]:
    def local() -> Dial:
        from gpualloc.adapters.local import LocalLaunch
        from gpualloc.adapters.streaming.process_dial import ProcessDial

        return ProcessDial(LocalLaunch())

    def ssh() -> Dial:
        from gpualloc.adapters.ssh import SshLaunch
        from gpualloc.adapters.streaming.engine import ssh_dial

        return ssh_dial(SshLaunch(_target_of(spec, config), shared=False), engine_of(spec.pool))

    if spec.transport == "local":
        return local
    if config.pool(spec.pool).ssh.engine == "asyncssh":
        engine_of(spec.pool)  # Raises now, and not when somebody watches, where it is not installed.
    return ssh


def _engines(config: Config) -> Callable[[str], Engine]:
    """By pool what carries the sessions with its ssh nodes, found out once; raises ConfigError where it is missing."""
    over_ssh = sum(each.transport == "ssh" for each in config.nodes)

    @cache
    def engine_of(pool: str) -> Engine:
        from gpualloc.adapters.streaming.engine import Engine, chosen_engine

        return chosen_engine(Engine(config.pool(pool).ssh.engine), over_ssh)

    return engine_of


def _target_of(spec: NodeSpec, config: Config) -> SshTarget:
    from gpualloc.adapters.ssh import SshTarget

    settings = config.pool(spec.pool).ssh
    return SshTarget(spec.name, settings.user, settings.port, settings.options, settings.command)


def _playback(sim: str, opened: ExitStack) -> Playback | None:
    """The recording that is named, to be looked at anywhere in it; None when it is another world."""
    if not _is_recording(sim):
        return None
    from gpualloc.wiring.doors import recorded_playback

    playback = recorded_playback(Path(sim))
    opened.callback(playback.close)
    return playback


def _simulated(sim: str, paths: StatePaths, config: Config, opened: ExitStack) -> tuple[Fleet, Clock]:
    if _is_recording(sim):
        from gpualloc.wiring.doors import recorded_fleet

        recorded = recorded_fleet(Path(sim), _speed())
        return recorded, recorded.clock
    from gpualloc.adapters.fleet import LinkedFleet

    world = _simulated_nodes(sim, paths)
    opened.callback(world.close)

    def link_of(spec: NodeSpec) -> Callable[[], NodeLink]:
        return lambda: world.link(spec.name)

    links = [(spec, link_of(spec)) for spec in world.specs()]
    fleet = LinkedFleet(links, clock=world.clock, grace_s=config.apply.grace_s, step_s=config.apply.step_timeout_s)
    return fleet, world.clock


def _simulated_nodes(sim: str, paths: StatePaths) -> SimulatedNodes:
    from gpualloc.adapters.simulated import SimulatedNodes
    from gpualloc.config.simfile import load_cluster
    from gpualloc.sim.demo import demo_cluster

    if _is_file(sim):
        spec = load_cluster(Path(sim))
    elif sim == "demo":
        spec = demo_cluster()
    else:
        raise UsageError(
            f"there is no simulated cluster {sim!r}",
            hint="the embedded one is `demo`; or name a file, FILE.toml or FILE.rec",
        )
    return SimulatedNodes(paths.root, spec, speed=_speed())


def _speed() -> float | None:
    text = os.environ.get(SPEED_VARIABLE)
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise ConfigError(
            f"{SPEED_VARIABLE}={text!r} is not a number", hint="3600 lets an hour pass each second"
        ) from None


def _is_recording(sim: str) -> bool:
    if not _is_file(sim):
        return False
    from gpualloc.adapters.recorded_file import looks_like_one

    return looks_like_one(Path(sim))


def _is_file(sim: str) -> bool:
    return "/" in sim or sim.endswith((".toml", ".rec"))


def _sim_key(sim: str) -> str:
    return str(Path(sim).absolute()) if _is_file(sim) else sim
