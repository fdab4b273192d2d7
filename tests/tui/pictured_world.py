"""The frozen fleet with a past that is the same in every run, for pictures of the dashboard.

What a day left is written once per process through the engine itself, and copied for each picture.
"""

from __future__ import annotations

import atexit
import hashlib
import math
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest.mock import patch

from msgspec.structs import replace
from textual.pilot import Pilot
from tui.fleet_fixture import NOW_S, FrozenClock, FrozenFleet, FrozenMeter, FrozenWorld, fleet, workload
from tui.steering import until

from gpualloc.engine.context import Context, Settings
from gpualloc.engine.judging import Judge
from gpualloc.engine.sample import sample, samples_of
from gpualloc.forecast.registry import load as forecaster
from gpualloc.model.alert import AlertRule, AlertSettings, MetricTest, Silence, TroubleTest
from gpualloc.model.audit import AuditEntry
from gpualloc.model.health import KernelMessage, Severity, Trouble
from gpualloc.model.identity import RANDOM_BYTES, new_id
from gpualloc.model.inventory import Device, DeviceState, Node, NodeState, Snapshot
from gpualloc.model.mig import MigProfile
from gpualloc.model.sample import Sample, SeriesKey, SeriesKind
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.policies.registry import load as policy
from gpualloc.store.alerts import SqliteAlerts
from gpualloc.store.events import SqliteEvents
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal
from gpualloc.tui.app import TopApp
from gpualloc.tui.options import TopOptions
from gpualloc.tui.screens.view import View
from gpualloc.tui.screens.workload import WorkloadView
from gpualloc.tui.themes import Colours
from gpualloc.tui.widgets.lines import Lines

HOUR_S = 3600.0
PAST_S = 8 * HOUR_S
STEP_S, FINE_STEP_S, FINE_S = 60, 10, 1200
"""Seconds between samples, in the last of these shorter ones."""
PROFILES = (
    MigProfile("1g.18gb", 19, 1, tuple(range(7)), 16_384, 16, 7),
    MigProfile("2g.35gb", 14, 2, (0, 2, 4), 33_280, 32, 3),
    MigProfile("3g.71gb", 9, 4, (0, 4), 71_424, 60, 2),
    MigProfile("7g.141gb", 0, 8, (0,), 143_360, 132, 1),
)
RULES = (
    AlertRule("gpu-gone", TroubleTest(Trouble.DEVICE_STATE), Severity.CRITICAL),
    AlertRule("node-down", TroubleTest(Trouble.NODE_STATE), Severity.ERROR),
    AlertRule("hot", MetricTest("temperature_c", 68.0, below=False, clear=65.0), Severity.WARNING),
)
SETTINGS = Settings(alerts=AlertSettings({rule.name: rule for rule in RULES}))


def as_it_was(world: FrozenWorld, ago_s: float) -> tuple[Node, ...]:
    """The nodes so many seconds ago: what is ill now fell ill one after the other."""
    falls = {("h100-01", 5): 1981.0, ("l40s-01", 2): 1200.0, ("h100-01", 4): 138.0}
    at_s = NOW_S - ago_s
    found = []
    for one in world.nodes:
        before = world.nodes[-1] if one.state is not NodeState.OK and ago_s > 1500 else one
        devices = tuple(
            _well(device) if ago_s > falls.get((one.name, device.index or 0), math.inf) else device
            for device in one.devices
        )
        said = () if one.name != "h100-01" or ago_s > 1981.0 else (_XID,)
        wave = math.sin((at_s % 5400) / 5400 * 2 * math.pi)
        host = before.host
        if host.cpu_utilization_ratio is not None:
            host = replace(host, cpu_utilization_ratio=round(host.cpu_utilization_ratio * (1 + wave / 5), 4))
        waving = tuple(_waving(device, wave) for device in devices)
        found.append(replace(before, spec=one.spec, at_s=at_s, host=host, devices=waving, kernel_messages=said))
    return tuple(found)


_XID = KernelMessage(
    9_000_000,
    NOW_S - 1981,
    Trouble.XID,
    79,
    None,
    "NVRM: Xid (PCI:0000:9b:00): 79, pid=8805, GPU has fallen off the bus.",
)


def _well(device: Device) -> Device:
    return replace(
        device,
        state=DeviceState.OK,
        reason=None,
        unavailable={},
        memory_used_mib=4,
        gpu_utilization_ratio=0.0,
        power_w=70.0,
        temperature_c=31,
        sm_clock_mhz=210,
    )


def ended_work() -> tuple[Workload, ...]:
    """Three days of work that came and went, every two hours."""
    made = []
    for number in range(36):
        began_s = NOW_S - 74 * HOUR_S + number * 2 * HOUR_S
        took_s = (1.5 + number % 5) * HOUR_S
        if began_s + took_s >= NOW_S:
            continue
        one = workload(
            f"w0a{number:06d}",
            f"sweep-{number}",
            ("ann", "bob", "eve")[number % 3],
            WorkloadState.FINISHED,
            ("a100-01", tuple(range(1 + number % 2))),
            gpus=1 + number % 2,
            reason="exit 0",
        )
        times = {"submitted_at_s": began_s - 300, "started_at_s": began_s, "ended_at_s": began_s + took_s}
        made.append(replace(one, exit_code=0, **times))  # type: ignore[arg-type]
    return tuple(made)


def _whole(world: FrozenWorld) -> FrozenWorld:
    """The world with idle power, MIG profiles, and work that asks for as many GPUs as it has."""

    def whole(device: Device) -> Device:
        profiles = PROFILES if device.mig_enabled else ()
        idle = device.power_w is not None and not device.gpu_utilization_ratio
        return replace(device, mig_profiles=profiles, power_w=70.0 if idle else device.power_w)

    def asking(work: Workload) -> Workload:
        if work.allocation is None:
            return work
        return replace(work, request=replace(work.request, gpus=len(work.allocation.grants)))

    nodes = (replace(one, devices=tuple(map(whole, one.devices))) for one in world.nodes)
    return replace(world, nodes=tuple(nodes), workloads=tuple(map(asking, world.workloads)))


def _waving(device: Device, wave: float) -> Device:
    """The device with a load that goes up and down a little."""
    if not device.gpu_utilization_ratio:
        return device
    ratio = round(min(1.0, device.gpu_utilization_ratio * (1 + wave / 8)), 4)
    power_w = round(65 + ratio * ((device.power_limit_w or 400) - 90), 1)
    return replace(device, gpu_utilization_ratio=ratio, power_w=power_w)


def _samples(world: FrozenWorld) -> Iterator[Sample]:
    for ago_s in (*range(int(PAST_S), FINE_S, -STEP_S), *range(FINE_S, 0, -FINE_STEP_S)):
        at_s = int(NOW_S) - ago_s
        yield from samples_of(as_it_was(world, ago_s), at_s)
        for work in world.workloads:
            if work.state is WorkloadState.RUNNING and work.allocation is not None and at_s >= (work.started_at_s or 0):
                yield Sample(SeriesKey(SeriesKind.WORKLOAD, work.allocation.node, work.id), at_s, {})


def _write_work(ctx: Context, world: FrozenWorld) -> None:
    for one in sorted((*ended_work(), *world.workloads), key=lambda one: one.submitted_at_s):
        kind = AuditEntry(one.submitted_at_s, "submit", one.owner, one.id, None, {"gpus": one.request.gpus})
        ctx.journal.submit(replace(one, state=WorkloadState.PENDING, allocation=None, started_at_s=None), kind)
        if one.state is WorkloadState.PENDING:
            continue
        assert one.allocation is not None
        entries = [AuditEntry(one.started_at_s or 0.0, "start", "gpualloc", one.id, one.allocation.node)]
        if one.ended_at_s is not None:
            detail = {"state": one.state.value, "exit_code": one.exit_code}
            entries.append(AuditEntry(one.ended_at_s, "end", "gpualloc", one.id, one.allocation.node, detail))
        with ctx.journal.write("past") as writer:
            writer.save([replace(one, revision=one.revision + 1)], entries)


def _write_past(ctx: Context, world: FrozenWorld) -> None:
    _write_work(ctx, world)
    ctx.history.append(list(_samples(world)))
    for ago_s in (2100.0, 1980.0, 1490.0, 1190.0, 600.0, 130.0, 10.0):
        world.now_s = NOW_S - ago_s
        sample(ctx, Snapshot(world.now_s, as_it_was(world, ago_s)))
    world.now_s = NOW_S
    ctx.alerts.silence(Silence(0, "node-down", "l40s-02", NOW_S + 2 * HOUR_S, "new switch", "ann", NOW_S - 900))


@cache
def _past() -> Path:
    """A folder with what a day left."""
    folder = Path(tempfile.mkdtemp(prefix="gpualloc-pictures-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    world = _whole(fleet())
    with _context(world, folder) as ctx:
        _write_past(ctx, world)
    return folder


@contextmanager
def _context(world: FrozenWorld, folder: Path) -> Iterator[Context]:
    paths = StatePaths(folder)
    with ExitStack() as opened:
        made = (SqliteJournal(paths), SqliteHistory(paths), SqliteEvents(paths), SqliteAlerts(paths))
        for one in made:
            opened.callback(one.close)
        journal, history, events, alerts = made
        yield Context(
            FrozenFleet(world),  # type: ignore[arg-type]
            journal,
            history,
            FrozenClock(world),
            policy("pack"),
            "ann",
            settings=SETTINGS,
            events=events,
            alerts=alerts,
            forecaster=forecaster("auto"),
        )


@dataclass
class PicturedWorld:
    """A world, and what is remembered of it."""

    world: FrozenWorld
    ctx: Context

    def app(self, colours: Colours = Colours.MANY, theme: str | None = None) -> TopApp:
        source = replace(self.world.source(), judge=Judge(self.ctx).judge)
        options = TopOptions(every_s=2.0, theme=theme)
        return TopApp(self.ctx, source, options, title="gpualloc top", meter=FrozenMeter(), colours=colours)


@contextmanager
def pictured(folder: Path) -> Iterator[PicturedWorld]:
    """The frozen fleet, its past in that folder, and ids that are the same in every run."""
    shutil.copytree(_past(), folder, dirs_exist_ok=True)
    made: Counter[str] = Counter()

    def fresh_id(_: Context, prefix: str) -> str:
        made[prefix] += 1
        return new_id(prefix, hashlib.sha256(f"{prefix}{made[prefix]}".encode()).digest()[:RANDOM_BYTES])

    world = _whole(fleet())
    world.workloads = (*world.workloads, *(one for one in ended_work() if (one.ended_at_s or 0.0) > NOW_S - 86_400))
    with _context(world, folder) as ctx, patch.object(Context, "fresh_id", fresh_id):
        yield PicturedWorld(world, ctx)


async def settled(pilot: Pilot[None]) -> None:
    """Wait until a whole look is drawn, and every question has its answer."""
    app = pilot.app
    assert isinstance(app, TopApp)
    await until(pilot, lambda: app.view is not None and app.shell.state.seen.looks > 0)
    await until(pilot, lambda: app.shell.state.seen.workloads is not None)
    await until(pilot, lambda: _is_read(app))
    quiet = 0
    while quiet < 3:
        # An answer may bring another question, which is asked when it is drawn.
        lanes = app.shell.desk._lanes.values()
        await until(pilot, lambda lanes=lanes: not any(lane.busy for lane in list(lanes)))  # type: ignore[misc]
        await pilot.pause(0.05)
        quiet = quiet + 1 if not any(lane.busy for lane in list(lanes)) else 0
        if isinstance(app.screen, View):
            app.screen.redraw()
    await pilot.pause()
    assert app.crash is None


def _is_read(app: TopApp) -> bool:
    """Whether what work prints has come, which is asked for once a second."""
    view = app.screen
    return (
        not isinstance(view, WorkloadView)
        or view._workload is None
        or (view._workload.allocation is None or len(view.query_one("#output", Lines).lines) > 1)
    )
