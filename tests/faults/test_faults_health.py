"""What health makes of faults: reboots, GPUs that go and come back, clocks that are set back, a full disk."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack, suppress

import pytest
from fakes.memory_context import memory_context
from msgspec.structs import replace

from gpualloc.adapters.fleet import LinkedFleet
from gpualloc.adapters.simulated import SimulatedNodes
from gpualloc.engine.events import record
from gpualloc.engine.health_look import look_at_health
from gpualloc.errors import StateError
from gpualloc.model.health import Trouble
from gpualloc.sim.cluster import ClusterSpec, Fault, HostSpec
from gpualloc.sim.gpu import FaultKind
from gpualloc.store.events import SqliteEvents
from gpualloc.store.paths import StatePaths

SPEC = ClusterSpec("faulty", (HostSpec("n1", ("L4", "L4", "L4")), HostSpec("n2", ("L4",))))


class World:
    """A simulated fleet with a wall clock that a test moves, and a real history.db."""

    def __init__(self, folder, opened, spec=SPEC, state=None):
        self.wall_s = 1_790_000_000.0
        self.nodes = SimulatedNodes(folder / "sim", spec, wall=lambda: self.wall_s)
        opened.callback(self.nodes.close)
        self._opened = opened
        events = SqliteEvents(StatePaths(state or folder / "state"))
        opened.callback(events.close)
        self.ctx = memory_context(fleet=self._connected(), clock=self.nodes.clock, events=events, simulated=True)

    def _connected(self):
        links = [(one, lambda name=one.name: self.nodes.link(name)) for one in self.nodes.specs()]
        fleet = LinkedFleet(links, clock=self.nodes.clock)
        self._opened.callback(fleet.close)
        return fleet

    def reboot(self, name):
        """Reboot a node; its connection is a new one then."""
        self.nodes.reboot(name)
        self.ctx = replace(self.ctx, fleet=self._connected())

    def look(self, pass_s=10.0):
        """Let time pass, look at all nodes and record; returns what is new."""
        self.wall_s += pass_s
        return record(self.ctx, list(self.ctx.fleet.observe()))

    def told(self):
        return [(each.trouble, each.node) for each in self.ctx.events.conditions()]


@pytest.fixture
def world(tmp_path):
    with ExitStack() as opened:
        yield lambda *faults: World(tmp_path, opened, replace(SPEC, faults=faults))


def test_a_reboot_is_told_once_and_of_its_node_only(world):
    one = world()
    assert one.look() == ()
    one.reboot("n1")
    assert [(event.trouble, event.node) for event in one.look()] == [(Trouble.RESTARTED, "n1")]
    assert one.look() == ()


def test_a_gpu_that_comes_back_at_another_index_is_the_same_gpu(world):
    one = world(Fault("n1", FaultKind.MISSING, gpu=0, from_s=15.0, until_s=25.0))
    assert one.look() == ()
    (gone,) = one.look()
    assert (gone.trouble, gone.device is not None) == (Trouble.GPU_MISSING, True)
    (back,) = one.look()
    assert (back.over, back.device) == (True, gone.device)
    shifted = [
        replace(node, devices=tuple(replace(gpu, index=2 - gpu.index) for gpu in node.devices))
        for node in one.ctx.fleet.observe(["n1"])
    ]
    assert record(one.ctx, shifted) == ()


def test_a_clock_that_is_set_back_an_hour_loses_and_doubles_nothing(world):
    one = world(Fault("n1", FaultKind.ECC_ERRORS, gpu=0), Fault("n2", FaultKind.GHOST_BUSY, gpu=0))
    first = one.look()
    before = one.told()
    assert one.look(-3600) == ()
    assert one.told() == before
    told = one.look(3600 + 70)
    assert [event.trouble for event in told] == [Trouble.GHOST_BUSY]
    assert len(one.ctx.events.events(0)) == len(first) + len(told) + 1  # the kernel log of the first look was no news


def test_a_node_that_is_away_for_a_while_comes_back_with_what_it_had(world):
    one = world(
        Fault("n1", FaultKind.REMAP_PENDING, gpu=1),
        Fault("n1", FaultKind.UNREACHABLE, from_s=15.0, until_s=35.0),
    )
    one.look()
    assert one.told() == [(Trouble.REMAP_PENDING, "n1")]
    assert [event.trouble for event in one.look()] == [Trouble.NODE_STATE]
    assert (Trouble.REMAP_PENDING, "n1") in one.told()
    one.look()
    assert [(event.trouble, event.over) for event in one.look()] == [(Trouble.NODE_STATE, True)]
    assert one.told() == [(Trouble.REMAP_PENDING, "n1")]


def test_a_line_of_the_log_is_told_while_the_driver_hangs(world):
    hung = Fault("n2", FaultKind.HUNG, gpu=0, from_s=15.0)
    one = world(hung, replace(hung, kind=FaultKind.XID, from_s=16.0, code=119))
    one.look()
    assert {event.trouble for event in one.look()} == {Trouble.XID, Trouble.DEVICE_STATE}


def fill(ballast):
    """Write until nothing more fits."""
    handle = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while True:
            os.write(handle, b"x" * 4096)
    os.close(handle)


@pytest.mark.root
def test_a_full_disk_keeps_nothing_of_a_look_and_hides_nothing(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "gpualloc-test", small], check=True)
    try:
        with ExitStack() as opened:
            spec = replace(SPEC, faults=(Fault("n1", FaultKind.ECC_ERRORS, gpu=0, from_s=15.0),))
            one = World(tmp_path, opened, spec, state=small)
            one.look()
            fill(small / "ballast")
            one.wall_s += 10
            with pytest.raises(StateError):
                one.look()
            found = look_at_health(one.ctx)
            assert [each.trouble for each in found.conditions] == [Trouble.ECC_ERRORS]
            assert found.unkept is not None
            (small / "ballast").unlink()
            assert {event.trouble for event in one.look()} == {Trouble.ECC_ERRORS, Trouble.XID}
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)
