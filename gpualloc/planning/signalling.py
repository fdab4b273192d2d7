"""Steps that send a signal to processes."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from gpualloc.model.plan import BlastRadius, ProcessTarget, Step, StepKind, StepReason
from gpualloc.model.signals import ProcessSignal

_PROGRAM_CHARS = 40


class Addressee(Struct, frozen=True):
    """A process that a signal is for, as it was seen when somebody decided on it."""

    node: str
    pid: int
    started_at_s: float
    """Epoch seconds; with node and pid the identity of the process."""
    user: str | None
    command: str | None
    """Command line as the kernel shows it; untrusted text."""
    workload: str | None
    """Id of the gpualloc workload it belongs to; None for a stranger."""
    devices: tuple[tuple[str, int | None, str | None], ...]
    """UUID and index of each device that the driver shows it on, and UUID of the MIG instance (None: whole device).

    The index is None where the node told of no such device.
    """
    below: int
    """How many processes run below it; none of them gets the signal."""


def signal_steps(signal: ProcessSignal, addressees: Sequence[Addressee]) -> tuple[Step, ...]:
    """A step for each of the processes, in their order."""
    return tuple(_step(seq, signal, one) for seq, one in enumerate(addressees, start=1))


def _step(seq: int, signal: ProcessSignal, to: Addressee) -> Step:
    program = ((to.command or "").split() or ["unknown"])[0].rpartition("/")[2][:_PROGRAM_CHARS]
    return Step(
        seq=seq,
        kind=StepKind.SIGNAL,
        node=to.node,
        workload=None,
        target=f"{signal.value} to process {to.pid} ({program})",
        reason=StepReason.OPERATOR,
        detail="",
        allocation=None,
        attempt=0,
        revision=0,
        blast_radius=BlastRadius((to.workload,) if to.workload else (), (to.user,) if to.user else ()),
        process=ProcessTarget(to.pid, to.started_at_s, signal=signal, command=to.command),
    )
