"""The steps that serve one workload, carried out together: all of them, or none left in force."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gpualloc.engine.context import Context
from gpualloc.engine.execute import FleetExecutor, Journaled, workload_of
from gpualloc.errors import FencedError, GpuallocError, UnknownOutcomeError
from gpualloc.model.plan import INVERSE, Run, Step, StepKind, StepState
from gpualloc.model.workload import WorkloadState
from gpualloc.ports import JournalWriter

OnStep = Callable[[Step, StepState, str | None, int], None]
"""Told of each step as it moves: the step, its new state, the error or None, and how many steps its run has."""


@dataclass(slots=True)
class Report:
    """What became of the steps of one run."""

    run_id: str
    done: list[Step] = field(default_factory=list)
    failed: list[tuple[Step, GpuallocError]] = field(default_factory=list)
    skipped: list[Step] = field(default_factory=list)
    unknown: list[tuple[Step, GpuallocError]] = field(default_factory=list)
    """Steps whose node went away while they were under way; the next write command asks again."""


class Chains:
    """Carries out chains of steps of one run under the apply lock."""

    def __init__(self, ctx: Context, writer: JournalWriter, run: Run, on_step: OnStep | None) -> None:
        self._ctx = ctx
        self._writer = writer
        self._run = run
        self._node = FleetExecutor(ctx, run)
        self._journaled = Journaled(self._node, ctx, writer, run)
        self._on_step = on_step
        self.report = Report(run.id)

    def carry_out(self, chain: Sequence[Step], states: Mapping[int, StepState]) -> None:
        """Bring the chain to its end from wherever it stands.

        Args:
            chain: steps of one workload in order.
            states: journaled states by seq; empty for a run that begins.

        Raises:
            FencedError: a newer run has taken over; nothing more may be touched.
        """
        if all(states.get(step.seq) is StepState.DONE for step in chain):
            self.report.done.extend(chain)
            return
        if StepState.FAILED in states.values() or not self._wanted(chain):
            self._take_back(chain, states)
            return
        if not states and not self._guarded(chain):
            return
        # A chain taken up again is asked from its beginning: the node may have been rebooted meanwhile.
        reached = dict(states)
        reached.update({seq: StepState.INTENT for seq, state in states.items() if state is StepState.DONE})
        for step in chain:
            if reached.get(step.seq) in (None, StepState.INTENT) and not self._one(step, reached):
                break
        self.report.done.extend(step for step in chain if reached.get(step.seq) is StepState.DONE)

    def _guarded(self, chain: Sequence[Step]) -> bool:
        """Ask the nodes first, so that a chain that cannot end is not begun."""
        for step in chain:
            try:
                self._node.preflight(step)
            except GpuallocError as error:
                self._fail(step, error, [other for other in chain if other is not step])
                return False
        return True

    def _one(self, step: Step, reached: dict[int, StepState]) -> bool:
        """Do one step; False ends the chain."""
        try:
            if reached.get(step.seq) is StepState.INTENT and self._happened(step):
                reached[step.seq] = StepState.DONE
                return True
            self._tell(step, StepState.INTENT, None)
            self._journaled.execute(step)
        except FencedError:
            raise
        except UnknownOutcomeError as error:
            self._journaled.doubted(step, error)
            self.report.unknown.append((step, error))
            self._tell(step, StepState.INTENT, error.message)
            return False
        except GpuallocError as error:
            self._failed_midway(step, error, reached)
            return False
        reached[step.seq] = StepState.DONE
        self._tell(step, StepState.DONE, None)
        return True

    def _happened(self, step: Step) -> bool:
        """Whether an interrupted step took effect; if so it is journaled as done."""
        result = self._node.verify(step)
        if result.holds:
            self._journaled.done(step, result)
            self._tell(step, StepState.DONE, None)
        return result.holds

    def _wanted(self, chain: Sequence[Step]) -> bool:
        """Whether a start still makes sense: not when its workload was released or ended meanwhile."""
        if not any(step.kind is StepKind.START for step in chain):
            return True
        workload = workload_of(self._ctx, chain[0])
        return (
            workload is not None
            and workload.state is WorkloadState.PENDING
            and workload.attempt in (chain[0].attempt, chain[0].attempt - 1)
        )

    def _failed_midway(self, step: Step, error: GpuallocError, reached: dict[int, StepState]) -> None:
        self.report.failed.append((step, error))
        self._tell(step, StepState.FAILED, error.message)
        reached[step.seq] = StepState.FAILED
        chain = next(chain for chain in chains(self._run.plan.steps) if step in chain)
        self._take_back(chain, reached)
        reached.update({seq: StepState.UNDONE for seq, state in reached.items() if state is StepState.DONE})

    def _take_back(self, chain: Sequence[Step], states: Mapping[int, StepState]) -> None:
        """Undo what is done, newest first, and skip what never began."""
        for step in reversed(chain):
            state = states.get(step.seq)
            if state in (StepState.DONE, StepState.INTENT) and INVERSE[step.kind] is not None:
                try:
                    self._node.undo(step)
                except FencedError:
                    raise
                except GpuallocError as error:
                    self.report.unknown.append((step, error))
                    return
                self._writer.record_step(self._run, step, StepState.UNDONE)
                self._tell(step, StepState.UNDONE, None)
            elif state is None:
                self._skip([step])

    def _tell(self, step: Step, state: StepState, error: str | None) -> None:
        if self._on_step is not None:
            self._on_step(step, state, error, len(self._run.plan.steps))

    def _fail(self, step: Step, error: GpuallocError, others: Sequence[Step]) -> None:
        self._journaled.failed(step, error)
        self.report.failed.append((step, error))
        self._tell(step, StepState.FAILED, error.message)
        self._skip(others)

    def _skip(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self._writer.record_step(self._run, step, StepState.SKIPPED)
            self.report.skipped.append(step)
            self._tell(step, StepState.SKIPPED, None)


def chains(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps grouped by chain, each group and the groups in plan order."""
    grouped: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        grouped.setdefault(step.chain, []).append(step)
    return list(grouped.values())
