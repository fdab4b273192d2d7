"""Processes on GPUs they were not given: shown, counted, ended, told in the audit trail; real processes."""

import signal
import subprocess

import pytest
from fakes.nvml_stub import FakeGpu

pytestmark = pytest.mark.root
GPU = FakeGpu(0).full_uuid


@pytest.fixture
def intruder(world):
    """Work holds both GPUs; then a stranger's process appears on the first."""
    holder = world.json("submit", "--name", "holder", "--gpus", "2", "--", "sleep", "600")["id"]
    world.run("rebalance")
    process = subprocess.Popen(["sleep", "601"])
    world.gpus(FakeGpu(0, memory_used_mib=512, processes=((process.pid, 512),)), FakeGpu(1))
    yield process, holder
    process.kill()
    process.wait(60)


def kinds(world):
    return [entry["kind"] for entry in world.json("audit")["entries"]]


def configure(world, text):
    world.configure(f'[enforce]\n{text}\n[pools.all]\nnodes = "localhost"\n')


def test_report_is_the_default_and_a_dry_run_counts_nothing(world, intruder):
    process, holder = intruder
    for _ in range(3):
        told = world.json("enforce")
        (found,) = told["findings"]
        assert (told["mode"], told["applied"], told["report"]) == ("report", False, None)
        assert (found["pid"], found["device"], found["sightings"], found["action"]) == (process.pid, GPU, 1, None)
        assert (found["holders"], found["workload"], found["user"]) == ([holder], None, "root")
        assert found["why"] == f"{GPU} is given to {holder}"
    before = kinds(world)
    assert world.json("enforce", "--apply")["findings"][0]["action"] is None
    assert kinds(world) == before
    for _ in range(2):
        assert world.json("enforce", "--apply")["findings"][0]["action"] == "report"
    assert kinds(world) == [*before, "enforce"], "told once, when it came due"
    assert process.poll() is None
    assert "was not counted" in world.run("enforce").stdout


def test_terminate_needs_two_looks_and_then_ends_the_process_alone(world, intruder):
    process, holder = intruder
    configure(world, 'mode = "terminate"\ngrace = "60s"')
    world.run("enforce", "--apply")
    assert process.poll() is None
    done = world.run("enforce", "--apply")
    assert process.wait(60) == -signal.SIGTERM
    assert "[1/1]" in done.stderr
    assert world.workload(holder)["state"] == "running"
    entry = next(entry for entry in world.json("audit")["entries"] if entry["kind"] == "enforce")
    assert (entry["detail"]["pid"], entry["detail"]["mode"], entry["detail"]["sightings"]) == (
        process.pid, "terminate", 2,
    )  # fmt: skip
    world.gpus(FakeGpu(0), FakeGpu(1))
    assert world.json("enforce")["findings"] == []
    assert "no process is on a device" in world.run("enforce").stdout


def test_what_ignores_term_is_killed_after_the_grace(world):
    world.run("submit", "--gpus", "1", "--", "sleep", "600")
    world.run("rebalance")
    held = world.json("ps")["workloads"][0]["devices"]
    script = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"]
    process = subprocess.Popen(script, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    shown = [((process.pid, 9),) if FakeGpu(index).full_uuid in held else () for index in (0, 1)]
    world.gpus(FakeGpu(0, processes=shown[0]), FakeGpu(1, processes=shown[1]))
    configure(world, 'mode = "terminate"\ngrace = "0.2s"')
    world.run("enforce", "--apply")
    world.run("enforce", "--apply")
    assert process.wait(60) == -signal.SIGKILL
    process.stdout.close()


def test_exempt_processes_are_shown_and_left(world, intruder):
    process, _ = intruder
    configure(world, 'mode = "terminate"\nexempt_commands = ["sleep"]')
    for _ in range(3):
        (found,) = world.json("enforce", "--apply")["findings"]
    assert (found["exempt"], found["action"]) == ("enforce.exempt_commands has sleep", None)
    assert process.poll() is None


def test_notify_tells_the_hook_once(world, intruder):
    process, holder = intruder
    told = world.root / "told"
    script = world.root / "tell"
    script.write_text(f"#!/bin/sh\nenv | grep GPUALLOC_ >> {told}\necho >> {told}\n")
    script.chmod(0o755)
    world.configure(
        '[enforce]\nmode = "notify"\n[hooks]\nnotify = ["' + str(script) + '"]\n[pools.all]\nnodes = "localhost"\n'
    )
    for _ in range(3):
        world.run("enforce", "--apply")
    assert told.read_text().count(str(process.pid)) == 1
    assert holder in told.read_text()
    assert process.poll() is None


def test_suspension_of_a_stranger_is_refused_and_said(world, intruder):
    process, _ = intruder
    configure(world, 'mode = "suspend"')
    world.run("enforce", "--apply")
    refused = world.run("enforce", "--apply", check=1)
    assert "cannot suspend process" in refused.stderr
    assert process.poll() is None


def test_work_on_a_device_that_it_was_not_given_counts_too(world):
    row = world.json("submit", "--gpus", "1", "--", "sleep", "600")
    world.run("rebalance")
    work = world.workload(row["id"])
    other = next(index for index in (0, 1) if FakeGpu(index).full_uuid not in work["devices"])
    shown = [((work["pid"], 9),) if index == other else () for index in (0, 1)]
    world.gpus(FakeGpu(0, processes=shown[0]), FakeGpu(1, processes=shown[1]))
    (found,) = world.json("enforce")["findings"]
    assert (found["workload"], found["device"], found["holders"]) == (work["id"], FakeGpu(other).full_uuid, [])
    shown = [((work["pid"], 9),) if index != other else () for index in (0, 1)]
    world.gpus(FakeGpu(0, processes=shown[0]), FakeGpu(1, processes=shown[1]))
    assert world.json("enforce")["findings"] == []
