"""Who gets a signal, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence

from gpualloc.model.signals import ProcessSignal, ProcessState
from gpualloc.planning.signalling import Addressee
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import UNKNOWN, escape, plural

_COLUMNS = (
    Column("node", least=8),
    Column("pid", right=True),
    Column("user", least=6),
    Column("gpus"),
    Column("workload"),
    Column("below", right=True),
    Column("command", least=12, below=True),
)
_STATES = {
    ProcessState.GONE: ("gone", Role.GOOD),
    ProcessState.STOPPED: ("stopped", Role.WARN),
    ProcessState.RUNNING: ("runs on", Role.WARN),
    None: ("sent; how it stands is not known", Role.WARN),
}


def addressee_data(to: Addressee) -> dict[str, object]:
    """A process as `signal --json` gives it, before anything is known of what became of it."""
    return {
        "node": to.node,
        "pid": to.pid,
        "started_at_s": to.started_at_s,
        "user": to.user,
        "command": to.command,
        "workload": to.workload,
        "devices": [{"device": uuid, "index": index, "mig_instance": mig} for uuid, index, mig in to.devices],
        "below": to.below,
    }


def addressees_text(signal: ProcessSignal, to: Sequence[Addressee], look: Look, *, simulated: bool) -> str:
    """Who would get the signal, for whoever is to agree."""
    mark = look.paint("simulated", Role.WARN) + "\n" if simulated else ""
    rows = [_row(one) for one in to]
    return f"{mark}{table(_COLUMNS, rows, look)}\n\n{signal.value} to {plural(len(to), 'process', 'processes')}"


def delivery_line(to: Addressee, state: ProcessState | None, look: Look) -> str:
    """What became of the signal that one process got."""
    words, role = _STATES[state]
    return f"{escape(to.node)}: process {to.pid}: {look.paint(words, role)}"


def gpus_text(to: Addressee) -> str:
    """The GPUs that the driver shows a process on: indices, or UUIDs where the node told of no such device."""
    shown = [escape(uuid) if index is None else str(index) for uuid, index, _ in to.devices]
    return ",".join(dict.fromkeys(shown)) or "none"


def _row(to: Addressee) -> tuple[Cell, ...]:
    return (
        Cell(escape(to.node)),
        Cell(str(to.pid)),
        Cell(UNKNOWN if to.user is None else escape(to.user)),
        Cell(gpus_text(to)),
        Cell(to.workload or "none"),
        Cell(str(to.below)),
        Cell(UNKNOWN if to.command is None else escape(to.command)),
    )
