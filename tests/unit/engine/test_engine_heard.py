"""Ticks over what nodes tell: the first when all told something, none for ever away."""

import pytest
from fakes.memory_context import MemoryFleet, memory_context
from fakes.scenes import node

from gpualloc.engine.heard import ticks
from gpualloc.errors import NotFoundError
from gpualloc.ports import WatchFigures

NAMES = ("n1", "n2")
FIGURES = WatchFigures(2, 0, 0, 0, 0, 0, 0)


class ScriptedWatch:
    """Tells what a test wrote down: each step is seconds that pass and what is heard then."""

    def __init__(self, clock, steps):
        self.clock = clock
        self.steps = list(steps)
        self.closed = False

    def hear(self, timeout_s):
        passes_s, names = self.steps.pop(0)
        self.clock.at_s += passes_s
        return [node(name, driver_version=str(self.clock.at_s)) for name in names]

    def figures(self):
        return FIGURES

    def close(self):
        self.closed = True


class StepClock:
    """A time that goes on by what is heard."""

    at_s = 1000.0

    def now_s(self):
        return self.at_s


@pytest.fixture
def watched():
    """Run ticks over steps; returns the ticks and the watch."""

    def watched(steps, names=None, every_s=10.0, first_s=0.0):
        clock = StepClock()
        watch = ScriptedWatch(clock, steps)
        fleet = MemoryFleet(nodes=tuple(node(name) for name in NAMES))
        asked = []

        def begin(period_s, chosen=None):
            asked.append((period_s, chosen))
            return watch

        fleet.watch = begin
        ctx = memory_context(fleet=fleet, clock=clock)
        found = list(ticks(ctx, every_s, lambda: not watch.steps, names, first_s=first_s))
        assert asked == [(every_s, names)]
        assert watch.closed
        return found

    return watched


def told(tick):
    return sorted(node.name for node in tick.told)


def test_the_first_tick_is_when_all_told_something(watched):
    found = watched([(1, ["n1"]), (1, []), (1, ["n2"]), (1, ["n1"])])
    assert [(tick.at_s, told(tick)) for tick in found] == [(1003.0, ["n1", "n2"])]
    assert [node.name for node in found[0].nodes] == ["n1", "n2"]
    assert found[0].figures == FIGURES


def test_a_node_that_tells_nothing_keeps_no_tick_away(watched):
    found = watched([(5, ["n1"]), (5, ["n1"]), (5, []), (5, ["n2"])])
    assert [(tick.at_s, told(tick)) for tick in found] == [(1010.0, ["n1"]), (1020.0, ["n2"])]
    assert [node.name for node in found[1].nodes] == ["n1", "n2"]
    assert found[1].nodes[0].driver_version == "1010.0"


def test_the_first_tick_may_wait_longer(watched):
    found = watched([(9, ["n1"]), (9, []), (9, ["n2"]), (9, []), (2, ["n1"]), (7, [])], first_s=30.0)
    assert [(tick.at_s, told(tick)) for tick in found] == [(1027.0, ["n1", "n2"]), (1038.0, ["n1"])]
    found = watched([(9, ["n1"]), (9, []), (9, []), (9, []), (9, ["n2"]), (1, [])], first_s=30.0)
    assert [(tick.at_s, told(tick)) for tick in found] == [(1036.0, ["n1"]), (1045.0, ["n2"])]


def test_ticks_keep_their_period_and_are_not_made_up_for(watched):
    found = watched([(1, NAMES), (10, ["n1"]), (35, ["n1"]), (9, ["n1"]), (1, [])])
    assert [tick.at_s for tick in found] == [1001.0, 1011.0, 1046.0, 1055.0]


def test_only_the_chosen_are_awaited(watched):
    found = watched([(1, ["n2"]), (1, [])], names=("n2",))
    assert [tick.at_s for tick in found] == [1001.0]


def test_a_clock_that_is_set_back_delays_no_tick(watched):
    found = watched([(1, NAMES), (-3600, ["n1"]), (10, ["n1"])])
    assert [tick.at_s for tick in found] == [1001.0, -2599.0, -2589.0]


def test_an_unknown_name_is_refused():
    class Refusing(MemoryFleet):
        def watch(self, every_s, names=None):
            raise NotFoundError("no such node")

    with pytest.raises(NotFoundError):
        list(ticks(memory_context(fleet=Refusing()), 1.0, lambda: False, ["x"]))
