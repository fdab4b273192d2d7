"""What a request should have asked for, by what its work was measured to use. Pure.

Nothing is proposed of what was not measured, nor after a short look, nor for what is near enough as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.model.allocation import Share
from gpualloc.model.shapes import GPU_MILLI
from gpualloc.model.workload import Request

LONG_ENOUGH_S = 4 * 3600.0
"""Less than this says too little of work that warms up, evaluates and saves itself."""
NEAR_RATIO = 0.2
"""What is asked for stays as it is when the need is within this part of it."""
UNUSED_RATIO = 0.05
"""A device whose use never came to this was not used."""
COMPUTE_MARGIN = 1.25
"""Compute that is proposed, as a multiple of what nearly all readings stay below."""
MEMORY_MARGIN = 1.15
"""Memory that is proposed, as a multiple of the most that was seen in use."""
LEAST_MILLI = 50
"""No smaller part of a device is proposed."""
STEP_MILLI, STEP_MIB = 10, 256
"""Proposals are rounded up to multiples of these."""


class DeviceUse(Struct, frozen=True):
    """What was measured of one device while the work had it. None is unknown, or not of this work alone."""

    high_ratio: float | None
    """Use of compute, 0..1, that 99 of 100 readings stay below."""
    peak_ratio: float | None
    """The highest reading of it."""
    memory_mib: int | None
    """The most GPU memory that was in use."""
    memory_total_mib: int | None


class Used(Struct, frozen=True):
    """What work was measured to use. None is unknown."""

    observed_s: float
    """How long it was measured: seconds for which readings of all its devices are known."""
    devices: tuple[DeviceUse, ...]
    """Those that it had all the time."""
    cpus: float | None = None
    """Cores that 99 of 100 readings stay below."""
    memory_mib: int | None = None
    """The most host memory that was in use."""


class Proposal(Struct, frozen=True):
    """What would have been enough. None: as it is asked for."""

    gpus: int | None = None
    fraction: float | None = None
    """Part of each device in whole thousandths; only beside `gpu_memory_mib`."""
    gpu_memory_mib: int | None = None
    cpus: float | None = None
    memory_mib: int | None = None
    why: tuple[str, ...] = ()
    """One sentence for each change."""


def right_size(request: Request, used: Used) -> Proposal | None:
    """What would have been enough for the work; None when nothing can be told, or nothing is far from its use.

    A count of devices is proposed for work that has whole devices of one node and let some of them rest all the time,
    a part of a device for work that has one whole device and does not fill it. Work that used none of its devices is
    idle, not too large: nothing is proposed for it.

    Args:
        request: what was asked for; of a range, `used` tells how many devices it has now.
        used: what was measured.
    """
    if used.observed_s < LONG_ENOUGH_S:
        return None
    found = _Changes(request, used)
    if used.devices and not found.idle:
        found.count()
        found.part()
        found.gpu_memory()
    found.host()
    return found.proposal if found.proposal.why else None


def saved_milli(request: Request, proposal: Proposal, held: int) -> int:
    """Compute that the proposal gives back, in 1/1000 of a device; never below 0.

    Args:
        request: what was asked for.
        proposal: what would have been enough.
        held: how many devices the work has.
    """
    asked = round((request.fraction or 1.0) * GPU_MILLI)
    part = asked if proposal.fraction is None else round(proposal.fraction * GPU_MILLI)
    gpus = held if proposal.gpus is None else proposal.gpus
    return max(0, held * asked - gpus * part)


class _Changes:
    """The proposal as it grows."""

    def __init__(self, request: Request, used: Used) -> None:
        self._request = request
        self._used = used
        self._working = [use for use in used.devices if use.peak_ratio is None or use.peak_ratio >= UNUSED_RATIO]
        self.proposal = Proposal()

    @property
    def idle(self) -> bool:
        return not self._working

    def count(self) -> None:
        """Fewer devices, for work that let some rest all the time."""
        request, held, need = self._request, len(self._used.devices), len(self._working)
        if request.share is not Share.EXCLUSIVE or request.gang:
            return
        if request.gpus_max is not None:
            need = max(need, request.gpus)
        if _far(held, need):
            why = f"{held - need} of its {held} GPUs never computed"
            self.proposal = replace(self.proposal, gpus=need, why=(why,))

    def part(self) -> None:
        """A part of its device, for work that has a whole one and whose GPU memory is known."""
        request = self._request
        if len(self._working) != 1 or len(self._used.devices) != 1 or request.share is not Share.EXCLUSIVE:
            return
        if request.gang or request.gpus_max is not None:
            return
        (use,) = self._working
        if use.high_ratio is None or use.memory_mib is None or not use.memory_total_mib:
            return
        need = max(LEAST_MILLI, _up(use.high_ratio * COMPUTE_MARGIN * GPU_MILLI, STEP_MILLI))
        need_mib = max(STEP_MIB, _up(use.memory_mib * MEMORY_MARGIN, STEP_MIB))
        if not _far(GPU_MILLI, need) or need >= GPU_MILLI or not _far(use.memory_total_mib, need_mib):
            return
        if need_mib < use.memory_total_mib:
            why = (
                f"it computed {100 * use.high_ratio:.0f} % of the time at most",
                f"it had {use.memory_mib} MiB of GPU memory at most",
            )
            self.proposal = replace(self.proposal, fraction=need / GPU_MILLI, gpu_memory_mib=need_mib, why=why)

    def gpu_memory(self) -> None:
        """As much GPU memory as was in use, for work that books an amount of it."""
        asked, known = self._request.gpu_memory_mib, [use.memory_mib for use in self._used.devices]
        if asked is None or self._request.mig_profile is not None or self.proposal.gpu_memory_mib:
            return
        most = max((mib for mib in known if mib is not None), default=None)
        if most is None or None in known:
            return
        need = max(STEP_MIB, _up(most * MEMORY_MARGIN, STEP_MIB))
        if _far(asked, need):
            self.proposal = replace(
                self.proposal, gpu_memory_mib=need, why=self._and(f"it had {most} MiB of GPU memory on a GPU at most")
            )

    def host(self) -> None:
        """CPUs and host memory, where they are limited."""
        request, used = self._request, self._used
        if request.cpus is not None and used.cpus is not None:
            cpus = max(0.1, math.ceil(used.cpus * COMPUTE_MARGIN * 10) / 10)
            if _far(request.cpus, cpus):
                self.proposal = replace(
                    self.proposal, cpus=cpus, why=self._and(f"it used {used.cpus:.1f} CPUs at most")
                )
        if request.memory_mib is not None and used.memory_mib is not None:
            memory_mib = max(STEP_MIB, _up(used.memory_mib * MEMORY_MARGIN, STEP_MIB))
            if _far(request.memory_mib, memory_mib):
                why = self._and(f"it had {used.memory_mib} MiB of memory at most")
                self.proposal = replace(self.proposal, memory_mib=memory_mib, why=why)

    def _and(self, why: str) -> tuple[str, ...]:
        return (*self.proposal.why, why)


def high_quantile(values: Sequence[float], part: float = 0.99) -> float | None:
    """The value that this part of them stays at or below, never an average of two; None without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(part * len(ordered)) - 1)] if ordered else None


def _far(asked: float, need: float) -> bool:
    return abs(asked - need) > NEAR_RATIO * asked


def _up(value: float, step: int) -> int:
    return -int(-value // step) * step
