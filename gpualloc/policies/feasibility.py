"""Whether the fleet could ever hold a request, and if not, what comes closest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.model.inventory import Device, Node, NodeState, Snapshot
from gpualloc.model.workload import Request
from gpualloc.policies.filters import allowed, conceivable, labelled, matches_model, named
from gpualloc.policies.gang_rejection import could_hold_gang, most_of_gang
from gpualloc.policies.instance_scores import free_memory
from gpualloc.policies.offer import Offer, enough, offer
from gpualloc.policies.room import MEMORY_MARGIN_MIB
from gpualloc.policies.survey import idle_room
from gpualloc.policies.wording import devices_of, have, joined, need


class Closest(Struct, frozen=True):
    """Why no node could ever hold a request, and the node that comes closest."""

    node: str | None
    """None when there is no node to name."""
    detail: str
    """One sentence with the dimension that fails and the most that can be had."""


_Most = Callable[[Sequence[Offer]], Closest]
"""Names the most that can be had of one dimension."""


def could_hold(node: Node, request: Request) -> bool:
    """Whether the node could hold the request if it were empty and healthy."""
    return enough(offer(idle_room(node), request), request)


def feasible(snapshot: Snapshot, request: Request) -> Closest | None:
    """None when the fleet could ever hold the request, all devices idle and healthy; else what comes closest.

    What a node that does not answer has is unknown, so it rules nothing out. Nodes that gpualloc only observes count.
    """
    nodes = [node for node in snapshot.nodes if conceivable(node, request)]
    reached = [node for node in nodes if node.state is NodeState.OK and allowed(node, request)]
    if len(reached) < len(nodes):
        return None
    if request.gang:
        return _gang_feasible(snapshot, reached, request)
    return None if any(could_hold(node, request) for node in reached) else closest(snapshot, request)


def _gang_feasible(snapshot: Snapshot, nodes: Sequence[Node], request: Request) -> Closest | None:
    """As `feasible`, for what may be spread over all of the nodes."""
    if could_hold_gang(nodes, request):
        return None
    one = replace(request, gang=False, per_node=None, gpus=request.per_node or 1)
    if not any(could_hold(node, one) for node in nodes):
        return closest(snapshot, one)
    return Closest(None, f"it needs {need(request)}; {most_of_gang(nodes, request)}")


def closest(snapshot: Snapshot, request: Request) -> Closest:
    """The first dimension in which none of the nodes that answer would do, with the most that can be had."""
    everything = sorted(snapshot.nodes, key=lambda node: node.name)
    nodes = [node for node in everything if node.state is NodeState.OK and allowed(node, request)]
    if not nodes:
        return Closest(None, _no_such_node(everything, request))
    rooms = [idle_room(node) for node in nodes]
    for part, most in _dimensions(request):
        offers = [offer(room, part) for room in rooms]
        if not any(enough(found, part) for found in offers):
            return most(offers)
    best = max((offer(room, request) for room in rooms), key=lambda found: len(found.usable))
    return Closest(best.node, f"no node has {need(request)} together; the closest is {have(best, request)}")


def _no_such_node(nodes: Sequence[Node], request: Request) -> str:
    """Which name, label or path keeps every node away."""
    nodes = [node for node in nodes if named(node, request)]
    if not nodes:
        return f"no node is called {' or '.join(request.nodes)}" if request.nodes else "there is no node"
    which = "no node" if not request.nodes else f"none of {', '.join(node.name for node in nodes)}"
    for label, value in request.labels:
        there = sorted({node.spec.labels[label] for node in nodes if label in node.spec.labels})
        if value not in there:
            if not there:
                return f"{which} has a label {label}"
            return (
                f"{which} has the label {label}={value}; there {'is' if len(there) == 1 else 'are'} {', '.join(there)}"
            )
    wanted = [f"{label}={value}" for label, value in request.labels]
    nodes = [node for node in nodes if labelled(node, request)]
    if not nodes:
        return f"{which} has the labels {joined(wanted)} together"
    missing = [path for path in request.near if not any(node.near.get(path) for node in nodes)]
    such = f" with {joined(wanted)}" if wanted else ""
    if missing:
        return f"{missing[0]} is on no node{such} that answers"
    return f"{joined(list(request.near))} are on no node{such} together"


def _dimensions(request: Request) -> tuple[tuple[Request, _Most], ...]:
    """Parts of the request, each with one demand more than those before or beside it."""
    devices = replace(request, cpus=None, cpuset=None, memory_mib=None)
    one = replace(devices, gpus=min(1, request.gpus))
    host = replace(devices, gpus=0, gpu_memory_mib=None, gpu_model=None, fraction=None, mig_profile=None, numa=False)
    some = replace(one, gpu_memory_mib=None)
    return (
        (some, partial(_no_such_device, request=some)),
        (one, partial(_largest_memory, request=one)),
        (devices, partial(_most_devices, request=devices)),
        (replace(host, cpus=request.cpus), _most_cpus),
        (replace(host, cpuset=request.cpuset), partial(_highest_cpu, request=request)),
        (replace(host, memory_mib=request.memory_mib), _most_host_memory),
    )


def _no_such_device(offers: Sequence[Offer], request: Request) -> Closest:
    devices = [device for found in offers for device in found.room.node.devices]
    if not devices:
        reasons = [f"{found.node}: {found.room.node.nvml_reason}" for found in offers if found.room.node.nvml_reason]
        return Closest(None, "no node that answers has a GPU" + (f" ({'; '.join(reasons)})" if reasons else ""))
    matching = [
        device for device in devices if request.gpu_model is None or matches_model(device.model, request.gpu_model)
    ]
    if not matching:
        models = sorted({device.model for device in devices})
        return Closest(None, f"no GPU matches {request.gpu_model!r}; the fleet has {', '.join(models)}")
    if request.mig_profile is not None:
        return Closest(None, _no_such_profile(matching, request.mig_profile))
    reasons = sorted({reason for found in offers for reason, _ in found.refused if reason != "of another model"})
    return Closest(None, f"every GPU that matches is {' or '.join(reasons)}")


def _no_such_profile(devices: Sequence[Device], profile: str) -> str:
    """What MIG profiles there could be, when this one cannot be made anywhere; else which instances there are."""
    offered = {each.name for device in devices for each in device.mig_profiles}
    made = {instance.profile for device in devices for instance in device.mig_instances}
    if offered and profile not in offered:
        return f"no GPU has the MIG profile {profile}; there are {', '.join(sorted(offered))}"
    there = f"there are {', '.join(sorted(made))}" if made else "there is no MIG instance at all"
    return f"no MIG instance has the profile {profile}; {there}"


def _largest_memory(offers: Sequence[Offer], request: Request) -> Closest:
    anything = replace(request, gpu_memory_mib=None)
    targets = [(found.node, target) for found in offers for target in offer(found.room, anything).usable]
    node, target = max(targets, key=lambda item: free_memory(item[1]))
    what = f"MIG instance {request.mig_profile}" if request.mig_profile else f"GPU ({target.room.device.model})"
    most_mib = max(0, free_memory(target) - MEMORY_MARGIN_MIB)
    return Closest(node, f"the largest {what} that matches has {most_mib} MiB of GPU memory to give ({node})")


def _most_devices(offers: Sequence[Offer], request: Request) -> Closest:
    best = max(offers, key=lambda found: len(found.usable))
    such = " such" if request.gpu_model is not None or request.gpu_memory_mib is not None or request.numa else ""
    what = f"MIG instances {request.mig_profile}" if request.mig_profile else "GPUs"
    rest = "".join(f"; {count} {reason}" for reason, count in best.refused)
    text = f"the largest node has {len(best.usable)}{such} {what} ({devices_of(best.room.node)}{rest})"
    return Closest(best.node, text)


def _most_cpus(offers: Sequence[Offer]) -> Closest:
    best = max(offers, key=lambda found: found.room.cpus_free or 0.0)
    return Closest(best.node, f"the largest node has {best.room.cpus_free or 0:g} CPUs to give ({best.node})")


def _highest_cpu(offers: Sequence[Offer], request: Request) -> Closest:
    best = max(offers, key=lambda found: found.room.node.host.cpus or 0)
    has = best.room.node.host.cpus or 0
    return Closest(best.node, f"no node has CPUs {request.cpuset}; the largest has {has}, counted from 0 ({best.node})")


def _most_host_memory(offers: Sequence[Offer]) -> Closest:
    best = max(offers, key=lambda found: found.room.memory_free_mib or 0)
    most_mib = best.room.memory_free_mib or 0
    return Closest(best.node, f"the largest node has {most_mib} MiB of memory to give ({best.node})")
