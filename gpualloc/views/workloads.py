"""Workloads: the list, one in full, and what could be had now. Values of --env are never shown."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from gpualloc.model.allocation import Allocation, Gang, Grant, HeldBy, Hold, Limits, Member, Share
from gpualloc.model.ending import seen_exit_code, verdict
from gpualloc.model.gang import members_of
from gpualloc.model.progress import Progress
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.views.declared import declared_facts
from gpualloc.views.look import Look, Role
from gpualloc.views.progress import progress_brief, progress_data, progress_text
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import UNKNOWN, ago, duration, escape, memory, plural, stamp

HIDDEN = "(hidden)"
_ROLES = {
    WorkloadState.PENDING: Role.WARN,
    WorkloadState.RUNNING: Role.GOOD,
    WorkloadState.SUSPENDED: Role.WARN,
    WorkloadState.FAILED: Role.BAD,
    WorkloadState.LOST: Role.BAD,
}
_COLUMNS = (
    Column("id"),
    Column("name", least=8),
    Column("owner", least=6),
    Column("state"),
    Column("for", right=True),
    Column("where", least=12),
    Column("exit", right=True),
    Column("reason", least=10, below=True),
)
_PROGRESS_AT = 5
"""The place of the column for progress: after how long it runs."""


def workloads_data(
    workloads: Sequence[Workload],
    bound: Mapping[str, Limits] | None = None,
    progress: Mapping[str, Progress] | None = None,
    *,
    simulated: bool,
) -> dict[str, object]:
    """`data` of `ps --json`.

    `bound` has by workload id the limits in force on its node, as far as they were read, and `progress` how far those
    are that say so.
    """
    read, told = bound or {}, progress or {}
    return {
        "simulated": simulated,
        "workloads": [workload_data(one, read.get(one.id), told.get(one.id)) for one in workloads],
    }


def workload_data(
    workload: Workload, bound: Limits | None = None, progress: Progress | None = None
) -> dict[str, object]:
    """One workload as `ps --json` and `wait --json` give it."""
    allocation = workload.allocation
    return {
        "id": workload.id,
        "name": workload.name,
        "owner": workload.owner,
        "state": workload.state.value,
        "reason": workload.reason,
        "node": allocation.node if allocation else None,
        "devices": [grant.visible_uuid for grant in _grants(workload)],
        "pid": workload.pid,
        "exit_code": workload.exit_code,
        "held_by": _held_data(workload.held_by),
        "limits": {"asked": _limits_data(allocation or workload.request), "bound": bound and _limits_data(bound)},
        "submitted_at_s": workload.submitted_at_s,
        "started_at_s": workload.started_at_s,
        "ended_at_s": workload.ended_at_s,
        "adopted": workload.adopted,
        "members": [_member_data(member) for member in members_of(workload)] or None,
        "progress": progress and progress_data(progress),
    }


def _member_data(member: Member) -> dict[str, object]:
    return {
        "rank": member.rank,
        "node": member.node,
        "devices": [grant.visible_uuid for grant in member.grants],
        "pid": member.pid,
        "state": _member_state(member).value,
        "exit_code": None if member.end is None else seen_exit_code(member.end),
    }


def _member_state(member: Member) -> WorkloadState:
    return WorkloadState.RUNNING if member.end is None else verdict(member.end)[0]


def workload_in_full(workload: Workload, *, progress: Progress | None = None, simulated: bool) -> dict[str, object]:
    """`data` of `show --json`."""
    return {
        **workload_data(workload, progress=progress),
        "simulated": simulated,
        "attempt": workload.attempt,
        "request": _request_data(workload.request),
        "allocation": _allocation_data(workload.allocation) if workload.allocation else None,
    }


def _grants(workload: Workload) -> tuple[Grant, ...]:
    """What it holds of devices now: none while it is suspended, though it is to be resumed on them."""
    if workload.allocation is None or workload.state is WorkloadState.SUSPENDED:
        return ()
    return workload.allocation.grants


def _limits_data(limits: Limits | Allocation | Request) -> dict[str, object]:
    return {
        "cpus": limits.cpus,
        "cpuset": limits.cpuset,
        "memory_mib": limits.memory_mib,
        "pids": limits.pids,
        "cpu_weight": limits.cpu_weight,
        "io_weight": limits.io_weight,
    }


def _held_data(held_by: HeldBy) -> dict[str, str | None]:
    return {"gpu": held_by.gpu, "cpu": held_by.cpu, "memory": held_by.memory, "pids": held_by.pids}


def _request_data(request: Request) -> dict[str, object]:
    return {
        "command": list(request.command),
        "gpus": request.gpus,
        "gpu_memory_mib": request.gpu_memory_mib,
        "gpu_model": request.gpu_model,
        "fraction": request.fraction,
        "share": request.share.value,
        "mig_profile": request.mig_profile,
        "sm_count": request.sm_count,
        "several_instances": request.several_instances,
        "gang": request.gang,
        "per_node": request.per_node,
        "gpus_max": request.gpus_max,
        "resize_command": list(request.resize_command),
        "cpus": request.cpus,
        "cpuset": request.cpuset,
        "require": request.require,
        "memory_mib": request.memory_mib,
        "pids": request.pids,
        "priority": request.priority,
        "nodes": list(request.nodes),
        "labels": dict(request.labels),
        "near": list(request.near),
        "numa": request.numa,
        "cwd": request.cwd,
        "env": {key: HIDDEN for key, _ in request.env},
        "at_most_s": request.at_most_s,
        "cpu_weight": request.cpu_weight,
        "io_weight": request.io_weight,
        "preempt": request.preempt.value,
        "checkpoint": {
            "signal": request.checkpoint_signal,
            "command": list(request.checkpoint_command),
            "grace_s": request.checkpoint_grace_s,
        },
        "declared": [
            {"for_s": one.for_s, "gpu": one.gpu, "memory_mib": one.memory_mib, "phase": one.phase}
            for one in request.declared
        ],
    }


def _allocation_data(allocation: Allocation) -> dict[str, object]:
    return {
        "node": allocation.node,
        "grants": [
            {
                "device": grant.device,
                "share": grant.share.value,
                "mig_instance": grant.mig_instance,
                "fraction": grant.fraction,
                "memory_mib": grant.memory_mib,
            }
            for grant in allocation.grants
        ],
        "cpus": allocation.cpus,
        "cpuset": allocation.cpuset,
        "memory_mib": allocation.memory_mib,
        "pids": allocation.pids,
        "gang": _gang_data(allocation.gang) if allocation.gang else None,
    }


def _gang_data(gang: Gang) -> dict[str, object]:
    return {"size": gang.size, "gpus": gang.gpus, "address": gang.address, "port": gang.port}


def workloads_text(
    workloads: Sequence[Workload],
    now_s: float,
    look: Look,
    progress: Mapping[str, Progress] | None = None,
    *,
    simulated: bool,
) -> str:
    """The list, oldest first; with a column for progress when any work tells it."""
    head = [look.paint("simulated", Role.WARN)] if simulated else []
    if not workloads:
        return "\n".join([*head, "no workloads"])
    columns, rows = list(_COLUMNS), [_row(workload, now_s) for workload in workloads]
    if progress:
        columns.insert(_PROGRESS_AT, Column("progress"))
        for workload, row in zip(workloads, rows, strict=True):
            row.insert(_PROGRESS_AT, progress_brief(progress.get(workload.id)))
    return "\n".join([*head, table(columns, rows, look)])


def _row(workload: Workload, now_s: float) -> list[str | Cell]:
    exit_code = "" if workload.exit_code is None else str(workload.exit_code)
    return [
        workload.id,
        escape(workload.name),
        escape(workload.owner),
        Cell(workload.state.value, _ROLES.get(workload.state)),
        duration(_lasted_s(workload, now_s)),
        _where(workload),
        exit_code,
        escape(workload.reason or ""),
    ]


def _lasted_s(workload: Workload, now_s: float) -> float:
    """How long it waits, runs or ran."""
    return (workload.ended_at_s or now_s) - (workload.started_at_s or workload.submitted_at_s)


def _where(workload: Workload) -> str:
    if workload.allocation is None:
        return ""
    count, others = len(_grants(workload)), len(workload.allocation.nodes) - 1
    more = f" +{plural(others, 'node')}" if others else ""
    return escape(workload.allocation.node) + more + (f" ({plural(count, 'GPU')})" if count else "")


def workload_text(workload: Workload, now_s: float, *, progress: Progress | None = None, simulated: bool) -> str:
    """Everything known of one workload, a line for each fact."""
    facts = [
        ("id", workload.id + (" (simulated)" if simulated else "")),
        ("name", escape(workload.name)),
        ("owner", escape(workload.owner)),
        ("state", workload.state.value + (f": {escape(workload.reason)}" if workload.reason else "")),
        ("command", escape(shlex.join(workload.request.command))),
        ("asks for", request_text(workload.request)),
        *declared_facts(workload.request.declared),
        *((("progress", progress_text(progress)),) if progress else ()),
        ("submitted", f"{stamp(workload.submitted_at_s)} ({ago(now_s - workload.submitted_at_s)})"),
        *_started(workload, now_s),
        *((f"env {escape(key)}", HIDDEN) for key, _ in workload.request.env),
    ]
    return "\n".join(f"{label + ':' if label else '':<12} {text}" for label, text in facts)


def _started(workload: Workload, now_s: float) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    for member in members_of(workload):
        facts += _member_facts(member)
    if workload.allocation is not None and workload.allocation.gang is not None:
        facts.append(("meet at", f"{workload.allocation.gang.address}:{workload.allocation.gang.port}"))
    elif workload.allocation is not None:
        facts.append(("node", escape(workload.allocation.node)))
        # Suspended work holds no device: it would go on there.
        label = "resumes on" if workload.state is WorkloadState.SUSPENDED else "device"
        facts += [(label, f"{grant.visible_uuid} ({grant.share.value})") for grant in workload.allocation.grants]
    held = {name: hold for name, hold in _held_data(workload.held_by).items() if hold is not None}
    if held:
        facts.append(("held by", ", ".join(f"{name} {Hold(hold).value}" for name, hold in held.items())))
    if workload.started_at_s is not None:
        facts.append(("started", f"{stamp(workload.started_at_s)} ({ago(now_s - workload.started_at_s)})"))
        facts.append(("pid", UNKNOWN if workload.pid is None else str(workload.pid)))
    if workload.ended_at_s is not None:
        facts.append(("ended", f"{stamp(workload.ended_at_s)} ({ago(now_s - workload.ended_at_s)})"))
        facts.append(("exit code", UNKNOWN if workload.exit_code is None else str(workload.exit_code)))
    return facts


def _member_facts(member: Member) -> list[tuple[str, str]]:
    said = _member_state(member).value
    if member.end is not None:
        said = ": ".join(filter(None, (said, verdict(member.end)[1])))
    where = f"{escape(member.node)}, pid {UNKNOWN if member.pid is None else member.pid}, {said}"
    return [
        (f"member {member.rank}", where),
        *(("", f"{grant.visible_uuid} ({grant.share.value})") for grant in member.grants),
    ]


def request_text(request: Request) -> str:
    """A request in a few words."""
    parts = _devices_asked(request)
    if request.gpu_memory_mib is not None:
        parts.append(f"{memory(request.gpu_memory_mib)} GPU memory")
    if request.gpu_model:
        parts.append(f"model {escape(request.gpu_model)}")
    if request.cpus is not None:
        parts.append(f"{request.cpus:g} CPUs")
    if request.cpuset:
        parts.append(f"CPUs {request.cpuset}")
    if request.memory_mib is not None:
        parts.append(f"{memory(request.memory_mib)} memory")
    if request.pids is not None:
        parts.append(f"{request.pids} processes")
    if request.nodes:
        parts.append("on " + ", ".join(escape(node) for node in request.nodes))
    parts += [f"label {escape(f'{label}={value}')}" for label, value in request.labels]
    parts += [f"near {escape(path)}" for path in request.near]
    if request.at_most_s is not None:
        parts.append(f"at most {duration(request.at_most_s)}")
    if request.priority:
        parts.append(f"priority {request.priority}")
    return ", ".join(parts)


def _devices_asked(request: Request) -> list[str]:
    parts = [_number_asked(request)]
    if request.gang:
        parts.append("gang" if request.per_node is None else f"gang, {request.per_node} on each node")
    if request.gpus and request.share is Share.MIG:
        parts.append(f"MIG {escape(request.mig_profile)}" if request.mig_profile else "MIG")
    if request.sm_count is not None:
        parts.append(f"{request.sm_count} SMs")
    if request.numa:
        parts.append("near one NUMA node")
    if request.fraction is not None:
        parts.append(f"{request.fraction:g} of each ({request.share.value})")
    return parts


def _number_asked(request: Request) -> str:
    if request.gpus_max is not None:
        return f"{request.gpus} to {request.gpus_max} GPUs"
    return plural(request.gpus, "GPU") if request.gpus else "no GPU"
