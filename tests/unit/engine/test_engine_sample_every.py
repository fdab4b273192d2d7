"""Sampling for ever: what is heard lands in its tick, gaps are told, and nothing that goes wrong ends it."""

import pytest
from msgspec.structs import replace

from gpualloc.engine.sample import sample_every
from gpualloc.errors import LockedError, StateError
from gpualloc.model.health import KernelMessage, Trouble
from gpualloc.model.inventory import HostReading, Node, NodeSpec, NodeState
from gpualloc.model.sample import METRICS
from gpualloc.store.events import SqliteEvents

START_S = 1_790_000_000.0
CPU = METRICS["cpu_utilization_ratio"]


class Script:
    """A fleet, a watch and a clock: at each hearing the next scene is played, and then it is over."""

    def __init__(self, *scenes):
        self.scenes = list(scenes)
        self.at_s = START_S
        self.closed = False
        self.backlog = []

    def specs(self):
        return (NodeSpec("a", "p", "ssh"), NodeSpec("b", "p", "ssh"))

    def watch(self, every_s, keep=None):
        return self

    def hear(self, timeout_s):
        if not self.scenes:
            return []
        moment_s, nodes = self.scenes.pop(0)
        self.at_s = START_S + moment_s
        return [replace(node, at_s=self.at_s) if node.at_s is None else node for node in nodes]

    def late(self):
        told, self.backlog = self.backlog, []
        return told

    def close(self):
        self.closed = True

    def over(self):
        return not self.scenes

    def now_s(self):
        return self.at_s


def well(name, use, at_s=None):
    return Node(NodeSpec(name, "p", "ssh"), NodeState.OK, at_s, host=HostReading(cpu_utilization_ratio=use))


def ill(name, state=NodeState.UNREACHABLE):
    return Node(NodeSpec(name, "p", "ssh"), state, START_S, reason="no way to the host")


@pytest.fixture
def play(ctx):
    def run(script, every_s=10.0, **ports):
        ticks = []
        world = replace(ctx, fleet=script, clock=script, **ports)
        sample_every(world, every_s, script.over, ticks.append)
        assert script.closed
        return ticks, {
            series.key.node: [(at_s - START_S, value) for at_s, value in series.points]
            for series in world.history.read(CPU, 0, START_S * 2)
        }

    return run


def test_each_node_has_one_row_in_each_tick_in_which_it_told_of_itself(play):
    script = Script(
        (1, [well("a", 0.1), well("b", 0.2)]),
        (5, [well("a", 0.3)]),
        (12, [well("a", 0.4), well("b", 0.5)]),
        (25, [well("a", 0.6)]),
        (31.5, []),
    )
    ticks, stored = play(script)
    assert stored == {"a": [(0, 0.3), (10, 0.4), (20, 0.6)], "b": [(0, 0.2), (10, 0.5)]}
    assert [(tick.at_s - START_S, tick.nodes, tick.trouble) for tick in ticks] == [
        (0, 2, None),
        (10, 2, None),
        (20, 1, None),
    ]


def test_what_comes_a_moment_after_the_border_still_finds_its_tick_open(play):
    _, stored = play(Script((9.9, [well("a", 0.1)]), (10.4, [well("b", 0.2, START_S + 9.95)]), (21.5, [])))
    assert stored == {"a": [(0, 0.1)], "b": [(0, 0.2)]}


def test_a_tick_without_anybody_is_a_gap_that_says_why(play):
    script = Script((1, [well("a", 0.1)]), (12, [ill("a"), ill("b", NodeState.AUTH_FAILED)]), (22, []), (31.5, []))
    ticks, stored = play(script)
    assert stored == {"a": [(0, 0.1)]}
    said = "no node answered: a: unreachable (no way to the host); b: auth failed (no way to the host)"
    assert [(tick.nodes, tick.trouble) for tick in ticks][1:] == [(0, said), (0, said)]


def test_what_is_heard_of_a_stale_node_is_not_kept(play):
    _, stored = play(Script((1, [well("a", 0.1)]), (12, [replace(well("a", 0.1), state=NodeState.STALE)]), (21.5, [])))
    assert stored == {"a": [(0, 0.1)]}


def test_late_looks_land_in_their_own_ticks(play):
    script = Script((101, [well("a", 0.5)]), (112, []))
    script.backlog = [well("a", 0.1, START_S + 3), well("a", 0.2, START_S + 13)]
    assert play(script)[1] == {"a": [(0, 0.1), (10, 0.2), (100, 0.5)]}


def test_a_clock_that_is_set_back_loses_nothing(play):
    script = Script((3601, [well("a", 0.1)]), (5, [well("a", 0.2)]), (16, [well("a", 0.3)]), (27, []))
    assert play(script)[1] == {"a": [(0, 0.2), (10, 0.3), (3600, 0.1)]}


def test_the_end_keeps_the_tick_that_has_begun(play):
    assert play(Script((1, [well("a", 0.1)])))[1] == {"a": [(0, 0.1)]}


class FullDisk:
    """A history on a disk without room for the first tick."""

    def __init__(self, history):
        self._history = history
        self.refused = 0

    def __getattr__(self, name):
        return getattr(self._history, name)

    def append(self, samples):
        if not self.refused:
            self.refused += 1
            raise StateError("history.db cannot be written: the disk is full")
        return self._history.append(samples)


def test_a_full_disk_costs_its_ticks_and_no_more(play, ctx):
    script = Script((1, [well("a", 0.1)]), (12, [well("a", 0.2)]), (22, []))
    ticks, stored = play(script, history=FullDisk(ctx.history))
    assert stored == {"a": [(10, 0.2)]}
    assert [tick.trouble for tick in ticks] == ["history.db cannot be written: the disk is full", None]


def test_two_at_once_are_one_too_many(play, ctx):
    with ctx.journal.sampling(), pytest.raises(LockedError, match="sampled into this state already by process"):
        sample_every(replace(ctx, fleet=Script()), 10.0, lambda: True, lambda tick: None)


def xid(seq, code, at_s):
    return KernelMessage(seq, at_s, Trouble.XID, code, None, f"NVRM: Xid: {code}")


def test_what_goes_wrong_is_told_with_its_tick_and_once(play, ctx):
    store = SqliteEvents(ctx.journal._paths)
    first = replace(well("a", 0.1), boot_id="b1")
    sick = replace(well("a", 0.2), boot_id="b1", kernel_messages=(xid(7, 79, START_S + 12),))
    script = Script((1, [first]), (11.5, []), (12, [sick]), (22, [sick]), (33, []))
    ticks, _ = play(script, events=store)
    assert [[event.code for event in tick.events] for tick in ticks] == [[], [79], []]
    assert [event.code for event in store.events(0)] == [79]
    store.close()


def test_a_node_that_is_lost_and_back_are_two_events(play, ctx):
    store = SqliteEvents(ctx.journal._paths)
    script = Script((1, [well("a", 0.1)]), (12, [ill("a")]), (22, []), (33, [well("a", 0.3)]), (44, []))
    ticks, _ = play(script, events=store)
    told = [(event.trouble, event.over) for tick in ticks for event in tick.events]
    assert told == [(Trouble.NODE_STATE, False), (Trouble.NODE_STATE, True)]
    store.close()
