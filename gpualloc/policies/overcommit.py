"""Checks allocations against the problem they answer, by plain sums and without the room that policies work on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from gpualloc.model.allocation import Allocation, Grant, Share
from gpualloc.model.cpus import NEAR, highest_cpu
from gpualloc.model.decision import Problem
from gpualloc.model.inventory import Device, DeviceState, Node
from gpualloc.model.visible import SEVERAL_MIG_BRANCH, driver_branch
from gpualloc.model.workload import Request
from gpualloc.policies.filters import IDLE_USE_RATIO, matches_model, takes_work
from gpualloc.policies.room import FRACTION_TOLERANCE, MEMORY_MARGIN_MIB

_Held = list[tuple[str, Grant]]
_SHARED = frozenset({Share.TIME_SLICE, Share.MPS})
"""Ways in which several have a device at once."""


def wrong_places(problem: Problem, allocations: Sequence[Allocation]) -> list[str]:
    """One sentence for each allocation that breaks a constraint, and for everything promised more than once."""
    requests = {workload.id: workload.request for workload in problem.requests}
    wrong = []
    for allocation in allocations:
        request = requests[allocation.workload]
        wrong += _wrong_count(allocation, request)
        for part in allocation.parts:
            node = problem.snapshot.node(part.node)
            if node is None or not takes_work(node):
                wrong.append(f"{part.workload} is placed on {part.node}, which may not be used")
            else:
                wrong += _against_request(node, part, request)
    running = [part for allocation in problem.running for part in allocation.parts]
    new = [part for allocation in allocations for part in allocation.parts]
    for node in problem.snapshot.reached:
        here = [part for part in new if part.node == node.name]
        wrong += _overcommitted(node, [part for part in running if part.node == node.name], here)
    return wrong


def _wrong_count(allocation: Allocation, request: Request) -> list[str]:
    """What is wrong with the number of devices, or with the members of a gang."""
    given, gang = allocation.grants, allocation.gang
    wrong = []
    if len({grant.visible_uuid for grant in given}) != request.gpus or len(given) != request.gpus:
        wrong.append(f"{allocation.workload} on {allocation.node}: {len(given)} grants for {request.gpus} GPUs")
    if (gang is not None) is not request.gang:
        wrong.append(f"{allocation.workload}: {'a gang' if gang is not None else 'no gang'}, against its request")
    if gang is None:
        return wrong
    counts = [len(member.grants) for member in gang.members]
    if [member.rank for member in gang.members] != list(range(gang.size)) or gang.gpus != sum(counts):
        wrong.append(f"{allocation.workload}: its members are not those of a gang of {gang.size}")
    if len(set(allocation.nodes)) != gang.size or allocation.nodes[:1] != (allocation.node,):
        wrong.append(f"{allocation.workload}: its members are not on nodes of their own")
    if tuple(grant for member in gang.members for grant in member.grants) != given:
        wrong.append(f"{allocation.workload}: its devices are not those of its members")
    if min(counts, default=0) < 1 or (request.per_node is not None and set(counts) != {request.per_node}):
        wrong.append(f"{allocation.workload}: its members have {counts} GPUs")
    return wrong


def _against_request(node: Node, allocation: Allocation, request: Request) -> list[str]:
    who = f"{allocation.workload} on {node.name}"
    devices = {device.uuid: device for device in node.devices}
    limits = allocation.cpus, allocation.cpuset, allocation.memory_mib, allocation.pids
    cpus = node.host.cpus
    wrong = []
    if request.nodes and node.name not in request.nodes:
        wrong.append(f"{who}: the node is not allowed")
    if not set(request.labels) <= set(node.spec.labels.items()):
        wrong.append(f"{who}: the node has other labels")
    if any(node.near.get(path) is not True for path in request.near):
        wrong.append(f"{who}: a path that was asked for is not known to be there")
    numa_nodes = {devices[grant.device].numa_node for grant in allocation.grants if grant.device in devices}
    if request.numa and (None in numa_nodes or len(numa_nodes) != 1):
        wrong.append(f"{who}: the devices are not known to be near one NUMA node")
    if request.cpuset not in (None, NEAR) and (cpus is None or highest_cpu(request.cpuset) >= cpus):
        wrong.append(f"{who}: the node is not known to have all CPUs of the list")
    if request.share is Share.MPS and not node.mps:
        wrong.append(f"{who}: the node has no MPS")
    if request.share is Share.MIG and request.gpus > 1 and not _visible_together(node, allocation):
        wrong.append(f"{who}: one process does not see all of these MIG instances")
    if limits != (request.cpus, request.cpuset, request.memory_mib, request.pids):
        wrong.append(f"{who}: the limits are not those asked for")
    for grant in allocation.grants:
        problem = _unfit(devices.get(grant.device), grant, request)
        if problem is not None:
            wrong.append(f"{who}: {grant.visible_uuid} {problem}")
    return wrong


def _visible_together(node: Node, allocation: Allocation) -> bool:
    branch = driver_branch(node.driver_version)
    one_device = len({grant.device for grant in allocation.grants}) == 1
    return one_device and branch is not None and branch >= SEVERAL_MIG_BRANCH


def _unfit(device: Device | None, grant: Grant, request: Request) -> str | None:
    if device is None or device.state is not DeviceState.OK:
        return "is not a healthy device of the node"
    if device.cordon is not None:
        return "is cordoned"
    if request.gpu_model is not None and not matches_model(device.model, request.gpu_model):
        return "is of another model"
    if grant.share is not request.share or grant.fraction != (request.fraction or 1.0):
        return "is shared otherwise than asked"
    if bool(device.mig_enabled) != (request.share is Share.MIG):
        return "is in the wrong MIG mode"
    if request.share is Share.MIG:
        return _unfit_instance(device, grant, request)
    total_mib, used_mib = device.memory_total_mib, device.memory_used_mib
    if total_mib is None or used_mib is None:
        return "has an unknown amount of free memory"
    if request.share in _SHARED:
        given_mib = grant.memory_mib or 0
        return None if given_mib > 0 and request.gpu_memory_mib in (None, given_mib) else "is given with other memory"
    if used_mib > total_mib * IDLE_USE_RATIO:
        return "has memory in use that no process accounts for"
    return _too_small(total_mib - used_mib, request)


def _unfit_instance(device: Device, grant: Grant, request: Request) -> str | None:
    instance = next((one for one in device.mig_instances if one.uuid == grant.mig_instance), None)
    if instance is None or request.mig_profile not in (None, instance.profile):
        return "is no instance of that profile"
    if request.sm_count is not None:
        known = {profile.name: profile.sm_count or 0 for profile in device.mig_profiles}
        if known.get(instance.profile, 0) < request.sm_count:
            return "is not known to have as many multiprocessors"
    if request.gpu_memory_mib is None:
        return None
    total_mib, used_mib = instance.memory_total_mib, instance.memory_used_mib
    return _too_small(None if total_mib is None or used_mib is None else total_mib - used_mib, request)


def _too_small(free_mib: int | None, request: Request) -> str | None:
    """What a node would say to a claim: it wants a margin free beyond the need."""
    if request.gpu_memory_mib is None:
        return None
    fits = free_mib is not None and free_mib >= request.gpu_memory_mib + MEMORY_MARGIN_MIB
    return None if fits else "is not known to have as much memory free"


def _overcommitted(node: Node, running: Sequence[Allocation], new: Sequence[Allocation]) -> list[str]:
    wrong = []
    everything = [*running, *new]
    cpus = [item.cpus for item in everything if item.cpus is not None]
    memory = [item.memory_mib for item in everything if item.memory_mib is not None]
    if any(item.cpus is not None for item in new) and (
        node.host.cpus is None or math.fsum(cpus) > node.host.cpus - node.spec.reserved_cpus + FRACTION_TOLERANCE
    ):
        wrong.append(f"{node.name}: {math.fsum(cpus):g} CPUs are promised")
    if any(item.memory_mib is not None for item in new) and (
        node.host.memory_total_mib is None or sum(memory) > node.host.memory_total_mib - node.spec.reserved_memory_mib
    ):
        wrong.append(f"{node.name}: {sum(memory)} MiB of memory are promised")
    added_mib, available_mib = sum(item.memory_mib or 0 for item in new), node.host.memory_available_mib
    if added_mib and available_mib is not None and added_mib > available_mib:
        wrong.append(f"{node.name}: {added_mib} MiB of memory are promised beside {available_mib} that are available")
    for device in node.devices:
        added = [(item.workload, grant) for item in new for grant in item.grants if grant.device == device.uuid]
        if added:
            wrong += [f"{node.name}: {device.uuid} {text}" for text in _overused(node, device, running, added)]
    return wrong


def _overused(node: Node, device: Device, running: Sequence[Allocation], added: _Held) -> Iterable[str]:
    before = _held_before(node, device, running)
    instances = [grant.mig_instance for _, grant in (*before, *added)]
    holders = {workload for workload, _ in before}
    unbooked = [item for item in node.processes if item.device == device.uuid and item.workload not in holders]
    for _, grant in added:
        if grant.share not in _SHARED and instances.count(grant.mig_instance) > 1:
            yield f"is given twice ({grant.visible_uuid})"
        if grant.share not in _SHARED and any(
            process.mig_instance in (None, grant.mig_instance) for process in unbooked
        ):
            yield f"is used by a process nobody booked ({grant.visible_uuid})"
    if any(grant.share is Share.MIG for _, grant in added):
        if None in instances:
            yield "is given as a whole and in instances"
        return
    if len({grant.share for _, grant in (*before, *added)}) > 1:
        yield "is shared in several ways"
    if math.fsum(grant.fraction for _, grant in (*before, *added)) > 1.0 + FRACTION_TOLERANCE:
        yield "is promised more than once"
    yield from _memory_overused(node, device, before, added)


def _held_before(node: Node, device: Device, running: Sequence[Allocation]) -> _Held:
    """Grants in force: the claims, and running allocations that have no claim."""
    held = {
        (claim.workload, claim.mig_instance): Grant(
            device.uuid, claim.share, claim.mig_instance, claim.fraction, claim.memory_mib
        )
        for claim in node.claims
        if claim.device == device.uuid
    }
    for item in running:
        for grant in item.grants:
            if grant.device == device.uuid:
                held.setdefault((item.workload, grant.mig_instance), grant)
    return [(workload, grant) for (workload, _), grant in held.items()]


def _memory_overused(node: Node, device: Device, before: _Held, added: _Held) -> Iterable[str]:
    """Measured use, what earlier holders may still take of their bookings, and the new bookings must fit the total."""
    total_mib, used_mib = device.memory_total_mib or 0, device.memory_used_mib or 0
    if any(grant.share not in _SHARED for _, grant in added):
        return
    if any(grant.memory_mib is None for _, grant in (*before, *added)):
        yield "is shared although someone has all its memory"
        return
    unseen_mib = 0
    for workload, grant in before:
        own = [item for item in node.processes if item.device == device.uuid and item.workload == workload]
        unseen_mib += max(0, (grant.memory_mib or 0) - sum(item.gpu_memory_used_mib or 0 for item in own))
    promised_mib = sum(grant.memory_mib or 0 for _, grant in added)
    if used_mib + unseen_mib + promised_mib + MEMORY_MARGIN_MIB > total_mib:
        yield f"has {total_mib} MiB, with {used_mib} used, {unseen_mib} to come and {promised_mib} promised"
