"""One piece of work of a run: some steps of a chain carried out, or a chain taken back or skipped."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from gpualloc.engine import hooks
from gpualloc.engine.chain import in_force
from gpualloc.engine.context import Context
from gpualloc.engine.execute import FleetExecutor, Journaled, workload_of
from gpualloc.engine.schedule import Do, Task
from gpualloc.errors import (
    FencedError,
    GpuallocError,
    HookError,
    LockedError,
    StalePlanError,
    StateError,
    UnknownOutcomeError,
)
from gpualloc.model.plan import Run, Step, StepKind, StepState
from gpualloc.model.workload import WorkloadState
from gpualloc.planning.blast import noticed
from gpualloc.ports import HookEvent, JournalWriter


class Move(Struct, frozen=True):
    """A step that moved, as the journal knows it now."""

    step: Step
    state: StepState
    error: GpuallocError | None = None
    doubt: bool = False
    """Whether it is not known if the step is in force; the journal did not change then."""
    begun: bool = True
    """Of a failed step, whether anything was asked of the node but whether it could be done."""


class Worker:
    """Does the pieces of work of one run; several may be under way at once.

    Args:
        ctx: the ports.
        writer: of the one who holds the apply lock.
        run: what the steps belong to.
        late: steps that are asked for just before they are done, by seq.
        halted: True once nothing more is to be begun.
    """

    def __init__(
        self, ctx: Context, writer: JournalWriter, run: Run, late: frozenset[int], halted: Callable[[], bool]
    ) -> None:
        self._ctx = ctx
        self._writer = writer
        self._run = run
        self._late = late
        self._halted = halted
        self._node = FleetExecutor(ctx, run)
        self._journaled = Journaled(self._node, ctx, writer, run)

    def do(self, task: Task, tell: Callable[[Move], None]) -> None:
        """Do the work and tell each move.

        Raises:
            FencedError: a newer run has taken over; nothing more may be touched.
            StateError: the journal cannot be written; nothing that it does not hold was begun.
        """
        if task.do is Do.CARRY_OUT and self._wanted(task):
            self._carry_out(task, tell)
        elif task.do is Do.SKIP:
            for step in task.steps:
                self.skip(step, task.why, tell)
        else:
            self.take_back(task, tell)

    def take_back(self, task: Task, tell: Callable[[Move], None]) -> None:
        """Undo what is in force, newest first, and skip what never began; a node ends at its first step that stays."""
        stuck: set[str] = set()
        for step in reversed(task.chain):
            if step.node in stuck:
                continue
            if task.states.get(step.seq) is None:
                self.skip(step, None, tell)
                continue
            taken_back = not in_force(task.states, step) or step.inverse is None
            if not taken_back and (step.seq in task.kept or not self.undo(step, tell)):
                stuck.add(step.node)

    def undo(self, step: Step, tell: Callable[[Move], None]) -> bool:
        """Take one step back; False when whether that worked is not known or it was refused."""
        try:
            self._journaled.undo(step)
        except FencedError:
            raise
        except GpuallocError as error:
            tell(Move(step, StepState.INTENT, error, doubt=True))
            return False
        tell(Move(step, StepState.UNDONE))
        return True

    def skip(self, step: Step, why: str | None, tell: Callable[[Move], None]) -> None:
        """Let the journal say that the step is not tried."""
        self._journaled.skipped(step, why)
        tell(Move(step, StepState.SKIPPED, None if why is None else GpuallocError(why, node=step.node)))

    def _carry_out(self, task: Task, tell: Callable[[Move], None]) -> None:
        if task.fresh and not self._possible(task, tell):
            return
        for step in task.steps if task.fresh else self._unstarted(task, tell):
            if self._halted() or not self._one(step, task.states.get(step.seq), tell):
                return

    def _wanted(self, task: Task) -> bool:
        """Whether a start still makes sense: not when its workload was released or ended meanwhile."""
        if not any(step.kind in (StepKind.START, StepKind.ADOPT) for step in task.chain):
            return True
        first = task.chain[0]
        workload = workload_of(self._ctx, first)
        return (
            workload is not None
            and workload.state is WorkloadState.PENDING
            and workload.attempt in (first.attempt, first.attempt - 1)
        )

    def _unstarted(self, task: Task, tell: Callable[[Move], None]) -> tuple[Step, ...]:
        """What an interrupted chain still has to do to start its work; nothing while that is not known.

        Work that was started on a node may have ended meanwhile and have given back what the steps before gave it
        there: they are not asked for again then, or it would be started twice.
        """
        over: set[int] = set()
        for start in task.chain:
            if start.kind is not StepKind.START or not in_force(task.states, start):
                continue
            try:
                if not self._happened(start, tell):
                    continue
            except UnknownOutcomeError as error:
                self._doubt(start, error, tell)
                return ()
            before = [step for step in task.chain if step.seq < start.seq and step.node == start.node]
            for step in before:
                tell(Move(step, StepState.DONE))
            over |= {start.seq, *(step.seq for step in before)}
        return tuple(step for step in task.steps if step.seq not in over)

    def _possible(self, task: Task, tell: Callable[[Move], None]) -> bool:
        """Ask the node first, so that a chain that cannot end is not begun."""
        for step in task.chain:
            if step.seq not in self._late and not self._asked(step, tell):
                for other in task.chain:
                    if other is not step:
                        self.skip(other, None, tell)
                return False
        return True

    def _asked(self, step: Step, tell: Callable[[Move], None]) -> bool:
        """Whether the node says that the step can be done; otherwise it failed."""
        try:
            self._node.preflight(step)
        except FencedError:
            raise
        except GpuallocError as error:
            self._fail(step, error, tell, begun=False)
            return False
        return True

    def _one(self, step: Step, state: StepState | None, tell: Callable[[Move], None]) -> bool:
        """Do one step; False ends the chain."""
        if state is None and not (self._asked_late(step, tell) and self._announced(step, tell)):
            return False
        try:
            if state is not None and self._happened(step, tell):
                return True
            tell(Move(step, StepState.INTENT))
            self._journaled.execute(step)
        except (FencedError, StateError, LockedError):
            raise
        except UnknownOutcomeError as error:
            self._doubt(step, error, tell)
            return False
        except StalePlanError as error:
            # It was done, and its workload was withdrawn meanwhile.
            if step.inverse is None or self.undo(step, tell):
                self._fail(step, error, tell)
            return False
        except GpuallocError as error:
            self._fail(step, error, tell)
            return False
        tell(Move(step, StepState.DONE))
        hooks.tell(self._ctx, self._writer, hooks.POST_STEP, self._event(step, StepState.DONE))
        return True

    def _asked_late(self, step: Step, tell: Callable[[Move], None]) -> bool:
        return step.seq not in self._late or self._asked(step, tell)

    def _announced(self, step: Step, tell: Callable[[Move], None]) -> bool:
        """Run the hooks before a step; False when one forbids it."""
        try:
            hooks.ask(self._ctx, self._writer, hooks.PRE_STEP, self._event(step, None))
        except HookError as error:
            self._fail(step, error, tell, begun=False)
            return False
        if noticed(step):
            hooks.tell(self._ctx, self._writer, hooks.NOTIFY, self._event(step, None))
        return True

    def _happened(self, step: Step, tell: Callable[[Move], None]) -> bool:
        """Whether an interrupted step took effect; if so it is journaled as done."""
        result = self._node.verify(step)
        if result.holds:
            self._journaled.done(step, result)
            tell(Move(step, StepState.DONE))
        return result.holds

    def _doubt(self, step: Step, error: UnknownOutcomeError, tell: Callable[[Move], None]) -> None:
        self._journaled.doubted(step, error)
        tell(Move(step, StepState.INTENT, error, doubt=True))

    def _fail(self, step: Step, error: GpuallocError, tell: Callable[[Move], None], *, begun: bool = True) -> None:
        self._journaled.failed(step, error)
        tell(Move(step, StepState.FAILED, error, begun=begun))
        if begun:
            event = self._event(step, StepState.FAILED, error.message)
            hooks.tell(self._ctx, self._writer, hooks.POST_STEP, event)

    def _event(self, step: Step, state: StepState | None, error: str | None = None) -> HookEvent:
        return HookEvent(
            run=self._run.id,
            plan=self._run.plan.id,
            step=step,
            node=step.node,
            state=None if state is None else state.value,
            error=error,
            users=step.blast_radius.users,
            workloads=step.blast_radius.workloads,
        )
