"""What a step changes, as a person reads it."""

from __future__ import annotations

from gpualloc.model.allocation import Allocation, Grant, Share
from gpualloc.model.inventory import Device, Snapshot


def target_text(allocation: Allocation, snapshot: Snapshot) -> str:
    """Devices and models, such as `GPU 0,1 (NVIDIA H100 80GB HBM3)`; of CPU-only work its limits."""
    node = snapshot.node(allocation.node)
    if not allocation.grants:
        return limits_text(allocation) or "no GPU"
    devices = {device.uuid: device for device in node.devices} if node else {}
    shared = allocation.grants[0].share is not Share.EXCLUSIVE
    grants = [_grant_text(grant, devices.get(grant.device)) for grant in allocation.grants]
    models = sorted({device.model for grant in allocation.grants if (device := devices.get(grant.device))})
    suffix = f" ({', '.join(models)})" if models else ""
    return f"{'' if shared else 'GPU '}{(', ' if shared else ',').join(grants)}{suffix}"


def limits_text(allocation: Allocation) -> str:
    """The limits that were asked for, such as `4 CPUs, 16384 MiB memory`; empty when none was."""
    parts = []
    if allocation.cpus is not None:
        parts.append(f"{allocation.cpus:g} CPUs")
    if allocation.cpu_weight is not None:
        parts.append(f"CPU weight {allocation.cpu_weight}")
    if allocation.cpuset is not None:
        parts.append(f"CPUs {allocation.cpuset}")
    if allocation.memory_mib is not None:
        parts.append(f"{allocation.memory_mib} MiB memory")
    if allocation.pids is not None:
        parts.append(f"{allocation.pids} processes")
    if allocation.io_weight is not None:
        parts.append(f"I/O weight {allocation.io_weight}")
    return ", ".join(parts)


def _grant_text(grant: Grant, device: Device | None) -> str:
    """An exclusive device is its index, a shared one says which part of it; a device not seen is its UUID."""
    index = grant.device if device is None else str(device.index)
    if grant.share is Share.EXCLUSIVE:
        return index
    if grant.share is Share.MIG:
        instances = device.mig_instances if device else ()
        profile = next((instance.profile for instance in instances if instance.uuid == grant.mig_instance), None)
        return f"MIG {grant.place or profile or grant.mig_instance} of GPU {index}"
    return f"{grant.fraction:g} of GPU {index}"
