"""The cluster of the week, and the engine over it: everything real but the hardware and the clock."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from gpualloc.adapters.fleet import LinkedFleet
from gpualloc.adapters.simulated import SimulatedNodes
from gpualloc.engine.context import Context, Settings
from gpualloc.engine.serial import NoForecaster
from gpualloc.forecast.auto import Auto
from gpualloc.model.desired import Repartition
from gpualloc.model.inventory import NodeSpec
from gpualloc.model.rebalancing import RebalanceRules
from gpualloc.policies.registry import load
from gpualloc.ports import Forecaster
from gpualloc.sim.cluster import ClusterSpec, HostSpec
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal

BEGIN_S = 1_789_948_800.0
"""Monday, 2026-09-21 00:00 UTC."""
TICK_S = 600.0
"""A run of `rebalance`, and a sample, every that many seconds."""
PRICES = {"a100": 1.5, "h100": 3.0}
"""For an hour of one GPU, in the same money for both pools; made up."""
MIG_NODE = "a4"
"""Where the second half of the GPUs is in MIG mode."""
LAYOUT = ("3g.20gb", "2g.10gb", "1g.5gb", "1g.5gb")
"""Instances of each device in MIG mode at the beginning."""


class Arm(Struct, frozen=True):
    """One way to run the cluster."""

    name: str
    rules: RebalanceRules
    repartition: Repartition
    forecaster: Forecaster = field(default_factory=NoForecaster)
    share: dict[str, tuple[str, ...]] | None = None
    """The nodes of each tenant; None: all may go everywhere."""


SHARES = {
    "speech": ("h1", "h2", "h3"),
    "vision": ("a1", "a2"),
    "robots": ("a3",),
    "students": ("a4", "h4"),
    "services": ("a4", "h4"),
}
REACTIVE = RebalanceRules(predict=False, idle_after_s=3600.0)
PREDICTIVE = RebalanceRules(idle_after_s=3600.0, trough_below=0.6)
ARMS = (
    Arm("static", RebalanceRules(moves=0, ahead=False, predict=False), Repartition.OFF, share=SHARES),
    Arm("reactive", REACTIVE, Repartition.INSTANCES),
    Arm("predictive", PREDICTIVE, Repartition.INSTANCES, Auto()),
)


def cluster(scale: int = 8) -> ClusterSpec:
    """Four nodes of A100, of which one has half its GPUs in MIG mode, and four of H100; each with `scale` GPUs."""
    mig = tuple(range(scale // 2, scale))
    nodes = [
        HostSpec(
            name, (model,) * scale, cpus=128, memory_gib=2048, driver="580.95.05",
            mig=mig if name == MIG_NODE else (),
            instances=tuple((index, each) for index in mig for each in LAYOUT) if name == MIG_NODE else (),
        )
        for kind, model in (("a", "A100-40GB"), ("h", "H100-80GB"))
        for name in (f"{kind}{number}" for number in range(1, 5))
    ]  # fmt: skip
    return ClusterSpec("week", tuple(nodes), seed=1)


class Wall:
    """A wall clock that stands still until it is set."""

    def __init__(self) -> None:
        self.at_s = BEGIN_S

    def __call__(self) -> float:
        """Epoch seconds."""
        return self.at_s


@contextmanager
def world(arm: Arm, spec: ClusterSpec, wall: Wall) -> Iterator[Context]:
    """One gpualloc with books of its own, in memory where the machine has such a folder."""
    memory = Path("/dev/shm")
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None))
        folder = Path(name)
        nodes = stack.enter_context(closing(SimulatedNodes(folder, spec, wall=wall)))
        specs = [_priced(each) for each in nodes.specs()]
        links = [(each, lambda name=each.name: nodes.link(name)) for each in specs]
        fleet = stack.enter_context(closing(LinkedFleet(links, clock=nodes.clock, width=1)))
        journal = stack.enter_context(closing(SqliteJournal(StatePaths(folder))))
        history = stack.enter_context(closing(SqliteHistory(StatePaths(folder))))
        settings = Settings(sample_every_s=TICK_S, repartition=arm.repartition, rebalance=arm.rules, max_disturbed=1000)
        yield Context(
            fleet, journal, history, nodes.clock, load("pack"), "root",
            simulated=True, settings=settings, forecaster=arm.forecaster,
        )  # fmt: skip


def _priced(spec: NodeSpec) -> NodeSpec:
    pool = "a100" if spec.name.startswith("a") else "h100"
    return replace(spec, pool=pool, price_per_gpu_hour=PRICES[pool])
