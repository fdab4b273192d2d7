"""`gpualloc simulate`: policies on recorded and public traces, with a virtual clock. Nothing is run or stored."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from msgspec.structs import replace

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.cli.progress import counted
from gpualloc.cli.simulate_bound import bound
from gpualloc.cli.simulate_churn import churn
from gpualloc.cli.simulate_compare import compare
from gpualloc.cli.simulate_inputs import Add, FromHistory, NodesFile, TasksFile, read_given
from gpualloc.cli.simulate_options import Arrivals, Key, Load, OrderFile, PolicyName, ProfileFile, Seed
from gpualloc.cli.simulate_policy import chosen_policy
from gpualloc.cli.simulate_scale import scale
from gpualloc.cli.simulate_temporal import temporal
from gpualloc.cli.trace_files import OrderWanted, read_wanted, seed_of
from gpualloc.cli.whole_file import whole_files
from gpualloc.engine.simulate import PackingTrial, simulate_packing
from gpualloc.model.units import number
from gpualloc.views.simulation import packing_added_text, packing_data, packing_text, placements_csv

app = shared.verb_app(no_args_is_help=True)


@app.callback()
def simulate() -> None:
    """Try policies on traces before trusting them. Nothing is run or stored."""


@app.command()
def packing(
    ctx: typer.Context,
    *,
    policy: PolicyName,
    nodes: NodesFile = None,
    tasks: TasksFile = None,
    from_history: FromHistory = False,
    arrivals: Arrivals = None,
    key: Key = None,
    order: OrderFile = None,
    seed: Seed = None,
    load: Load = "1.3",
    add: Add = None,
    profile: ProfileFile = None,
    placements: Annotated[
        str | None, typer.Option("--placements", metavar="FILE", help="Write where each arrival went, as CSV.")
    ] = None,
) -> Answer:
    """Let tasks arrive that never leave, and measure how much of the GPUs is given out at each load."""
    wanted = OrderWanted(arrivals, key, order, seed_of(seed), number("--load", load))
    decider, named = chosen_policy(policy, profile)
    with whole_files(placements) as (put,):
        given = read_given(ctx, nodes, tasks, from_history=from_history, add=add)
        trace = given.trace
        trial = PackingTrial(
            trace.nodes,
            trace.tasks,
            read_wanted(trace, wanted),
            seed=wanted.seed or 0,
            profile=named,
            keep_placements=put is not None,
        )
        with counted(len(trial.order), "tasks") as progress:
            result = simulate_packing(trial, decider, time.perf_counter, progress)
        if put is not None:
            put(placements_csv(result))
    shown = replace(result, placements=())
    if not given.added:
        data = {**packing_data(shown), "added": None}
        return Answer(data, lambda look: packing_text(shown, wanted.label, look), messages=trace.messages)
    with counted(len(trial.order), "tasks with the nodes added") as progress:
        more = replace(trial, nodes=given.more, keep_placements=False)
        after = simulate_packing(more, decider, time.perf_counter, progress)
    return Answer(
        {**packing_data(shown), "added": given.added_data(packing_data(after))},
        lambda look: packing_added_text(shown, after, wanted.label, look),
        messages=trace.messages,
    )


app.command()(churn)
app.command()(compare)
app.command()(bound)
app.command()(temporal)
app.command()(scale)
