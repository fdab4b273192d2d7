"""The engine over real parts: the simulated cluster behind the real node server, and the real databases."""

import time

import pytest

from gpualloc.adapters.fleet import LinkedFleet
from gpualloc.adapters.simulated import SimulatedNodes
from gpualloc.engine.context import Context
from gpualloc.policies.registry import load
from gpualloc.sim.demo import demo_cluster
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal


@pytest.fixture
def made_context(tmp_path_factory):
    """A function that gives a fresh demo world, for as long as the test lasts."""
    opened = []

    def make(policy="best-fit", cluster=None, wall=time.time):
        folder = tmp_path_factory.mktemp("world")
        nodes = SimulatedNodes(folder, cluster or demo_cluster(), wall=wall)
        fleet = LinkedFleet(
            [(spec, lambda name=spec.name: nodes.link(name)) for spec in nodes.specs()], clock=nodes.clock
        )
        journal, history = SqliteJournal(StatePaths(folder)), SqliteHistory(StatePaths(folder))
        opened.extend((fleet, journal, history, nodes))
        return Context(fleet, journal, history, nodes.clock, load(policy), "ann", simulated=True)

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def ctx(made_context):
    """A fresh demo world."""
    return made_context()


class SteppedWall:
    """A wall clock that stands still until a test moves it."""

    def __init__(self):
        self.at_s = 1_790_000_000.0

    def __call__(self):
        return self.at_s

    def step(self, seconds):
        self.at_s += seconds


@pytest.fixture
def wall():
    """A wall clock for `made_context` that moves when the test says so."""
    return SteppedWall()
