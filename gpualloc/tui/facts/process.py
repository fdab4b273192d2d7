"""Everything known of a process."""

from __future__ import annotations

from gpualloc.tui.cells import Role, cell
from gpualloc.tui.facts.values import Entry, count, mib, reading, share, text
from gpualloc.tui.listings.processes import ProcessRow
from gpualloc.tui.section import Section
from gpualloc.tui.text import date_time_text, plain


def process_sections(row: ProcessRow) -> tuple[Section, ...]:
    """What it is, what it uses, and whose it is."""
    process = row.process
    not_told = "the driver does not tell it of this process"
    belongs: tuple[Entry, ...] = (
        (
            "workload",
            cell("none: a stranger, nobody booked it", Role.WARN) if row.workload is None else cell(row.workload),
        ),
        ("container", text(process.container, absent="none")),
        ("pod", text(process.pod, absent="none")),
        ("Slurm job", text(process.slurm_job, absent="none")),
    )
    used: tuple[Entry, ...] = (
        ("GPU memory", reading(process.gpu_memory_used_mib, mib, not_told)),
        ("GPU use", reading(process.gpu_utilization_ratio, share, not_told)),
        ("CPUs kept busy", reading(process.cpu_utilization_ratio, lambda cpus: f"{cpus:.1f}", "not known yet")),
        ("host memory", reading(process.host_memory_mib, mib, "not known")),
        ("device", cell(plain(process.device))),
        ("MIG instance", text(process.mig_instance, absent="none: it runs on the whole GPU")),
    )
    what: tuple[Entry, ...] = (
        ("pid", cell(str(process.pid))),
        ("parent", reading(process.parent, count, "not known")),
        ("user", text(process.user)),
        ("command", text(process.command, 2000)),
        ("started", cell(date_time_text(process.started_at_s))),
    )
    return (Section("Process", what), Section("Uses", used), Section("Belongs to", belongs))
