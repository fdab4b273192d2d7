"""Everything known of a node."""

from __future__ import annotations

from gpualloc.model.inventory import HostReading, Node
from gpualloc.tui.cells import Cell, Role, bar, cell, gib, memory_ratio
from gpualloc.tui.facts.values import Entry, share, text, yes_no
from gpualloc.tui.rows import FleetRow, Moment, state_words
from gpualloc.tui.section import Section
from gpualloc.tui.text import plain
from gpualloc.tui.values import rate_text

_BAR = 12
_CLOCK_OFF_S = 1.0
"""From here on a clock's offset is worth a colour."""


def node_sections(row: FleetRow, moment: Moment) -> tuple[Section, ...]:
    """How it stands and is reached, its host's load, and what runs it."""
    answer = row.node.node
    sections = [_stands(row, answer, moment)]
    if answer is not None:
        sections += [_host(answer.host), _ports(answer.host), _system(answer)]
    return tuple(section for section in sections if section.entries)


def _stands(row: FleetRow, answer: Node | None, moment: Moment) -> Section:
    words = state_words(row, moment)
    spec = row.node.spec
    reason = None if answer is None else answer.reason or answer.cordon
    labels = ", ".join(f"{key}={value}" for key, value in spec.labels.items()) or None
    return Section(
        "Node",
        (
            ("state", cell(words.whole, words.role)),
            ("reason", text(reason, 1000, absent="nothing to tell")),
            ("age", cell(moment.age_words(row), Role.WARN if moment.is_stale(row) else Role.PLAIN)),
            ("reached by", text(spec.transport)),
            ("clock", _clock(answer)),
            ("not seen", text(None if answer is None else answer.limited, 1000, absent="nothing is missing")),
            ("pool", text(spec.pool)),
            ("labels", text(labels, absent="none")),
        ),
    )


def _clock(answer: Node | None) -> Cell:
    offset_s = None if answer is None else answer.clock_offset_s
    if offset_s is None:
        return text(None)
    role = Role.WARN if abs(offset_s) >= _CLOCK_OFF_S else Role.PLAIN
    return cell(f"{offset_s:+.1f} s", role)


def _host(host: HostReading) -> Section:
    used = (
        None
        if host.memory_total_mib is None or host.memory_available_mib is None
        else host.memory_total_mib - host.memory_available_mib
    )
    rates = (
        ("network in", host.network_rx_bytes_per_s),
        ("network out", host.network_tx_bytes_per_s),
        ("RDMA in", host.rdma_rx_bytes_per_s),
        ("RDMA out", host.rdma_tx_bytes_per_s),
        ("swap in", host.swap_in_bytes_per_s),
        ("swap out", host.swap_out_bytes_per_s),
    )
    return Section(
        "Host",
        (
            ("CPUs", text(None if host.cpus is None else str(host.cpus))),
            ("CPU load", _filled(host.cpu_utilization_ratio)),
            *_room("memory", used, host.memory_total_mib),
            *_room("disk", host.disk_used_mib, host.disk_total_mib),
            *((label, text(rate_text(rate))) for label, rate in rates if rate is not None),
            ("disk work", _disk_work(host)),
        ),
    )


def _filled(ratio: float | None) -> Cell:
    if ratio is None:
        return text(None)
    return (*bar(ratio, _BAR, Role.UTILIZATION), *cell(f" {share(ratio)}"))


def _room(label: str, used_mib: int | None, total_mib: int | None) -> tuple[Entry, ...]:
    """How full it is, and of how much; in two lines, because one would be cut in two anywhere."""
    filled = (label, _filled(memory_ratio(used_mib, total_mib)))
    if used_mib is None or total_mib is None:
        return (filled,)
    return (filled, ("", cell(f"{gib(used_mib)} of {gib(total_mib)} GiB")))


def _disk_work(host: HostReading) -> Cell:
    if host.disk_reads_per_s is None or host.disk_writes_per_s is None:
        return text(None)
    return cell(f"{host.disk_reads_per_s:,.0f} reads/s, {host.disk_writes_per_s:,.0f} writes/s")


def _ports(host: HostReading) -> Section:
    entries: list[Entry] = []
    for port in host.ports:
        if port.up is False:
            entries.append((plain(port.name, 16), cell(f"{plain(port.kind, 20)}, down", Role.WARN)))
            continue
        rx, tx = port.rx_bytes_per_s, port.tx_bytes_per_s
        rates = "" if rx is None or tx is None else f", in {rate_text(rx)}, out {rate_text(tx)}"
        errors = f", {port.errors_per_s:.1f} errors/s" if port.errors_per_s else ""
        entries.append((plain(port.name, 16), cell(f"{plain(port.kind, 20)}{rates}{errors}")))
    return Section("Network ports", tuple(entries))


def _system(node: Node) -> Section:
    groups = node.cgroup
    writable = "writable" if groups.writable else "not writable"
    group_text = "none" if groups.mode == "none" else f"{groups.mode} ({' '.join(groups.controllers)}), {writable}"
    nothing = "none" if node.limited is None else "n/a"
    account = None if node.user is None else f"{node.user}{', privileged' if node.privileged else ''}"
    driver = cell(plain(node.driver_version)) if node.driver_version else text(node.nvml_reason)
    return Section(
        "System",
        (
            ("hostname", text(node.hostname)),
            ("driver", driver),
            ("GPUs on bus", text(None if node.host.gpus_on_bus is None else str(node.host.gpus_on_bus))),
            ("python", text(node.python_version)),
            ("account", text(account)),
            ("control groups", text(group_text if node.limited is None else None)),
            ("managed", yes_no(node.manageable)),
            ("other owners", text(", ".join(node.other_controllers) or None, absent=nothing)),
            ("kernel log", text(node.kernel_log_reason, absent="read" if node.limited is None else "n/a")),
            ("boot", text(node.boot_id)),
        ),
    )
