"""The dashboard in a real terminal: sizes, job control, a terminal that is closed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.command import Command, wait_until
from fakes.nvml_stub import FakeGpu
from fakes.tmux import Terminal, descendants, is_running, terminal

TOP = (sys.executable, "-m", "gpualloc", "top")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path)
    command.gpus(FakeGpu(0), FakeGpu(1))
    yield command
    command.stop_everything()


@pytest.fixture
def top(world: Command) -> Iterator[Terminal]:
    with terminal(TOP, world.env) as pane:
        pane.shows("1/1 nodes ok", "Fleet")
        yield pane


def test_it_survives_a_terminal_of_any_size(top: Terminal) -> None:
    for width, height in ((20, 5), (300, 100), (80, 24)):
        top.resize(width, height)
        for key in ("2", "3", "4", "8", "1"):
            top.press(key)
    top.shows("1/1 nodes ok", "Fleet", "q quit")


def _waits_for_a_command(screen: str) -> bool:
    return screen.rstrip().endswith(("$", "#"))


def test_ctrl_z_stops_it_and_fg_brings_it_back(world: Command) -> None:
    with terminal(("bash", "--norc", "--noprofile", "-i"), world.env) as shell:
        shell.until(_waits_for_a_command, "a prompt")
        shell.type(" ".join(TOP) + "\n")
        shell.shows("1/1 nodes ok")
        shell.press("C-z")
        shell.until(lambda screen: "Stopped" in screen and _waits_for_a_command(screen), "the shell")
        shell.type("fg\n")
        shell.shows("1/1 nodes ok", "q quit")
        shell.press("q")
        shell.until(_waits_for_a_command, "the prompt again")


def test_a_terminal_that_is_closed_leaves_no_process_behind(world: Command) -> None:
    with terminal(TOP, world.env) as pane:
        pane.shows("1/1 nodes ok")
        mine = {pane.pid, *descendants(pane.pid)}
        assert len(mine) > 1, "the node program is a child"
        pane.tmux("kill-server")
        wait_until(lambda: not any(is_running(pid) for pid in mine), "everything to end")


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_what_it_started(world: Command, top: Terminal, sign: signal.Signals) -> None:
    mine = {top.pid, *descendants(top.pid)}
    os.kill(top.pid, sign)
    wait_until(lambda: not any(is_running(pid) for pid in mine), "everything to end")


def test_q_ends_it_with_0(world: Command) -> None:
    with terminal(("sh", "-c", f"{' '.join(TOP)}; echo ended with $?; sleep 600"), world.env) as pane:
        pane.shows("1/1 nodes ok")
        pane.press("q")
        pane.shows("ended with 0")
