"""Keep new work away from nodes and devices, empty them, and let work back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from msgspec import Struct

from gpualloc.engine.chain import OnStep
from gpualloc.engine.context import Context
from gpualloc.engine.cordon import THERE, Place, work_at
from gpualloc.engine.cordon import cordon as cordon_places
from gpualloc.engine.cordon import uncordon as uncordon_places
from gpualloc.engine.doubt import doubtful_nodes
from gpualloc.engine.drain import Drain
from gpualloc.engine.drain import drain as drain_places
from gpualloc.model.inventory import Process
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.planning.giving_way import Way, way_out
from gpualloc.tui.actions.action import Answers, Ask, Change, DeviceTarget, NodeTarget, Scene, Targets
from gpualloc.tui.actions.told import one_by_one, process_lines, simulated_mark, workload_line
from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.state import State
from gpualloc.tui.text import plain
from gpualloc.views.cordon import place_text, strangers_text
from gpualloc.views.text import plural

_REASON = Ask("reason", "reason", placeholder="as others read it; else who did it")
_EVICT = Ask("evict", "work there", "runs to its end", choices=("runs to its end", "gives way now"))
_FATES = {
    Way.SUSPEND: "is suspended",
    Way.CHECKPOINT: "saves itself and is stopped; it waits again",
    Way.STOP: "is stopped; it waits again",
    Way.STAY: "stays",
}


class _Group(Struct, frozen=True):
    """Places that one command takes."""

    nodes: tuple[str, ...]
    device: str | None
    text: str

    @property
    def places(self) -> list[Place]:
        return [(node, self.device) for node in self.nodes]

    def words(self, verb: str, *flags: str) -> tuple[str, ...]:
        return (verb, *self.nodes, *(("--device", self.device) if self.device else ()), *flags)


def cordon_asks(_: State, __: Targets) -> tuple[Ask, ...]:
    """Why."""
    return (_REASON,)


def cordon(scene: Scene, targets: Targets, answers: Answers) -> Change:
    """Let nodes and devices take no new work."""
    ctx, groups = scene.ctx, _groups(targets)
    reason = answers.get("reason", "").strip() or None

    def do(_: OnStep) -> tuple[str, ...]:
        def one(group: _Group) -> str:
            cordon_places(ctx, group.nodes, group.device, reason)
            return f"{group.text}: takes no new work{simulated_mark(ctx.simulated)}"

        return one_by_one("cordoned", [(group.text, partial(one, group)) for group in groups])

    there = _work(ctx, groups)
    lines = [cell(f"{group.text}: takes no new work from now on", Role.WARN) for group in groups]
    lines += [workload_line(work, scene.state, "runs on") for work in there]
    flags = ("--reason", reason) if reason else ()
    return Change(
        f"Cordon {_counted(groups)}", tuple(lines), tuple(group.words("cordon", *flags) for group in groups), do
    )


def uncordon(scene: Scene, targets: Targets, _: Answers) -> Change:
    """Let them take new work again."""
    ctx, groups = scene.ctx, _groups(targets)
    known = {(each.node, each.device): each for each in ctx.journal.cordons()}

    def do(_: OnStep) -> tuple[str, ...]:
        def one(group: _Group) -> str:
            found = uncordon_places(ctx, group.nodes, group.device)
            was = "takes new work again" if any(was for _, was in found) else "was not cordoned"
            return f"{group.text}: {was}{simulated_mark(ctx.simulated)}"

        told = one_by_one("uncordoned", [(group.text, partial(one, group)) for group in groups])
        doubts = doubtful_nodes(ctx)
        closed = [node for group in groups for node in group.nodes if node in doubts]
        return (*told, *(f"{node} stays closed until gpualloc reconcile has looked: {doubts[node]}" for node in closed))

    lines: list[Cell] = []
    for group in groups:
        for place in group.places:
            each = known.get(place)
            why = f"cordoned: {plain(each.reason)}" if each is not None else "not cordoned itself"
            text = place_text(*place) if group.device is None else group.text
            lines.append((Span(f"{text}, {why}: "), Span("takes new work again", Role.WARN)))
    return Change(f"Uncordon {_counted(groups)}", tuple(lines), tuple(group.words("uncordon") for group in groups), do)


def drain_asks(_: State, __: Targets) -> tuple[Ask, ...]:
    """Whether work there is to go now, and why."""
    return (_EVICT, _REASON)


def drain(scene: Scene, targets: Targets, answers: Answers) -> Change:
    """Let nodes and devices take no new work, and let the work there run to its end, or give way now."""
    ctx, groups = scene.ctx, _groups(targets)
    reason = answers.get("reason", "").strip() or None
    evict = answers.get("evict") == _EVICT.choices[1]

    def do(on_step: OnStep) -> tuple[str, ...]:
        def one(group: _Group) -> str:
            done = drain_places(ctx, group.nodes, group.device, reason, evict=evict, on_step=on_step)
            if done.error is not None:
                raise done.error
            return _drained(group, done) + simulated_mark(ctx.simulated)

        return one_by_one("drained", [(group.text, partial(one, group)) for group in groups])

    there = _work(ctx, groups)
    lines = [cell(f"{group.text}: takes no new work from now on", Role.WARN) for group in groups]
    for work in there:
        fate = _fate(work, scene.state) if evict else "runs to its end"
        lines += [workload_line(work, scene.state, fate), *process_lines(work, scene.state)]
    strangers = _strangers(groups, scene.state)
    lines += [cell(line) for line in strangers_text(strangers).splitlines()] if strangers else []
    flags = (*(("--evict",) if evict else ()), *(("--reason", reason) if reason else ()))
    return Change(
        f"Drain {_counted(groups)}",
        tuple(lines),
        tuple(group.words("drain", *flags) for group in groups),
        do,
        f"{plural(len(there), 'workload')} must give way now." if evict and there else None,
        grave=evict,
    )


def _groups(targets: Targets) -> tuple[_Group, ...]:
    """Nodes together, and each device by itself, as the commands take them."""
    nodes = tuple(dict.fromkeys(target.node for target in targets if isinstance(target, NodeTarget)))
    devices = [target for target in targets if isinstance(target, DeviceTarget) and target.node not in nodes]
    groups = [_Group(nodes, None, ", ".join(plain(node) for node in nodes))] if nodes else []
    groups += [_Group((one.node,), one.uuid, f"{plain(one.node)} GPU {one.index}") for one in devices]
    return tuple(groups)


def _counted(groups: Sequence[_Group]) -> str:
    nodes = sum(len(group.nodes) for group in groups if group.device is None)
    devices = sum(group.device is not None for group in groups)
    parts = [plural(nodes, "node")] if nodes else []
    return " and ".join([*parts, *([plural(devices, "GPU")] if devices else [])])


def _work(ctx: Context, groups: Sequence[_Group]) -> tuple[Workload, ...]:
    places = [place for group in groups for place in group.places]
    return work_at(places, ctx.journal.workloads(THERE))


def _fate(work: Workload, state: State) -> str:
    """How it would give way, as far as was seen."""
    if work.state is not WorkloadState.RUNNING or work.allocation is None:
        return "is suspended and stays so"
    seen = state.nodes.get(work.allocation.node)
    if seen is None or seen.node is None or seen.failing:
        return "its node does not answer, so it stays"
    found = way_out(work, seen.node)[0]
    return f"{_FATES[found.way]} ({plain(found.why)})"


def _strangers(groups: Sequence[_Group], state: State) -> list[tuple[str, Process]]:
    places = {place for group in groups for place in group.places}
    return [
        (node.name, process)
        for node in state.seen.nodes
        for process in node.processes
        if process.workload is None and places & {(node.name, None), (node.name, process.device)}
    ]


def _drained(group: _Group, done: Drain) -> str:
    standing = ", ".join(dict.fromkeys(stands.value for _, stands in done.states))
    strangers = (
        f"; {plural(len(done.strangers), 'process', 'processes')} that are not ours stay" if done.strangers else ""
    )
    return f"{group.text}: {standing}{strangers}"
