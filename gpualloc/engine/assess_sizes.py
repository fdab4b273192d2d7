"""Work whose request is far from its use: measured on the grid, judged by `planning.right_size`. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from msgspec import Struct

from gpualloc.engine.assess_held import Stay
from gpualloc.engine.assess_rows import HOUR_S, IDLE, USED, Row, Ticks
from gpualloc.model.allocation import Share
from gpualloc.model.assessment import HolderKind, Sized
from gpualloc.model.shapes import GPU_MILLI
from gpualloc.model.workload import Request, Workload
from gpualloc.planning.right_size import DeviceUse, Proposal, Used, high_quantile, right_size, saved_milli


class Judged(Struct, frozen=True):
    """A workload with what would have been enough for it."""

    workload: Workload
    proposal: Proposal
    devices: tuple[tuple[Row, tuple[int, ...]], ...]
    """Its devices, each with the ticks in which it is known what it did there."""
    observed_s: float

    @property
    def saved_part(self) -> float:
        """What the proposal gives back, as a part of the devices that it held, 0..1."""
        held = len(self.devices)
        return saved_milli(self.workload.request, self.proposal, held) / (GPU_MILLI * held) if held else 0.0


def judged(rows: Sequence[Row], stays: Sequence[Stay], memory: Mapping[str, float], ticks: Ticks) -> tuple[Judged, ...]:
    """Workloads of ours that asked for much more or less than they used, in the stay that was their last.

    Args:
        rows: the devices, settled.
        stays: who had them.
        memory: the most GPU memory that all processes of a workload had, MiB, by its id.
        ticks: the grid.
    """
    by_uuid = {row.uuid: row for row in rows}
    last: defaultdict[str, list[Stay]] = defaultdict(list)
    for stay in stays:
        if stay.holder.kind is HolderKind.WORKLOAD:
            before = last[stay.holder.id]
            if before and stay.from_s > before[0].from_s:
                before.clear()
            if not before or stay.from_s == before[0].from_s:
                before.append(stay)
    found = []
    for own in last.values():
        workload = own[0].holder.workload
        if workload is not None and all(stay.device in by_uuid for stay in own):
            devices = tuple((by_uuid[stay.device], _known(by_uuid[stay.device], stay, ticks)) for stay in own)
            one = _judge(workload, devices, memory.get(workload.id), ticks)
            if one is not None:
                found.append(one)
    return tuple(found)


def _judge(
    workload: Workload, devices: tuple[tuple[Row, tuple[int, ...]], ...], memory_mib: float | None, ticks: Ticks
) -> Judged | None:
    observed_s = min(len(known) for _, known in devices) * float(ticks.step_s)
    whole = workload.request.share is Share.EXCLUSIVE
    uses = tuple(_use(row, known, alone=whole) for row, known in devices)
    if not whole and len(devices) == 1 and memory_mib is not None:
        uses = (DeviceUse(None, None, round(memory_mib), uses[0].memory_total_mib),)
    proposal = right_size(workload.request, Used(observed_s, uses))
    return None if proposal is None else Judged(workload, proposal, devices, observed_s)


def _known(row: Row, stay: Stay, ticks: Ticks) -> tuple[int, ...]:
    return tuple(tick for tick in ticks.within(stay.from_s, stay.to_s) if row.states[tick] in (USED, IDLE))


def _use(row: Row, known: Sequence[int], *, alone: bool) -> DeviceUse:
    """What the device tells of work that has it; nothing where others may be there too."""
    total_mib = None if row.memory_total_mib is None else round(row.memory_total_mib)
    if not alone or any(len(row.holders[tick]) > 1 for tick in known):
        return DeviceUse(None, None, None, total_mib)
    highs = [row.high[tick] for tick in known]
    memory = [row.memory[tick] for tick in known]
    peak_mib = None if not memory or any(math.isnan(mib) for mib in memory) else round(max(memory))
    return DeviceUse(high_quantile(highs), max(highs, default=None), peak_mib, total_mib)


def sized(one: Judged, ticks: Ticks) -> Sized:
    """As the report tells it."""
    held_h = sum(len(known) for _, known in one.devices) * ticks.step_h
    request, proposal = one.workload.request, one.proposal
    return Sized(
        id=one.workload.id,
        name=one.workload.name,
        owner=one.workload.owner,
        observed_h=one.observed_s / HOUR_S,
        asked=_options(request, proposal, len(one.devices), asked=True),
        proposed=_options(request, proposal, len(one.devices), asked=False),
        why=proposal.why,
        saved_gpu_h=one.saved_part * held_h,
    )


def _options(request: Request, proposal: Proposal, held: int, *, asked: bool) -> str:
    """The options that the proposal changes, as they are or as they would be."""
    gpus = held if asked else proposal.gpus
    fraction = request.fraction if asked else proposal.fraction
    memory_mib = request.gpu_memory_mib if asked else proposal.gpu_memory_mib
    told = [
        f"--gpus {gpus}" if proposal.gpus is not None or (asked and proposal.fraction is not None) else "",
        f"--fraction {fraction:g}" if fraction is not None and proposal.fraction is not None else "",
        f"--gpu-memory {memory_mib}MiB" if memory_mib is not None and proposal.gpu_memory_mib is not None else "",
    ]
    return " ".join(filter(None, told))
