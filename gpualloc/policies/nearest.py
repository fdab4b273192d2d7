"""The nearest request that fits now: as little changed as can be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.model.allocation import Share
from gpualloc.model.workload import Request
from gpualloc.policies.filters import allowed, takes_work
from gpualloc.policies.offer import Offer, enough, offer, shortages
from gpualloc.policies.room import MEMORY_MARGIN_MIB, NodeRoom
from gpualloc.policies.wording import joined

_LEAST_CPUS = 0.001
_LEAST_FRACTION = 0.01


class Nearest(Struct, frozen=True):
    """A request that fits now, and where."""

    request: Request
    node: str
    change: str
    """What is other about it, such as `with 1 GPU instead of 4` or `without --numa`."""


def with_less(rooms: Mapping[str, NodeRoom], request: Request) -> Nearest | None:
    """The request for less of as few things as possible, and of these as much as there is; None when less is no help.

    A node's number of GPUs, CPUs, memory, GPU memory and fraction are lowered, whichever it has too little of.
    """
    found: list[tuple[tuple[int, float, str], Request]] = []
    for room in _open(rooms, request):
        for less in _lowered(room, request):
            found.append(((*_loss(request, less), room.node.name), less))
    if not found:
        return None
    cost, less = min(found, key=lambda item: item[0])
    return Nearest(less, cost[-1], _changed(request, less))


def with_fewer_conditions(rooms: Mapping[str, NodeRoom], request: Request) -> Nearest | None:
    """The request without one of its conditions on nodes and devices; None when that is not enough."""
    for change, free in _freed(rooms, request):
        for room in _open(rooms, free):
            if enough(offer(room, free), free):
                return Nearest(free, room.node.name, change)
    return None


def _open(rooms: Mapping[str, NodeRoom], request: Request) -> Iterator[NodeRoom]:
    return (room for _, room in sorted(rooms.items()) if takes_work(room.node) and allowed(room.node, request))


# ---- less of it


def _lowered(room: NodeRoom, request: Request) -> Iterator[Request]:
    """Requests for what the node has, of the same or less in everything."""
    found = offer(room, request)
    drafts = [_fewer(found, request), *(_of_each(room, request) if request.gpus else ())]
    for draft in drafts:
        less = None if draft is None else _on_host(room, draft)
        if less is not None and less != request and enough(offer(room, less), less):
            yield less


def _fewer(found: Offer, request: Request) -> Request | None:
    count = min(len(found.usable), request.gpus)
    return None if request.gpus and not count else replace(request, gpus=count)


def _of_each(room: NodeRoom, request: Request) -> Iterator[Request]:
    """Requests for as many devices and less of each: GPU memory, or compute."""
    if request.gpu_memory_mib is not None:
        usable = offer(room, replace(request, gpu_memory_mib=None)).usable
        free = sorted((_memory_free(target.room.memory_free_mib) for target in usable), reverse=True)
        if request.share is Share.MIG:
            sizes = [
                (each.instance.memory_total_mib or 0) - (each.instance.memory_used_mib or 0)
                for each in usable
                if each.instance
            ]
            free = sorted(map(_memory_free, sizes), reverse=True)
        if len(free) >= request.gpus and 0 < free[request.gpus - 1] < request.gpu_memory_mib:
            yield replace(request, gpu_memory_mib=free[request.gpus - 1])
    if request.fraction is not None:
        parts = {math.floor(each.fraction_free * 100) / 100 for each in room.devices}
        for part in sorted((each for each in parts if _LEAST_FRACTION <= each < request.fraction), reverse=True):
            less = replace(request, fraction=part)
            if len(offer(room, less).usable) >= less.gpus:
                yield less
                return


def _memory_free(free_mib: int | None) -> int:
    return max(0, (free_mib or 0) - MEMORY_MARGIN_MIB)


def _on_host(room: NodeRoom, request: Request) -> Request | None:
    """The request with no more CPUs and memory than the node has; None when it has none, or other CPUs are wanted."""
    short = shortages(offer(room, request), request)
    if "gpus" in short or "cpuset" in short:
        return None
    if "cpus" in short:
        cpus = math.floor((room.cpus_free or 0.0) * 1000) / 1000
        request = replace(request, cpus=cpus)
        if cpus < _LEAST_CPUS:
            return None
    if "memory" in short:
        if not room.memory_free_mib:
            return None
        request = replace(request, memory_mib=room.memory_free_mib)
    return request


def _loss(request: Request, less: Request) -> tuple[int, float]:
    """How many things are less, and by which parts together."""
    parts = [1 - now / before for before, now in _sizes(request, less) if now != before]
    return len(parts), round(math.fsum(parts), 6)


def _sizes(request: Request, less: Request) -> list[tuple[float, float]]:
    names = ("gpus", "fraction", "gpu_memory_mib", "cpus", "memory_mib")
    return [(getattr(request, name) or 1.0, getattr(less, name) or 1.0) for name in names]


def _changed(request: Request, less: Request) -> str:
    words = []
    if less.gpus != request.gpus:
        noun = "MIG instance" if request.share is Share.MIG else "GPU"
        words.append(f"{less.gpus} {noun}{'s' if less.gpus > 1 else ''} instead of {request.gpus}")
    if less.fraction != request.fraction:
        words.append(f"{less.fraction:g} of each GPU instead of {request.fraction:g}")
    if less.gpu_memory_mib != request.gpu_memory_mib:
        words.append(f"{less.gpu_memory_mib} MiB of GPU memory instead of {request.gpu_memory_mib}")
    if less.cpus != request.cpus:
        words.append(f"{less.cpus:g} CPUs instead of {request.cpus:g}")
    if less.memory_mib != request.memory_mib:
        words.append(f"{less.memory_mib} MiB of memory instead of {request.memory_mib}")
    return f"with {joined(words)}"


# ---- fewer conditions


def _freed(rooms: Mapping[str, NodeRoom], request: Request) -> Iterator[tuple[str, Request]]:
    """The request without one condition each, those that matter least to work first."""
    if request.numa:
        yield "without --numa", replace(request, numa=False)
    if request.cpuset is not None:
        yield "without --cpuset", replace(request, cpuset=None)
    for pair in request.labels:
        kept = tuple(each for each in request.labels if each != pair)
        yield f"without --label {pair[0]}={pair[1]}", replace(request, labels=kept)
    if request.nodes:
        yield "without --nodes", replace(request, nodes=())
    if request.gpu_model is not None:
        yield f"with another GPU than {request.gpu_model!r}", replace(request, gpu_model=None)
    if request.mig_profile is not None:
        instances = [each for room in rooms.values() for one in room.devices for each in one.device.mig_instances]
        for profile in sorted({each.profile for each in instances} - {request.mig_profile}):
            yield f"with --profile {profile}", replace(request, mig_profile=profile)
    for path in request.near:
        kept_paths = tuple(each for each in request.near if each != path)
        yield f"without --near {path}", replace(request, near=kept_paths)
