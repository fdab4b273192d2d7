"""What the end that a node tells means for the work."""

from __future__ import annotations

from gpualloc.model.allocation import WorkloadEnd
from gpualloc.model.workload import WorkloadState

_CODE_UNKNOWN = frozenset({"no-record", "rebooted", "keeper-lost", "adopted", "let-go"})
"""Reasons of ends whose exit code nobody saw."""

_LOST = {
    "no-record": "its node has no record of it any more",
    "rebooted": "the node was rebooted",
    "keeper-lost": "its keeper was killed; the exit code is unknown",
}


def verdict(end: WorkloadEnd) -> tuple[WorkloadState, str | None]:
    """The state that an end brings about, and why in words; None where there is nothing to tell."""
    if end.reason in _LOST:
        return WorkloadState.LOST, _LOST[end.reason]
    if end.reason == "released":
        return WorkloadState.RELEASED, "released"
    if end.reason == "checkpointed":
        return WorkloadState.RELEASED, "stopped after its checkpoint"
    if end.reason == "let-go":
        return WorkloadState.RELEASED, "let go: it runs on, and nothing of gpualloc holds it"
    if end.reason == "at-most":
        return WorkloadState.FAILED, "stopped: it ran longer than --at-most"
    if end.oom:
        return WorkloadState.FAILED, "killed by its memory limit"
    if end.reason == "adopted":
        return WorkloadState.FINISHED, "ended; exit code unknown, it was adopted"
    if end.exit_code == 0:
        return WorkloadState.FINISHED, None
    if end.signal is not None:
        return WorkloadState.FAILED, f"ended by signal {end.signal}"
    return WorkloadState.FAILED, f"exit code {end.exit_code}"


def seen_exit_code(end: WorkloadEnd) -> int | None:
    """The exit code; None where nobody saw it."""
    return None if end.reason in _CODE_UNKNOWN else end.exit_code
