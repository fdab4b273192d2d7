"""What a request wants and what a node has, in words for rejections."""

from __future__ import annotations

from gpualloc.model.allocation import Share
from gpualloc.model.inventory import Node
from gpualloc.model.workload import Request
from gpualloc.policies.offer import Offer


def need(request: Request) -> str:
    """What the request wants on one node, or in a gang, such as `2 free GPUs matching 'H100' and 8 free CPUs`."""
    wants = [_need_gpus(request)] if request.gpus else []
    if request.gang:
        each = f", {request.per_node} on each node" if request.per_node is not None else ""
        wants = [f"{wants[0]} in a gang{each}"]
    member = " for each member" if request.gang else ""
    if request.cpus is not None:
        wants.append(f"{request.cpus:g} free CPUs{member}")
    if request.cpuset is not None:
        wants.append(f"CPUs {request.cpuset}")
    if request.memory_mib is not None:
        wants.append(f"{request.memory_mib} MiB of free memory{member}")
    wants += [f"the label {label}={value}" for label, value in request.labels]
    wants += request.near
    return joined(wants) or "a node"


def have(found: Offer, request: Request) -> str:
    """What the node has of it, such as `gpu03 with 2 free (1 in MIG mode) and 6 CPUs`."""
    room = found.room
    has = []
    if request.gpus:
        reasons = ", ".join(f"{count} {reason}" for reason, count in found.refused)
        has.append(f"{len(found.usable)} free" + (f" ({reasons})" if reasons else ""))
    if request.cpus is not None:
        has.append("an unknown number of CPUs" if room.cpus_free is None else f"{room.cpus_free:g} CPUs")
    if request.cpuset is not None and room.node.host.cpus is not None:
        has.append(f"CPUs 0-{room.node.host.cpus - 1}")
    if request.memory_mib is not None:
        free_mib = room.memory_free_mib
        has.append("unknown memory" if free_mib is None else f"{free_mib} MiB of memory")
    return f"{found.node} with {joined(has)}" if has else found.node


def devices_of(node: Node) -> str:
    """The node's devices by model, such as `gpu01: 8 × NVIDIA H100 80GB HBM3`."""
    models = sorted({device.model for device in node.devices})
    counts = [f"{sum(1 for device in node.devices if device.model == model)} × {model}" for model in models]
    return f"{node.name}: {', '.join(counts) or 'no GPU'}"


def joined(parts: list[str]) -> str:
    """A list in words: `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def _mig_need(request: Request) -> str:
    if request.mig_profile is not None:
        return f" {request.mig_profile}"
    return "" if request.sm_count is None else f" with {request.sm_count} multiprocessors"


def _need_gpus(request: Request) -> str:
    plural = "s" if request.gpus > 1 else ""
    match request.share:
        case Share.MIG:
            text = f"{request.gpus} free MIG instance{plural}" + _mig_need(request)
        case Share.TIME_SLICE | Share.MPS:
            text = f"{request.fraction:g} free of {request.gpus} GPU{plural}"
        case _:
            text = f"{request.gpus} free GPU{plural}"
    if request.gpu_model is not None:
        text += f" matching {request.gpu_model!r}"
    if request.gpu_memory_mib is not None:
        text += f" with {request.gpu_memory_mib} MiB of GPU memory{' each' if plural else ''}"
    if request.numa:
        text += " near one NUMA node"
    return text
