"""Conditions and events as CSV, and lines of a replay: nothing in them does harm."""

import csv
import io

from fakes import fleet_readings as fleet

from gpualloc.model.happening import Happening
from gpualloc.model.health import Condition, Event, Severity, Trouble
from gpualloc.views.health_csv import conditions_csv, events_csv
from gpualloc.views.look import Look
from gpualloc.views.replay import happening_data, happening_line

INDICES = {fleet.FULL_UUID: 0}
BAD = Condition(Trouble.REMAP_FAILED, Severity.CRITICAL, "full", fleet.FULL_UUID, "=1+1", None, 5.5)
OF_NODE = Condition(Trouble.NODE_STATE, Severity.ERROR, "evil", None, fleet.EVIL, fleet.EVIL, 6.0)
XID = Event(7.0, Trouble.XID, Severity.ERROR, "full", "GPU-gone", "Xid 79", "reset it", "k", 79)
OVER = Event(8.0, Trouble.THROTTLED, Severity.INFO, "full", fleet.FULL_UUID, "cool again", None, "k2", over=True)


def rows(text):
    return list(csv.reader(io.StringIO(text), strict=True))[1:]


def test_conditions():
    bad, node = rows(conditions_csv([BAD, OF_NODE], INDICES, simulated=True))
    uuid = fleet.FULL_UUID
    assert bad == ["true", "full", "0", uuid, "row remap failed", "critical", "5.5", "'=1+1", ""]
    assert node[:7] == ["true", "evil", "", "", "node state", "error", "6.0"]
    assert all(char.isprintable() for char in node[7])
    assert len(node[7]) < 20_000


def test_events():
    xid, over = rows(events_csv([XID, OVER], INDICES, simulated=False))
    assert xid == ["false", "7.0", "full", "", "GPU-gone", "xid", "79", "error", "false", "Xid 79", "reset it"]
    assert over[8] == "true"


def test_a_line_of_a_replay_steers_no_terminal():
    happening = Happening(1_800_000_000.0, "evil\x1b[2J", None, Severity.ERROR, fleet.EVIL[:500])
    line = happening_line(happening, Look(80, colour=False))
    assert line.startswith("2027-01-15 08:00:00Z  evil\\x1b[2J  ")
    assert line.isprintable()
    assert happening_data(happening)["severity"] == "error"
