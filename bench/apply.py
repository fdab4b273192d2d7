"""What an apply costs: the journal per step, 1,000 steps on simulated nodes, and over 50 real sshd.

Run it as `python bench/apply.py [journal] [simulated] [ssh]` (all three when none is named); it prints the tables of
docs/bench-apply.md. `ssh` wants root, for a throw-away account; its floor is `ssh node true` through a control
master, as often as there are steps and on as many nodes at once.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from gpualloc.engine.apply import apply, failure
from gpualloc.engine.context import Context
from gpualloc.engine.plan import make_plan
from gpualloc.model.allocation import Allocation, Grant, Share
from gpualloc.model.audit import AuditEntry
from gpualloc.model.plan import Plan, Step, StepKind, StepReason, StepState
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal
from gpualloc.wiring import Options, open_context

NODES = 50
STEPS = 1000
ROUNDS = 3
KINDS = (StepKind.CLAIM, StepKind.LIMIT, StepKind.START)


def journal(folder: Path) -> None:
    """The commits of a step: intent, and done with its workload and an audit entry when it is a start."""
    plan = long_plan()
    workloads = [
        Workload(f"w{number:08d}", f"work {number}", "ann", Request(("true",)), WorkloadState.PENDING, 1.0)
        for number in range(-(-STEPS // len(KINDS)))
    ]
    commits: list[float] = []
    steps: list[float] = []
    book = SqliteJournal(StatePaths(folder))
    with book.write("bench") as writer:
        run = writer.open_run("r0", plan, "ann", 1.0)
        for workload in workloads:
            writer.save([workload])
        for step in plan.steps:
            started = step.kind is StepKind.START
            workload = workloads[(step.seq - 1) // len(KINDS)]
            times = [time.perf_counter()]
            writer.record_step(run, step, StepState.INTENT)
            times.append(time.perf_counter())
            writer.record_step(
                run,
                step,
                StepState.DONE,
                result={"pid": step.seq, "started_at_s": 1.0, "grants": []},
                workload=replace(workload, state=WorkloadState.RUNNING, revision=2) if started else None,
                audit=[AuditEntry(1.0, "start", "ann", workload.id, step.node)] if started else [],
            )
            times.append(time.perf_counter())
            commits += [late - early for early, late in pairwise(times)]
            steps.append(times[-1] - times[0])
    book.close()
    row("fdatasync of 8 KiB appended", list(bare_syncs(folder / "floor")))
    row("journal, per commit", commits)
    row("journal, per step (two commits)", steps)


def bare_syncs(file: Path) -> Iterator[float]:
    """What the disk alone takes for as much as a commit writes."""
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY)
    for _ in range(STEPS):
        began = time.perf_counter()
        os.write(descriptor, bytes(8192))
        os.fdatasync(descriptor)
        yield time.perf_counter() - began
    os.close(descriptor)


def long_plan() -> Plan:
    """A plan as long as the others, of steps like theirs."""
    steps = []
    for seq in range(1, STEPS + 1):
        workload = f"w{(seq - 1) // len(KINDS):08d}"
        allocation = Allocation(workload, "n1", (Grant(f"GPU-{seq:032d}", Share.EXCLUSIVE),), cpus=1.0, memory_mib=64)
        kind = KINDS[(seq - 1) % len(KINDS)]
        steps.append(Step(seq, kind, "n1", workload, "GPU 0", StepReason.WAITING, "it waits", allocation, 1, 1))
    return Plan("p0", 1.0, "best-fit", "1", 0, simulated=True, base={}, base_digest="", steps=tuple(steps))


def row(what: str, seconds: Sequence[float]) -> None:
    """A line of the table of durations."""
    cuts = statistics.quantiles(seconds, n=100)
    print(
        f"| {what} | {len(seconds)} | {1e3 * statistics.median(seconds):.2f} | {1e3 * cuts[98]:.2f} "
        f"| {1e3 * max(seconds):.1f} |"
    )


def simulated(folder: Path) -> list[float]:
    """Seconds for the plan on simulated nodes, round after round."""
    cluster = folder / "cluster.toml"
    cluster.write_text(f'[[nodes]]\nname = "n[01-{NODES}]"\ngpus = ["8xH100-80GB"]\n')
    took = []
    for number in range(ROUNDS):
        with open_context(Options(sim=str(cluster), state_dir=folder / f"state{number}")) as ctx:
            took.append(applied(ctx, Request(("sleep", "9000"), gpus=1, cpus=1.0, memory_mib=64)))
    return took


def applied(ctx: Context, request: Request) -> float:
    """Seconds to apply a plan of `STEPS` steps for that many requests."""
    for number in range(-(-STEPS // len(KINDS))):
        workload = Workload(
            ctx.fresh_id("w"), f"work {number}", ctx.actor, request, WorkloadState.PENDING, ctx.clock.now_s()
        )
        ctx.journal.submit(workload, AuditEntry(1.0, "submit", ctx.actor, workload.id, None))
    plan = make_plan(ctx)
    assert len(plan.steps) >= STEPS, [rejection.detail for rejection in plan.rejections][:3]
    began = time.perf_counter()
    report = apply(ctx, plan)
    took = time.perf_counter() - began
    assert failure(report) is None, failure(report)
    assert len(report.done) == len(plan.steps)
    return took


def over_ssh() -> tuple[list[float], list[float]]:
    """Seconds for the plan over real sshd, and for as many `ssh node true` on warm masters; turn by turn."""
    from fakes.ssh_command import ssh_command

    names = [f"n{number:02d}" for number in range(1, NODES + 1)]
    ours, floor = [], []
    with ssh_command(names) as world, surroundings(world.env):
        for number in range(ROUNDS):
            with open_context(Options(state_dir=world.root / f"state{number}")) as ctx:
                reach_all(ctx)
                ours.append(applied(ctx, Request(("true",), gpus=1, fraction=0.25, pids=50)))
            floor.append(bare(world.farm, names))
            world.stop_everything()
    return ours, floor


def reach_all(ctx: Context) -> None:
    """Have the node program running on every node; on a busy machine the first contact with so many takes a while."""
    for _ in range(10):
        if all(node.boot_id for node in ctx.fleet.observe()):
            return
        ctx.clock.sleep(2.0)
    raise SystemExit("not every node of the farm answers")


def bare(farm: object, names: Sequence[str]) -> float:
    """Seconds for `STEPS` times `ssh node true` through control masters, 16 at once."""
    with tempfile.TemporaryDirectory(prefix="b", dir="/tmp") as sockets:

        def command(name: str, *more: str) -> list[str]:
            node = farm[name]  # type: ignore[index]
            options = [f"-o{key}={value}" for key, value in node.options]
            path = ["-oControlMaster=auto", "-oControlPersist=60", f"-oControlPath={sockets}/%C"]
            return ["ssh", "-T", *options, *path, "-p", str(node.port), f"{node.user}@{node.host}", *more]

        def run(name: str) -> None:
            subprocess.run(command(name, "true"), check=True, stdin=subprocess.DEVNULL)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(run, names))
            began = time.perf_counter()
            list(pool.map(run, [names[number % len(names)] for number in range(STEPS)]))
            took = time.perf_counter() - began
        for name in names:
            subprocess.run([*command(name)[:-1], "-O", "exit", command(name)[-1]], check=False, capture_output=True)
    return took


@contextmanager
def surroundings(env: dict[str, str]) -> Iterator[None]:
    """The environment of the world that is measured."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def spread(seconds: Sequence[float]) -> str:
    """Median and range."""
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def main(parts: Sequence[str]) -> None:
    """Print what was asked for."""
    wanted = parts or ("journal", "simulated", "ssh")
    system = f"{platform.machine()}, {platform.system()} {platform.release()}, {os.cpu_count()} CPUs"
    print(
        f"{system}, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )
    with tempfile.TemporaryDirectory(prefix="gpualloc-bench-", dir=os.environ.get("BENCH_DIR", "/var/tmp")) as folder:
        if "journal" in wanted:
            print("\n| what | count | median ms | p99 ms | max ms |\n| --- | --- | --- | --- | --- |")
            journal(Path(folder) / "journal")
        if "simulated" in wanted:
            print(f"\n{STEPS} steps on {NODES} simulated nodes: {spread(simulated(Path(folder)))} s")
    if "ssh" in wanted:
        ours, floor = over_ssh()
        print(f"\n{STEPS} steps over {NODES} sshd: {spread(ours)} s; as many `ssh node true`: {spread(floor)} s")


if __name__ == "__main__":
    main(sys.argv[1:])
