"""`gpualloc simulate temporal`: plans over time on recorded demand."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from gpualloc.cli.outcome import Answer
from gpualloc.cli.progress import counted
from gpualloc.cli.simulate_options import Seed
from gpualloc.cli.trace_files import opened, seed_of
from gpualloc.errors import UsageError
from gpualloc.model.units import number, parse_duration_s

MAX_GPU_MEMORY_GIB = 1e6


def temporal(
    *,
    demand: Annotated[str, typer.Option("--demand", metavar="FILE", help="What items need over time (docs).")],
    gpu_memory: Annotated[str, typer.Option("--gpu-memory-gib", metavar="GIB", help="Memory of each GPU.")],
    policy: Annotated[
        str, typer.Option("--policy", metavar="POLICY", help="peak, lifetime, ts-dpbp, genetic, ... (docs).")
    ] = "ts-dpbp",
    forecast: Annotated[
        str, typer.Option("--forecast", metavar="NAME", help="What is known beforehand: all of it, or a forecaster's.")
    ] = "perfect",
    deadline: Annotated[
        str | None, typer.Option("--deadline", metavar="DURATION", help="End the search with the best found by then.")
    ] = None,
    seed: Seed = None,
) -> Answer:
    """Pack items whose demand changes over time, and count GPUs, GPU-hours, moves and overload."""
    from gpualloc.engine.temporal import TemporalTrial, simulate_temporal
    from gpualloc.forecast import registry
    from gpualloc.sim.traces.demand import read_demand
    from gpualloc.sim.traces.lines import text_lines
    from gpualloc.views.temporal import temporal_data, temporal_text

    memory = number("--gpu-memory-gib", gpu_memory)
    if not 0 < memory <= MAX_GPU_MEMORY_GIB:
        raise UsageError(f"--gpu-memory-gib {memory:g} is out of range", hint="GiB of one GPU, such as 80")
    drawn = seed_of(seed) or 0
    limit_s = None if deadline is None else parse_duration_s(deadline)
    forecaster = None if forecast == "perfect" else registry.load(forecast)
    with opened(demand) as stream:
        found = read_demand(text_lines(stream, demand), demand)
    trial = TemporalTrial(found, memory, policy, drawn, limit_s, forecaster)
    watched = (len(found.times_s), "intervals") if forecaster else (100, "percent of the longest search")
    with counted(*watched) as progress:
        result = simulate_temporal(trial, time.perf_counter, progress)
    return Answer(temporal_data(result), lambda look: temporal_text(result, look), messages=found.messages)
