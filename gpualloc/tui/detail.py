"""Everything known of one row, in sections, for the detail screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gpualloc.model.inventory import Device, HostReading, MigInstance, Node
from gpualloc.model.progress import Progress
from gpualloc.model.workload import Workload
from gpualloc.tui.cells import Cell, Role, cell, gib, watts
from gpualloc.tui.listings.processes import ProcessRow
from gpualloc.tui.rows import FleetRow, Moment, state_words
from gpualloc.tui.section import Section
from gpualloc.tui.text import date_time_text, plain
from gpualloc.tui.widgets.workload_table import held_text
from gpualloc.views.progress import progress_text


@dataclass(frozen=True, slots=True)
class Detail:
    """What the detail screen shows."""

    title: str
    sections: tuple[Section, ...]


def row_detail(row: FleetRow, names: Mapping[str, str], moment: Moment) -> Detail:
    """A node or a device; `names` of workloads by id."""
    if row.device is None:
        return _node_detail(row, moment)
    return _device_detail(row, row.device, names, moment)


def process_detail(row: ProcessRow) -> Detail:
    """A process."""
    process = row.process
    entries = (
        ("pid", cell(str(process.pid))),
        ("user", _text(process.user)),
        ("command", _text(process.command, 2000)),
        ("started", cell(date_time_text(process.started_at_s))),
        ("GPU memory", _text(None if process.gpu_memory_used_mib is None else f"{process.gpu_memory_used_mib:,} MiB")),
        ("device", cell(plain(process.device))),
        ("MIG instance", _text(process.mig_instance, absent="none: it runs on the whole GPU")),
        (
            "workload",
            cell("none: a stranger, nobody booked it", Role.WARN) if row.workload is None else cell(row.workload),
        ),
    )
    return Detail(f"Process {process.pid} on {plain(row.node)}", (Section("Process", entries),))


def workload_detail(workload: Workload, progress: Progress | None = None) -> Detail:
    """A workload, and how far it says it is; the values of its environment stay hidden."""
    request = workload.request
    stood = (
        ("id", cell(workload.id)),
        ("owner", _text(workload.owner)),
        ("state", cell(workload.state.value)),
        ("reason", _text(workload.reason, 1000, absent="nothing to tell")),
        *(() if progress is None else (("progress", cell(progress_text(progress))),)),
        ("submitted", cell(date_time_text(workload.submitted_at_s))),
        ("started", cell(date_time_text(workload.started_at_s))),
        ("ended", cell(date_time_text(workload.ended_at_s))),
        ("pid", _text(None if workload.pid is None else str(workload.pid))),
        ("exit code", _text(None if workload.exit_code is None else str(workload.exit_code))),
    )
    asked = (
        ("command", _text(" ".join(request.command), 2000)),
        ("GPUs", cell(f"{request.gpus}, {request.share.value}")),
        ("GPU memory", _asked(request.gpu_memory_mib, "MiB each")),
        ("GPU model", _text(request.gpu_model, absent="any")),
        ("CPUs", _asked(request.cpus, "cores")),
        ("memory", _asked(request.memory_mib, "MiB")),
        ("processes", _asked(request.pids, "at most")),
        ("run time", _asked(request.at_most_s, "s at most")),
        ("priority", cell(str(request.priority))),
        ("environment", cell(f"{len(request.env)} set, values hidden" if request.env else "nothing extra")),
    )
    got: list[tuple[str, Cell]] = []
    if workload.allocation is not None:
        got += [("node", _text(node)) for node in workload.allocation.nodes]
        got += [("device", cell(plain(grant.visible_uuid))) for grant in workload.allocation.grants]
    got.append(("held by", cell(held_text(workload.held_by) or "nothing yet")))
    sections = (Section("Workload", stood), Section("Asked for", asked), Section("Got", tuple(got)))
    return Detail(f"Workload {plain(workload.name)}", sections)


def _device_detail(row: FleetRow, device: Device, names: Mapping[str, str], moment: Moment) -> Detail:
    words = state_words(row, moment)
    identity = (
        ("state", cell(words.whole, words.role)),
        ("reason", _text(device.reason or device.cordon, 1000, absent="nothing to tell")),
        ("age", _age(row, moment)),
        ("UUID", cell(plain(device.uuid))),
        ("model", cell(plain(device.model))),
        ("device file", _text(None if device.minor is None else f"/dev/nvidia{device.minor}")),
    )
    sections = [Section("Device", identity), Section("Readings", _readings(device)), _held(row, device, names)]
    if device.mig_instances:
        instances = tuple((plain(one.profile), cell(_instance_text(one))) for one in device.mig_instances)
        sections.append(Section("MIG instances", instances))
    return Detail(f"{plain(row.node.name)} GPU {device.index}", tuple(sections))


def _readings(device: Device) -> tuple[tuple[str, Cell], ...]:
    shown = (
        ("utilization", "gpu_utilization_ratio", _as(device.gpu_utilization_ratio, lambda x: f"{x * 100:.0f} %")),
        ("memory bus", "memory_utilization_ratio", _as(device.memory_utilization_ratio, lambda x: f"{x * 100:.0f} %")),
        ("memory used", "memory_used_mib", _as(device.memory_used_mib, _mib_text)),
        ("memory total", "memory_total_mib", _as(device.memory_total_mib, _mib_text)),
        ("power", "power_w", _as(device.power_w, watts)),
        ("power limit", "power_limit_w", _as(device.power_limit_w, watts)),
        ("temperature", "temperature_c", _as(device.temperature_c, lambda x: f"{x:.0f} °C")),
        ("SM clock", "sm_clock_mhz", _as(device.sm_clock_mhz, lambda x: f"{x:.0f} MHz")),
        ("MIG mode", "mig_enabled", _mig_text(device)),
    )
    return tuple((label, _reading(text, device.unavailable.get(field))) for label, field, text in shown)


def _reading(text: str | None, reason: str | None) -> Cell:
    if text is not None:
        return cell(text)
    return cell("n/a" if reason is None else f"n/a: {plain(reason)}", Role.DIM)


def _mig_text(device: Device) -> str | None:
    if device.mig_enabled is None:
        return None
    now = "on" if device.mig_enabled else "off"
    if device.mig_pending is None or device.mig_pending == device.mig_enabled:
        return now
    return f"{now}, {'on' if device.mig_pending else 'off'} after the next reset"


def _held(row: FleetRow, device: Device, names: Mapping[str, str]) -> Section:
    claims = row.node.node.claims if row.node.node is not None else ()
    entries = [
        (
            plain(names.get(claim.workload, claim.workload), 40),
            cell(f"{claim.share.value} {claim.fraction:g}, claimed {date_time_text(claim.at_s)}"),
        )
        for claim in claims
        if claim.device == device.uuid
    ]
    entries += [
        (holder.name, cell(holder.kind.value, Role.WARN)) for holder in row.holders if holder.kind == "stranger"
    ]
    return Section("Held by", tuple(entries) or (("nobody", ()),))


def _node_detail(row: FleetRow, moment: Moment) -> Detail:
    words = state_words(row, moment)
    spec = row.node.spec
    answer = row.node.node
    stands: list[tuple[str, Cell]] = [
        ("state", cell(words.whole, words.role)),
        ("reason", _text(None if answer is None else answer.reason or answer.cordon, 1000, absent="nothing to tell")),
        ("age", _age(row, moment)),
        ("transport", cell(plain(spec.transport))),
        ("pool", cell(plain(spec.pool))),
        ("labels", _text(", ".join(f"{key}={value}" for key, value in spec.labels.items()) or None, absent="none")),
    ]
    sections = [Section("Node", tuple(stands))]
    if answer is not None:
        sections += [Section("System", _system(answer)), Section("Host", _host(answer.host))]
    return Detail(f"Node {plain(row.node.name)}", tuple(sections))


def _system(node: Node) -> tuple[tuple[str, Cell], ...]:
    groups = node.cgroup
    writable = "writable" if groups.writable else "not writable"
    group_text = "none" if groups.mode == "none" else f"{groups.mode} ({' '.join(groups.controllers)}), {writable}"
    account = None if node.user is None else f"{node.user}{', privileged' if node.privileged else ''}"
    managed = "yes" if node.manageable else "no, observed only"
    return (
        ("hostname", _text(node.hostname)),
        ("driver", _reading(None if node.driver_version is None else plain(node.driver_version), node.nvml_reason)),
        ("python", _text(node.python_version)),
        ("account", _text(account)),
        ("control groups", cell(plain(group_text))),
        ("managed", cell(managed)),
        ("other owners", _text(", ".join(node.other_controllers) or None, absent="none")),
        ("boot", _text(node.boot_id)),
    )


def _host(host: HostReading) -> tuple[tuple[str, Cell], ...]:
    return (
        ("CPUs", _text(None if host.cpus is None else str(host.cpus))),
        ("CPU load", _text(_as(host.cpu_utilization_ratio, lambda x: f"{x * 100:.0f} %"))),
        ("memory", _text(_of(_less(host.memory_total_mib, host.memory_available_mib), host.memory_total_mib))),
        ("disk", _text(_of(host.disk_used_mib, host.disk_total_mib))),
        ("received", _text(_as(host.network_rx_bytes_per_s, _rate_text))),
        ("sent", _text(_as(host.network_tx_bytes_per_s, _rate_text))),
    )


def _less(total: int | None, part: int | None) -> int | None:
    return None if total is None or part is None else total - part


def _of(used_mib: int | None, total_mib: int | None) -> str | None:
    return None if used_mib is None or total_mib is None else f"{gib(used_mib)} of {gib(total_mib)} GiB used"


def _instance_text(one: MigInstance) -> str:
    place = "place n/a" if one.start is None or one.size is None else f"slots {one.start}-{one.start + one.size - 1}"
    used = "n/a" if one.memory_used_mib is None else gib(one.memory_used_mib)
    total = "n/a" if one.memory_total_mib is None else gib(one.memory_total_mib)
    return f"{place}, {used}/{total} GiB, {plain(one.uuid)}"


def _age(row: FleetRow, moment: Moment) -> Cell:
    return cell(moment.age_words(row), Role.WARN if moment.is_stale(row) else Role.PLAIN)


def _text(text: str | None, limit: int = 300, absent: str = "n/a") -> Cell:
    return cell(absent, Role.DIM) if text is None else cell(plain(text, limit))


def _asked(amount: float | None, unit: str) -> Cell:
    return cell("not limited", Role.DIM) if amount is None else cell(f"{amount:,g} {unit}")


def _mib_text(mib: float) -> str:
    return f"{mib:,.0f} MiB"


def _rate_text(bytes_per_s: float) -> str:
    return f"{bytes_per_s / 1e6:,.1f} MB/s"


def _as(value: float | None, text: Callable[[float], str]) -> str | None:
    return None if value is None else text(value)
