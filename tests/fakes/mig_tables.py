"""The MIG tables of simulated GPU models as a driver would tell them, and every layout that the simulator allows.

Two judges of a transition: `carried_out` walks the graph of layouts (fast, for sweeps), `carry_out` changes a GPU.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from gpualloc.model.mig import Layout, MigProfile, Place, layout_of, layout_text
from gpualloc.planning.mig import Act, Held, Operation
from gpualloc.sim.catalog import find, keys, mig_table
from gpualloc.sim.gpu import GpuModel, GpuProcess
from gpualloc.sim.placement import legal_starts
from gpualloc.sim.use import Pattern

KEYS = tuple(key for key in keys() if find(key).mig is not None)
"""Models whose table is fully known."""


@cache
def profiles(key: str) -> tuple[MigProfile, ...]:
    """The profiles of a model."""
    return tuple(
        MigProfile(
            name=profile.name,
            id=profile.id,
            size=profile.size,
            starts=profile.starts,
            memory_mib=profile.memory_mib,
            sm_count=profile.sm,
            max_count=profile.max_instances,
            engines=tuple(profile.engines.items()),
            media_extension=profile.holds_media_extension,
        )
        for profile in mig_table(find(key)).profiles
    )


@cache
def layouts(key: str) -> dict[Layout, frozenset[Place]]:
    """Every layout that can be reached on a model, with the places that the simulator would give one more instance."""
    table = mig_table(find(key))
    known: dict[Layout, frozenset[Place]] = {}
    waiting: list[Layout] = [()]
    while waiting:
        layout = waiting.pop()
        if layout in known:
            continue
        held = [(table.profile(place.profile), place.start) for place in layout]
        known[layout] = frozenset(
            Place(profile.name, start) for profile in table.profiles for start in legal_starts(table, held, profile)
        )
        waiting += [layout_of([*layout, place]) for place in known[layout]]
    return dict(sorted(known.items(), key=lambda item: layout_text(item[0])))


@cache
def reachable(key: str, kept: Layout) -> frozenset[Layout]:
    """By trying everything: what a GPU can become from any layout with these instances while they are not touched."""
    known: set[Layout] = set()
    waiting = [kept]
    while waiting:
        layout = waiting.pop()
        if layout in known:
            continue
        known.add(layout)
        waiting += [layout_of([*layout, place]) for place in layouts(key)[layout]]
        waiting += [tuple(place for place in layout if place != gone) for gone in layout if gone not in kept]
    return frozenset(known)


def held(layout: Layout, in_use: Iterable[Place] = ()) -> list[Held]:
    """The instances of a GPU with that layout; the UUID of each is its place."""
    used = set(in_use)
    return [Held(f"MIG-{place}", place.profile, place.start, place in used) for place in layout]


def carried_out(key: str, layout: Layout, operations: Iterable[Operation]) -> Layout:
    """What the operations make of the layout; fails where the simulator would refuse one."""
    for operation in operations:
        assert operation.place is not None
        if operation.act is Act.CREATE:
            assert operation.place in layouts(key)[layout], f"{operation.place} beside {layout}"
            layout = layout_of([*layout, operation.place])
        else:
            assert operation.uuid == f"MIG-{operation.place}"
            assert operation.place in layout
            layout = tuple(place for place in layout if place != operation.place)
    return layout


def gpu_with(key: str, layout: Layout, in_use: Iterable[Place] = ()) -> tuple[GpuModel, list[Held]]:
    """A simulated GPU with these instances, a process on each of those in use."""
    gpu = GpuModel(find(key), "GPU-1", 0, mig_enabled=True, mig_pending=True)
    seen = []
    for place in layout:
        made = gpu.create_instance(place.profile, place.start)
        seen.append(Held(made.uuid, place.profile, place.start, place in in_use))
        if place in in_use:
            gpu.processes.append(GpuProcess(1, "ann", "python", 0.0, 1, Pattern.STEADY, made.uuid))
    return gpu, seen


def carry_out(gpu: GpuModel, operations: Iterable[Operation]) -> None:
    """Carry the operations out; raises GpuRefusal where the GPU refuses one."""
    for operation in operations:
        if operation.act is Act.DESTROY:
            assert operation.uuid is not None
            gpu.destroy_instance(operation.uuid)
        else:
            assert operation.place is not None
            gpu.create_instance(operation.place.profile, operation.place.start)


def generations(gpu: GpuModel) -> dict[Place, int]:
    """Where the instances lie, each with its generation."""
    return {Place(each.profile.name, each.start): each.generation for each in gpu.instances}
