"""Executors of one step, as layers: on the fleet and read back; journaled around that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpualloc.engine.context import Context
from gpualloc.engine.outcome import after_doubt, after_failure, after_skip, after_success, after_undo
from gpualloc.engine.outcome_base import Outcome
from gpualloc.engine.outcome_device import desired_after, desired_before
from gpualloc.errors import (
    FencedError,
    GpuallocError,
    NotFoundError,
    StalePlanError,
    StepError,
    UnknownOutcomeError,
    UnreachableError,
)
from gpualloc.model.audit import AuditEntry
from gpualloc.model.desired import DesiredDevice
from gpualloc.model.plan import Run, Step, StepKind, StepState
from gpualloc.model.workload import Workload
from gpualloc.ports import JournalWriter, StepCall, StepResult


class FleetExecutor:
    """Does a step on its node and reads the effect back."""

    def __init__(self, ctx: Context, run: Run) -> None:
        self._ctx = ctx
        self._run = run

    def call(self, step: Step) -> StepCall:
        """The step with everything its node needs, secrets included."""
        return StepCall(
            run=self._run.id,
            seq=step.seq,
            fence=self._run.fence,
            controller=self._ctx.journal.controller,
            step=step,
            workload=workload_of(self._ctx, step),
        )

    def preflight(self, step: Step) -> None:
        """Ask the node whether the step could be done; raises as `Fleet.preflight`."""
        self._ctx.fleet.preflight(self.call(step))

    def execute(self, step: Step) -> StepResult:
        """Do and verify.

        Raises:
            StepError: also when the node says done and the effect is not there.
            UnknownOutcomeError: also when the effect could not be read back.
        """
        result = self._ctx.fleet.do(self.call(step))
        if not self.verify(step).holds:
            raise StepError(
                f"{step.node}: {step.kind.value} of {step.target} was answered as done, and is not in force",
                reason="failed",
                node=step.node,
            )
        return result

    def verify(self, step: Step) -> StepResult:
        """Ask whether the effect is in force; waits for a step still under way on the node.

        Raises:
            UnknownOutcomeError: the node could not be asked, so the effect may be there.
        """
        try:
            return self._ctx.fleet.verify(self.call(step))
        except (UnknownOutcomeError, FencedError):
            raise
        except GpuallocError as error:
            raise UnknownOutcomeError(error.message, hint=error.hint, node=step.node) from error

    def undo(self, step: Step) -> StepResult:
        """Take the effect back."""
        return self._ctx.fleet.undo(self.call(step))


class Journaled:
    """Commits the intent before the inner executor acts and the result after, with what it made of workload or device.

    A step that failed stays an intent until its caller says `failed`.
    """

    def __init__(self, inner: FleetExecutor, ctx: Context, writer: JournalWriter, run: Run) -> None:
        self._inner = inner
        self._ctx = ctx
        self._writer = writer
        self._run = run

    def execute(self, step: Step) -> StepResult:
        """Intent, effect, result."""
        self._writer.record_step(self._run, step, StepState.INTENT)
        result = self._inner.execute(step)
        self.done(step, result)
        return result

    def done(self, step: Step, result: StepResult) -> None:
        """Journal the step as done.

        Members of a gang end beside each other: where another one's end came between, it is taken into account.
        """
        while True:
            before = workload_of(self._ctx, step)
            try:
                self._record_done(step, result, before)
            except StalePlanError:
                now = workload_of(self._ctx, step)
                if before is None or now is None or now.state is not before.state or now.revision == before.revision:
                    raise
            else:
                return

    def _record_done(self, step: Step, result: StepResult, before: Workload | None) -> None:
        workload, audit = after_success(before, step, result.facts, actor=self._run.actor, at_s=self._ctx.clock.now_s())
        self._writer.record_step(
            self._run,
            step,
            StepState.DONE,
            result=result.facts,
            workload=workload,
            desired=self._desired(step, after=True),
            audit=audit,
        )

    def undo(self, step: Step) -> None:
        """Take the effect back and journal that; raises as `Fleet.undo`, and nothing is journaled then."""
        result = self._inner.undo(step)
        self.undone(step, *self._after_undo(step, result.facts))

    def _after_undo(self, step: Step, facts: Mapping[str, object]) -> Outcome:
        workload, at_s = workload_of(self._ctx, step), self._ctx.clock.now_s()
        return after_undo(workload, step, facts, actor=self._run.actor, at_s=at_s)

    def undone(self, step: Step, workload: Workload | None = None, audit: Sequence[AuditEntry] = ()) -> None:
        """Journal that nothing of the step is in force."""
        desired = self._desired(step, after=False)
        self._writer.record_step(self._run, step, StepState.UNDONE, workload=workload, desired=desired, audit=audit)

    def look(self, step: Step) -> StepState | None:
        """Ask whether the step is in force and journal that: done, undone, or None where its node does not answer."""
        try:
            result = self._inner.verify(step)
        except FencedError:
            raise
        except UnknownOutcomeError:
            return None
        if not result.holds:
            # Work that was to be taken in and was not must not wait to be started.
            outcome = self._after_undo(step, {}) if step.kind is StepKind.ADOPT else (None, ())
            self.undone(step, *outcome)
            return StepState.UNDONE
        self.done(step, result)
        return StepState.DONE

    def take_back(self, step: Step) -> StepState | None:
        """Undo the step: undone, done where the node refuses to, or None where it does not answer."""
        try:
            self.undo(step)
        except FencedError:
            raise
        except StepError:
            return StepState.DONE
        except UnreachableError:
            return None
        return StepState.UNDONE

    def failed(self, step: Step, error: GpuallocError) -> None:
        """Journal the step as failed, with what that means for its workload."""
        workload, audit = after_failure(
            workload_of(self._ctx, step), step, error, actor=self._run.actor, at_s=self._ctx.clock.now_s()
        )
        self._writer.record_step(self._run, step, StepState.FAILED, error=error.message, workload=workload, audit=audit)

    def skipped(self, step: Step, why: str | None) -> None:
        """Journal that the step is not tried; with a reason, its waiting workload says it.

        Work that was to be taken in and was not must not wait to be started.
        """
        audit: Sequence[AuditEntry] = ()
        if step.kind is StepKind.ADOPT:
            workload, audit = self._after_undo(step, {})
        else:
            workload = None if why is None else after_skip(workload_of(self._ctx, step), why)
        self._writer.record_step(self._run, step, StepState.SKIPPED, error=why, workload=workload, audit=audit)

    def doubted(self, step: Step, error: UnknownOutcomeError) -> None:
        """Let the workload say that it waits for an answer; the step stays an intent."""
        workload = after_doubt(workload_of(self._ctx, step), step, error)
        if workload is not None:
            self._writer.save((workload,), ())

    def _desired(self, step: Step, *, after: bool) -> DesiredDevice | None:
        """What the step's device is meant to be, after the step or after it was taken back."""
        if step.device is None or (step.layout is None and step.wanted is None):
            return None
        known = {(desired.node, desired.device): desired for desired in self._ctx.journal.desired()}
        current = known.get((step.node, step.device))
        at_s = self._ctx.clock.now_s()
        return desired_after(current, step, at_s) if after else desired_before(current, step, at_s)


def workload_of(ctx: Context, step: Step) -> Workload | None:
    """The workload a step serves, as the state knows it now; None when it serves none or the state knows it no more."""
    return None if step.workload is None else find_workload(ctx, step.workload)


def find_workload(ctx: Context, identity: str) -> Workload | None:
    """The workload of that id; None when the state knows it no more."""
    try:
        return ctx.journal.find(identity)
    except NotFoundError:
        return None
