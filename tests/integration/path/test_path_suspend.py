"""Suspend and resume as an operator does: real processes and groups, the C driver libraries of CUDA and NVML."""

import os
from pathlib import Path

import pytest
from fakes.cuda_world import HERE, MIB, THERE, CudaWorld
from fakes.nvml_stub import FakeGpu

from gpualloc.node import cgroup, device_rule

pytestmark = pytest.mark.root


@pytest.fixture
def world(tmp_path):
    made = CudaWorld(tmp_path)
    yield made
    made.wake_everything()
    made.stop_everything()


def kinds(world, identity):
    return [entry["kind"] for entry in world.json("audit")["entries"] if entry["workload"] == identity]


def test_others_run_on_the_gpu_while_work_is_suspended(world):
    identity, pid = world.begin()
    row = world.json("suspend", identity)
    assert (row["state"], row["devices"]) == ("suspended", [])
    assert world.used_mib() == {HERE: 0, THERE: 0}
    assert world.cuda.host_mib(pid) == MIB
    assert world.stands_still(identity)
    assert world.claims() == []
    assert [row["state"] for row in world.json("ps")["workloads"]] == ["suspended"]

    others = [world.json("submit", "--name", "other", "--gpus", "1", "--", "sleep", "300")["id"] for _ in range(2)]
    world.run("rebalance")
    assert {world.workload(other)["devices"][0] for other in others} == {HERE, THERE}
    refused = world.run("resume", identity, check=1)
    assert "is given to workload" in refused.stderr
    assert world.workload(identity)["state"] == "suspended"
    world.run("release", *others)

    row = world.json("resume", identity)
    assert (row["state"], row["devices"], row["pid"]) == ("running", [HERE], pid)
    assert world.used_mib() == {HERE: MIB, THERE: 0}
    assert not world.stands_still(identity)
    assert world.claims() == [f"{HERE}@{identity}.json"]
    assert kinds(world, identity) == ["submit", "start", "suspend", "step-failed", "resume"]
    world.run("release", identity)
    assert world.claims() == []


def test_it_goes_on_elsewhere_on_its_node(world):
    identity, pid = world.begin()
    world.run("suspend", identity)
    row = world.json("resume", identity, "--device", THERE)
    assert (row["state"], row["devices"]) == ("running", [THERE])
    assert world.used_mib() == {HERE: 0, THERE: MIB}
    assert world.cuda.memory(pid) == {THERE: MIB}
    assert world.claims() == [f"{THERE}@{identity}.json"]
    world.run("suspend", identity)
    world.run("resume", identity)
    assert world.cuda.memory(pid) == {THERE: MIB}


def test_the_device_rule_goes_with_it(world):
    cgroups = cgroup.probe()
    if cgroups.isolation() is None:
        pytest.skip("no device rule can be put in force here")

    rules = [device_rule.of_numbers({minor}, set()) for minor in (0, 1)]
    identity, _ = world.begin()
    cgroups.restrict(identity, rules[0])
    world.run("suspend", identity)
    world.run("resume", identity, "--device", THERE)
    assert cgroups.restricted(identity) == cgroups.expected(rules[1]) != cgroups.expected(rules[0])


def test_both_can_be_said_twice(world):
    identity, _ = world.begin()
    world.run("resume", identity)
    world.run("suspend", identity)
    world.run("suspend", identity)
    assert kinds(world, identity) == ["submit", "start", "suspend"]
    world.run("resume", identity)
    assert world.workload(identity)["state"] == "running"


def test_a_kernel_that_does_not_end_leaves_it_running(world):
    identity, pid = world.begin()
    world.cuda.fault("lock", "return", code=600)
    refused = world.run("suspend", identity, check=1)
    assert "did not end in time" in refused.stderr
    assert world.workload(identity)["state"] == "running"
    assert world.cuda.state(pid) == "running"
    assert world.claims() == [f"{HERE}@{identity}.json"]


@pytest.mark.parametrize(
    ("break_it", "word"),
    [
        (lambda world: world.use_cuda(version=12_040), "driver >= 570 needed"),
        (lambda world: world.cuda.fault("checkpoint", "return", code=801), "managed memory"),
    ],
)
def test_what_can_never_be_is_exit_code_4(world, break_it, word):
    identity, _ = world.begin()
    break_it(world)
    assert word in world.run("suspend", identity, check=4).stderr
    assert world.workload(identity)["state"] == "running"


def test_another_model_an_old_driver_and_other_nodes_are_told_before_anything_is_moved(world):
    identity, pid = world.begin()
    world.run("suspend", identity)
    assert "no device 'GPU-elsewhere'" in world.run("resume", identity, "--device", "GPU-elsewhere", check=2).stderr
    world.run("resume", identity, "--device", HERE, "--device", THERE, check=2)
    world.gpus(FakeGpu(0), FakeGpu(1, name="NVIDIA H100 80GB HBM3"))
    assert "not of the same model" in world.run("resume", identity, "--device", THERE, check=4).stderr
    assert world.workload(identity)["state"] == "suspended"
    assert world.cuda.state(pid) == "checkpointed"


def test_work_that_does_not_run_cannot_be_suspended(world):
    identity = world.json("submit", "--name", "waits", "--gpus", "1", "--", "true")["id"]
    assert "pending" in world.run("suspend", identity, check=2).stderr
    world.run("suspend", "no-such", check=2)


def test_suspended_work_is_released(world):
    loop = "trap 'exit 3' TERM; while :; do sleep 0.1; done"
    identity, pid = world.begin("--memory", "64MiB", command=("/bin/sh", "-c", loop))
    world.run("suspend", identity)
    world.run("release", identity)
    row = world.workload(identity)
    assert (row["state"], row["exit_code"]) == ("released", 3)
    assert not os.path.exists(f"/proc/{pid}/root")
    assert world.groups([identity]) == []


def test_the_memory_limit_is_raised_while_the_gpu_memory_is_on_the_host_and_no_longer(world):
    identity, pid = world.begin("--memory", "64MiB")
    limit = next(
        path for name in ("memory.limit_in_bytes", "memory.max") for group in world.groups([identity])
        if (path := Path(group, name)).exists()
    )  # fmt: skip
    world.run("suspend", identity)
    assert int(limit.read_text()) >= MIB * 1.1 * (1 << 20)
    world.run("resume", identity)
    assert int(limit.read_text()) == 64 << 20
    assert world.cuda.state(pid) == "running"


def test_suspended_work_that_was_killed_is_settled(world):
    identity, pid = world.begin()
    world.run("suspend", identity)
    os.kill(pid, 9)
    world.run("release", identity)
    assert world.workload(identity)["state"] in ("failed", "released")
    assert world.groups([identity]) == []
