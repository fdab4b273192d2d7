"""End workloads and give their GPUs back."""

from __future__ import annotations

from gpualloc.engine.chain import OnStep
from gpualloc.engine.release import release as release_workloads
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.tui.actions.action import Answers, Change, Scene, Targets, WorkloadTarget
from gpualloc.tui.actions.told import process_lines, simulated_mark, workload_line
from gpualloc.tui.cells import Cell
from gpualloc.tui.text import plain
from gpualloc.views.text import duration, plural


def release(scene: Scene, targets: Targets, _: Answers) -> Change:
    """Stop running and suspended work, withdraw what waits.

    Raises:
        NotFoundError: one of them is not in the books any more.
    """
    ctx, state = scene.ctx, scene.state
    works = [ctx.journal.find(target.id) for target in targets if isinstance(target, WorkloadTarget)]
    ids = tuple(work.id for work in works)
    lines: list[Cell] = []
    for work in works:
        lines += [workload_line(work, state, _fate(work, ctx.settings.grace_s)), *process_lines(work, state)]

    def do(on_step: OnStep) -> tuple[str, ...]:
        ended = release_workloads(ctx, ids, on_step=on_step)
        mark = simulated_mark(ctx.simulated)
        return (f"{plural(len(ended), 'workload')} released{mark}", *(_ended(work) for work in ended if len(ended) > 1))

    living = any(work.state in (WorkloadState.RUNNING, WorkloadState.SUSPENDED) for work in works)
    warning = "What they have not saved is lost; they do not start again." if living else None
    title = f"Release {plural(len(works), 'workload')}"
    return Change(title, tuple(lines), (("release", *ids),), do, warning, grave=living)


def _fate(work: Workload, grace_s: float) -> str:
    if work.state.ended:
        return "ended already, stays as it is"
    if work.state is WorkloadState.PENDING:
        return "is withdrawn"
    return f"every process gets TERM, and KILL after {duration(grace_s)}; its GPUs are free then"


def _ended(work: Workload) -> str:
    return f"{work.id} {plain(work.name, 60)}: {work.state.value}"
