"""Everything known of a workload; the values of its environment stay hidden."""

from __future__ import annotations

from collections.abc import Mapping

from gpualloc.model.allocation import HeldBy
from gpualloc.model.progress import Progress
from gpualloc.model.workload import Request, Workload
from gpualloc.tui.cells import Cell, Role, cell
from gpualloc.tui.facts.values import Entry, text
from gpualloc.tui.section import Section
from gpualloc.tui.text import date_time_text, plain
from gpualloc.views.progress import progress_text


def workload_sections(
    workload: Workload, indices: Mapping[str, int], progress: Progress | None = None
) -> tuple[Section, ...]:
    """How it stands, what it asked for, and what it got; `indices` of devices by UUID."""
    stands: tuple[Entry, ...] = (
        ("id", cell(workload.id)),
        ("owner", text(workload.owner)),
        ("state", cell(workload.state.value)),
        ("reason", text(workload.reason, 1000, absent="nothing to tell")),
        *(() if progress is None else (("progress", cell(progress_text(progress))),)),
        ("submitted", cell(date_time_text(workload.submitted_at_s))),
        ("started", cell(date_time_text(workload.started_at_s))),
        ("ended", cell(date_time_text(workload.ended_at_s))),
        ("pid", text(None if workload.pid is None else str(workload.pid))),
        ("exit code", text(None if workload.exit_code is None else str(workload.exit_code))),
    )
    return (Section("Workload", stands), _asked(workload.request), _got(workload, indices))


def _asked(request: Request) -> Section:
    return Section(
        "Asked for",
        (
            ("command", text(" ".join(request.command), 2000)),
            ("GPUs", cell(f"{request.gpus}, {request.share.value}")),
            ("GPU memory", _amount(request.gpu_memory_mib, "MiB each")),
            ("GPU model", text(request.gpu_model, absent="any")),
            ("MIG profile", text(request.mig_profile, absent="none")),
            ("CPUs", _amount(request.cpus, "cores")),
            ("memory", _amount(request.memory_mib, "MiB")),
            ("processes", _amount(request.pids, "at most")),
            ("run time", _amount(request.at_most_s, "s at most")),
            ("priority", cell(str(request.priority))),
            ("environment", cell(f"{len(request.env)} set, values hidden" if request.env else "nothing extra")),
        ),
    )


def _got(workload: Workload, indices: Mapping[str, int]) -> Section:
    got: list[Entry] = []
    if workload.allocation is not None:
        got += [("node", text(node)) for node in workload.allocation.nodes]
        for grant in workload.allocation.grants:
            index = indices.get(grant.device)
            name = "GPU" if index is None else f"GPU {index}"
            got.append((name, cell(f"{grant.share.value} {grant.fraction:g}, {plain(grant.visible_uuid)}")))
    got.append(("held by", cell(held_text(workload.held_by) or "nothing yet")))
    return Section("Got", tuple(got))


def held_text(held: HeldBy) -> str:
    """What holds each limit, such as `gpu soft, cpu+mem hard`."""
    parts = {"gpu": held.gpu, "cpu": held.cpu, "mem": held.memory, "pids": held.pids}
    by_hold: dict[str, list[str]] = {}
    for name, hold in parts.items():
        if hold is not None:
            by_hold.setdefault(hold.value, []).append(name)
    return ", ".join(f"{'+'.join(names)} {hold}" for hold, names in by_hold.items())


def _amount(amount: float | None, unit: str) -> Cell:
    return cell("not limited", Role.DIM) if amount is None else cell(f"{amount:,g} {unit}")
