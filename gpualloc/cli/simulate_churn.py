"""`gpualloc simulate churn`: tasks that come and go."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from msgspec.structs import replace

from gpualloc.cli.outcome import Answer
from gpualloc.cli.progress import counted
from gpualloc.cli.simulate_inputs import Add, FromHistory, NodesFile, TasksFile, read_given
from gpualloc.cli.simulate_options import PolicyName, ProfileFile
from gpualloc.cli.simulate_policy import chosen_policy
from gpualloc.cli.trace_files import seed_of
from gpualloc.engine.churn import simulate_churn
from gpualloc.engine.churn_trial import ChurnTrial, MigrationBudget
from gpualloc.errors import UsageError
from gpualloc.model.units import number, parse_duration_s, whole_number
from gpualloc.sim.traces.timetable import timetable
from gpualloc.views.churn import churn_added_text, churn_data, churn_text

MAX_MOVES = 1_000_000


def churn(
    ctx: typer.Context,
    *,
    policy: PolicyName,
    nodes: NodesFile = None,
    tasks: TasksFile = None,
    from_history: FromHistory = False,
    load: Annotated[
        str | None,
        typer.Option("--load", metavar="PART", help="Scale arrivals to this GPU demand in use, as a part of all GPUs."),
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option("--seed", metavar="N", help="Let tasks come at the recorded moments in an order drawn from this."),
    ] = None,
    migrations: Annotated[
        str, typer.Option("--migrations", metavar="N", help="Running tasks to move per hour at most. [default: 0]")
    ] = "0",
    move: Annotated[
        str, typer.Option("--move-seconds", metavar="DURATION", help="How long a move takes. [default: 30]")
    ] = "30",
    add: Add = None,
    profile: ProfileFile = None,
) -> Answer:
    """Let tasks come and go as they were recorded, wait for room in their order, and measure the waits."""
    part, drawn = None if load is None else number("--load", load), seed_of(seed)
    budget = _budget(migrations, move)
    decider, named = chosen_policy(policy, profile)
    given = read_given(ctx, nodes, tasks, from_history=from_history, add=add)
    times = timetable(given.trace.tasks, given.trace.capacity_milli, part, drawn)
    trial = ChurnTrial(given.trace.nodes, given.trace.tasks, times, part, drawn, named, budget, given.fixed)
    with counted(len(times.rows), "tasks") as progress:
        result = simulate_churn(trial, decider, time.perf_counter, progress)
    messages = list(given.trace.messages)
    if times.without_times:
        messages.append(f"{times.without_times} tasks have no times of coming and leaving and are left out")
    if not given.added:
        return Answer({**churn_data(result), "added": None}, lambda look: churn_text(result, look), tuple(messages))
    with counted(len(times.rows), "tasks with the nodes added") as progress:
        after = simulate_churn(replace(trial, nodes=given.more), decider, time.perf_counter, progress)
    data = {**churn_data(result), "added": given.added_data(churn_data(after))}
    return Answer(data, lambda look: churn_added_text(result, after, look), tuple(messages))


def _budget(migrations: str, move: str) -> MigrationBudget:
    moves = whole_number("--migrations", migrations)
    if not 0 <= moves <= MAX_MOVES:
        raise UsageError(f"--migrations {moves} is out of range", hint=f"moves per hour, 0 to {MAX_MOVES}")
    return MigrationBudget(moves, parse_duration_s(move))
