"""The rows of the kill matrix: for each kind of step, a world and a command line whose run has a step of that kind.

A kind gets a row here as soon as a simulated node can do it; until then it is in `PENDING`, and a test sees to it that
every kind is in one of the two and none in both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gpualloc.engine.context import Context
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.submit import submit
from gpualloc.model.plan import StepKind
from gpualloc.model.workload import Request
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

PENDING = frozenset(
    {
        StepKind.ADOPT,
        StepKind.LET_GO,
        StepKind.SUSPEND,
        StepKind.RESUME,
        StepKind.MPS_START,
        StepKind.MPS_STOP,
        StepKind.MIG_MODE,
        StepKind.MIG_CREATE,
        StepKind.MIG_DESTROY,
        StepKind.TUNE,
        StepKind.EVICT,
    }
)
"""Kinds that no simulated node can do yet."""


@dataclass(frozen=True)
class World:
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


@dataclass(frozen=True)
class Row:
    """How a run with a step of the kind comes about."""

    begin: Callable[[Context], list[str]]
    """Makes what is there before, and returns the command line."""
    invertible: bool
    """Whether everything the run does can be taken back."""


def make_world(root: Path) -> World:
    """A fresh cluster."""
    os.makedirs(root)
    (root / "cluster.toml").write_text(CLUSTER)
    return World(root)


def waiting_work(ctx: Context) -> list[str]:
    """Work that waits and has limits."""
    submit(ctx, "work", Request(("sleep", "9000"), gpus=1, memory_mib=1024, cpus=2.0, nodes=("n1",)))
    return ["apply", "--yes"]


def running_work(ctx: Context) -> list[str]:
    """Work that runs, to be released."""
    waiting_work(ctx)
    rebalance(ctx)
    return ["release", "work"]


_STARTS, _ENDS = Row(waiting_work, invertible=True), Row(running_work, invertible=False)

ROWS = {
    StepKind.CLAIM: _STARTS,
    StepKind.LIMIT: _STARTS,
    StepKind.START: _STARTS,
    StepKind.STOP: _ENDS,
    StepKind.UNCLAIM: _ENDS,
    StepKind.UNLIMIT: _ENDS,
}


def picture(world: World, *, counts: bool = True) -> str:
    """Everything that can be told apart from outside, with names for ids and UUIDs and without times and pids.

    Args:
        world: where to look.
        counts: whether how often something was done shows: attempts and starts.
    """
    hosts = world.hosts()
    names = {gpu["uuid"]: f"{name}/{gpu['index']}" for name, host in hosts.items() for gpu in host["gpus"]}
    with world.open() as ctx:
        workloads = ctx.journal.workloads()
        names |= {workload.id: workload.name for workload in workloads}
        seen = {
            "workloads": [
                (work.name, work.state.value, work.allocation and work.allocation.grants, work.attempt if counts else 0)
                for work in workloads
            ],
            "desired": [(one.node, one.device, one.layout, one.settings, one.before) for one in ctx.journal.desired()],
            "open": [run.id for run in ctx.journal.open_runs()],
        }
        assert ctx.journal.verify_audit() is None
    for name, host in hosts.items():
        seen[name] = {
            "claims": [(claim["workload"], claim["device"], claim["share"]) for claim in host["claims"]],
            "groups": host["groups"],
            "running": [work["workload"] for work in host["work"] if work["end"] is None],
            "gpus": [{**gpu, "processes": len(gpu["processes"])} for gpu in host["gpus"]],
            "starts": host["next_pid"] if counts else 0,
        }
    text = repr(seen)
    for identity, name in names.items():
        text = text.replace(identity, name)
    return text
