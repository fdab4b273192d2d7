"""Filters: what a target must be to serve a request. Each is one reason, and says it in words.

A filter returns None when the target passes, else a short reason an operator reads, such as `in MIG mode`.
Constraints of a request are always filters, never preferences.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable
from itertools import chain

from gpualloc.model.allocation import Share
from gpualloc.model.inventory import Node
from gpualloc.model.workload import Request
from gpualloc.policies.room import FRACTION_TOLERANCE, MEMORY_MARGIN_MIB, Target, healthy, whole

IDLE_USE_RATIO = 1 / 16
"""Part of a device's memory that may be in use although no process is seen (driver, page tables)."""

GIVEN = "given to other work"
"""Said of what is claimed on the node, in our books, or given by the decision under way."""

StateFilter = Callable[[Target], str | None]
"""Looks at the target alone."""
RequestFilter = Callable[[Target, Request], str | None]
"""Holds the target against the request."""


def matches_model(model: str, selector: str) -> bool:
    """Whether a product name contains the selector, or matches it as a glob; case does not count.

    A selector may have alternatives, with `|` between them; one that matches is enough.
    """
    name = model.casefold()
    alternatives = [part.strip() for part in selector.casefold().split("|")]
    return any(part in name or fnmatch.fnmatchcase(name, part) for part in alternatives)


def cordoned(reason: str) -> str:
    """A cordon in words."""
    return f"cordoned ({reason})"


def takes_work(node: Node) -> bool:
    """Whether new work may go to the node: it is managed, and not cordoned as a whole."""
    return node.manageable and node.cordon is None


def named(node: Node, request: Request) -> bool:
    """Whether the request may go to a node of that name."""
    return not request.nodes or node.name in request.nodes


def labelled(node: Node, request: Request) -> bool:
    """Whether the node has every label asked for."""
    return all(node.spec.labels.get(label) == value for label, value in request.labels)


def conceivable(node: Node, request: Request) -> bool:
    """Whether nothing known of the node rules the request out for good: its name, its labels, a path it lacks."""
    lacks = any(node.near.get(path) is False for path in request.near)
    return named(node, request) and labelled(node, request) and not lacks


def allowed(node: Node, request: Request) -> bool:
    """Whether the request may go to the node now: its name, its labels, and every path known to be there."""
    return conceivable(node, request) and all(node.near.get(path) for path in request.near)


def other_model(target: Target, request: Request) -> str | None:
    """The product name does not match the selector."""
    if request.gpu_model is None or matches_model(target.room.device.model, request.gpu_model):
        return None
    return "of another model"


def unhealthy(target: Target) -> str | None:
    """The device does not take work."""
    return None if healthy(target.room) else f"not healthy: {target.room.device.state}"


def on_cordon(target: Target) -> str | None:
    """The device, or its node, takes no new work."""
    return None if target.room.device.cordon is None else cordoned(target.room.device.cordon)


def in_mig_mode(target: Target) -> str | None:
    """A device in MIG mode has no compute of its own."""
    return None if whole(target.room) else "in MIG mode"


def claimed(target: Target) -> str | None:
    """Someone holds a part of the device."""
    return GIVEN if target.room.bookings else None


def stranger(target: Target) -> str | None:
    """A process nobody booked runs on the device."""
    return "used by a process nobody booked" if target.room.strangers else None


def unknown_memory(target: Target) -> str | None:
    """How much memory is free cannot be read; unknown is not free."""
    return "with unknown free memory" if target.room.memory_free_mib is None else None


def memory_in_use(target: Target) -> str | None:
    """Memory is in use although no process shows, as in another container or after a fault."""
    total, used = target.room.device.memory_total_mib, target.room.unbooked_mib
    if total is None or used is None or used <= total * IDLE_USE_RATIO:
        return None
    return "with memory in use that no process accounts for"


def too_little_memory(target: Target, request: Request) -> str | None:
    """Less memory can be promised than each device needs, with the node's margin."""
    free = target.room.memory_free_mib
    if request.gpu_memory_mib is None or (free is not None and free >= request.gpu_memory_mib + MEMORY_MARGIN_MIB):
        return None
    return "with too little free memory"


def not_shared(target: Target) -> str | None:
    """Someone holds the device in a way that leaves no time slices."""
    return None if all(booking.share is Share.TIME_SLICE for booking in target.room.bookings) else GIVEN


def not_shared_by_mps(target: Target) -> str | None:
    """Someone holds the device in another way than as a client of MPS."""
    return None if all(booking.share is Share.MPS for booking in target.room.bookings) else GIVEN


def too_little_compute(target: Target, request: Request) -> str | None:
    """The fractions would exceed the device."""
    return None if (request.fraction or 0.0) <= target.room.fraction_free + FRACTION_TOLERANCE else "too full"


def no_memory_for_slice(target: Target, request: Request) -> str | None:
    """The slice's memory (as asked, else its share of the device) is not free."""
    need, free = slice_memory_mib(target, request), target.room.memory_free_mib
    fits = need is not None and free is not None and need >= 1 and free >= need + MEMORY_MARGIN_MIB
    return None if fits else "with too little free memory"


def slice_memory_mib(target: Target, request: Request) -> int | None:
    """GPU memory to book for a time slice, MiB: as asked, else its part of what the slices may have, less the margin.

    None when the device's memory is unknown.
    """
    shareable = target.room.shareable_mib
    if request.gpu_memory_mib is not None or shareable is None:
        return request.gpu_memory_mib
    return math.floor((request.fraction or 0.0) * shareable) - MEMORY_MARGIN_MIB


def other_profile(target: Target, request: Request) -> str | None:
    """The instance has another profile, or none that has the multiprocessors asked for."""
    instance = target.instance
    if instance is None or request.mig_profile not in (None, instance.profile):
        return "of another profile"
    if request.sm_count is None:
        return None
    profile = next((each for each in target.room.device.mig_profiles if each.name == instance.profile), None)
    if profile is None or profile.sm_count is None:
        return "with an unknown number of multiprocessors"
    return None if profile.sm_count >= request.sm_count else "with too few multiprocessors"


def not_in_mig_mode(target: Target) -> str | None:
    """Instances of a device that left MIG mode are of no use."""
    return None if target.room.device.mig_enabled else "not in MIG mode"


def claimed_instance(target: Target) -> str | None:
    """Someone holds the instance, or the whole device."""
    return GIVEN if target.room.holds(target.instance.uuid if target.instance else None) else None


def stranger_on_instance(target: Target) -> str | None:
    """A process nobody booked runs on the instance, or on the device and it is not known where."""
    places = target.room.strangers
    uuid = target.instance.uuid if target.instance else None
    return "used by a process nobody booked" if uuid in places or None in places else None


def too_little_instance_memory(target: Target, request: Request) -> str | None:
    """The instance has less free memory than asked, or does not tell."""
    if request.gpu_memory_mib is None:
        return None
    total = target.instance.memory_total_mib if target.instance else None
    used = target.instance.memory_used_mib if target.instance else None
    if total is None or used is None:
        return "with unknown free memory"
    return None if total - used >= request.gpu_memory_mib + MEMORY_MARGIN_MIB else "with too little free memory"


_WANTED: dict[Share, tuple[RequestFilter, ...]] = {
    Share.EXCLUSIVE: (other_model,),
    Share.TIME_SLICE: (other_model,),
    Share.MPS: (other_model,),
    Share.MIG: (other_model, other_profile),
}
_USABLE: dict[Share, tuple[StateFilter, ...]] = {
    Share.EXCLUSIVE: (unhealthy, on_cordon, in_mig_mode, claimed, stranger, unknown_memory, memory_in_use),
    Share.TIME_SLICE: (unhealthy, on_cordon, in_mig_mode, not_shared, unknown_memory),
    Share.MPS: (unhealthy, on_cordon, in_mig_mode, not_shared_by_mps, unknown_memory),
    Share.MIG: (unhealthy, on_cordon, not_in_mig_mode, claimed_instance, stranger_on_instance),
}
_FITTING: dict[Share, tuple[RequestFilter, ...]] = {
    Share.EXCLUSIVE: (too_little_memory,),
    Share.TIME_SLICE: (too_little_compute, no_memory_for_slice),
    Share.MPS: (too_little_compute, no_memory_for_slice),
    Share.MIG: (too_little_instance_memory,),
}


def why_not(target: Target, request: Request) -> str | None:
    """The first reason why the target cannot serve the request; None when it can."""
    share = request.share
    reasons = chain(
        (check(target, request) for check in _WANTED[share]),
        (check(target) for check in _USABLE[share]),
        (check(target, request) for check in _FITTING[share]),
    )
    return next((reason for reason in reasons if reason is not None), None)
