"""`gpualloc adopt`: take a running process in as a workload."""

from __future__ import annotations

from typing import Annotated

import typer
from msgspec.structs import replace

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.cli.reporting import tell_step
from gpualloc.cli.stopping import stoppable
from gpualloc.engine.adopt import NO_LIMITS, Wanted, notes
from gpualloc.engine.adopt import adopt as adopt_process
from gpualloc.errors import UsageError
from gpualloc.model.units import number, parse_memory_mib, whole_number
from gpualloc.views.workloads import workloads_data, workloads_text

app = shared.verb_app()


@app.command()
def adopt(
    ctx: typer.Context,
    pid: Annotated[str, typer.Argument(metavar="PID", help="The process; all below it come along.")],
    *,
    node: Annotated[str | None, typer.Option("--node", metavar="NODE", help="The node it runs on.")] = None,
    gpus: Annotated[
        list[str] | None, typer.Option("--gpus", metavar="UUID", help="Claim these; else what it is seen using.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name; else that of the command.")] = None,
    owner: Annotated[
        str | None, typer.Option("--owner", metavar="ACCOUNT", help="Refuse unless the process is this account's.")
    ] = None,
    cpus: Annotated[str | None, typer.Option("--cpus", metavar="N", help="CPU limit in cores, such as 2.5.")] = None,
    cpuset: Annotated[str | None, typer.Option("--cpuset", metavar="LIST", help="Only these CPUs: 0-3,8.")] = None,
    memory: Annotated[str | None, typer.Option("--memory", metavar="SIZE", help="Memory limit, as 16GiB.")] = None,
    pids: Annotated[str | None, typer.Option("--pids", metavar="N", help="Most processes and threads.")] = None,
    require: Annotated[
        str | None, typer.Option("--require", metavar="hard", help="Refuse where the kernel cannot hold the limits.")
    ] = None,
    wait: shared.Wait = None,
) -> Answer:
    """Take a running process in: claim its GPUs, hold it to limits from now on, and show it as a workload."""
    if node is None:
        raise UsageError("--node is missing", hint="a process is named by its node and its pid")
    limits = replace(
        NO_LIMITS,
        cpus=None if cpus is None else number("--cpus", cpus),
        cpuset=cpuset,
        memory_mib=None if memory is None else parse_memory_mib(memory),
        pids=None if pids is None else whole_number("--pids", pids),
        require=require,
    )
    devices = tuple(uuid for text in gpus for uuid in text.split(",") if uuid) if gpus else None
    wanted = Wanted(node, whole_number("PID", pid), devices, name, owner, limits)
    wait_s = shared.wait_s(wait)
    with shared.open_world(ctx) as world:
        with stoppable(world) as going:
            workload = adopt_process(going, wanted, wait_s=wait_s, on_step=tell_step)
        simulated, now_s = world.simulated, world.clock.now_s()
    told = notes(workload)
    return Answer(
        {**workloads_data([workload], simulated=simulated), "notes": list(told)},
        lambda look: "\n".join(
            [workloads_text([workload], now_s, look, simulated=simulated), "", *(f"note: {note}" for note in told)]
        ),
    )
