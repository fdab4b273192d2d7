"""Recording from within the dashboard: real files, which can be opened again whatever became of who wrote them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import closing

import pytest
from msgspec.structs import replace
from tui.fleet_fixture import NOW_S, fleet

from gpualloc.adapters.recorded_playback import RecordedPlayback
from gpualloc.errors import GpuallocError, UsageError
from gpualloc.tui.recording import TapeMachine
from gpualloc.tui.seen import Seen, SeenNode
from gpualloc.wiring.doors import recorder

EVERY_S = 0.02
WORLD = fleet()


def seen(user="first"):
    """The fleet, with a word in it that tells one hearing from another."""
    nodes = [replace(node, user=user) for node in WORLD.nodes]
    return Seen(tuple(SeenNode(node.spec).after(node, 1.0, 0.0) for node in nodes))


class Clock:
    """Goes on by ten seconds each time it is asked."""

    def __init__(self):
        self.at_s = NOW_S

    def __call__(self):
        self.at_s += 10.0
        return self.at_s


@pytest.fixture
def machine():
    machine = TapeMachine(recorder, WORLD.specs, Clock(), every_s=EVERY_S)
    yield machine
    machine.end(30)


def until(holds):
    """Wait until it holds, 30 s at most."""
    for _ in range(3000):
        if holds():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came to hold")


def users(path):
    with closing(RecordedPlayback(path)) as playback:
        _, last_s = playback.span()
        return {node.user for node in playback.nodes_at(last_s)}


def test_what_was_heard_is_in_the_file(machine, tmp_path):
    path = tmp_path / "a.rec"
    assert machine.tape is None
    assert not machine.running
    machine.begin(path)
    assert (machine.tape.ticks, machine.running) == (0, True)
    machine.hear(seen())
    until(lambda: machine.tape.ticks >= 2)
    assert users(path) == {"first"}
    machine.hear(seen("second"))
    tape = machine.end(30)
    assert (tape.running, tape.why, tape.path) == (False, None, path)
    assert tape.size_bytes == path.stat().st_size
    assert tape.seconds == 10.0 * tape.ticks
    assert users(path) == {"second"}
    with closing(RecordedPlayback(path)) as playback:
        assert {node.name for node in playback.nodes_at(NOW_S + 1e6)} == {node.name for node in WORLD.nodes}
    assert path.stat().st_mode & 0o777 == 0o600


def test_another_one_can_be_begun_after_it(machine, tmp_path):
    for name in ("a.rec", "b.rec"):
        machine.begin(tmp_path / name)
        machine.hear(seen(name))
        machine.end(30)
        assert users(tmp_path / name) == {name}


def test_a_file_that_is_there_is_refused(machine, tmp_path):
    path = tmp_path / "a.rec"
    path.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        machine.begin(path)
    assert not machine.running
    assert path.read_text() == "mine"
    with pytest.raises(GpuallocError, match="cannot be written"):
        machine.begin(tmp_path / "nowhere" / "a.rec")


def test_two_at_once_are_refused(machine, tmp_path):
    machine.begin(tmp_path / "a.rec")
    with pytest.raises(UsageError, match="already"):
        machine.begin(tmp_path / "b.rec")
    assert not (tmp_path / "b.rec").exists()


def test_what_is_heard_while_nothing_is_recorded_is_not_kept(machine, tmp_path):
    machine.hear(seen("before"))
    machine.begin(tmp_path / "a.rec")
    assert machine.end(30).ticks == 0
    machine.hear(seen("after"))
    assert not machine._told


def test_one_that_nobody_ends_ends_by_its_size(tmp_path):
    machine = TapeMachine(recorder, WORLD.specs, Clock(), every_s=EVERY_S, most_bytes=3000)
    machine.begin(tmp_path / "a.rec")
    machine.hear(seen())
    until(lambda: not machine.running)
    assert "it has grown to" in machine.tape.why
    assert users(tmp_path / "a.rec") == {"first"}


def test_a_full_disk_ends_it_and_is_told(machine, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "gpualloc-test", folder], check=True)
    try:
        machine.begin(folder / "a.rec")
        number = 0
        while machine.running:
            number += 1
            machine.hear(seen(f"word {number} {os.urandom(200).hex()}"))
            threading.Event().wait(EVERY_S)
        machine.end(30)
        assert "No space left" in machine.tape.why
        assert len(users(folder / "a.rec")) == 1
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


KILLED = """
import sys, time
from pathlib import Path
from test_tui_recording import TapeMachine, WORLD, EVERY_S, Clock, recorder, seen
machine = TapeMachine(recorder, WORLD.specs, Clock(), every_s=EVERY_S)
machine.begin(Path(sys.argv[1]))
machine.hear(seen())
while machine.tape.ticks < 3:
    time.sleep(0.01)
print("written", flush=True)
time.sleep(600)
"""


def test_one_whose_writer_was_killed_can_be_opened(tmp_path):
    path = tmp_path / "a.rec"
    here = os.path.dirname(__file__)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, os.path.dirname(here)])}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], env=environment, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout.readline() == "written\n"
        writer.send_signal(signal.SIGKILL)
    assert users(path) == {"first"}
