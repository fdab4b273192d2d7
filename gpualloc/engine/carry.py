"""A run carried out: its chains beside each other, each move heard in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from gpualloc.engine.chain import OnStep, Report
from gpualloc.engine.context import Context
from gpualloc.engine.schedule import Schedule, Task, asked_late
from gpualloc.engine.work import Move, Worker
from gpualloc.errors import GpuallocError, UnknownOutcomeError
from gpualloc.model.plan import Run, Step, StepState
from gpualloc.ports import JournalWriter


def carry_out(
    ctx: Context, writer: JournalWriter, run: Run, states: Mapping[int, StepState], on_step: OnStep | None
) -> Report:
    """Bring the steps of a run to their end from wherever they stand.

    Args:
        ctx: the ports; its crew does the steps of several nodes at once, and `stopped` ends the run between steps.
        writer: of the one who holds the apply lock.
        run: the run.
        states: journaled states by seq; empty for a run that begins.
        on_step: told of each step as it moves, always by the caller's thread.

    Raises:
        FencedError: a newer run has taken over; nothing more may be touched.
        StateError: the journal cannot be written any more; what it holds is recovered by the next write command.
    """
    return _Carrier(ctx, writer, run, states, on_step).carry_out()


class _Carrier:
    def __init__(
        self, ctx: Context, writer: JournalWriter, run: Run, states: Mapping[int, StepState], on_step: OnStep | None
    ) -> None:
        self._ctx = ctx
        self._run = run
        self._on_step = on_step
        steps = run.plan.steps
        self._schedule = Schedule(steps, states, width=ctx.settings.width, per_node=ctx.settings.per_node)
        self._worker = Worker(ctx, writer, run, asked_late(steps), self._halted)
        self._over = False
        self._failed: dict[int, GpuallocError] = {}
        self._unknown: dict[int, GpuallocError] = {}

    def carry_out(self) -> Report:
        """Begin what may be begun until nothing is left, or the run is stopped."""
        with self._ctx.crew() as crew:
            try:
                while True:
                    while not self._halted() and (task := self._schedule.next()) is not None:
                        crew.begin(partial(self._do, task))
                    if self._schedule.idle:
                        break
                    self._heard(crew.hear())
            except BaseException:
                # The crew waits for steps under way before it lets go, and nothing comes after them.
                self._over = True
                raise
        return self._report()

    def _halted(self) -> bool:
        return self._over or self._ctx.stopped()

    def _do(self, task: Task, tell: Callable[[object], None]) -> None:
        self._worker.do(task, tell)
        tell(task)

    def _heard(self, told: object) -> None:
        if isinstance(told, Task):
            self._schedule.ended(told)
        elif isinstance(told, Move):
            self._moved(told)

    def _moved(self, move: Move) -> None:
        step, error = move.step, move.error
        if not move.doubt:
            self._schedule.moved(step, move.state)
        elif error is not None:
            self._unknown[step.seq] = error
            self._schedule.doubt(step, error.message)
        if move.state is StepState.FAILED and error is not None:
            self._failed[step.seq] = error
            if move.begun:
                self._schedule.failed(step)
        if self._on_step is not None:
            self._on_step(step, move.state, None if error is None else error.message, len(self._run.plan.steps))

    def _report(self) -> Report:
        steps, states = self._run.plan.steps, self._schedule.states

        def standing(*wanted: StepState | None) -> list[Step]:
            return [step for step in steps if states.get(step.seq) in wanted and step.seq not in self._unknown]

        stopped = self._halted()
        for step in () if stopped else standing(StepState.INTENT):
            # Begun by an earlier process, on a node that does not answer now.
            error = f"{step.node} is in doubt, so whether {step.kind.value} is in force was not asked"
            self._unknown[step.seq] = UnknownOutcomeError(error, node=step.node)
        by_seq = {step.seq: step for step in steps}
        return Report(
            self._run.id,
            done=standing(StepState.DONE),
            failed=[(by_seq[seq], error) for seq, error in sorted(self._failed.items())],
            skipped=standing(StepState.SKIPPED),
            unknown=[(by_seq[seq], error) for seq, error in sorted(self._unknown.items())],
            left=standing(StepState.INTENT, None) if stopped else [],
        )
