"""`gpualloc simulate bound`: what no policy can go below."""

from __future__ import annotations

from typing import Annotated

import typer

from gpualloc.cli.outcome import Answer
from gpualloc.cli.simulate_options import Arrivals, Key, Load, Nodes, OrderFile, Seed, Tasks
from gpualloc.cli.trace_files import OrderWanted, read_trace, read_wanted, seed_of
from gpualloc.cli.values import number
from gpualloc.engine.bound import bound_at
from gpualloc.errors import UsageError
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
) -> Answer:
    """Tell how little of the GPUs any policy could leave idle, by a linear programme. Needs the extra `lp`."""
    wanted = OrderWanted(arrivals, key, order, seed_of(seed), number("--load", load))
    at_pct = number("--at", at)
    if not 0 < at_pct <= MAX_AT_PCT:
        raise UsageError(f"--at {at} is out of range", hint=f"above 0 and at most {MAX_AT_PCT:g} percent")
    trace = read_trace(nodes, tasks)
    found = bound_at(trace.nodes, trace.tasks, read_wanted(trace, wanted), at_pct)
    return Answer(
        bound_data(found, at_pct),
        lambda look: bound_text(found, at_pct, wanted.label, look),
        messages=trace.messages,
    )
