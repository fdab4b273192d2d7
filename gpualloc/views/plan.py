"""A plan as a diff: one line per step with its reason, who notices, what gets no place."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from gpualloc.errors import GpuallocError
from gpualloc.model.decision import Rejection
from gpualloc.model.objective import Objective
from gpualloc.model.plan import DEVICE_KINDS, Plan, Step, StepKind, StepState
from gpualloc.views.look import Look, Role
from gpualloc.views.text import escape, plural, shorten

_INDENT = "       "
_NAME_COLUMNS = 48
_NODES_NAMED = 4
_MADE, _CHANGED, _TAKEN = ("+", Role.GOOD), ("~", Role.WARN), ("-", Role.BAD)
_GLYPHS = {
    StepKind.CLAIM: _MADE,
    StepKind.LIMIT: _CHANGED,
    StepKind.START: _MADE,
    StepKind.ADOPT: _MADE,
    StepKind.STOP: _TAKEN,
    StepKind.UNLIMIT: _CHANGED,
    StepKind.UNCLAIM: _TAKEN,
    StepKind.LET_GO: _TAKEN,
    StepKind.SUSPEND: _CHANGED,
    StepKind.RESUME: _CHANGED,
    StepKind.RESIZE: _CHANGED,
    StepKind.MPS_START: _MADE,
    StepKind.MPS_STOP: _TAKEN,
    StepKind.MIG_MODE: _CHANGED,
    StepKind.MIG_CREATE: _MADE,
    StepKind.MIG_DESTROY: _TAKEN,
    StepKind.SET: _CHANGED,
    StepKind.EVICT: _TAKEN,
    StepKind.SIGNAL: _CHANGED,
}
_STARTS = (StepKind.START, StepKind.ADOPT, StepKind.RESUME)
_ENDS = (StepKind.STOP, StepKind.SUSPEND)
_STATE_WORDS = {
    StepState.INTENT: "…",
    StepState.DONE: "done",
    StepState.FAILED: "FAILED",
    StepState.UNDONE: "taken back",
    StepState.SKIPPED: "skipped",
}


def plan_data(plan: Plan) -> dict[str, object]:
    """`data` of `plan --json`."""
    return {
        "id": plan.id,
        "created_at_s": plan.created_at_s,
        "policy": plan.policy,
        "policy_version": plan.policy_version,
        "objective": plan.objective.value,
        "seed": plan.seed,
        "simulated": plan.simulated,
        "base_digest": plan.base_digest,
        "applyable": plan.applyable,
        "steps": [step_data(step) for step in plan.steps],
        "rejections": [_rejection_data(rejection) for rejection in plan.rejections],
    }


def step_data(step: Step) -> dict[str, object]:
    """One step as scripts read it."""
    return {
        "seq": step.seq,
        "kind": step.kind.value,
        "node": step.node,
        "workload": step.workload,
        "device": step.device,
        "target": step.target,
        "place": step.place,
        "reason": step.reason.value,
        "detail": step.detail,
        "blast_radius": {
            "workloads": list(step.blast_radius.workloads),
            "users": list(step.blast_radius.users),
            "resets": list(step.blast_radius.resets),
        },
        "needs": list(step.needs),
    }


def _rejection_data(rejection: Rejection) -> dict[str, object]:
    return {"workload": rejection.workload, "reason": rejection.reason.value, "detail": rejection.detail}


def plan_text(plan: Plan, names: Mapping[str, str], look: Look) -> str:
    """The plan for a person; `names` gives workload names by id."""
    aim = "" if plan.objective is Objective.BALANCED else f", objective {plan.objective.value}"
    head = f"plan {plan.id}, policy {escape(plan.policy)} {escape(plan.policy_version)}{aim}"
    lines = [head + (", " + look.paint("simulated", Role.WARN) if plan.simulated else "")]
    for chain in dict.fromkeys(step.chain for step in plan.steps):
        lines += ["", *_chain_lines([step for step in plan.steps if step.chain == chain], names, look)]
    if plan.rejections:
        lines += ["", "gets no place now:"]
        for rejection in plan.rejections:
            lines.append(f"  {_titled(rejection.workload, names)}: {look.paint(rejection.reason.value, Role.WARN)}")
            lines += textwrap.wrap(
                escape(rejection.detail), look.width, initial_indent=_INDENT, subsequent_indent=_INDENT
            )
    return "\n".join([*lines, "", summary(plan)])


def _chain_lines(steps: Sequence[Step], names: Mapping[str, str], look: Look) -> list[str]:
    first = steps[0]
    title = escape(first.target) if first.workload is None else _titled(first.workload, names)
    nodes = list(dict.fromkeys(escape(step.node) for step in steps))
    on = ", ".join(nodes) if len(nodes) <= _NODES_NAMED else plural(len(nodes), "node")
    lines = [f"{look.paint(title, Role.STRONG)} on {on}"]
    for step in steps:
        glyph, role = _GLYPHS[step.kind]
        where = f" on {escape(step.node)}" if len(nodes) > 1 else ""
        what = f"{step.kind.value:<7} {escape(step.place or step.target)}{where}"
        lines.append(f"  {look.paint(glyph, role)} {step.seq:>2} {what}")
        why = textwrap.wrap(_why(step), look.width - len(_INDENT))
        lines += [f"{_INDENT}{look.paint(line, Role.QUIET)}" for line in why]
        lines += [f"{_INDENT}{line}" for line in _radius(step, names)]
    return lines


def _why(step: Step) -> str:
    return step.reason.value + (f": {escape(step.detail)}" if step.detail else "")


def _radius(step: Step, names: Mapping[str, str]) -> list[str]:
    """Who notices besides the workload that the step serves."""
    radius = step.blast_radius
    others = [_titled(workload, names) for workload in radius.workloads if workload != step.workload]
    lines = [f"disturbs {', '.join(others)}"] if others else []
    if radius.users and step.kind in (*_ENDS, *DEVICE_KINDS, StepKind.SIGNAL):
        lines.append(f"noticed by {', '.join(escape(user) for user in radius.users)}")
    if radius.resets:
        lines.append(f"resets {', '.join(escape(uuid) for uuid in radius.resets)}")
    return lines


def _titled(workload: str, names: Mapping[str, str]) -> str:
    return f'{workload} "{shorten(escape(names[workload]), _NAME_COLUMNS)}"' if workload in names else escape(workload)


def glyph_of(kind: StepKind) -> str:
    """`+` for a step that makes something, `~` for one that changes it, `-` for one that takes it away."""
    return _GLYPHS[kind][0]


def summary(plan: Plan) -> str:
    """One line: what would change, for whom, and what waits."""
    waiting = f"; {len(plan.rejections)} waiting" if plan.rejections else ""
    if not plan.steps:
        return f"no changes{waiting}"
    starts = len({step.workload for step in plan.steps if step.kind in _STARTS})
    stops = len({step.workload for step in plan.steps if step.kind in _ENDS})
    devices = len({step.chain for step in plan.steps if step.device is not None})
    signals = len([step for step in plan.steps if step.kind is StepKind.SIGNAL])
    moved = {step.chain for step in plan.steps if step.kind in (*_STARTS, *_ENDS)}
    rest = len({step.chain for step in plan.steps} - moved) - devices - signals
    parts = [plural(starts, "start")] if starts else []
    parts += [plural(stops, "stop")] if stops else []
    parts += [f"{plural(devices, 'device')} changed"] if devices else []
    parts += [plural(signals, "signal")] if signals else []
    parts += [f"{rest} cleaned up"] if rest > 0 else []
    nodes = {step.node for step in plan.steps}
    users = {user for step in plan.steps for user in step.blast_radius.users}
    touched = f"{plural(len(nodes), 'node')} touched" + (f", {plural(len(users), 'user')} concerned" if users else "")
    return f"{plural(len(plan.steps), 'step')}: {', '.join(parts)}; {touched}{waiting}"


def step_line(step: Step, state: StepState, error: str | None, total: int) -> str:
    """One step as it moves, for a person who watches; `total` is the number of steps."""
    glyph, _ = _GLYPHS[step.kind]
    tail = f": {escape(error)}" if error else ""
    what = f"{glyph} {step.kind.value} {_object(step)} on {escape(step.node)}"
    return f"[{step.seq}/{total}] {what}: {_STATE_WORDS[state]}{tail}"


def _object(step: Step) -> str:
    """What a step that stands alone is about: its place on the device, or whose work it serves."""
    if step.place:
        return f"{escape(step.place)} of {escape(step.target)}"
    return escape(step.target) + (f" for {step.workload}" if step.workload and step.workload != step.target else "")


def report_data(
    run: str,
    done: int,
    failed: Mapping[int, GpuallocError],
    skipped: int,
    unknown: Mapping[int, GpuallocError],
    *,
    left: int = 0,
) -> dict[str, object]:
    """What became of an apply; `failed` and `unknown` are keyed by the step's seq, `left` counts what was not begun."""
    return {
        "run": run,
        "done": done,
        "failed": [{"seq": seq, "code": error.code, "message": error.message} for seq, error in failed.items()],
        "skipped": skipped,
        "unknown": [{"seq": seq, "code": error.code, "message": error.message} for seq, error in unknown.items()],
        "left": left,
    }


def report_text(done: int, failed: int, skipped: int, unknown: int, left: int = 0) -> str:
    """What became of an apply in one line."""
    parts = [f"{plural(done, 'step')} done"]
    parts += [f"{count} {word}" for count, word in ((failed, "failed"), (skipped, "skipped")) if count]
    parts += [f"{unknown} of unknown outcome"] if unknown else []
    parts += [f"{left} left"] if left else []
    return ", ".join(parts)
