"""Several workloads on one GPU through MPS: booked, told to each process, and ended with the last of them."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from fakes import mps_control
from fakes.command import Command, wait_until
from fakes.nvml_stub import FakeGpu


@pytest.fixture
def world(tmp_path):
    """One GPU, and a control program of MPS on PATH."""
    folder = Path(tempfile.mkdtemp(prefix="mps"))
    folder.chmod(0o755)
    mps_control.install(folder)
    extra = {"PATH": f"{folder}:{os.environ['PATH']}", "GPUALLOC_MPS_DIR": str(folder / "run")}
    command = Command(tmp_path, extra)
    command.gpus(FakeGpu(0))
    yield command
    command.stop_everything()
    wait_until(lambda: not list((folder / "run").glob("*")), "no daemon is left")
    shutil.rmtree(folder)


def ask(world, *more, fraction="0.5"):
    out = world.root / f"env{len(more)}{fraction}"
    script = f"env > {out}.new; mv {out}.new {out}; exec sleep 600"
    answer = world.json("submit", "--share", "mps", "--fraction", fraction, *more, "--", "/bin/sh", "-c", script)
    return answer["id"], out


def environment(out):
    wait_until(out.exists, "the command ran")
    return dict(line.split("=", 1) for line in out.read_text().splitlines() if "=" in line)


def test_two_workloads_share_a_gpu_through_one_daemon(world):
    one, first = ask(world, "--gpu-memory", "1GiB")
    two, second = ask(world, fraction="0.25")
    plan = world.json("plan")
    kinds = [step["kind"] for step in plan["steps"] if step["workload"] == one]
    assert kinds == ["claim", "limit", "mps-start", "start"]
    world.run("apply", "--yes")
    assert {world.workload(identity)["state"] for identity in (one, two)} == {"running"}
    seen = environment(first)
    assert seen["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] == "50"
    assert seen["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] == "0=1024M"
    assert environment(second)["CUDA_MPS_PIPE_DIRECTORY"] == seen["CUDA_MPS_PIPE_DIRECTORY"]
    assert Path(seen["CUDA_MPS_PIPE_DIRECTORY"], "control").exists()
    # It is full for a third half, and others do not come in beside it.
    third, _ = ask(world, "--name", "third")
    alone = world.json("submit", "--", "sleep", "600")["id"]
    world.run("rebalance")
    assert {world.workload(identity)["state"] for identity in (third, alone)} == {"pending"}
    world.run("release", one)
    assert Path(seen["CUDA_MPS_PIPE_DIRECTORY"], "control").exists()
    world.run("release", two, third)
    wait_until(lambda: not Path(seen["CUDA_MPS_PIPE_DIRECTORY"]).exists(), "the daemon ended with its last client")
    world.run("rebalance")
    assert world.workload(alone)["state"] == "running"


def test_a_daemon_ends_with_work_that_ends_by_itself(world):
    identity = world.json("submit", "--share", "mps", "--fraction", "0.5", "--", "true")["id"]
    world.run("rebalance")
    world.run("wait", identity)
    base = Path(world.extra_env["GPUALLOC_MPS_DIR"])
    wait_until(lambda: not list(base.glob("*")), "the daemon is gone")


def test_a_node_without_mps_is_not_offered(world):
    (Path(world.extra_env["GPUALLOC_MPS_DIR"]).parent / mps_control.NAME).unlink()
    told = world.run("submit", "--share", "mps", "--fraction", "0.5", "--", "true", check=4)
    assert "without MPS" in told.stderr
