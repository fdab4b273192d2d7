"""Free the GPUs of running work without ending it, and let it go on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from gpualloc.engine.chain import OnStep
from gpualloc.engine.suspend import resume as resume_workload
from gpualloc.engine.suspend import suspend as suspend_workload
from gpualloc.model.workload import Workload
from gpualloc.tui.actions.action import Answers, Ask, Change, Scene, Targets, WorkloadTarget
from gpualloc.tui.actions.told import one_by_one, process_lines, simulated_mark, workload_line
from gpualloc.tui.cells import Cell
from gpualloc.tui.state import State
from gpualloc.tui.text import plain
from gpualloc.views.text import plural


def suspend(scene: Scene, targets: Targets, _: Answers) -> Change:
    """Move the GPU memory of the workloads to their hosts.

    Raises:
        NotFoundError: one of them is not in the books any more.
    """
    ctx = scene.ctx
    works = _works(scene, targets)

    def do(on_step: OnStep) -> tuple[str, ...]:
        def one(work: Workload) -> str:
            now = suspend_workload(ctx, work.id, on_step=on_step)
            return f"{work.id} {plain(work.name, 60)}: {now.state.value}{simulated_mark(ctx.simulated)}"

        return one_by_one("suspended", [(work.id, partial(one, work)) for work in works])

    return Change(
        f"Suspend {plural(len(works), 'workload')}",
        _lines(works, scene.state, "GPU memory moves to the host, it stands still, its GPUs are free for others"),
        tuple(("suspend", work.id) for work in works),
        do,
        "Whoever talks to them gets no answer until they are resumed.",
    )


def resume_asks(state: State, targets: Targets) -> tuple[Ask, ...]:
    """On which devices; of several workloads each goes back to its own."""
    if len(targets) != 1 or not isinstance(targets[0], WorkloadTarget):
        return ()
    wanted = targets[0].id
    nodes = {work.allocation.node for work in state.workloads if work.id == wanted and work.allocation is not None}
    known = [str(device.index) for name in nodes if name in state.nodes for device in state.nodes[name].devices]
    return (Ask("device", "devices", placeholder="where it was; or indices, such as 2 3", known=tuple(known)),)


def resume(scene: Scene, targets: Targets, answers: Answers) -> Change:
    """Let the workloads go on.

    Raises:
        NotFoundError: one of them is not in the books any more.
    """
    ctx = scene.ctx
    works = _works(scene, targets)
    devices = answers.get("device", "").replace(",", " ").split()

    def do(on_step: OnStep) -> tuple[str, ...]:
        def one(work: Workload) -> str:
            now = resume_workload(ctx, work.id, devices, on_step=on_step)
            return f"{work.id} {plain(work.name, 60)}: {now.state.value}{simulated_mark(ctx.simulated)}"

        return one_by_one("resumed", [(work.id, partial(one, work)) for work in works])

    flags = [word for device in devices for word in ("--device", device)]
    where = f"GPU {', '.join(plain(device, 60) for device in devices)}" if devices else "the GPUs it was on"
    return Change(
        f"Resume {plural(len(works), 'workload')}",
        _lines(works, scene.state, f"claims {where}, its GPU memory moves back, it goes on"),
        tuple(("resume", work.id, *flags) for work in works),
        do,
    )


def _works(scene: Scene, targets: Targets) -> list[Workload]:
    return [scene.ctx.journal.find(target.id) for target in targets if isinstance(target, WorkloadTarget)]


def _lines(works: Sequence[Workload], state: State, fate: str) -> tuple[Cell, ...]:
    return tuple(line for work in works for line in (workload_line(work, state, fate), *process_lines(work, state)))
