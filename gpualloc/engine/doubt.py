"""What is not known, or not settled, about interrupted and abandoned runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from gpualloc.engine.chain import chains, in_force
from gpualloc.engine.context import Context
from gpualloc.model.plan import Run, RunState, Step, StepRecord, StepState


def doubtful(ctx: Context) -> frozenset[str]:
    """Ids of workloads with steps begun and neither done nor taken back: nothing is planned for them."""
    return frozenset(
        chain[0].workload
        for run in _unsettled(ctx)
        for chain, states in half_done(run, ctx.journal.steps(run.id))
        if chain[0].workload is not None and any(in_force(states, step) for step in chain)
    )


def doubtful_nodes(ctx: Context) -> dict[str, str]:
    """Nodes where it is not known what an interrupted or abandoned run has done, each with the reason in words.

    Nothing new is planned there until the run is brought to its end, or, of an abandoned one, until somebody looked.
    """
    reasons: dict[str, str] = {}
    for run in _unsettled(ctx):
        fate = "was abandoned" if run.state is RunState.ABANDONED else "is open"
        for step in doubts(run, ctx.journal.steps(run.id)):
            what = f"{step.kind.value} of {step.target} may be in force or not"
            reasons.setdefault(step.node, f"run {run.id} {fate}, and {what}")
    return reasons


def doubts(run: Run, records: Iterable[StepRecord]) -> tuple[Step, ...]:
    """The steps of an unsettled run that may be in force although they should not, or not although they should."""
    found = []
    for chain, states in half_done(run, records):
        going_back = run.state is not RunState.OPEN or _failed(states)
        found += [
            step
            for step in chain
            if states.get(step.seq) is StepState.INTENT
            or (going_back and states.get(step.seq) is StepState.DONE and step.inverse is not None)
        ]
    return tuple(found)


def _unsettled(ctx: Context) -> tuple[Run, ...]:
    return (*ctx.journal.open_runs(), *ctx.journal.abandoned_runs())


def half_done(run: Run, records: Iterable[StepRecord]) -> Iterator[tuple[list[Step], Mapping[int, StepState]]]:
    """The chains that were begun and did not come to their end, with the states of their steps."""
    journaled = {record.step.seq: record.state for record in records}
    for chain in chains(run.plan.steps):
        states = {step.seq: journaled[step.seq] for step in chain if step.seq in journaled}
        done = all(states.get(step.seq) is StepState.DONE for step in chain)
        if states and (not done or run.state is RunState.ROLLBACK):
            yield chain, states


def _failed(states: Mapping[int, StepState]) -> bool:
    return StepState.FAILED in states.values() or StepState.UNDONE in states.values()
