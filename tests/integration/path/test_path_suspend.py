"""Suspend and resume as an operator does: real processes and groups, the C driver libraries of CUDA and NVML."""

import os
from pathlib import Path

import pytest
from fakes.command import Command, wait_until
from fakes.cuda_stub import FakeCuda
from fakes.cuda_stub import build_library as cuda_library
from fakes.nvml_stub import FakeGpu
from fakes.nvml_stub import build_library as nvml_library

pytestmark = pytest.mark.root

HERE, THERE = (FakeGpu(index).full_uuid for index in (0, 1))
MIB = 2_000
LEFT = 40_960 - MIB


class World(Command):
    """Two GPUs; work on the first of them uses `MIB` of it."""

    def use_cuda(self, version: int = 13_000) -> None:
        self.cuda = FakeCuda(self.root / "cuda", {HERE: LEFT, THERE: 40_960}, version=version)
        self.extra_env |= {
            "FAKE_CUDA": str(self.cuda.folder),
            "LD_LIBRARY_PATH": f"{cuda_library()}:{nvml_library()}",
        }

    def begin(self, *options: str, command: tuple[str, ...] = ("sleep", "300")) -> tuple[str, int]:
        """Work that runs on the first GPU and uses its memory; its id and pid."""
        identity = self.json("submit", "--name", "train", "--gpus", "1", *options, "--", *command)["id"]
        self.run("rebalance", "--policy", "first-fit")
        row = self.workload(identity)
        assert row["devices"] == [HERE]
        self.cuda.add(row["pid"], {HERE: MIB})
        self.gpus(FakeGpu(0, memory_used_mib=MIB, processes=((row["pid"], MIB),)), FakeGpu(1))
        return identity, row["pid"]

    def used_mib(self) -> dict[str, int]:
        nodes = self.json("nodes")["nodes"]
        return {device["uuid"]: device["memory_used_mib"] for node in nodes for device in node["devices"]}

    def kinds(self, identity: str) -> list[str]:
        return [entry["kind"] for entry in self.json("audit")["entries"] if entry["workload"] == identity]


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path, {})
    made.gpus(FakeGpu(0), FakeGpu(1))
    made.use_cuda()
    yield made
    for state in Path("/sys/fs/cgroup").glob("*/gpualloc/*/cgroup.freeze"):
        if (made.node_dir / "workloads" / state.parent.name).exists():
            state.write_text("0")
    made.stop_everything()


def stands_still(pid):
    """Whether the kernel gives the process no time, as its group says."""
    groups = dict(line.split(":", 2)[1:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    told = [
        Path("/sys/fs/cgroup/unified" + groups[""], "cgroup.events"),
        Path("/sys/fs/cgroup" + groups[""], "cgroup.events"),
        Path("/sys/fs/cgroup/freezer" + groups.get("freezer", "/"), "freezer.state"),
    ]
    return any("frozen 1" in path.read_text() or "FROZEN" in path.read_text() for path in told if path.exists())


def test_others_run_on_the_gpu_while_work_is_suspended(world):
    identity, pid = world.begin()
    row = world.json("suspend", identity)
    assert (row["state"], row["devices"]) == ("suspended", [])
    assert world.used_mib() == {HERE: 0, THERE: 0}
    assert world.cuda.host_mib(pid) == MIB
    assert stands_still(pid)
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
    assert not stands_still(pid)
    assert world.claims() == [f"{HERE}@{identity}.json"]
    assert world.kinds(identity) == ["submit", "start", "suspend", "step-failed", "resume"]
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


def test_both_can_be_said_twice(world):
    identity, _ = world.begin()
    world.run("resume", identity)
    world.run("suspend", identity)
    world.run("suspend", identity)
    assert world.kinds(identity) == ["submit", "start", "suspend"]
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
    assert "no device GPU-elsewhere" in world.run("resume", identity, "--device", "GPU-elsewhere", check=2).stderr
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
    identity, pid = world.begin("--memory", "64MiB", command=("/bin/sh", "-c", "trap 'exit 3' TERM; sleep 300 & wait"))
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


def test_work_that_ends_while_it_is_suspended_is_told(world):
    identity, pid = world.begin("--at-most", "4s")
    world.run("suspend", identity)
    wait_until(lambda: world.workload(identity)["state"] == "failed", "its end was seen")
    assert "--at-most" in world.workload(identity)["reason"]
    assert not os.path.exists(f"/proc/{pid}/root")
    assert world.groups([identity]) == []


def test_suspended_work_that_was_killed_is_settled(world):
    identity, pid = world.begin()
    world.run("suspend", identity)
    os.kill(pid, 9)
    world.run("release", identity)
    assert world.workload(identity)["state"] in ("failed", "released")
    assert world.groups([identity]) == []
