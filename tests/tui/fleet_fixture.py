"""A believable mixed fleet at a frozen moment, for pictures and tests of the dashboard."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec import Struct

from gpualloc.engine.context import Context
from gpualloc.model.allocation import Allocation, Claim, Grant, HeldBy, Hold, Share
from gpualloc.model.inventory import (
    CgroupSupport,
    Device,
    DeviceState,
    HostReading,
    MigInstance,
    Node,
    NodeSpec,
    NodeState,
    Process,
    Snapshot,
)
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.policies.registry import load
from gpualloc.ports import LogChunk
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal
from gpualloc.tui.app import TopApp
from gpualloc.tui.cost import Cost
from gpualloc.tui.options import TopOptions
from gpualloc.tui.source import Source

NOW_S = 1_790_000_000.0
TICKS_S = 50_000.0
EVERY_S = 2.0

OPTIONS = TopOptions(every_s=EVERY_S)
A100 = ("NVIDIA A100-SXM4-80GB", 81920, 400.0)
H100 = ("NVIDIA H100 80GB HBM3", 81559, 700.0)
H200 = ("NVIDIA H200", 143771, 700.0)
L40S = ("NVIDIA L40S", 46068, 350.0)


class FrozenMeter:
    """A cost that never changes."""

    first = Cost(0.008, 52)

    def measure(self, received_bytes: int | None) -> Cost:
        return self.first


class FrozenWorld(Struct):
    """Nodes and workloads that stay as they are, on a clock that the test moves."""

    nodes: tuple[Node, ...]
    workloads: tuple[Workload, ...] = ()
    now_s: float = NOW_S
    ticks_s: float = TICKS_S
    simulated: bool = False
    specs: tuple[NodeSpec, ...] = ()
    printed: bytes = b"epoch 1 loss 2.31\nepoch 2 loss 1.87\n"
    looks: int = 0

    def look(self) -> Iterator[Node]:
        self.looks += 1
        yield from self.nodes

    def source(self) -> Source:
        return Source(
            look=self.look,
            workloads=lambda _: self.workloads,
            now_s=lambda: self.now_s,
            specs=self.specs,
            simulated=self.simulated,
            ticks_s=lambda: self.ticks_s,
        )

    def snapshot(self) -> Snapshot:
        return Snapshot(self.now_s, self.nodes)

    def app(self, title: str = "gpualloc top", options: TopOptions = OPTIONS) -> TopApp:
        return TopApp(self.context(), self.source(), options, title=title, meter=FrozenMeter())

    def context(self) -> Context:
        """What the engine is asked with: real databases, empty, and nodes that nothing can be done on."""
        folder = Path(tempfile.mkdtemp(prefix="gpualloc-top-"))
        paths = StatePaths(folder)
        journal, history = SqliteJournal(paths), SqliteHistory(paths)
        fleet = FrozenFleet(self)
        context = Context(
            fleet,
            journal,
            history,
            FrozenClock(self),
            load("pack"),
            "ann",
            simulated=self.simulated,  # type: ignore[arg-type]
        )
        atexit.register(lambda: (journal.close(), history.close(), shutil.rmtree(folder, ignore_errors=True)))
        return context


@dataclass
class FrozenFleet:
    """Looks as the world does."""

    world: FrozenWorld

    def specs(self) -> tuple[NodeSpec, ...]:
        return self.world.specs

    def observe(self, names: Sequence[str] | None = None, near: Sequence[str] = ()) -> Iterator[Node]:
        yield from (node for node in self.world.nodes if names is None or node.name in names)

    def logs(self, node: str, workload: str, offset: int, limit: int = 65536) -> LogChunk:
        """Every workload has printed the same."""
        data = self.world.printed[offset : offset + limit]
        return LogChunk(data, offset + len(data), ended=False)

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class FrozenClock:
    """The world's own time."""

    world: FrozenWorld

    def now_s(self) -> float:
        return self.world.now_s

    def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nobody sleeps {seconds} s in a frozen world")


_READINGS = (
    "memory_used_mib",
    "gpu_utilization_ratio",
    "memory_utilization_ratio",
    "power_w",
    "temperature_c",
    "sm_clock_mhz",
)


def spec(name: str, transport: str = "ssh") -> NodeSpec:
    return NodeSpec(name=name, pool="default", transport=transport, labels={"rack": "r1"})


def uuid(node: str, index: int) -> str:
    return f"GPU-{node}-{index}"


def device(
    node: str,
    index: int,
    kind: tuple[str, int, float],
    *,
    ratio: float | None = 0.0,
    used_mib: int | None = 4,
    temperature_c: int | None = 31,
    state: DeviceState = DeviceState.OK,
    reason: str | None = None,
    mig: tuple[MigInstance, ...] = (),
) -> Device:
    model, total_mib, limit_w = kind
    well = state is DeviceState.OK
    why = {} if well else dict.fromkeys(_READINGS, "hung" if state is DeviceState.HUNG else "lost")
    if mig:
        why = {"gpu_utilization_ratio": "mig"}
    return Device(
        uuid=uuid(node, index),
        index=index,
        model=model,
        memory_total_mib=total_mib,
        state=state,
        reason=reason,
        memory_used_mib=used_mib if well else None,
        gpu_utilization_ratio=ratio if well and not mig else None,
        memory_utilization_ratio=None if ratio is None or not well else ratio / 2,
        power_w=None if not well else 65 + (ratio or 0.3) * (limit_w - 90),
        power_limit_w=limit_w,
        temperature_c=temperature_c if well else None,
        sm_clock_mhz=None if not well else (1410 if ratio else 210),
        mig_enabled=bool(mig),
        mig_pending=bool(mig),
        mig_instances=mig,
        minor=index,
        unavailable=why,
    )


def claim(node: str, index: int, workload: str, mig_instance: str | None = None) -> Claim:
    share = Share.EXCLUSIVE if mig_instance is None else Share.MIG
    return Claim(uuid(node, index), workload, "c1", share, mig_instance, 1.0, None, NOW_S - 4000)


def process(
    node: str, index: int, pid: int, user: str | None, used_mib: int, workload: str | None, command: str
) -> Process:
    return Process(pid, uuid(node, index), None, used_mib, user, command, NOW_S - 100 * (pid % 97), workload)


def node(
    name: str,
    devices: tuple[Device, ...],
    *,
    processes: tuple[Process, ...] = (),
    claims: tuple[Claim, ...] = (),
    cpu_ratio: float = 0.2,
    transport: str = "ssh",
    state: NodeState = NodeState.OK,
    reason: str | None = None,
) -> Node:
    return Node(
        spec=spec(name, transport),
        state=state,
        at_s=NOW_S,
        reason=reason,
        boot_id="6f0c2f5e-0000-4000-8000-000000000001",
        hostname=f"{name}.example.org",
        driver_version="550.54.15",
        python_version="3.9.18",
        user="gpualloc",
        privileged=True,
        cgroup=CgroupSupport("v2", ("cpu", "cpuset", "memory", "pids"), True),
        host=HostReading(128, cpu_ratio, 1_031_000, 780_000, 3_600_000, 1_900_000, 2.5e6, 8.1e6),
        devices=devices,
        processes=processes,
        claims=claims,
    )


def workload(
    id: str,
    name: str,
    owner: str,
    state: WorkloadState,
    at: tuple[str, tuple[int, ...]] | None = None,
    *,
    gpus: int = 1,
    reason: str | None = None,
    held: HeldBy | None = None,
) -> Workload:
    allocation = None
    if at is not None:
        allocation = Allocation(id, at[0], tuple(Grant(uuid(at[0], index), Share.EXCLUSIVE) for index in at[1]))
    return Workload(
        id=id,
        name=name,
        owner=owner,
        request=Request(("python", "train.py"), gpus=gpus, env=(("TOKEN", "hunter2"),)),
        state=state,
        submitted_at_s=NOW_S - 7200,
        reason=reason,
        allocation=allocation,
        pid=4242 if state is WorkloadState.RUNNING else None,
        started_at_s=NOW_S - 7000 if at is not None else None,
        exit_code=137 if state is WorkloadState.FAILED else None,
        held_by=held or HeldBy(),
    )


HELD = HeldBy(gpu=Hold.SOFT, cpu=Hold.HARD, memory=Hold.HARD, pids=Hold.HARD)


def _workloads() -> tuple[Workload, ...]:
    return (
        workload("w2k7m0q4r", "llama-pretrain", "ann", WorkloadState.RUNNING, ("h100-01", (0, 1, 2, 3)), held=HELD),
        workload("w5x1c8d2n", "resnet-sweep-7", "bob", WorkloadState.RUNNING, ("a100-01", (0,)), held=HELD),
        workload("w9t3j6v0b", "eval-nightly", "ci", WorkloadState.RUNNING, ("a100-01", (2,)), held=HELD),
        workload("w1h4p7s2z", "whisper-finetune", "dora", WorkloadState.RUNNING, ("l40s-01", (1,)), held=HELD),
        workload("w6d8e1f5g", "notebook-carl", "carl", WorkloadState.RUNNING, ("h200-01", (0,)), held=HELD),
        workload(
            "w3b9n4k6y",
            "diffusion-xl",
            "eve",
            WorkloadState.PENDING,
            gpus=8,
            reason="no capacity: 8 GPUs together, at most 3 are free on h100-01",
        ),
        workload(
            "w7r2q5t8m",
            "bert-ablation",
            "bob",
            WorkloadState.PENDING,
            gpus=2,
            reason="node down: it would fit on l40s-02",
        ),
        workload(
            "w4c6v8x0a",
            "tokenizer-bench",
            "ann",
            WorkloadState.FAILED,
            ("a100-01", (1,)),
            reason="ended by its memory limit",
        ),
        workload("w8f0h2j4p", "smoke-test", "ci", WorkloadState.FINISHED, ("a100-01", (3,)), reason="exit 0"),
    )


def _a100() -> Node:
    name = "a100-01"
    devices = (
        device(name, 0, A100, ratio=0.97, used_mib=71_230, temperature_c=63),
        device(name, 1, A100),
        device(name, 2, A100, ratio=0.41, used_mib=23_900, temperature_c=48),
        device(name, 3, A100, ratio=0.12, used_mib=9_820, temperature_c=39),
    )
    processes = (
        process(name, 0, 21_077, "bob", 70_804, "w5x1c8d2n", "python sweep.py --config configs/resnet50.yaml"),
        process(name, 2, 21_950, "ci", 23_510, "w9t3j6v0b", "python -m evals.run --suite nightly"),
        process(name, 3, 30_412, "mallory", 9_412, None, "/home/mallory/miner --quiet"),
    )
    return node(
        name,
        devices,
        processes=processes,
        claims=(claim(name, 0, "w5x1c8d2n"), claim(name, 2, "w9t3j6v0b")),
        cpu_ratio=0.38,
    )


def _h100() -> Node:
    name = "h100-01"
    busy = tuple(
        device(name, index, H100, ratio=0.93 + index / 100, used_mib=76_100 + index, temperature_c=66 + index)
        for index in range(4)
    )
    hung = device(name, 4, H100, state=DeviceState.HUNG, reason="driver not answering since 14:11:02")
    lost = device(
        name,
        5,
        H100,
        state=DeviceState.LOST,
        reason="GPU lost since 13:40:19: the driver reports it has fallen off the bus",
    )
    idle = (device(name, 6, H100), device(name, 7, H100))
    processes = tuple(
        process(
            name,
            index,
            8_800 + index,
            "ann",
            75_600,
            "w2k7m0q4r",
            f"python -m torch.distributed.run train.py --rank {index}",
        )
        for index in range(4)
    )
    claims = tuple(claim(name, index, "w2k7m0q4r") for index in range(4))
    return node(name, (*busy, hung, lost, *idle), processes=processes, claims=claims, cpu_ratio=0.61)


def _h200() -> Node:
    name = "h200-01"
    instances = (
        MigInstance("MIG-h200-01-0-a", "3g.71gb", 0, 4, 71_424, 40_210),
        MigInstance("MIG-h200-01-0-b", "2g.35gb", 4, 2, 35_712, 12),
    )
    devices = (device(name, 0, H200, used_mib=40_300, temperature_c=44, mig=instances), device(name, 1, H200))
    return node(name, devices, claims=(claim(name, 0, "w6d8e1f5g", "MIG-h200-01-0-a"),), cpu_ratio=0.07)


def _l40s() -> Node:
    name = "l40s-01"
    devices = (
        device(name, 0, L40S, used_mib=312, temperature_c=34),
        device(name, 1, L40S, ratio=0.78, used_mib=30_111, temperature_c=58),
        device(name, 2, L40S, state=DeviceState.NEEDS_RESET, reason="needs reset: uncorrectable memory error"),
        device(name, 3, L40S),
    )
    processes = (
        process(name, 0, 5_120, "gdm", 290, None, "/usr/lib/xorg/Xorg -core :0"),
        process(name, 1, 6_001, "dora", 29_700, "w1h4p7s2z", "python finetune.py --model whisper-large-v3"),
    )
    return node(name, devices, processes=processes, claims=(claim(name, 1, "w1h4p7s2z"),), cpu_ratio=0.22)


def fleet() -> FrozenWorld:
    """Six nodes: busy, idle, a stranger, MIG, a hung, a lost and a sick GPU, and a node that does not answer."""
    down = Node(
        spec("l40s-02"), NodeState.UNREACHABLE, NOW_S, reason="ssh: connect to host l40s-02 port 22: no route to host"
    )
    login = node("login", (), transport="local", cpu_ratio=0.04)
    nodes = (_a100(), _h100(), _h200(), _l40s(), down, login)
    return FrozenWorld(nodes, _workloads(), specs=tuple(one.spec for one in nodes))


def bare_machine() -> FrozenWorld:
    """One local node without a GPU or a driver."""
    from msgspec.structs import replace

    here = node("laptop", (), transport="local", cpu_ratio=0.11)
    here = replace(
        here, driver_version=None, nvml_reason="libnvidia-ml.so.1 was not found: no NVIDIA driver is installed"
    )
    return FrozenWorld((here,), specs=(here.spec,))


def large_fleet(nodes: int = 100, per_node: int = 8) -> FrozenWorld:
    """Many nodes full of busy devices."""
    names = [f"gpu-{number:04d}" for number in range(nodes)]
    made = tuple(
        node(
            name,
            tuple(
                device(name, index, A100, ratio=(index + 1) / 10, used_mib=1000 * (index + 1))
                for index in range(per_node)
            ),
        )
        for name in names
    )
    return FrozenWorld(made, specs=tuple(one.spec for one in made))
