"""`gpualloc simulate bound`: what no policy can go below."""

from __future__ import annotations

from typing import Annotated

import typer

from gpualloc.cli.outcome import Answer
from gpualloc.cli.simulate_options import Arrivals, Key, Load, Nodes, OrderFile, Seed, Tasks
from gpualloc.cli.trace_files import OrderWanted, read_trace, read_wanted, seed_of
from gpualloc.engine.bound import all_at_once, arrived_at, bound_at
from gpualloc.errors import UsageError
from gpualloc.model.units import number
from gpualloc.policies import registry
from gpualloc.views.bound import bound_data, bound_text

MAX_AT_PCT = 10_000.0


def bound(
    *,
    nodes: Nodes,
    tasks: Tasks,
    arrivals: Arrivals = None,
    key: Key = None,
    order: OrderFile = None,
    seed: Seed = None,
    load: Load = "1.3",
    at: Annotated[str, typer.Option("--at", metavar="PERCENT", help="Load, in percent of all GPUs.")] = "100",
    batch: Annotated[bool, typer.Option("--batch", help="Also what batch makes of all that at once.")] = False,
) -> Answer:
    """Tell how little of the GPUs any policy could leave idle, by a linear programme. Needs the extra `lp`."""
    wanted = OrderWanted(arrivals, key, order, seed_of(seed), number("--load", load))
    at_pct = number("--at", at)
    if not 0 < at_pct <= MAX_AT_PCT:
        raise UsageError(f"--at {at} is out of range", hint=f"above 0 and at most {MAX_AT_PCT:g} percent")
    trace = read_trace(nodes, tasks)
    arrivals_in_order = read_wanted(trace, wanted)
    found = bound_at(trace.nodes, trace.tasks, arrivals_in_order, at_pct)
    packed = None
    if batch:
        demand = arrived_at(trace.tasks, arrivals_in_order, found.capacity_milli, at_pct)
        packed = all_at_once(trace.nodes, demand, registry.load("batch"))
    return Answer(
        bound_data(found, at_pct, packed),
        lambda look: bound_text(found, at_pct, wanted.label, look, packed),
        messages=trace.messages,
    )
