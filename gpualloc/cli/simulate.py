"""`gpualloc simulate`: policies on recorded and public traces, with a virtual clock. Nothing is run or stored."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.cli.progress import counted
from gpualloc.cli.simulate_bound import bound
from gpualloc.cli.simulate_compare import compare
from gpualloc.cli.simulate_options import (
    Arrivals,
    Key,
    Load,
    Nodes,
    OrderFile,
    PolicyName,
    ProfileFile,
    Seed,
    Tasks,
)
from gpualloc.cli.trace_files import OrderWanted, read_profile_file, read_trace, read_wanted, seed_of
from gpualloc.cli.values import number
from gpualloc.cli.whole_file import whole_files
from gpualloc.engine.simulate import PackingTrial, simulate_packing
from gpualloc.errors import UsageError
from gpualloc.policies import registry
from gpualloc.policies.profile import Profile
from gpualloc.ports import Policy
from gpualloc.views.simulation import packing_data, packing_text, placements_csv

app = shared.verb_app(no_args_is_help=True)


@app.callback()
def simulate() -> None:
    """Try policies on traces before trusting them. Nothing is run or stored."""


@app.command()
def packing(
    *,
    nodes: Nodes,
    tasks: Tasks,
    policy: PolicyName,
    arrivals: Arrivals = None,
    key: Key = None,
    order: OrderFile = None,
    seed: Seed = None,
    load: Load = "1.3",
    profile: ProfileFile = None,
    placements: Annotated[
        str | None, typer.Option("--placements", metavar="FILE", help="Write where each arrival went, as CSV.")
    ] = None,
) -> Answer:
    """Let tasks arrive that never leave, and measure how much of the GPUs is given out at each load."""
    wanted = OrderWanted(arrivals, key, order, seed_of(seed), number("--load", load))
    decider, named = chosen_policy(policy, profile)
    with whole_files(placements) as (put,):
        trace = read_trace(nodes, tasks)
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
    return Answer(packing_data(shown), lambda look: packing_text(shown, wanted.label, look), messages=trace.messages)


app.command()(compare)
app.command()(bound)


def chosen_policy(name: str, profile: str | None) -> tuple[Policy, str | None]:
    """The policy of that name with the saved weights, and what those are called; None when it uses its own.

    Raises:
        NotFoundError: there is no such policy.
        BrokenInputError: the file is no profile.
        UsageError: the profile is another policy's, or the policy takes none.
    """
    policy = registry.load(name)
    if profile is None:
        return policy, None
    saved = read_profile_file(profile)
    return _with_profile(policy, saved, profile), saved.name


def _with_profile(policy: Policy, saved: Profile, source: str) -> Policy:
    take = getattr(policy, "with_profile", None)
    if not callable(take):
        raise UsageError(f"the policy {policy.name} takes no profile")
    if saved.policy != policy.name:
        raise UsageError(f"{source}: a profile of the policy {saved.policy}, not of {policy.name}")
    made: Policy = take(saved)
    return made
