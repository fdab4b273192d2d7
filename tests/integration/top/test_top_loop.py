"""The whole loop driven from the dashboard, in a terminal: real node programs, two real sshd, our NVML library."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator

import pytest
from fakes.command import wait_until
from fakes.cuda_stub import FakeCuda
from fakes.cuda_stub import build_library as cuda_library
from fakes.ssh_command import SshCommand, gpu, ssh_command
from fakes.tmux import Terminal, descendants, is_running, terminal

MIB = 2_000
"""What the work uses. Little: its node must have as much free memory of its own."""
TOTAL_MIB = 40_960
TOP = (sys.executable, "-m", "gpualloc", "top")


@pytest.fixture
def world() -> Iterator[SshCommand]:
    with ssh_command(["n1", "n2"], as_root=True) as command:
        library = shutil.copytree(cuda_library(), command.farm.folder / "cuda-library")
        for number, name in enumerate(("n1", "n2"), start=1):
            node = command.farm[name]
            free = {gpu(number, index).full_uuid: TOTAL_MIB for index in (0, 1)}
            cuda = FakeCuda(command.farm.folder / f"{name}.cuda", free)
            libraries = f"{library}:{command.farm.folder / 'nvml'}"
            node.restart(**{**cuda.environment(), "LD_LIBRARY_PATH": libraries})
        yield command


def _use_cuda(world: SshCommand, row: dict) -> None:
    """Let the work of that row of `ps` use its GPU."""
    (node,) = row["nodes"] if "nodes" in row else (row["node"],)
    number = int(node[1:])
    (uuid,) = row["devices"]
    index = next(index for index in (0, 1) if gpu(number, index).full_uuid == uuid)
    FakeCuda.open(world.farm.folder / f"{node}.cuda").add(row["pid"], {uuid: MIB})
    used = gpu(number, index, memory_used_mib=MIB, processes=((row["pid"], MIB),))
    world.show(node, *(used if at == index else gpu(number, at) for at in (0, 1)))


def _work(world: SshCommand) -> dict:
    """The only workload there is, as `ps` tells it."""
    (row,) = world.json("ps")["workloads"]
    return row


def _filter(top: Terminal, text: str) -> None:
    top.type(f"/{text}")
    top.press("Enter")


def test_look_filter_open_submit_plan_apply_suspend_release(world: SshCommand) -> None:
    with terminal(TOP, world.env, width=100, height=30) as top:
        top.shows("2/2 nodes ok", "n1", "n2")
        _look_closer(top)
        _submit(top)
        _plan_and_apply(top)
        wait_until(lambda: _work(world)["state"] == "running", "the work to run")
        _suspend(world, top)
        _release(top)
        wait_until(lambda: _work(world)["state"] == "released", "the end of the work")
        mine = {top.pid, *descendants(top.pid)}
        top.press("q")
        wait_until(lambda: not any(is_running(pid) for pid in mine), "everything to end")
    audit = [entry["kind"] for entry in world.json("audit")["entries"]]
    assert {"submit", "apply", "start", "suspend", "end"} <= set(audit), audit


def _look_closer(top: Terminal) -> None:
    _filter(top, "node:n2")
    top.until(lambda screen: " n1 " not in screen, "the other node to go")
    top.press("j", "Enter")
    top.shows("GPU n2 GPU 0")
    top.press("Escape")
    top.shows("/node:n2")
    top.press("Escape")
    top.shows(" n1 ")


def _submit(top: Terminal) -> None:
    top.press("+")
    top.shows("submit", "memory of each GPU")
    top.type("sleep 300")
    top.press("Enter")
    top.shows("$ gpualloc", "submit -- sleep 300")
    top.press("y")
    top.shows('"sleep" waits for 1 GPU', "Esc close")
    _leave_dialog(top)
    top.press("4")
    top.shows("Workloads", "sleep", "pending")


def _has_dialog(screen: str) -> bool:
    return "╭" in screen


def _leave_dialog(top: Terminal) -> None:
    # A key right behind Escape would be read as one with Alt.
    top.press("Escape")
    top.until(lambda screen: "Esc close" not in screen, "the dialog to close")


def _plan_and_apply(top: Terminal) -> None:
    top.press("7")
    top.shows("blast radius", "+ start")
    top.press("A")
    top.shows("$ gpualloc", "apply")
    top.press("y")
    top.until(lambda screen: "done: run" in screen and not _has_dialog(screen), "the end of the run")


def _suspend(world: SshCommand, top: Terminal) -> None:
    _use_cuda(world, _work(world))
    top.press("4")
    top.until(lambda screen: re.search(r"^ ?w\w+ +sleep .*running", screen, re.MULTILINE), "the row of the work")
    top.press("z")
    top.shows("$ gpualloc", "suspend w")
    top.press("y")
    top.until(lambda screen: "suspended" in screen and not _has_dialog(screen), "the work to stand still")


def _release(top: Terminal) -> None:
    top.press("C-d")
    top.shows("$ gpualloc", "release w")
    top.press("y")
    top.shows("released")
