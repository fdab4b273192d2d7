"""What the owner of a workload expects it to use over its run, as submitted with it."""

from __future__ import annotations

from msgspec import Struct

from gpualloc.errors import UsageError

MAX_PHASES = 100
MAX_PHASE_CHARS = 64


class DeclaredPhase(Struct, frozen=True):
    """A part of the run. What is None is not declared."""

    for_s: float | None = None
    """How long it lasts, seconds, counted in time that it runs; None, of the last one only: until the end."""
    gpu: float | None = None
    """Part of each device that is in use, 0..1."""
    memory_mib: int | None = None
    """GPU memory in use on each device, MiB."""
    phase: str | None = None
    """What the owner calls it."""


def check_declared(
    declared: tuple[DeclaredPhase, ...], *, gpus: int, gpu_memory_mib: int | None, fraction: float | None
) -> None:
    """Refuse a declared profile without meaning, or that says more than is asked for.

    Raises:
        UsageError: names the phase, by number from 1, and what is wrong with it.
    """
    if declared and not gpus:
        raise UsageError("--profile-file is about the use of GPUs, and --gpus 0 asks for none")
    if len(declared) > MAX_PHASES:
        raise UsageError(f"--profile-file has {len(declared)} phases", hint=f"at most {MAX_PHASES}")
    for number, phase in enumerate(declared, start=1):
        problem = _problem(phase, last=number == len(declared))
        if problem is None and phase.memory_mib is not None and phase.memory_mib > (gpu_memory_mib or phase.memory_mib):
            problem = f"memory is more than the {gpu_memory_mib} MiB of --gpu-memory"
        if problem is None and phase.gpu is not None and phase.gpu > (fraction or 1.0):
            problem = f"gpu is more than --fraction {fraction:g}"
        if problem is not None:
            raise UsageError(f"--profile-file, phase {number}: {problem}", hint="docs/phases.md describes the file")


def _problem(phase: DeclaredPhase, *, last: bool) -> str | None:
    if phase.for_s is None and not last:
        return "it does not say for how long, which only the last one may leave out"
    if phase.for_s is not None and not phase.for_s > 0:
        return "it lasts no time"
    if phase.gpu is None and phase.memory_mib is None:
        return "it says neither gpu nor memory"
    if phase.gpu is not None and not 0 <= phase.gpu <= 1:
        return f"gpu {phase.gpu:g} is not between 0 and 1"
    if phase.memory_mib is not None and phase.memory_mib <= 0:
        return "memory is none"
    if phase.phase is not None and (not phase.phase.isprintable() or not 0 < len(phase.phase) <= MAX_PHASE_CHARS):
        return f"its name is not 1 to {MAX_PHASE_CHARS} printable characters"
    return None
