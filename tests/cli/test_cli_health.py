"""`gpualloc health` and `gpualloc events`, over real stores and the simulated sick cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from fakes.memory_context import memory_context
from msgspec.structs import replace

from gpualloc.adapters.fleet import LinkedFleet
from gpualloc.adapters.simulated import SimulatedNodes
from gpualloc.config.simfile import load_cluster
from gpualloc.errors import StateError
from gpualloc.store.events import SqliteEvents
from gpualloc.store.paths import StatePaths

SICK = Path(__file__).parents[2] / "docs" / "examples" / "sick.toml"


class Wall:
    """A wall clock that a test moves."""

    def __init__(self):
        self.at_s = 1_790_000_000.0

    def __call__(self):
        return self.at_s


@pytest.fixture
def wall():
    return Wall()


@pytest.fixture
def sick(world, tmp_path, wall):
    """Commands look at the sick cluster; returns a function that lets time pass there."""
    with ExitStack() as opened:
        nodes = SimulatedNodes(tmp_path / "sim", load_cluster(SICK), wall=wall)
        opened.callback(nodes.close)
        links = [(spec, lambda name=spec.name: nodes.link(name)) for spec in nodes.specs()]
        fleet = LinkedFleet(links, clock=nodes.clock)
        opened.callback(fleet.close)
        events = SqliteEvents(StatePaths(tmp_path / "state"))
        opened.callback(events.close)
        world.context = memory_context(fleet=fleet, clock=nodes.clock, events=events, simulated=True)

        def step(seconds):
            wall.at_s += seconds

        yield step


def told(ran, kind="conditions"):
    return [(each["severity"], each["node"], each["trouble"]) for each in json.loads(ran.out)["data"][kind]]


def test_at_first_sight_what_is_certain_is_told(run, sick):
    assert told(run("health", "--json")) == [
        ("critical", "sick01", "device state"),
        ("error", "sick01", "ecc errors"),
        ("warning", "sick01", "row remap pending"),
        ("warning", "sick02", "pcie degraded"),
    ]


def test_later_also_what_had_to_hold_for_a_while(run, sick):
    run("health")
    sick(60)
    ran = run("health", "--json")
    assert told(ran) == [
        ("critical", "gone01", "node state"),
        ("critical", "sick01", "device state"),
        ("critical", "sick01", "gpu missing"),
        ("error", "sick01", "ecc errors"),
        ("warning", "sick01", "row remap pending"),
        ("warning", "sick02", "throttled"),
        ("warning", "sick02", "pcie degraded"),
        ("warning", "sick02", "ghost busy"),
    ]
    data = json.loads(ran.out)["data"]
    assert (data["healthy"], data["nodes"], data["nodes_unreached"]) == (False, 4, 1)
    assert data["counts"] == {"critical": 3, "error": 1, "warning": 4, "info": 0}
    missing = next(each for each in data["conditions"] if each["trouble"] == "gpu missing")
    assert missing["what"].startswith("GPU 1 at 0000:06:00.0 is gone")
    assert missing["what"].endswith("and still on the bus")


def test_as_text_with_place_advice_and_a_line_that_sums_up(run, sick):
    run("health")
    sick(60)
    ran = run("health", "sick02", "--severity", "warning")
    lines = ran.out.splitlines()
    assert lines[0] == "simulated"
    assert lines[1].startswith("warning  sick02 GPU 0  throttled  since ")
    assert lines[1].endswith(", 1m00s")
    assert lines[2:4] == [
        "    its clocks are held down: hardware slowdown, hardware thermal slowdown",
        "    look at the cooling and the power supply of the node",
    ]
    assert lines[-1].startswith("warning: 3; 1 node; 1 event of severity error or worse in 24 h")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("sick01",), 0),
        (("sick01", "--detailed-exitcode"), 10),
        (("sick01", "--detailed-exitcode", "--severity", "critical"), 10),
        (("sick02", "--detailed-exitcode", "--severity", "error"), 0),
        (("well01", "--detailed-exitcode"), 0),
    ],
)
def test_the_exit_code_is_for_cron(run, sick, arguments, code):
    assert run("health", *arguments).code == code


def test_nothing_reachable_is_exit_code_3_and_told_all_the_same(run, sick):
    sick(60)
    ran = run("health", "gone01", "--detailed-exitcode")
    assert ran.code == 3
    assert "critical  gone01  node state" in ran.out
    assert "error: gone01: unreachable" in ran.err


def test_a_fleet_that_is_well(run, sick):
    ran = run("health", "well01")
    assert (ran.code, ran.out) == (0, "simulated\nnothing is wrong; 1 node\n")


def missing(run):
    found = json.loads(run("health", "--json").out)["data"]["conditions"]
    return [each["device"] for each in found if each["trouble"] == "gpu missing"]


@pytest.mark.parametrize("by_index", [True, False])
def test_a_gpu_that_was_taken_out_is_forgotten(run, sick, by_index):
    run("health")
    sick(20)
    (device,) = missing(run)
    ran = run("health", "--forget", "sick01", "1" if by_index else device, "--json")
    assert json.loads(ran.out)["data"]["forgotten"] == device
    # It is still on the bus, so that one is missed all the same; which one is forgotten.
    assert missing(run) == [None]


def test_forgetting_needs_a_node_and_a_part_that_is_expected(run, sick):
    assert run("health", "--forget", "sick01").code == 2
    run("health")
    ran = run("health", "--forget", "sick01", "GPU-none")
    assert ran.code == 2
    assert "nothing called 'GPU-none' is expected on sick01" in ran.err


def test_events_are_told_oldest_first(run, sick):
    run("health")
    sick(60)
    run("health")
    ran = run("events", "--json")
    found = json.loads(ran.out)["data"]["events"]
    assert [event["at_s"] for event in found] == sorted(event["at_s"] for event in found)
    xids = [(event["code"], event["severity"]) for event in found if event["trouble"] == "xid"]
    assert xids == [(48, "error"), (63, "warning"), (13, "warning"), (79, "critical")]
    assert {event["trouble"] for event in found} >= {"device state", "gpu missing", "ghost busy", "node state", "xid"}


def test_events_by_severity_node_and_device(run, sick):
    sick(60)
    run("health")
    assert {node for _, node, _ in told(run("events", "--node", "sick02", "--json"), "events")} == {"sick02"}
    fallen = run("events", "--node", "sick02", "--device", "3", "--severity", "critical").out
    assert "critical  sick02 GPU 3  xid" in fallen
    assert "Xid 79: the GPU fell off the bus" in fallen
    assert "reboot it" in fallen
    assert run("events", "--since", "1s", "--node", "well01").out == "simulated\nno events\n"
    assert run("events", "--node", "nowhere").code == 2
    assert run("events", "--severity", "bad").code == 2


def test_a_condition_that_is_over_is_told_as_over(run, sick):
    run("health")
    sick(70)
    run("health")
    sick(3600)
    run("health")
    ran = run("events", "--node", "sick02", "--since", "10m")
    assert "over      sick02 GPU 0  throttled" in ran.out
    assert "    over: its clocks are held down: hardware slowdown" in ran.out


def test_a_store_that_cannot_be_written_does_not_hide_what_is_wrong(run, sick, world):
    def full(looked):
        raise StateError("history.db cannot be written: the disk is full")

    class Full:
        def __init__(self, events):
            self._events = events

        def __getattr__(self, name):
            return full if name == "keep" else getattr(self._events, name)

    world.context = replace(world.context, events=Full(world.context.events))
    ran = run("health", "sick01")
    assert "device state" in ran.out
    assert "the disk is full" in ran.err
    assert ran.code == 0


def test_following_prints_json_lines_until_it_is_interrupted(tmp_path):
    env = {**os.environ, "GPUALLOC_STATE_DIR": str(tmp_path), "GPUALLOC_SIM": str(SICK), "GPUALLOC_SIM_SPEED": "600"}
    gpualloc = [sys.executable, "-m", "gpualloc"]
    subprocess.run([*gpualloc, "health"], env=env, check=True, capture_output=True, timeout=120)
    follow = subprocess.Popen(
        [*gpualloc, "events", "--follow", "--json", "--since", "366d"], env=env, stdout=subprocess.PIPE, text=True
    )
    alarm = threading.Timer(120, follow.kill)
    alarm.start()
    try:
        first = json.loads(follow.stdout.readline())
        assert first["schema"] == "gpualloc.events/1"
        assert first["simulated"] is True
        subprocess.run([*gpualloc, "health"], env=env, check=True, capture_output=True, timeout=120)
        for text in follow.stdout:
            if json.loads(text)["trouble"] == "gpu missing":
                break
        else:
            pytest.fail("the new event was not told")
        follow.send_signal(signal.SIGINT)
        follow.stdout.read()
        assert follow.wait(60) == 130
    finally:
        alarm.cancel()
        follow.kill()
        follow.stdout.close()
        follow.wait()
