"""What happened between two pictures of a node, and nothing else."""

from fakes import fleet_readings as fleet
from msgspec.structs import replace

from gpualloc.engine.replay import happened, replay
from gpualloc.model.health import KernelMessage, Severity, Trouble
from gpualloc.model.inventory import DeviceState, NodeState

NODE = fleet.FULL_NODE


def said(before, after):
    return [(each.severity.value, each.what) for each in happened(before, after)]


def with_device(**changes):
    return replace(NODE, devices=(replace(NODE.devices[0], **changes), NODE.devices[1]))


def test_nothing_happens_to_a_node_that_stays_or_only_reads_otherwise():
    assert said(NODE, NODE) == []
    assert said(NODE, replace(with_device(power_w=1.0), at_s=NODE.at_s + 10)) == []
    assert said(None, NODE) == []


def test_states_of_nodes():
    down = replace(NODE, state=NodeState.UNREACHABLE, reason="no route", devices=(), processes=())
    assert said(NODE, down) == [("error", "unreachable: no route")]
    assert said(down, down) == []
    assert said(None, down) == [("error", "unreachable: no route")]
    assert said(down, NODE)[0] == ("info", "ok")


def test_states_of_devices():
    lost = with_device(state=DeviceState.LOST, reason="since 12:00")
    assert said(NODE, lost) == [("error", "gpu 0: GPU lost: since 12:00")]
    assert said(None, lost) == [("error", "gpu 0: GPU lost: since 12:00")]
    assert said(lost, NODE) == [("info", "gpu 0: ok")]


def test_devices_that_come_and_go():
    fewer = replace(NODE, devices=NODE.devices[:1])
    assert said(NODE, fewer) == [("error", "gpu 1 is gone")]
    assert said(fewer, NODE) == [("info", "gpu 1 is there")]


def test_processes_that_begin_and_end():
    fewer = replace(NODE, processes=NODE.processes[1:])
    assert said(NODE, fewer) == [("info", "gpu 0: process 4711 of ann is gone")]
    assert said(fewer, NODE) == [("info", "gpu 0: process 4711 of ann begins (/usr/bin/python train.py --key secret)")]
    reused = replace(NODE, processes=(replace(NODE.processes[0], started_at_s=NODE.at_s), NODE.processes[1]))
    assert [what.rsplit(" (")[0] for _, what in said(NODE, reused)] == [
        "gpu 0: process 4711 of ann begins",
        "gpu 0: process 4711 of ann is gone",
    ]


def test_lines_of_the_kernel_log_once():
    line = KernelMessage(8, NODE.at_s, Trouble.XID, 94, None, "NVRM: Xid 94")
    more = replace(NODE, kernel_messages=(*NODE.kernel_messages, line))
    assert said(NODE, more) == [("warning", "xid: NVRM: Xid 94")]
    assert said(more, more) == []


def test_a_node_that_was_booted():
    booted = replace(NODE, boot_id="other", kernel_messages=())
    assert said(NODE, booted) == [("warning", "the node was booted")]


class Played:
    """A recording of these pictures, one a second."""

    def __init__(self, *nodes):
        self._nodes = list(nodes)
        self._now = None
        self._at = 0

    @property
    def next_s(self):
        return float(self._at) if self._at < len(self._nodes) else None

    def play(self):
        self._now = self._nodes[self._at]
        self._at += 1
        return {self._now.name}

    def node(self, name):
        return self._now


def test_a_replay_begins_where_it_is_asked_to():
    lost = with_device(state=DeviceState.LOST)
    waits = []
    found = list(replay(Played(NODE, lost, NODE, lost), 2.0, waits.append, lambda: False))
    assert [(each.what, each.severity) for each in found] == [
        ("gpu 0: ok", Severity.INFO),
        ("gpu 0: GPU lost", Severity.ERROR),
    ]
    assert waits == [2.0, 3.0]


def test_a_replay_ends_when_it_is_stopped():
    lost = with_device(state=DeviceState.LOST)
    found = []
    for each in replay(Played(NODE, lost, NODE), 0.0, lambda _: None, lambda: bool(found)):
        found.append(each.what)
    assert found == ["gpu 0: GPU lost"]
