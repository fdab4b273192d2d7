"""The steps of one chain, carried out together: all of them, or none left in force."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct, field

from gpualloc.errors import GpuallocError
from gpualloc.model.plan import Step, StepState

OnStep = Callable[[Step, StepState, str | None, int], None]
"""Told of each step as it moves: the step, its new state, the error or None, and how many steps its run has."""


class Report(Struct):
    """What became of the steps of one run."""

    run_id: str
    done: list[Step] = field(default_factory=list)
    failed: list[tuple[Step, GpuallocError]] = field(default_factory=list)
    skipped: list[Step] = field(default_factory=list)
    unknown: list[tuple[Step, GpuallocError]] = field(default_factory=list)
    """Steps whose node went away while they were under way; the next write command asks again."""
    left: list[Step] = field(default_factory=list)
    """Steps not begun, because an operator's signal ended the run; the next write command takes them up."""
    kept: list[Step] = field(default_factory=list)
    """Of a rollback: steps that are in force and have no inverse."""


def chains(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps grouped by chain, each group and the groups in plan order."""
    grouped: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        grouped.setdefault(step.chain, []).append(step)
    return list(grouped.values())


def in_force(states: Mapping[int, StepState], step: Step) -> bool:
    """Whether the step may have an effect on its node."""
    return states.get(step.seq) in (StepState.DONE, StepState.INTENT)
