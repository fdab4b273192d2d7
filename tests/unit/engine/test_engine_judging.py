"""Looks that nobody keeps are judged for as long as somebody watches."""

from __future__ import annotations

from contextlib import closing

import pytest
from fakes.memory_context import memory_context
from msgspec.structs import replace

from gpualloc.engine.events import record
from gpualloc.engine.judging import Judge
from gpualloc.model.health import KernelMessage, Trouble
from gpualloc.model.inventory import Device, HostReading, Node, NodeSpec, NodeState
from gpualloc.model.readings import Board, Ecc
from gpualloc.store.events import SqliteEvents
from gpualloc.store.paths import StatePaths

NOW = 1_790_000_000.0
GPU = Device("GPU-0", 3, "NVIDIA L4", 23034, gpu_utilization_ratio=0.0, board=Board("0000:3b:00.0"))
NODE = Node(
    NodeSpec("gpu01", "p", "ssh"),
    NodeState.OK,
    NOW,
    boot_id="b1",
    nvml_state="ok",
    clock_offset_s=0.0,
    host=HostReading(swap_in_bytes_per_s=0.0),
    devices=(GPU,),
)
SICK = replace(NODE, devices=(replace(GPU, ecc=Ecc(volatile_uncorrected=2)),))
XID = KernelMessage(1, NOW - 5, Trouble.XID, 79, "0000:3b:00", "NVRM: Xid")


class Clock:
    """A time that a test moves."""

    def __init__(self):
        self.at_s = NOW

    def now_s(self):
        return self.at_s


@pytest.fixture
def ctx(tmp_path):
    with closing(SqliteEvents(StatePaths(tmp_path))) as events:
        yield memory_context(clock=Clock(), events=events)


def test_a_condition_is_as_old_as_when_it_was_first_seen(ctx):
    judge = Judge(ctx)
    judge.judge([NODE])
    ctx.clock.at_s += 60
    judge.judge([SICK])
    ctx.clock.at_s += 600
    (condition,) = judge.judge([SICK]).conditions
    assert (condition.trouble, condition.since_s) == (Trouble.ECC_ERRORS, NOW + 60)


def test_what_happened_is_remembered_once_and_nothing_is_written(ctx):
    judge = Judge(ctx)
    judge.judge([NODE])
    for _ in range(3):
        found = judge.judge([replace(SICK, kernel_messages=(XID,))])
    assert sorted(event.trouble for event in found.events) == [Trouble.ECC_ERRORS, Trouble.XID]
    ctx.clock.at_s += 60
    well = replace(NODE, devices=(replace(GPU, ecc=Ecc(volatile_uncorrected=0)),))
    assert [event.over for event in judge.judge([well]).events if event.trouble is Trouble.ECC_ERRORS] == [False, True]
    assert ctx.events.events(0) == ()
    assert ctx.events.heard() == {}


def test_what_others_have_kept_meanwhile_counts(ctx):
    judge = Judge(ctx)
    judge.judge([NODE])
    record(ctx, [SICK])
    ctx.clock.at_s += 300
    (condition,) = judge.judge([SICK]).conditions
    assert condition.since_s == NOW


def test_a_node_that_is_not_looked_at_keeps_its_troubles(ctx):
    judge = Judge(ctx)
    judge.judge([SICK])
    other = replace(NODE, spec=NodeSpec("gpu02", "p", "ssh"), devices=(replace(GPU, uuid="GPU-1"),))
    assert [one.node for one in judge.judge([other]).conditions] == ["gpu01"]
