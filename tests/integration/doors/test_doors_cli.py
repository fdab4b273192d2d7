"""The doors as an operator opens them: CSV, the exporter, recordings."""

import csv
import io
import json
import shutil
import signal
import stat
import subprocess
import time
import urllib.request
from contextlib import closing

import pytest
from fakes.nvml_stub import FakeGpu

from gpualloc.model.health import Event, Severity, Trouble
from gpualloc.store.events import SqliteEvents
from gpualloc.store.paths import StatePaths


def rows(text):
    return list(csv.DictReader(io.StringIO(text), strict=True))


def until(condition):
    deadline = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ticks_of(process, count):
    """The next lines that a streaming verb prints."""
    return [json.loads(process.stdout.readline()) for _ in range(count)]


def test_csv_tells_what_json_tells(sim):
    nodes = json.loads(sim.run("nodes", "--json").stdout)["data"]["nodes"]
    told = rows(sim.run("nodes", "--csv").stdout)
    assert [(row["node"], row["uuid"]) for row in told] == [
        (node["name"], device["uuid"]) for node in nodes for device in node["devices"]
    ]
    assert {row["simulated"] for row in told} == {"true"}
    processes = json.loads(sim.run("processes", "--json").stdout)["data"]["processes"]
    assert [(row["node"], int(row["pid"]), row["uuid"]) for row in rows(sim.run("processes", "--csv").stdout)] == [
        (process["node"], process["pid"], process["device"]) for process in processes
    ]
    assert {row["user"] for row in rows(sim.run("processes", "--user", "ann", "--csv").stdout)} == {"ann"}
    assert "command: python train.py" in sim.run("processes", "birch01").stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_exporter_ends_when_it_is_told_to(exporter, number, code):
    process, where = exporter("--every", "1s")
    with urllib.request.urlopen(f"http://{where}/metrics", timeout=20) as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    process.send_signal(number)
    assert process.wait(60) == code


def test_where_everybody_reads_is_warned_of(begin):
    process = begin("exporter", "--listen", "0.0.0.0:0", "--every", "1s")
    said = process.stderr.readline() + process.stderr.readline()
    assert "there is no authentication" in said
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_this_machine_is_told_of_as_it_streams(here, exporter):
    process, where = exporter("--every", "1s", world=here)

    def page():
        with urllib.request.urlopen(f"http://{where}/metrics", timeout=20) as answer:
            return answer.read().decode()

    until(lambda: "gpualloc_device_power_watts" in page())
    told = [line for line in page().splitlines() if line.startswith("gpualloc_device_power_watts")]
    assert [line.rsplit(" ", 1)[1] for line in told] == ["61.5"]
    assert "gpualloc_simulated 0" in page()
    here.gpus(FakeGpu(0, power_w=75.25), FakeGpu(1, power_w=None))
    until(lambda: " 75.25" in page())
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_this_machine_recorded_says_so(here, begin, tmp_path):
    path = tmp_path / "here.rec"
    process = begin("record", str(path), "--every", "1s", "--json", world=here)
    assert [tick["simulated"] for tick in ticks_of(process, 2)] == [False, False]
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    (node,) = json.loads(here.run("--sim", str(path), "nodes", "--json").stdout)["data"]["nodes"]
    assert (node["transport"], node["simulated"]) == ("recorded", True)
    assert [device["power_w"] for device in node["devices"]] == [61.5, None]
    assert ", recorded, seen " in here.run("--sim", str(path), "nodes").stdout


@pytest.mark.parametrize("listen", ["9456", "localhost", "127.0.0.1:", "127.0.0.1:65536", ":1", "127.0.0.1:x"])
def test_a_wrong_address_is_refused(sim, listen):
    assert "is not HOST:PORT" in sim.run("exporter", "--listen", listen, check=2).stderr


def test_what_is_kept_while_it_runs_is_told(sim, exporter):
    _, where = exporter("--every", "1s")

    def told(name):
        with urllib.request.urlopen(f"http://{where}/metrics", timeout=20) as answer:
            return [line for line in answer.read().decode().splitlines() if line.startswith(name)]

    xid = 'gpualloc_events_total{trouble="xid",severity="error"}'
    until(lambda: told("gpualloc_node_state"))
    assert told(xid) == [f"{xid} 0"]
    assert told("gpualloc_last_sample") == told("gpualloc_cordon{") == []
    with closing(SqliteEvents(StatePaths(sim.state_dir).sim("demo"))) as events:
        events.note([Event(time.time(), Trouble.XID, Severity.ERROR, "pine01", None, "Xid 79", None, "k1", 79)])
    sim.run("sample")
    sim.run("cordon", "fir01", "--reason", "looked at")
    until(lambda: told(xid) == [f"{xid} 1"])
    until(lambda: told("gpualloc_last_sample"))
    until(lambda: told("gpualloc_cordon{") == ['gpualloc_cordon{node="fir01"} 1'])


def test_a_port_that_is_taken_is_said(sim, exporter):
    _, where = exporter("--every", "1s")
    failed = sim.run("exporter", "--listen", where, check=1)
    assert f"cannot listen at 127.0.0.1 port {where.rpartition(':')[2]}" in failed.stderr


@pytest.fixture
def hostile(here):
    """This machine with a process on its GPU that is called so as to do harm."""
    named = ["=cmd|'/c calc'!A0 \"q\", \x1b[2J\u202e\r\n", "600"]
    with subprocess.Popen(named, executable=shutil.which("sleep")) as process:
        here.gpus(FakeGpu(0, processes=((process.pid, 512),)))
        yield here
        process.kill()


def test_no_text_of_a_node_does_harm_at_any_door(hostile, exporter, begin, tmp_path):
    path = tmp_path / "hostile.rec"
    (row,) = rows(hostile.run("processes", "--csv").stdout)
    assert row["command"].startswith("'=cmd|'/c calc'!A0 \"q\", \\x1b[2J")
    assert row["command"].isprintable()
    recording = begin("record", str(path), "--every", "1s", "--json", world=hostile)
    ticks_of(recording, 1)
    recording.send_signal(signal.SIGTERM)
    assert recording.wait(60) == 0
    for done in (
        hostile.run("processes"),
        hostile.run("nodes", "--csv"),
        hostile.run("replay", str(path)),
        hostile.run("--sim", str(path), "processes"),
    ):
        assert all(char.isprintable() or char == "\n" for char in done.stdout)
    assert "=cmd" in hostile.run("--sim", str(path), "processes").stdout
    _, where = exporter("--every", "1s", "--processes", world=hostile)

    def told():
        with urllib.request.urlopen(f"http://{where}/metrics", timeout=20) as answer:
            page = answer.read().decode()
        return [line for line in page.splitlines() if line.startswith("gpualloc_process_gpu_memory")]

    until(told)
    (line,) = told()
    assert line.isprintable()
    assert 'program="' in line
    assert "calc" not in line


@pytest.fixture
def recording(sim, tmp_path):
    """Ten simulated minutes of the demo cluster."""
    path = tmp_path / "a.rec"
    sim.extra_env["GPUALLOC_SIM_SPEED"] = "120"
    sim.run("record", str(path), "--every", "60s", "--for", "10m")
    del sim.extra_env["GPUALLOC_SIM_SPEED"]
    return path


def test_a_recording_is_a_fleet_to_look_at(sim, recording):
    assert stat.S_IMODE(recording.stat().st_mode) == 0o600
    assert "is there already" in sim.run("record", str(recording), check=2).stderr
    live = sim.run("nodes", "--json")
    # The first tick may have come before a node of a world that runs that fast was looked at.
    sim.extra_env["GPUALLOC_SIM_AT"] = "5m"
    played = sim.run("--sim", str(recording), "nodes", "--json")
    told, there = (json.loads(done.stdout)["data"]["nodes"] for done in (played, live))
    assert [(node["name"], len(node["devices"])) for node in told] == [
        (node["name"], len(node["devices"])) for node in there
    ]
    assert {node["simulated"] for node in told} == {True}
    assert "train.py" in sim.run("--sim", str(recording), "processes").stdout
    assert "needs reset" in sim.run("replay", str(recording)).stdout
    for verb in ("free", "plan", "doctor", "status", "sample"):
        sim.run("--sim", str(recording), verb, check=None if verb == "doctor" else 0)


def test_nothing_in_a_recording_can_be_changed(sim, recording):
    sim.run("--sim", str(recording), "submit", "--gpus", "1", "--", "sleep", "60")
    failed = sim.run("--sim", str(recording), "apply", "--yes", check=None)
    assert failed.returncode not in (0, 2)
    assert "a recording can only be looked at" in failed.stdout + failed.stderr


def test_where_a_recording_is_taken_up(sim, recording):
    def at_s(**env):
        sim.extra_env |= env
        return json.loads(sim.run("--sim", str(recording), "nodes", "birch01", "--json").stdout)["data"]["at_s"]

    begin_s = at_s()
    assert at_s(GPUALLOC_SIM_AT="5m") - begin_s > 290
    sim.extra_env["GPUALLOC_SIM_AT"] = "soon"
    assert "'soon' is not a duration" in sim.run("--sim", str(recording), "nodes", check=2).stderr


def test_a_recording_ends_as_it_stood(sim, begin, recording):
    process = begin(
        "--sim", str(recording), "exporter", "--listen", "127.0.0.1:0", "--every", "60s",
        GPUALLOC_SIM_AT="1h", GPUALLOC_SIM_SPEED="600",
    )  # fmt: skip
    where = process.stderr.readline().split()[2]

    def stale():
        with urllib.request.urlopen(where, timeout=20) as answer:
            return b'state="stale"' in answer.read()

    until(stale)
    sim.extra_env |= {"GPUALLOC_SIM_AT": "1h", "GPUALLOC_SIM_SPEED": "1000000"}
    shown = sim.run("--sim", str(recording), "nodes", check=None)
    assert "end of the recording" in shown.stdout


def test_a_replay_tells_lines_or_json_and_keeps_time(sim, recording):
    (told,) = [json.loads(line) for line in sim.run("replay", str(recording), "--json").stdout.splitlines()]
    assert (told["schema"], told["node"], told["severity"]) == ("gpualloc.replay/1", "pine01", "error")
    done = sim.run("replay", str(recording), "--speed", "1000000", "--at", "9m")
    assert done.stdout == ""
    assert "end of the recording" in done.stderr
    assert "is not above 0" in sim.run("replay", str(recording), "--speed", "0", check=2).stderr
    assert "cannot be read" in sim.run("replay", "/nonexistent.rec", check=2).stderr


def test_a_replay_with_a_pace_can_be_stopped(begin, recording):
    process = begin("replay", str(recording), "--speed", "0.001")
    assert "recorded from" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_a_recording_that_was_killed_can_be_played(sim, begin, tmp_path):
    path = tmp_path / "killed.rec"
    process = begin("record", str(path), "--every", "1s", "--json", "--no-commands")
    told = ticks_of(process, 3)
    assert [tick["ticks"] for tick in told] == [1, 2, 3]
    process.kill()
    process.wait()
    done = sim.run("replay", str(path))
    assert "without commands" in done.stderr
    assert "needs reset" in done.stdout
    assert "train.py" not in sim.run("--sim", str(path), "processes").stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_recording_ends_when_it_is_told_to(sim, begin, tmp_path, number, code):
    path = tmp_path / "b.rec"
    process = begin("record", str(path), "--every", "1s", "--json")
    ticks_of(process, 1)
    process.send_signal(number)
    assert process.wait(60) == code
    sim.run("replay", str(path))


def test_other_files_are_no_recordings(sim, tmp_path):
    path = tmp_path / "c.rec"
    path.write_bytes(b"\x1f\x8b" + b"x" * 100)
    assert "is no recording, or damaged" in sim.run("--sim", str(path), "nodes", check=2).stderr
