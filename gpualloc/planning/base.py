"""The facts a plan rests on, their digest, and what changed in them since.

Only what would make a step wrong counts: no utilization, no temperature, no age, no node that the plan leaves alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote, unquote

from gpualloc.model.allocation import Claim
from gpualloc.model.inventory import Device, Node, NodeState, Snapshot
from gpualloc.model.plan import Step, StepKind, StepReason
from gpualloc.model.workload import Workload

_PRESENCE = {True: "there", False: "gone", None: "not known to be there"}


def base_facts(snapshot: Snapshot, steps: Sequence[Step], workloads: Mapping[str, Workload]) -> Mapping[str, str]:
    """Facts about the nodes and workloads that the steps touch, in sorted order.

    What was left over by work that is gone rests on its claims alone: they are facts of their node.
    A fact's name is a path, such as `node/gpu01/device/GPU-1/state`, its parts percent-encoded.
    """
    facts: dict[str, str] = {}
    for name in {step.node for step in steps}:
        node = snapshot.node(name)
        facts.update(_node_facts(node) if node else {_path("node", name, "state"): "not configured"})
    for name, path in _near(steps, workloads):
        node = snapshot.node(name)
        facts[_path("node", name, "near", path)] = _PRESENCE[node.near.get(path) if node else None]
    for workload in {step.workload for step in steps if step.workload and step.reason is not StepReason.CLEANUP}:
        facts[_path("workload", workload)] = _workload_fact(workloads.get(workload))
    return dict(sorted(facts.items()))


def base_digest(facts: Mapping[str, str]) -> str:
    """SHA-256 of the facts, whatever their order."""
    text = json.dumps(dict(facts), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def drift(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """What changed, one sentence each; empty when nothing did.

    Of a node that does not answer any more, only that is told.
    """
    changed = [_parts(name) for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    states = {_path(*parts): parts[1] for parts in changed if parts[0] == "node" and parts[2:] == ["state"]}
    silent = {node for name, node in states.items() if after.get(name) != NodeState.OK}
    told = (parts for parts in changed if parts[1] not in silent or _path(*parts) in states)
    return tuple(_sentence(parts, before.get(_path(*parts)), after.get(_path(*parts))) for parts in told)


def facts_for(facts: Mapping[str, str], step: Step) -> tuple[tuple[str, str], ...]:
    """What must still be so for one step, as pairs of what and value: of its node, its devices and its workload."""
    devices = {grant.device for grant in step.allocation.grants} if step.allocation else set()
    devices |= {step.device} if step.device else set()
    found = []
    for name, value in facts.items():
        match _parts(name):
            case ["node", node, what] if node == step.node:
                found.append((f"{node} {what}", value))
            case ["node", node, "device", device, what] if node == step.node and device in devices:
                found.append((f"{device} {what}", value))
            case ["node", node, "near", path] if node == step.node:
                found.append((f"{node} {path}", value))
            case ["workload", workload] if workload == step.workload:
                found.append((workload, value))
    return tuple(found)


def _near(steps: Sequence[Step], workloads: Mapping[str, Workload]) -> Iterator[tuple[str, str]]:
    """Node and path for each path that work asked for which is started there."""
    for step in steps:
        workload = workloads.get(step.workload or "")
        if workload is not None and step.kind is StepKind.START:
            yield from ((step.node, path) for path in workload.request.near)


def _node_facts(node: Node) -> Iterator[tuple[str, str]]:
    yield _path("node", node.name, "state"), str(node.state)
    if node.state is not NodeState.OK:
        return
    yield _path("node", node.name, "boot"), node.boot_id or "unknown"
    yield _path("node", node.name, "driver"), node.driver_version or "none"
    yield _path("node", node.name, "manageable"), "yes" if node.manageable else "no"
    if node.cordon is not None:
        yield _path("node", node.name, "cordon"), node.cordon
    for device in node.devices:
        yield _path("node", node.name, "device", device.uuid, "state"), str(device.state)
        yield _path("node", node.name, "device", device.uuid, "mig"), _mig_fact(device)
        if device.cordon is not None:
            yield _path("node", node.name, "device", device.uuid, "cordon"), device.cordon
        for instance in device.mig_instances:
            place = f"{instance.profile} at {instance.start} width {instance.size}"
            yield _path("node", node.name, "device", device.uuid, "instance", instance.uuid), place
    for claim in node.claims:
        parts = ("claim", claim.mig_instance or claim.device, claim.workload, claim.controller)
        yield _path("node", node.name, *parts), _claim_fact(claim)


def _mig_fact(device: Device) -> str:
    words = {None: "none", True: "on", False: "off"}
    return f"{words[device.mig_enabled]}, after reset {words[device.mig_pending]}"


def _claim_fact(claim: Claim) -> str:
    memory = "all" if claim.memory_mib is None else f"{claim.memory_mib} MiB"
    return f"{claim.share} {claim.fraction:g} memory {memory}"


def _workload_fact(workload: Workload | None) -> str:
    return "unknown" if workload is None else f"{workload.state} revision {workload.revision}"


def _path(*parts: str) -> str:
    return "/".join(quote(part, safe="") for part in parts)


def _parts(name: str) -> list[str]:
    return [unquote(part) for part in name.split("/")]


def _sentence(parts: list[str], before: str | None, after: str | None) -> str:
    match parts:
        case ["workload", workload]:
            return f"{workload}: {_workload_change(before or 'unknown', after or 'unknown')}"
        case ["node", node, "state"]:
            return f"{node}: {after or 'not looked at'} (was {before or 'not looked at'})"
        case ["node", node, "boot"]:
            return f"{node}: restarted since"
        case ["node", node, "near", path]:
            return f"{node}: {path} is {after or 'not asked for'} (was {before or 'not asked for'})"
        case ["node", node, "manageable"]:
            return f"{node}: {'may be managed now' if after == 'yes' else 'may no longer be managed'}"
        case ["node", node, *device, "cordon"]:
            where = f"{node}: {device[1]}" if device else node
            return f"{where}: {'no longer cordoned' if after is None else f'cordoned ({after})'}"
        case ["node", node, "claim", target, workload, _]:
            return f"{node}: {target} {_claim_change(before, after, workload)}"
        case ["node", node, "device", device, "instance", instance]:
            return f"{node}: MIG instance {instance} of {device} {_presence(before, after)}"
        case ["node", node, "device", device, "state"]:
            return f"{node}: {device} {_presence(before, after)}"
        case ["node", node, "device", device, "mig"]:
            return f"{node}: MIG mode of {device} is {after or 'gone'} (was {before or 'unknown'})"
        case _:
            return f"{parts[1]}: {' '.join(parts[2:])} is {after or 'gone'} (was {before or 'unknown'})"


def _claim_change(before: str | None, after: str | None, workload: str) -> str:
    if before is None:
        return f"claimed by another workload ({workload}) since"
    return f"no longer claimed by {workload}" if after is None else f"claimed otherwise by {workload} since"


def _presence(before: str | None, after: str | None) -> str:
    if after is None:
        return "is gone"
    return f"is new ({after})" if before is None else f"is {after} (was {before})"


def _workload_change(before: str, after: str) -> str:
    state = after.partition(" ")[0]
    if state == before.partition(" ")[0]:
        return "changed since"
    return "no longer known" if state == "unknown" else f"{state} since"
