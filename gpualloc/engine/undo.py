"""Take a finished run back by a plan of its own: what can be, in the reverse order, and what cannot, with why."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from gpualloc.engine.chain import chains
from gpualloc.engine.context import Context
from gpualloc.engine.execute import find_workload
from gpualloc.engine.mig import layout_of_device
from gpualloc.engine.observe import observe
from gpualloc.engine.open_runs import LATEST
from gpualloc.engine.outcome_device import CAPPING, layout_before
from gpualloc.engine.plan import plan_of
from gpualloc.engine.settle import catch_up
from gpualloc.errors import InfeasibleError, NotFoundError, UsageError
from gpualloc.model.inventory import Device, Node, Snapshot
from gpualloc.model.mig import layout_text, parse_target
from gpualloc.model.plan import Plan, Run, RunState, Step, StepKind, StepReason, StepState
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.planning.giving_way import Way, eviction_steps
from gpualloc.planning.order import joined
from gpualloc.planning.partition import Partition, obstacles, partition_steps
from gpualloc.planning.resizing import taken_back
from gpualloc.planning.settings import has, set_step
from gpualloc.planning.suspension import resume_steps, suspend_steps

_LOOKED_BACK = 5000
"""So many of the newest entries of the audit trail are searched for a run."""
_TURNS = (StepKind.START, StepKind.ADOPT, StepKind.RESIZE, StepKind.SUSPEND, StepKind.RESUME)
"""Kinds of the steps that tell what a chain did to its workload."""
_TURNING = (StepKind.STOP, StepKind.SUSPEND, StepKind.RESUME, StepKind.RESIZE)
"""Kinds of the steps that take such a step back."""
_MIG = (StepKind.MIG_MODE, StepKind.MIG_CREATE, StepKind.MIG_DESTROY)


class Stays(Struct, frozen=True):
    """Something of a run that the plan does not take back."""

    step: Step
    """The step that did it."""
    why: str


class Undo(Struct, frozen=True):
    """What takes a run back."""

    run: Run
    plan: Plan
    """Without steps when nothing can be taken back."""
    stays: tuple[Stays, ...]


def undo_plan(ctx: Context, reference: str = LATEST) -> Undo:
    """Plan to take a finished run back; nothing is changed.

    Work that the run started is stopped and waits again, by its checkpoint hook where it has one; MIG layouts and
    settings become what they were before. What has changed since by somebody else's word is left alone.

    Args:
        ctx: the ports.
        reference: id of the run, or `latest`.

    Raises:
        NotFoundError: there is no such run.
        UsageError: it has not ended.
        UnreachableError: none of its nodes answers.
    """
    run = finished_run(ctx, reference)
    done = [record.step for record in ctx.journal.steps(run.id) if record.state is StepState.DONE]
    nodes = sorted({step.node for step in done})
    snapshot = observe(ctx, nodes) if nodes else Snapshot(ctx.clock.now_s(), ())
    if nodes:
        catch_up(ctx, snapshot)
    back = _Back(ctx, run, snapshot)
    for chain in reversed(chains(done)):
        back.take(chain)
    return Undo(run, plan_of(ctx, back.steps(), back.workloads, snapshot), tuple(back.stays))


def finished_run(ctx: Context, reference: str = LATEST) -> Run:
    """The run of that id, or the last that changed something.

    Raises:
        NotFoundError: the audit trail names no such run.
        UsageError: it has not ended.
    """
    for entry in reversed(ctx.journal.audit(limit=_LOOKED_BACK)):
        if entry.kind != "apply" or (reference != LATEST and entry.detail.get("run") != reference):
            continue
        run = ctx.journal.applied(str(entry.detail.get("plan")))
        if run is None or (reference == LATEST and run.state is RunState.FAILED):
            continue
        if run.state not in (RunState.DONE, RunState.PARTIAL, RunState.FAILED):
            raise UsageError(f"run {run.id} has not ended: it is {run.state.value}", hint="gpualloc recover")
        return run
    wanted = "no run that could be taken back" if reference == LATEST else f"no run {reference!r}"
    raise NotFoundError(f"the audit trail knows {wanted}", hint="gpualloc audit lists what was applied")


class _Back(Struct):
    """What takes the chains of a run back, gathered chain after chain."""

    ctx: Context
    run: Run
    snapshot: Snapshot
    stays: list[Stays] = field(default_factory=list)
    workloads: list[Workload] = field(default_factory=list)
    """Those that the steps name."""
    _ends: tuple[Step, ...] = ()
    _stopped: set[str] = field(default_factory=set)
    """Ids of the workloads that are stopped."""
    _layouts: list[Partition] = field(default_factory=list)
    _settings: list[Step] = field(default_factory=list)

    def take(self, chain: Sequence[Step]) -> None:
        """Take one chain back, or tell why not."""
        first = chain[0]
        silent = sorted({step.node for step in chain} - {node.name for node in self.snapshot.reached})
        node = self.snapshot.node(first.node)
        if silent or node is None:
            self._stay(first, f"{', '.join(silent)} does not answer")
        elif first.workload is None:
            self._device(chain, node)
        else:
            self._workload(chain)

    def steps(self) -> tuple[Step, ...]:
        """Work first, then the devices that it was on."""
        steps = self._ends
        for partition in self._layouts:
            device = partition.device
            stuck = obstacles(partition.node, device, partition.target)
            changes = partition_steps(partition, drained=bool(stuck))
            behind = tuple(step.seq for step in steps if step.workload in stuck)
            shift = len(steps)
            steps = joined(steps, changes)
            if changes:
                steps = (*steps[:shift], replace(steps[shift], needs=behind), *steps[shift + 1 :])
        return joined(steps, *([step] for step in self._settings))

    @property
    def _why(self) -> str:
        return f"undo of run {self.run.id}"

    def _stay(self, step: Step, why: str) -> None:
        self.stays.append(Stays(step, why))

    # Work.

    def _workload(self, chain: Sequence[Step]) -> None:
        turn = next((step for step in reversed(chain) if step.kind in _TURNS), chain[0])
        work = find_workload(self.ctx, turn.workload or "")
        if turn.kind not in _TURNS:
            self._stay(turn, f"{turn.kind.value} cannot be taken back")
        elif work is None or work.state not in (WorkloadState.RUNNING, WorkloadState.SUSPENDED):
            self._stay(
                turn, f"{turn.workload} is {'gone' if work is None else work.state.value}: nothing is left of it"
            )
        elif {step.kind for step in chain} >= {StepKind.SUSPEND, StepKind.RESUME}:
            self._stay(turn, f"{work.id} was moved to other devices of {turn.node}, and is not moved back")
        elif work.attempt != turn.attempt:
            self._stay(turn, f"{work.id} was started anew since")
        else:
            self._turned(turn, work)

    def _turned(self, turn: Step, work: Workload) -> None:
        """Take back what was done to work that lives."""
        obstacle = _obstacle(turn, work)
        steps = () if obstacle else self._turning(turn, work)
        if not steps:
            self._stay(turn, obstacle or f"{work.id} asked never to give way; gpualloc release {work.id} ends it")
            return
        named = [
            replace(step, detail=f"{self._why}{_what_becomes(step)}") if step.kind in _TURNING else step
            for step in steps
        ]
        self._ends = joined(self._ends, [replace(step, reason=StepReason.UNDO) for step in named])
        self.workloads.append(work)

    def _turning(self, turn: Step, work: Workload) -> Sequence[Step]:
        match turn.kind:
            case StepKind.START:
                self._stopped.add(work.id)
                return eviction_steps([work], self.snapshot, "", not_by=(Way.SUSPEND,))
            case StepKind.SUSPEND:
                return resume_steps(work, turn.allocation, self.snapshot) if turn.allocation else ()
            case StepKind.RESUME:
                return suspend_steps(work, self.snapshot)
            case _:
                return [replace(taken_back(turn), seq=1, needs=(), revision=work.revision)]

    # Devices.

    def _device(self, chain: Sequence[Step], node: Node) -> None:
        device = next((each for each in node.devices if each.uuid == chain[0].device), None)
        layouts = [step for step in chain if step.kind in _MIG]
        if device is None:
            self._stay(chain[0], f"{chain[0].device} is gone")
            return
        if layouts:
            self._layout(layouts, node, device)
        for step in chain:
            if step.kind is StepKind.SET:
                self._setting(step, node, device)
            elif step.kind not in _MIG:
                self._stay(step, f"{step.kind.value} cannot be taken back")

    def _layout(self, layouts: Sequence[Step], node: Node, device: Device) -> None:
        first, last = layouts[0], layouts[-1]
        if StepReason.REPAIR in {step.reason for step in layouts}:
            self._stay(first, "a repair is not taken back: what it made should be there")
            return
        if layout_text(layout_of_device(device)) != last.layout:
            self._stay(first, f"the layout of GPU {device.index} was changed since")
            return
        target = parse_target(layout_before(first, first.layout or ""))
        partition = Partition(node, device, target, StepReason.UNDO, self._why)
        others = sorted(set(obstacles(node, device, target)) - self._stopped)
        if others:
            self._stay(first, f"GPU {device.index} is in use by {', '.join(others)}")
            return
        try:
            partition_steps(partition, drained=True)
        except InfeasibleError as error:
            self._stay(first, error.message)
            return
        self._layouts.append(partition)

    def _setting(self, step: Step, node: Node, device: Device) -> None:
        if step.wanted is None or step.before is None or step.inverse is None:
            self._stay(step, "a repair is not taken back: what it set should be there")
        elif not has(device.settings, step.wanted):
            self._stay(step, f"the settings of GPU {device.index} were changed since")
        else:
            reason = step.reason if step.reason in CAPPING else StepReason.UNDO
            self._settings.append(set_step(node, device, step.before, reason, self._why))


def _what_becomes(step: Step) -> str:
    """Of the work that a step stops; empty for other steps."""
    if step.kind is not StepKind.STOP:
        return ""
    return "; it saves itself and waits again" if step.checkpoint else "; it waits again, what it has not saved is lost"


def _obstacle(turn: Step, work: Workload) -> str:
    """Why what was done to living work cannot be taken back; empty when it can."""
    suspended = work.state is WorkloadState.SUSPENDED
    if turn.kind is StepKind.ADOPT:
        return f"it runs on; gpualloc let-go {work.id} lets it go"
    if turn.kind is StepKind.SUSPEND:
        return "" if suspended else f"{work.id} was resumed since"
    if suspended:
        return f"{work.id} was suspended since; gpualloc resume or release says what becomes of it"
    if turn.kind is StepKind.RESIZE and work.allocation != turn.allocation:
        return f"{work.id} was given other devices since"
    return ""
