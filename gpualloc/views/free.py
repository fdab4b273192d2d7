"""What could be had now, in one line."""

from __future__ import annotations

from gpualloc.policies.free import FreeRoom
from gpualloc.views.text import escape, memory, plural


def free_data(room: FreeRoom, *, simulated: bool) -> dict[str, object]:
    """`data` of `free --json`."""
    most, cpus, host_memory = room.largest_on_one_node, room.cpus_largest, room.memory_largest_mib
    return {
        "simulated": simulated,
        "gpus": room.gpus,
        "models": dict(room.models),
        "largest_on_one_node": {"node": most[0], "gpus": most[1]} if most else None,
        "gpu_memory_largest_mib": room.gpu_memory_largest_mib,
        "mig_instances": dict(room.mig_instances),
        "cpus_largest": {"node": cpus[0], "cpus": cpus[1]} if cpus else None,
        "memory_largest_mib": {"node": host_memory[0], "memory_mib": host_memory[1]} if host_memory else None,
    }


def free_text(room: FreeRoom, *, simulated: bool) -> str:
    """The line."""
    models = ", ".join(f"{count} × {escape(model.removeprefix('NVIDIA '))}" for model, count in room.models)
    parts = [f"{plural(room.gpus, 'GPU')} free ({models})" if room.gpus else "no whole GPU free"]
    if room.largest_on_one_node is not None and room.gpus:
        parts.append(f"up to {room.largest_on_one_node[1]} on one node ({escape(room.largest_on_one_node[0])})")
    if room.gpu_memory_largest_mib is not None:
        parts.append(f"up to {memory(room.gpu_memory_largest_mib)} on one GPU")
    if room.mig_instances:
        parts.append("MIG " + ", ".join(f"{count} × {escape(profile)}" for profile, count in room.mig_instances))
    if room.cpus_largest is not None:
        parts.append(f"up to {room.cpus_largest[1]:g} CPUs ({escape(room.cpus_largest[0])})")
    return ("simulated: " if simulated else "") + "; ".join(parts)
