"""gpualloc as an operator runs it, on a machine with two GPUs whose driver can suspend work."""

from __future__ import annotations

from dataclasses import dataclass

from fakes.command import Command, groups_of
from fakes.cuda_stub import FakeCuda
from fakes.cuda_stub import build_library as cuda_library
from fakes.nvml_stub import FakeGpu
from fakes.nvml_stub import build_library as nvml_library

HERE, THERE = (FakeGpu(index).full_uuid for index in (0, 1))
MIB = 2_000
"""What the work uses of the first GPU. Little: the machine must have as much free memory of its own."""
TOTAL_MIB = 40_960


@dataclass
class CudaWorld(Command):
    """Two GPUs; work that is begun uses `MIB` of the first."""

    def __post_init__(self) -> None:
        self.gpus(FakeGpu(0), FakeGpu(1))
        self.use_cuda()

    def use_cuda(self, version: int = 13_000) -> None:
        """Have a driver of that CUDA version."""
        self.cuda = FakeCuda(self.root / "cuda", {HERE: TOTAL_MIB - MIB, THERE: TOTAL_MIB}, version=version)
        libraries = f"{cuda_library()}:{nvml_library()}"
        self.extra_env = {**self.extra_env, **self.cuda.environment(), "LD_LIBRARY_PATH": libraries}

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
        """Memory used on each GPU, as `nodes` shows it."""
        nodes = self.json("nodes")["nodes"]
        return {device["uuid"]: device["memory_used_mib"] for node in nodes for device in node["devices"]}

    def stands_still(self, identity: str) -> bool:
        """Whether the kernel says that the group of the work is frozen."""
        told = [group / name for group in groups_of([identity]) for name in ("cgroup.events", "freezer.state")]
        return any("frozen 1" in path.read_text() or "FROZEN" in path.read_text() for path in told if path.exists())

    def wake_everything(self) -> None:
        """Let what stands still be ended."""
        for folder in self.node_dir.glob("workloads/*"):
            for group in groups_of([folder.name]):
                for name, value in (("cgroup.freeze", "0"), ("freezer.state", "THAWED")):
                    if (group / name).exists():
                        (group / name).write_text(value)
