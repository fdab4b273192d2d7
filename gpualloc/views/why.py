"""Why a workload waits, and what would help; or how it came to its place."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Placed, Rejection
from gpualloc.model.inventory import Snapshot
from gpualloc.model.objective import Objective
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.policies.explanation import Explanation
from gpualloc.policies.remedies import Remedy, RemedyKind
from gpualloc.policies.why import Obstacle
from gpualloc.views.look import Look, Role
from gpualloc.views.places import INDENT, aim_text, devices_text, places_lines
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import ago, bar, duration, escape, shorten, stamp
from gpualloc.views.workloads import request_text

_NAME_COLUMNS = 48
_MOST_OBSTACLES = 8
"""Reasons that are shown; those that keep out fewer nodes are counted."""
_BAR = 8
_OBSTACLES = (
    Column("nodes", right=True),
    Column("alone", right=True),
    Column(""),
    Column("what is in the way", least=42),
    Column("where", least=8),
)


class Account(Struct, frozen=True):
    """What `why` tells of one workload."""

    workload: Workload
    now_s: float
    simulated: bool
    policy: str
    """Name and version of the policy that decides now."""
    starter: str = ""
    """Who would start it, in words; empty when it does not wait."""
    explanation: Explanation | None = None
    """None when it does not wait, or nothing is planned for it."""
    placed: Placed | None = None
    snapshot: Snapshot | None = None
    """What was seen; None when no node was asked."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Names of workloads by id."""


def why_data(account: Account) -> dict[str, object]:
    """`data` of `why --json`."""
    workload, placed = account.workload, account.placed
    return {
        "simulated": account.simulated,
        "at_s": account.now_s,
        "id": workload.id,
        "name": workload.name,
        "owner": workload.owner,
        "state": workload.state.value,
        "reason": workload.reason,
        "node": workload.allocation.node if workload.allocation else None,
        "policy": account.policy,
        "explanation": explanation_data(account.explanation) if account.explanation else None,
        "placed": placed
        and {
            "at_s": placed.at_s,
            "actor": placed.actor,
            "plan": placed.plan,
            "policy": placed.policy,
            "objective": placed.objective.value,
        },
    }


def explanation_data(explanation: Explanation) -> dict[str, object]:
    """One of `data.explanations` of `plan --explain --json`."""
    answer = explanation.answer
    place = answer if isinstance(answer, Allocation) else None
    return {
        "workload": explanation.workload.id,
        "reason": answer.reason.value if isinstance(answer, Rejection) else None,
        "detail": answer.detail if isinstance(answer, Rejection) else None,
        "node": place.node if place else None,
        "devices": [grant.visible_uuid for grant in place.grants] if place else [],
        "layouts": list(explanation.layouts),
        "ahead": list(explanation.ahead),
        "nodes": explanation.nodes,
        "ranking": [
            {
                "node": each.node,
                "score": each.score,
                "devices": list(each.devices),
                "objective": each.objective or None,
            }
            for each in explanation.ranked
        ],
        "objective": explanation.objective.value,
        "overruled": explanation.overruled.node if explanation.overruled else None,
        "obstacles": [{"reasons": list(each.reasons), "nodes": list(each.nodes)} for each in explanation.obstacles],
        "remedies": [_remedy_data(each) for each in explanation.remedies],
    }


def _remedy_data(remedy: Remedy) -> dict[str, object]:
    return {
        "kind": remedy.kind.value,
        "node": remedy.node,
        "detail": remedy.detail,
        "devices": list(remedy.devices),
        "workloads": list(remedy.workloads),
        "to": remedy.to,
        "commands": _commands(remedy),
    }


def why_text(account: Account, look: Look) -> str:
    """The account for a person, the answer first."""
    head = [look.paint("simulated", Role.WARN)] if account.simulated else []
    workload = account.workload
    if workload.state is not WorkloadState.PENDING:
        return "\n".join([*head, *_begun(account, look)])
    title = f"{titled(workload.id, account.names)} of {escape(workload.owner)}"
    waited = duration(account.now_s - workload.submitted_at_s)
    lines = [*head, f"{look.paint(title, Role.STRONG)} waits for {waited}"]
    lines += _wrapped(f"asks for {request_text(workload.request)}", look)
    if account.explanation is None:
        return "\n".join([*lines, *_undecided(look)])
    lines += explanation_lines(account.explanation, account.snapshot, account.policy, account.names, look)
    if isinstance(account.explanation.answer, Allocation):
        lines += ["", *_wrapped(account.starter, look, "")]
    return "\n".join(lines)


def explanations_text(
    explanations: Sequence[Explanation],
    snapshot: Snapshot | None,
    policy: str,
    names: Mapping[str, str],
    look: Look,
) -> str:
    """What `plan --explain` adds: each waiting workload in turn; empty when nothing waits."""
    blocks = []
    for each in explanations:
        title = look.paint(titled(each.workload.id, names), Role.STRONG)
        blocks.append("\n".join([f"why {title}", *explanation_lines(each, snapshot, policy, names, look)]))
    return "\n\n".join(blocks)


def explanation_lines(
    explanation: Explanation, snapshot: Snapshot | None, policy: str, names: Mapping[str, str], look: Look
) -> list[str]:
    """The answer, what keeps it out or speaks for its place, and what would help."""
    answer = explanation.answer
    if isinstance(answer, Rejection):
        lines = [f"{INDENT}gets no place now: {look.paint(answer.reason.value, Role.WARN)}"]
        lines += _wrapped(answer.detail, look)
    else:
        place = f"{escape(answer.node)}{devices_text([grant.device for grant in answer.grants], snapshot)}"
        lines = [f"{INDENT}would go to {look.paint(place, Role.GOOD)} in a plan made now{aim_text(explanation)}"]
        lines += [line for layout in explanation.layouts for line in _wrapped(f"changed for it: {layout}", look)]
    if explanation.ahead:
        lines += _wrapped(_ahead(explanation.ahead, names), look)
    if isinstance(answer, Allocation) and explanation.ranked:
        lines += ["", *places_lines(explanation, answer, snapshot, policy, look)]
    if explanation.obstacles:
        lines += ["", _obstacles(explanation.obstacles, explanation.nodes, look)]
    if isinstance(answer, Rejection):
        lines += ["", *_helps(explanation.remedies, names, look, gang=explanation.workload.request.gang)]
    return lines


def titled(workload: str, names: Mapping[str, str]) -> str:
    """A workload's id with its name."""
    return f'{workload} "{shorten(escape(names[workload]), _NAME_COLUMNS)}"' if workload in names else escape(workload)


# ---- work that waits


def _undecided(look: Look) -> list[str]:
    text = "nothing is planned for it: an interrupted run may have begun it. `gpualloc recover` lists such runs"
    return _wrapped(text, look)


def _ahead(ahead: Sequence[str], names: Mapping[str, str]) -> str:
    shown = ", ".join(titled(each, names) for each in ahead[:3])
    more = f" and {len(ahead) - 3} more" if len(ahead) > 3 else ""
    return f"behind {shown}{more}"


def _obstacles(obstacles: Sequence[Obstacle], nodes: int, look: Look) -> str:
    """A line for each reason that comes first on some nodes, with how many of them it alone keeps out."""
    leading: defaultdict[str, list[Obstacle]] = defaultdict(list)
    for each in obstacles:
        leading[each.reasons[0]].append(each)
    counted = sorted(((_nodes(found), reason, found) for reason, found in leading.items()), key=_most_first)
    rows: list[list[str | Cell]] = [
        [str(len(names)), _alone(found), _bar(len(names), nodes), escape(reason), _where(names)]
        for names, reason, found in counted[:_MOST_OBSTACLES]
    ]
    rest = [name for names, _, _ in counted[_MOST_OBSTACLES:] for name in names]
    if rest:
        others = f"{len(counted) - _MOST_OBSTACLES} other reasons"
        rows.append([str(len(rest)), "", _bar(len(rest), nodes), others, _where(rest)])
    return table(_OBSTACLES, rows, look)


def _nodes(obstacles: Iterable[Obstacle]) -> list[str]:
    return sorted(name for each in obstacles for name in each.nodes)


def _most_first(counted: tuple[list[str], str, list[Obstacle]]) -> tuple[int, str]:
    return -len(counted[0]), counted[1]


def _alone(obstacles: Iterable[Obstacle]) -> str:
    return str(sum(len(each.nodes) for each in obstacles if len(each.reasons) == 1))


def _bar(count: int, nodes: int) -> Cell:
    return Cell(bar(count, nodes, _BAR), Role.BAD)


def _where(names: Sequence[str]) -> Cell:
    return Cell(escape(", ".join(names)), Role.QUIET)


def _helps(remedies: Sequence[Remedy], names: Mapping[str, str], look: Look, *, gang: bool) -> list[str]:
    if gang:
        return ["counted for one member of the gang; what would help all of it is not known"]
    if not remedies:
        return ["nothing that gpualloc knows of would help now"]
    lines = ["it would fit"]
    for each in remedies:
        detail = escape(each.detail)
        for workload in each.workloads:
            detail = detail.replace(workload, titled(workload, names))
        lines += _wrapped(f"on {escape(each.node)} {detail}", look, f"{INDENT}- ")
        lines += [f"{INDENT}  {look.paint(command, Role.STRONG)}" for command in _commands(each)]
    return lines


def _commands(remedy: Remedy) -> list[str]:
    """What a person would type; nothing where gpualloc has no verb for it."""
    match remedy.kind:
        case RemedyKind.UNCORDON:
            node = [f"gpualloc uncordon {remedy.node}"] if remedy.whole_node else []
            return [*node, *(f"gpualloc uncordon {remedy.node} --device {uuid}" for uuid in remedy.devices)]
        case RemedyKind.RECONCILE:
            return [f"gpualloc reconcile {remedy.node}"]
        case RemedyKind.RELEASE:
            return [f"gpualloc release {' '.join(remedy.workloads)}"]
    return []


def _wrapped(text: str, look: Look, indent: str = INDENT) -> list[str]:
    margin = " " * len(indent)
    return textwrap.wrap(text, look.width, initial_indent=indent, subsequent_indent=margin, break_on_hyphens=False)


# ---- work that has begun


def _begun(account: Account, look: Look) -> list[str]:
    workload, placed = account.workload, account.placed
    title = f"{titled(workload.id, account.names)} of {escape(workload.owner)}"
    lines = [f"{look.paint(title, Role.STRONG)} {_stands(workload, account.now_s)}"]
    if workload.reason:
        lines += _wrapped(escape(workload.reason), look)
    if workload.allocation is not None:
        devices = [grant.visible_uuid for grant in workload.allocation.grants]
        lines += [f"{INDENT}on {escape(workload.allocation.node)}", *(f"{INDENT}{escape(each)}" for each in devices)]
    if placed is None:
        return lines
    aim = "" if placed.objective is Objective.BALANCED else f" for {placed.objective.value}"
    chosen = f"placed by {escape(placed.policy)}{aim}" if placed.policy else "begun"
    plan = f" in plan {escape(placed.plan)}" if placed.plan else ""
    return lines + _wrapped(f"{chosen}{plan}, applied by {escape(placed.actor)} at {stamp(placed.at_s)}", look)


def _stands(workload: Workload, now_s: float) -> str:
    if workload.ended_at_s is not None:
        code = "" if workload.exit_code is None else f", exit code {workload.exit_code}"
        return f"{workload.state.value} {ago(now_s - workload.ended_at_s)}{code}"
    if workload.state is WorkloadState.SUSPENDED:
        return "is suspended; it would go on"
    since = "" if workload.started_at_s is None else f" since {stamp(workload.started_at_s)}"
    lasted = "" if workload.started_at_s is None else f" ({duration(now_s - workload.started_at_s)})"
    return f"runs{since}{lasted}"
