"""Steps on their way to a node, in the words of the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from gpualloc.errors import StepError
from gpualloc.model.allocation import Allocation, Grant
from gpualloc.model.codec import to_plain
from gpualloc.model.desired import DeviceSettings
from gpualloc.model.plan import StepKind
from gpualloc.model.workload import Workload
from gpualloc.ports import StepCall


def encode_call(call: StepCall, grace_s: float) -> dict[str, Any]:
    """The `call` of preflight, do, verify and undo; holds the workload's secrets when it starts something.

    Args:
        call: the step and what it belongs to.
        grace_s: time between TERM and KILL when something is stopped, seconds.

    Raises:
        StepError: the step lacks what its kind needs.
    """
    step: dict[str, Any] = {
        "kind": call.step.kind.value,
        "workload": call.step.workload,
        "attempt": call.step.attempt,
        "device": call.step.device,
    }
    for kinds, encode in _ENCODERS:
        if call.step.kind in kinds:
            step.update(encode(call, grace_s))
    if call.step.process is not None:
        # The command is for the audit trail; the node knows it.
        step["process"] = to_plain(replace(call.step.process, command=None))
    if call.workload is not None and call.workload.request.require is not None:
        step["require"] = call.workload.request.require
    return {"run": call.run, "seq": call.seq, "fence": call.fence, "controller": call.controller, "step": step}


def _allocation(call: StepCall) -> Allocation:
    if call.step.allocation is None:
        raise StepError(
            f"step {call.step.seq} ({call.step.kind.value}) has no allocation",
            reason="bad-request",
            node=call.step.node,
        )
    return call.step.allocation


def _grants(call: StepCall, _grace_s: float) -> dict[str, Any]:
    if call.step.kind is StepKind.MPS_STOP and call.step.allocation is None:
        return {"grants": []}
    return {"grants": [_grant(grant) for grant in _allocation(call).grants]}


def _grant(grant: Grant) -> dict[str, Any]:
    return {
        "device": grant.device,
        "mig_instance": grant.mig_instance,
        "place": grant.place,
        "share": grant.share.value,
        "fraction": grant.fraction,
        "memory_mib": grant.memory_mib,
    }


def _limits(call: StepCall, _grace_s: float) -> dict[str, Any]:
    allocation = _allocation(call)
    return {
        "cpus": allocation.cpus,
        "cpuset": allocation.cpuset,
        "memory_mib": allocation.memory_mib,
        "pids": allocation.pids,
        "cpu_weight": allocation.cpu_weight,
        "io_weight": allocation.io_weight,
    }


def _command(call: StepCall, _grace_s: float) -> dict[str, Any]:
    workload = _workload(call)
    request = workload.request
    return {
        "command": list(request.command),
        "env": {**_gang_environment(_allocation(call)), **dict(request.env)},
        "cwd": request.cwd,
        "user": workload.owner,
        "at_most_s": request.at_most_s,
        "name": workload.name,
        "checkpoint": {
            "signal": request.checkpoint_signal,
            "command": list(request.checkpoint_command),
            "grace_s": request.checkpoint_grace_s,
        },
    }


def _workload(call: StepCall) -> Workload:
    if call.workload is None:
        raise StepError(
            f"the state no longer knows what workload {call.step.workload} should run",
            reason="gone",
            node=call.step.node,
        )
    return call.workload


def _gang_environment(allocation: Allocation) -> dict[str, str]:
    """What a member of a gang is told, in the words of torchrun and of env:// (docs/gangs.md)."""
    gang = allocation.gang
    if gang is None:
        return {}
    (member,) = gang.members
    rank, size, gpus = str(member.rank), str(gang.size), str(len(member.grants))
    told = {
        "GPUALLOC_GANG_RANK": rank,
        "GPUALLOC_GANG_SIZE": size,
        "GPUALLOC_GANG_GPUS": str(gang.gpus),
        "RANK": rank,
        "WORLD_SIZE": size,
        "NODE_RANK": rank,
        "NNODES": size,
        "NPROC_PER_NODE": gpus,
        "PET_NODE_RANK": rank,
        "PET_NNODES": size,
        "PET_NPROC_PER_NODE": gpus,
    }
    if gang.address is not None and gang.port is not None:
        meeting = {"MASTER_ADDR": gang.address, "MASTER_PORT": str(gang.port)}
        told |= {**meeting, **{f"PET_{name}": value for name, value in meeting.items()}}
    if member.interface is not None:
        # NCCL takes a name for the beginning of names unless it stands behind this sign.
        told |= {"NCCL_SOCKET_IFNAME": f"={member.interface}", "GLOO_SOCKET_IFNAME": member.interface}
    return told


def _owner(call: StepCall, _grace_s: float) -> dict[str, Any]:
    return {"user": call.workload.owner if call.workload else None}


def _stop(call: StepCall, grace_s: float) -> dict[str, Any]:
    return {"grace_s": grace_s, "checkpoint": call.step.checkpoint}


def _resume(call: StepCall, _grace_s: float) -> dict[str, Any]:
    return {"devices_before": list(call.step.devices_before)}


def _resize(call: StepCall, _grace_s: float) -> dict[str, Any]:
    workload = _workload(call)
    request = workload.request
    return {
        "devices_before": list(call.step.devices_before),
        "command": list(request.resize_command),
        "env": dict(request.env),
        "cwd": request.cwd,
        "user": workload.owner,
        "grace_s": request.checkpoint_grace_s,
    }


def _mig_mode(call: StepCall, _grace_s: float) -> dict[str, Any]:
    return {"mig_enabled": call.step.mig_enabled}


def _place(call: StepCall, _grace_s: float) -> dict[str, Any]:
    return {"place": call.step.place, "mig_instance": call.step.mig_instance}


def _set(call: StepCall, _grace_s: float) -> dict[str, Any]:
    return {"wanted": _settings(call.step.wanted), "before": _settings(call.step.before)}


def _settings(settings: DeviceSettings | None) -> dict[str, Any]:
    """The settings that are told."""
    plain = to_plain(settings or DeviceSettings())
    assert isinstance(plain, dict)
    return {name: value for name, value in plain.items() if value is not None}


def _process(call: StepCall, _grace_s: float) -> dict[str, Any]:
    if call.step.process is None:
        raise StepError(f"step {call.step.seq} names no process", reason="bad-request", node=call.step.node)
    return {}


_WITH_GRANTS = frozenset(
    {
        StepKind.CLAIM,
        StepKind.LIMIT,
        StepKind.START,
        StepKind.ADOPT,
        StepKind.SUSPEND,
        StepKind.RESUME,
        StepKind.RESIZE,
        StepKind.MPS_START,
        StepKind.MPS_STOP,
    }
)
_ENCODERS: tuple[tuple[frozenset[StepKind], Callable[[StepCall, float], dict[str, Any]]], ...] = (
    (_WITH_GRANTS, _grants),
    (frozenset({StepKind.LIMIT, StepKind.START, StepKind.ADOPT}), _limits),
    (frozenset({StepKind.START}), _command),
    (frozenset({StepKind.MPS_START, StepKind.MPS_STOP, StepKind.ADOPT}), _owner),
    (frozenset({StepKind.STOP}), _stop),
    (frozenset({StepKind.RESUME}), _resume),
    (frozenset({StepKind.RESIZE}), _resize),
    (frozenset({StepKind.MIG_MODE}), _mig_mode),
    (frozenset({StepKind.MIG_CREATE, StepKind.MIG_DESTROY}), _place),
    (frozenset({StepKind.SET}), _set),
    (frozenset({StepKind.ADOPT, StepKind.EVICT, StepKind.SIGNAL}), _process),
)
