"""The rows of the kill matrix: for each kind of step, a world and a command line whose run has a step of that kind."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.engine.adopt import Wanted, adopt
from gpualloc.engine.apply import apply
from gpualloc.engine.context import Context
from gpualloc.engine.devices import find_device
from gpualloc.engine.mig import Wish, layout_plan
from gpualloc.engine.observe import observe
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.submit import submit
from gpualloc.engine.suspend import suspend
from gpualloc.model.allocation import Share
from gpualloc.model.decision import Decision
from gpualloc.model.desired import DeviceSettings
from gpualloc.model.mig import parse_target
from gpualloc.model.plan import EvictAction, ProcessTarget, Step, StepKind, StepReason
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.planning.document import dump
from gpualloc.planning.plan import build
from gpualloc.planning.resizing import resize_steps, with_devices
from gpualloc.sim.gpu import GpuModel, GpuProcess
from gpualloc.sim.use import Pattern
from gpualloc.wiring import Options, open_context

CLUSTER = """
seed = 3
[[nodes]]
name = "n1"
gpus = ["H100-80GB", "H100-80GB"]
[[nodes]]
name = "n2"
gpus = ["A100-40GB"]
"""

DEFAULT_POWER_W = 700.0
"""Power limit of the simulated H100 before anybody sets one."""


STRANGER_PID = 3999


class World(Struct, frozen=True):
    """A simulated cluster with state of its own."""

    root: Path

    @property
    def env(self) -> dict[str, str]:
        """For commands in this world."""
        return {"GPUALLOC_SIM": str(self.root / "cluster.toml"), "GPUALLOC_STATE_DIR": str(self.root / "state")}

    @contextmanager
    def open(self) -> Iterator[Context]:
        """The world in this process."""
        with open_context(Options(sim=self.env["GPUALLOC_SIM"], state_dir=self.root / "state")) as ctx:
            yield ctx

    def hosts(self) -> dict[str, dict]:
        """The simulated nodes as their file has them."""
        (file,) = (self.root / "state" / "sim").glob("*/cluster.json")
        return json.loads(file.read_text())["hosts"]

    def reboot(self, name: str) -> None:
        """Let a node lose what does not outlive its boot: work, claims, groups, settings."""
        (file,) = (self.root / "state" / "sim").glob("*/cluster.json")
        cluster = json.loads(file.read_text())
        host = cluster["hosts"][name]
        now_s = max([work["started_at_s"] for work in host["work"]], default=0.0)
        end = {"exit_code": 255, "signal": None, "oom": False, "at_s": now_s, "reason": "rebooted"}
        host.update(boot_id="rebooted", groups={}, claims=[])
        for work in host["work"]:
            work["end"] = work["end"] or end
        for gpu in host["gpus"]:
            gpu["processes"] = []
        file.write_text(json.dumps(cluster))


class Row(Struct, frozen=True):
    """How a run with a step of the kind comes about."""

    begin: Callable[[Context, Path], list[str]]
    """Makes what is there before, and returns the command line."""
    invertible: bool
    """Whether everything the run does can be taken back."""
    planned_again: bool = False
    """Whether the command line is good once only, so that `begin` must make another one to say it again."""
    goes_on: bool = True
    """Whether the next command goes on with it; what was meant for the moment is never done late."""

    def again(self, world: World, args: list[str]) -> list[str]:
        """The command line to say a second time."""
        with world.open() as ctx:
            if self.planned_again:
                return self.begin(ctx, world.root)
            taken_in = self.begin is to_adopt and ctx.journal.workloads([WorkloadState.RUNNING])
        return ["rebalance"] if taken_in else args


def make_world(root: Path) -> World:
    """A fresh cluster."""
    os.makedirs(root)
    (root / "cluster.toml").write_text(CLUSTER)
    return World(root)


def waiting_work(ctx: Context, root: Path) -> list[str]:
    """Work that waits and has limits."""
    submit(ctx, "work", Request(("sleep", "9000"), gpus=1, memory_mib=1024, cpus=2.0, nodes=("n1",)))
    return ["apply", "--yes"]


def running_work(ctx: Context, root: Path) -> list[str]:
    """Work that runs, to be released."""
    waiting_work(ctx, root)
    rebalance(ctx)
    return ["release", "work"]


def laid_out(layout: str) -> Callable[[Context, Path], list[str]]:
    """A layout for a device whose MIG mode is off."""
    return lambda _ctx, _root: ["mig", "apply", "--device", "n1:0", "--layout", layout, "--yes"]


def laid_out_anew(ctx: Context, root: Path) -> list[str]:
    """Another layout for a device that has one: instances go and come."""
    wish = layout_plan(
        ctx, [Wish(*find_device(observe(ctx), "n1:0"), parse_target("2g.20gb@0,2g.20gb@4"))], observe(ctx)
    )
    apply(ctx, wish)
    return laid_out("3g.40gb@0,2g.20gb@4")(ctx, root)


def settings_changed(ctx: Context, root: Path) -> list[str]:
    """A plan file with lower power for a device, and other settings for a second one."""
    snapshot = observe(ctx, ["n1"])
    steps = [
        Step(
            seq=device.index + 1,
            kind=StepKind.SET,
            node="n1",
            workload=None,
            target=f"GPU {device.index}",
            reason=StepReason.OPERATOR,
            detail="less power",
            allocation=None,
            attempt=0,
            revision=0,
            device=device.uuid,
            wanted=DeviceSettings(power_limit_w=400.0, persistence=True),
            before=replace(device.settings, sm_clock_min_mhz=None, sm_clock_max_mhz=None, compute_mode=None),
        )
        for device in snapshot.nodes[0].devices
    ]
    return plan_file(ctx, root, steps)


def plan_file(ctx: Context, root: Path, steps: Sequence[Step], workloads: Sequence[Workload] = ()) -> list[str]:
    """A command line that applies a plan of these steps, which are about these workloads."""
    nothing = Decision("best-fit", "1", 0, (), ())
    plan = build(
        nothing,
        observe(ctx, ["n1"]),
        {workload.id: workload for workload in workloads},
        plan_id=ctx.fresh_id("p"),
        created_at_s=1.0,
        simulated=True,
        extra_steps=tuple(steps),
    )
    file = root / "steps.plan"
    file.write_text(dump(plan))
    return ["apply", "--yes", str(file)]


def to_suspend(ctx: Context, root: Path) -> list[str]:
    """Work that runs, to be suspended."""
    running_work(ctx, root)
    return ["suspend", "work"]


def to_resume(ctx: Context, root: Path) -> list[str]:
    """Work that is suspended."""
    running_work(ctx, root)
    suspend(ctx, "work")
    return ["resume", "work"]


def to_resize(ctx: Context, root: Path) -> list[str]:
    """A plan file that gives both GPUs of n1 to work that has one."""
    if not ctx.journal.workloads([WorkloadState.RUNNING]):
        request = Request(("sleep", "9000"), gpus=1, gpus_max=2, resize_command=("true",), nodes=("n1",))
        submit(ctx, "work", request)
        rebalance(ctx)
    work, snapshot = ctx.journal.find("work"), observe(ctx, ["n1"])
    assert work.allocation is not None
    to = with_devices(work.allocation, [device.uuid for device in snapshot.nodes[0].devices])
    return plan_file(ctx, root, resize_steps(work, to, snapshot, "nobody wants it"), [work])


def stranger(ctx: Context, root: Path) -> tuple[str, float]:
    """Let a process of somebody else run on the first GPU of n1; gives the GPU and when the process began."""
    observe(ctx)
    (file,) = (root / "state" / "sim").glob("*/cluster.json")
    cluster = json.loads(file.read_text())
    gpu = GpuModel.from_plain(cluster["hosts"]["n1"]["gpus"][0])
    began_at_s = ctx.clock.now_s() - 60.0
    gpu.processes = [GpuProcess(STRANGER_PID, "root", "train", began_at_s, 1024, Pattern.STEADY)]
    cluster["hosts"]["n1"]["gpus"][0] = gpu.to_plain()
    file.write_text(json.dumps(cluster))
    return gpu.uuid, began_at_s


def to_evict(ctx: Context, root: Path) -> list[str]:
    """A plan file that ends a process on a device that it was not given."""
    device, began_at_s = stranger(ctx, root)
    step = Step(
        seq=1,
        kind=StepKind.EVICT,
        node="n1",
        workload=None,
        target="GPU 0",
        reason=StepReason.ENFORCE,
        detail="not given to it",
        allocation=None,
        attempt=0,
        revision=0,
        device=device,
        process=ProcessTarget(STRANGER_PID, began_at_s, EvictAction.TERMINATE),
    )
    return plan_file(ctx, root, [step])


def to_signal(ctx: Context, root: Path) -> list[str]:
    """A process of somebody else, to be ended by a signal."""
    stranger(ctx, root)
    return ["signal", "n1", str(STRANGER_PID), "--yes"]


def to_adopt(ctx: Context, root: Path) -> list[str]:
    """A process of somebody else, to be taken in."""
    stranger(ctx, root)
    return ["adopt", str(STRANGER_PID), "--node", "n1", "--name", "work", "--memory", "1GiB"]


def to_let_go(ctx: Context, root: Path) -> list[str]:
    """Adopted work, to be let go."""
    to_adopt(ctx, root)
    adopt(ctx, Wanted(pid=STRANGER_PID, node="n1", name="work"))
    return ["let-go", "work"]


def sharing_work(ctx: Context, root: Path) -> list[str]:
    """Work that waits for a share of a GPU through MPS."""
    submit(ctx, "work", Request(("sleep", "9000"), gpus=1, fraction=0.5, share_asked=Share.MPS, nodes=("n1",)))
    return ["apply", "--yes"]


def shared_work(ctx: Context, root: Path) -> list[str]:
    """Work that shares a GPU through MPS, to be released."""
    sharing_work(ctx, root)
    rebalance(ctx)
    return ["release", "work"]


_STARTS, _ENDS = Row(waiting_work, invertible=True), Row(running_work, invertible=False)
_LAYOUT = Row(laid_out("3g.40gb@0,2g.20gb@4"), invertible=True)

ROWS = {
    StepKind.CLAIM: _STARTS,
    StepKind.LIMIT: _STARTS,
    StepKind.START: _STARTS,
    StepKind.STOP: _ENDS,
    StepKind.UNCLAIM: _ENDS,
    StepKind.UNLIMIT: _ENDS,
    StepKind.SUSPEND: Row(to_suspend, invertible=True),
    StepKind.RESUME: Row(to_resume, invertible=True),
    StepKind.RESIZE: Row(to_resize, invertible=True, planned_again=True),
    StepKind.ADOPT: Row(to_adopt, invertible=True),
    StepKind.LET_GO: Row(to_let_go, invertible=False),
    StepKind.MPS_START: Row(sharing_work, invertible=True),
    StepKind.MPS_STOP: Row(shared_work, invertible=False),
    StepKind.MIG_MODE: _LAYOUT,
    StepKind.MIG_CREATE: _LAYOUT,
    StepKind.MIG_DESTROY: Row(laid_out_anew, invertible=True),
    StepKind.SET: Row(settings_changed, invertible=True, planned_again=True),
    StepKind.EVICT: Row(to_evict, invertible=False, planned_again=True),
    StepKind.SIGNAL: Row(to_signal, invertible=False, goes_on=False),
}


def picture(world: World, *, counts: bool = True) -> str:
    """Everything that can be told apart from outside, with names for ids and UUIDs and without times and pids.

    Args:
        world: where to look.
        counts: whether how often something was done shows: attempts, starts and work that was released.
    """
    hosts = world.hosts()
    gpus = [(f"{name}/{gpu['index']}", gpu) for name, host in hosts.items() for gpu in host["gpus"]]
    names = {gpu["uuid"]: name for name, gpu in gpus}
    names |= {each[0]: f"{name}/{each[2]}@{each[3]}" for name, gpu in gpus for each in gpu["instances"]}
    with world.open() as ctx:
        workloads = ctx.journal.workloads()
        names |= {workload.id: workload.name for workload in workloads}
        seen = {
            "workloads": [
                (work.name, work.state.value, work.allocation and work.allocation.grants, work.attempt if counts else 0)
                for work in workloads
                if counts or work.state is not WorkloadState.RELEASED
            ],
            "open": [run.id for run in ctx.journal.open_runs()],
        }
        if counts:
            desired = sorted(ctx.journal.desired(), key=lambda device: names[device.device])
            seen["desired"] = [replace(device, at_s=0.0) for device in desired]
        assert ctx.journal.verify_audit() is None
    for name, host in hosts.items():
        seen[name] = {
            "claims": [(claim["workload"], claim["device"], claim["share"]) for claim in host["claims"]],
            "groups": host["groups"],
            "running": [work["workload"] for work in host["work"] if work["end"] is None],
            "gpus": [_gpu(gpu, counts=counts) for gpu in host["gpus"]],
            "starts": host["next_pid"] if counts else 0,
        }
    text = repr(seen)
    for identity, name in names.items():
        text = text.replace(identity, name)
    return text


def _gpu(gpu: dict, *, counts: bool) -> dict:
    made = gpu["instances_made"] if counts else 0
    instances = sorted(each[2:4] for each in gpu["instances"])
    # A limit that was set back to what the driver begins with is told as that one.
    limit_w = gpu["settings"]["power_limit_w"] or DEFAULT_POWER_W
    settings = {**gpu["settings"], "power_limit_w": limit_w}
    return {
        **gpu,
        "energy": "goes with time",
        "processes": len(gpu["processes"]),
        "instances_made": made,
        "instances": instances,
        "settings": settings,
    }
