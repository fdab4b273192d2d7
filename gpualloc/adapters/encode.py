"""Steps on their way to a node, in the words of the wire."""

from __future__ import annotations

from typing import Any

from gpualloc.errors import StepError
from gpualloc.model.allocation import Allocation
from gpualloc.model.plan import StepKind
from gpualloc.ports import StepCall


def encode_call(call: StepCall, grace_s: float) -> dict[str, Any]:
    """The `call` of preflight, do, verify and undo; holds the workload's secrets when it starts something.

    Args:
        call: the step and what it belongs to.
        grace_s: time between TERM and KILL when something is stopped, seconds.

    Raises:
        StepError: the step lacks what its kind needs.
    """
    step: dict[str, Any] = {"kind": call.step.kind.value, "workload": call.step.workload, "attempt": call.step.attempt}
    if call.step.kind in (StepKind.CLAIM, StepKind.START):
        step["grants"] = _grants(_allocation(call))
    if call.step.kind in (StepKind.LIMIT, StepKind.START):
        step.update(_limits(_allocation(call)))
    if call.step.kind is StepKind.START:
        step.update(_command(call))
    if call.step.kind is StepKind.STOP:
        step["grace_s"] = grace_s
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


def _grants(allocation: Allocation) -> list[dict[str, Any]]:
    return [
        {
            "device": grant.device,
            "mig_instance": grant.mig_instance,
            "share": grant.share.value,
            "fraction": grant.fraction,
            "memory_mib": grant.memory_mib,
        }
        for grant in allocation.grants
    ]


def _limits(allocation: Allocation) -> dict[str, Any]:
    return {
        "cpus": allocation.cpus,
        "cpuset": allocation.cpuset,
        "memory_mib": allocation.memory_mib,
        "pids": allocation.pids,
    }


def _command(call: StepCall) -> dict[str, Any]:
    workload = call.workload
    if workload is None:
        raise StepError(
            f"the state no longer knows what workload {call.step.workload} should run",
            reason="gone",
            node=call.step.node,
        )
    request = workload.request
    return {
        "command": list(request.command),
        "env": dict(request.env),
        "cwd": request.cwd,
        "user": workload.owner,
        "at_most_s": request.at_most_s,
        "name": workload.name,
    }
