"""Nodes and devices that take no new work, and the work there that is to go."""

from __future__ import annotations

from collections.abc import Sequence

from gpualloc.model.desired import Cordon, CordonState
from gpualloc.model.inventory import Process
from gpualloc.planning.giving_way import Concerned
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import escape, plural, stamp

_ROLES = {CordonState.CORDONED: Role.WARN, CordonState.DRAINING: Role.WARN, CordonState.DRAINED: Role.GOOD}
_COLUMNS = (
    Column("id"),
    Column("name", least=8),
    Column("owner", least=6),
    Column("state"),
    Column("node", least=6),
    Column("gives way by"),
    Column("why", least=10, below=True),
)

Standing = tuple[Cordon, CordonState]


def cordon_data(cordon: Cordon, state: CordonState) -> dict[str, object]:
    """One cordon as scripts read it."""
    return {
        "node": cordon.node,
        "device": cordon.device,
        "state": state.value,
        "reason": cordon.reason,
        "actor": cordon.actor,
        "at_s": cordon.at_s,
    }


def cordon_text(cordon: Cordon) -> str:
    """One cordon in a line, without its state."""
    return f"{place_text(cordon.node, cordon.device)}: {escape(cordon.reason)}, since {stamp(cordon.at_s)}"


def place_text(node: str, device: str | None) -> str:
    """A node, or a device of it, in words."""
    return escape(node) if device is None else f"{escape(device)} on {escape(node)}"


def cordons_text(standing: Sequence[Standing], look: Look, *, simulated: bool) -> str:
    """A line for each cordon."""
    head = [look.paint("simulated", Role.WARN)] if simulated else []
    lines = [f"{look.paint(state.value, _ROLES[state])} {cordon_text(cordon)}" for cordon, state in standing]
    return "\n".join([*head, *lines])


def concerned_data(concerned: Concerned) -> dict[str, object]:
    """Work on a drained node, as scripts read it."""
    workload, way_out = concerned.workload, concerned.way_out
    return {
        "id": workload.id,
        "name": workload.name,
        "owner": workload.owner,
        "state": workload.state.value,
        "reason": workload.reason,
        "node": workload.allocation.node if workload.allocation else None,
        "way": way_out.way.value if way_out else None,
        "why": way_out.why if way_out else None,
    }


def drain_text(standing: Sequence[Standing], concerned: Sequence[Concerned], look: Look, *, simulated: bool) -> str:
    """How each place stands, and a row for each workload that is concerned."""
    lines = [cordons_text(standing, look, simulated=simulated)]
    if concerned:
        users = len({each.workload.owner for each in concerned})
        lines += [f"{plural(len(concerned), 'workload')} of {plural(users, 'user')} concerned:"]
        lines += [table(_COLUMNS, [_row(each) for each in concerned], look)]
    return "\n".join(lines)


def _row(concerned: Concerned) -> list[str | Cell]:
    workload, way_out = concerned.workload, concerned.way_out
    return [
        workload.id,
        escape(workload.name),
        escape(workload.owner),
        workload.state.value,
        escape(", ".join(workload.allocation.nodes)) if workload.allocation else "",
        way_out.way.value if way_out else "",
        escape(way_out.why) if way_out else "",
    ]


def stranger_data(node: str, process: Process) -> dict[str, object]:
    """A process at a drained place that gpualloc did not start, as scripts read it."""
    return {"node": node, "device": process.device, "pid": process.pid, "user": process.user}


def strangers_text(strangers: Sequence[tuple[str, Process]]) -> str:
    """How many processes stay that gpualloc did not start, and whose, node by node."""
    users: dict[tuple[str, str], int] = {}
    for node, process in strangers:
        key = (node, process.user or "an unknown user")
        users[key] = users.get(key, 0) + 1
    told = [f"{count} of {escape(user)} on {escape(node)}" for (node, user), count in sorted(users.items())]
    return f"still there, and not gpualloc's: {plural(len(strangers), 'process', 'processes')}: {', '.join(told)}"
