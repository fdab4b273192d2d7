"""What the plan view works on: a plan that is proposed, and a run that is carried out."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field
from msgspec.structs import replace

from gpualloc.engine.apply import failure
from gpualloc.engine.chain import Report
from gpualloc.engine.context import Context
from gpualloc.engine.undo import Stays
from gpualloc.errors import GpuallocError
from gpualloc.model.inventory import Snapshot
from gpualloc.model.objective import Objective
from gpualloc.model.plan import Plan, Step, StepState
from gpualloc.model.rebalancing import HeldBack, Move
from gpualloc.policies import registry


class Aim(Struct, frozen=True):
    """By what plans are made."""

    policy: str | None = None
    """Name of the policy; None: the one that is configured, with its profile."""
    objective: Objective | None = None
    """None: as configured."""

    def over(self, ctx: Context) -> Context:
        """The context that decides so; raises as `registry.load`."""
        if self.policy is not None and self.policy != ctx.policy.name:
            ctx = replace(ctx, policy=registry.load(self.policy))
        if self.objective is not None:
            ctx = replace(ctx, settings=replace(ctx.settings, objective=self.objective))
        return ctx

    @property
    def flags(self) -> tuple[str, ...]:
        """What a command line says for it."""
        policy = ("--policy", self.policy) if self.policy is not None else ()
        objective = ("--objective", self.objective.value) if self.objective is not None else ()
        return (*policy, *objective)


class Origin(StrEnum):
    """Where a plan comes from; the words are shown."""

    PLAN = "plan"
    """Places for waiting work."""
    REBALANCE = "rebalance"
    """The same, with moves of what runs."""
    UNDO = "undo"
    """What takes a run back."""
    RUN = "run"
    """The plan of a run that was interrupted."""


class Draft(Struct, frozen=True):
    """A plan that is shown."""

    plan: Plan
    origin: Origin
    aim: Aim = Aim()
    names: Mapping[str, str] = field(default_factory=dict)
    """Names of workloads by id."""
    snapshot: Snapshot | None = None
    """What it was made on; None where nobody kept it."""
    moves: tuple[Move, ...] = ()
    held_back: tuple[HeldBack, ...] = ()
    stays: tuple[Stays, ...] = ()
    """Of an undo: what it does not take back."""
    run: str | None = None
    """The run that it takes back, or that it is the plan of."""

    @property
    def command(self) -> tuple[str, ...]:
        """The words of the command that does the same, without the program's."""
        if self.origin is Origin.UNDO:
            return ("undo", self.run or "")
        verb = "rebalance" if self.origin is Origin.REBALANCE else "apply"
        return (verb, *self.aim.flags)


class Course(Struct):
    """A run of this dashboard, while it goes on and after it."""

    draft: Draft
    what: str
    """`apply`, `resume` or `roll back`."""
    states: dict[int, StepState] = field(default_factory=dict)
    """By seq; a step that is not in here was not begun."""
    errors: dict[int, str] = field(default_factory=dict)
    """By seq why a step failed or is in doubt; untrusted text."""
    at: int | None = None
    """Seq of the step that moved last."""
    first: str = ""
    """A step of an interrupted run that is brought to its end before; empty once the own steps move."""
    report: Report | None = None
    error: GpuallocError | None = None
    """Why it did not come to a report, or what is wrong with what it reported."""
    moves: int = 0
    """Grows with everything that is told of it."""
    stopping: bool = False
    """Whether it ends after the steps under way."""

    def moved(self, step: Step, state: StepState, error: str | None) -> None:
        """Take in that a step moved."""
        self.moves += 1
        steps = self.draft.plan.steps
        if step.seq > len(steps) or steps[step.seq - 1] != step:
            self.first = f"{step.kind.value} of {step.target} on {step.node}: {state.value}"
            return
        self.first = ""
        self.states[step.seq] = state
        self.at = step.seq
        if error is not None:
            self.errors[step.seq] = error
        else:
            self.errors.pop(step.seq, None)

    def ended(self, report: Report) -> None:
        """Take in what became of it."""
        self.moves += 1
        self.report = report
        self.error = failure(report)

    def broke(self, error: GpuallocError) -> None:
        """It ended without a report."""
        self.moves += 1
        self.error = error

    @property
    def title(self) -> str:
        """What is done, in a few words."""
        return f"{self.what} of {self.draft.run if self.draft.origin is Origin.RUN else self.draft.plan.id}"

    @property
    def going(self) -> bool:
        """Whether it is under way."""
        return self.report is None and self.error is None

    @property
    def refused(self) -> bool:
        """Whether the plan was not even begun, so that it can be tried again."""
        return self.what == "apply" and not self.going and self.report is None and self.at is None and not self.first

    @property
    def settled(self) -> int:
        """How many steps are over."""
        return sum(
            state is not StepState.INTENT or (seq in self.errors and not self.going)
            for seq, state in self.states.items()
        )

    def steps(self, *wanted: StepState) -> list[Step]:
        """The steps that stand so."""
        return [step for step in self.draft.plan.steps if self.states.get(step.seq) in wanted]
