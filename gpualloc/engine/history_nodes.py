"""The nodes of a fleet as those of a trace: empty, with what they have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from gpualloc.model.inventory import Device, Node, Snapshot
from gpualloc.model.shapes import GPU_MILLI
from gpualloc.sim.traces.trace import TraceNode


class HistoryNodes(Struct, frozen=True):
    """The nodes, and what is known of their devices."""

    nodes: tuple[TraceNode, ...]
    memory_mib: dict[str, int | None]
    """GPU models by name, with the most memory that a device of each has; None when none tells."""
    profiles_mib: dict[tuple[str, str], int]
    """Memory of an instance, by GPU model and MIG profile."""
    messages: tuple[str, ...]
    """What is left out or told otherwise, one sentence each."""

    def partitioned(self, model: str, profile: str | None) -> bool:
        """Whether devices of the model can have MIG instances of that profile; None is any profile."""
        return any(known == model and profile in (None, name) for known, name in self.profiles_mib)

    def instance_milli(self, model: str, profile: str | None, memory_mib: int | None) -> int:
        """The part of a device that the memory of an instance is, 1..1000; all of it when that is not known.

        Args:
            model: GPU model.
            profile: MIG profile that was asked for; None when it was memory.
            memory_mib: memory that was asked for; None when it was not.
        """
        need_mib = self.profiles_mib.get((model, profile), memory_mib) if profile else memory_mib
        total_mib = self.memory_mib[model]
        if need_mib is None or not total_mib:
            return GPU_MILLI
        return min(GPU_MILLI, max(1, -(-need_mib * GPU_MILLI // total_mib)))


def history_nodes(snapshot: Snapshot) -> HistoryNodes:
    """The nodes that answered, whatever runs there; what is reserved on them is not theirs to give.

    A node with GPUs of several models becomes one node for each, with CPUs and memory by the number of GPUs.
    """
    nodes: list[TraceNode] = []
    messages = [
        f"{node.name} does not answer and is left out" for node in snapshot.nodes if node not in snapshot.reached
    ]
    for node in snapshot.reached:
        parts = _parts(node)
        if not parts:
            messages.append(f"{node.name} does not tell its CPUs and memory and is left out")
        elif len(parts) > 1:
            messages.append(f"{node.name} has GPUs of {len(parts)} models and counts as {len(parts)} nodes")
        nodes.extend(parts)
    devices = [device for node in snapshot.reached for device in node.devices]
    return HistoryNodes(tuple(nodes), _memory(devices), _profiles(devices), tuple(messages))


def _parts(node: Node) -> list[TraceNode]:
    """One node for each GPU model, or one without GPU; none when it does not tell what it has."""
    host, spec = node.host, node.spec
    if host.cpus is None or host.memory_total_mib is None:
        return []
    cpu_milli = max(0, host.cpus * 1000 - round(spec.reserved_cpus * 1000))
    memory_mib = max(0, host.memory_total_mib - spec.reserved_memory_mib)
    counts = Counter(device.model for device in node.devices)
    if not counts:
        return [TraceNode(node.name, cpu_milli, memory_mib, 0, "")]
    total = sum(counts.values())
    return [
        TraceNode(
            name=node.name if len(counts) == 1 else f"{node.name}/{model}",
            cpu_milli=cpu_milli * gpus // total,
            memory_mib=memory_mib * gpus // total,
            gpus=gpus,
            model=model,
            gpu_memory_mib=_least_memory(node, model),
        )
        for model, gpus in sorted(counts.items())
    ]


def _least_memory(node: Node, model: str) -> int | None:
    """Of the GPUs of a model; None when one does not tell."""
    memory = [device.memory_total_mib for device in node.devices if device.model == model]
    known = [mib for mib in memory if mib is not None]
    return min(known) if len(known) == len(memory) else None


def _memory(devices: Sequence[Device]) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for device in sorted(devices, key=lambda device: device.model):
        known = [mib for mib in (found.get(device.model), device.memory_total_mib) if mib is not None]
        found[device.model] = max(known, default=None)
    return found


def _profiles(devices: Sequence[Device]) -> dict[tuple[str, str], int]:
    return {(device.model, profile.name): profile.memory_mib for device in devices for profile in device.mig_profiles}
