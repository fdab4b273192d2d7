"""Everything known of a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpualloc.model.allocation import HeldBy
from gpualloc.model.health import Event
from gpualloc.model.inventory import Device
from gpualloc.model.readings import NO_THROTTLE
from gpualloc.model.workload import Workload
from gpualloc.tui.cells import Cell, Role, cell
from gpualloc.tui.facts.values import Entry, count, mib, reading, share, text, with_unit, yes_no
from gpualloc.tui.facts.work import held_text
from gpualloc.tui.listings.troubles import SEVERITY_ROLES
from gpualloc.tui.rows import FleetRow, HolderKind, Moment, state_words
from gpualloc.tui.section import Section
from gpualloc.tui.text import age_text, date_time_text, plain
from gpualloc.tui.values import rate_text

_MOST_EVENTS = 5
_WATT, _MHZ, _CELSIUS = with_unit("W"), with_unit("MHz"), with_unit("°C")


def device_sections(
    row: FleetRow, device: Device, names: Mapping[str, str], moment: Moment, workloads: Sequence[Workload] = ()
) -> tuple[Section, ...]:
    """How it stands, who holds it, and every reading, with the reason of each that is missing.

    Args:
        row: its row of the fleet.
        device: what the row is about.
        names: of workloads, by id.
        moment: at which its age is told.
        workloads: of our books, which tell what holds their limits.
    """
    held = {workload.id: workload.held_by for workload in workloads}
    return (
        _stands(row, device, moment),
        _held(row, device, names, moment, held),
        _load(device),
        _power(device),
        _memory_errors(device),
        _links(device),
        _board(device),
    )


def _stands(row: FleetRow, device: Device, moment: Moment) -> Section:
    words = state_words(row, moment)
    age = cell(moment.age_words(row), Role.WARN if moment.is_stale(row) else Role.PLAIN)
    return Section(
        "Device",
        (
            ("state", cell(words.whole, words.role)),
            ("reason", text(device.reason or device.cordon, 1000, absent="nothing to tell")),
            ("age", age),
            ("model", text(device.model)),
            ("UUID", text(device.uuid)),
            ("MIG mode", _mig_mode(device)),
        ),
    )


def _mig_mode(device: Device) -> Cell:
    if device.mig_enabled is None:
        return reading(None, count, device.unavailable.get("mig_enabled"))
    now = "on" if device.mig_enabled else "off"
    if device.mig_pending is None or device.mig_pending == device.mig_enabled:
        return cell(now)
    return cell(f"{now}, {'on' if device.mig_pending else 'off'} after the next reset", Role.WARN)


def happened_section(events: Sequence[Event]) -> Section:
    """What happened lately, the newest first; `events` are oldest first."""
    told = tuple(
        (date_time_text(event.at_s)[5:], cell(plain(event.what, 300), SEVERITY_ROLES[event.severity]))
        for event in events[: -_MOST_EVENTS - 1 : -1]
    )
    return Section("What happened", told or (("lately", cell("nothing", Role.DIM)),))


def _held(
    row: FleetRow, device: Device, names: Mapping[str, str], moment: Moment, held: Mapping[str, HeldBy]
) -> Section:
    entries: list[Entry] = []
    for claim in row.node.node.claims if row.node.node is not None else ():
        if claim.device == device.uuid:
            part = "" if claim.fraction == 1 else f" {claim.fraction:g}"
            memory = "" if claim.memory_mib is None else f", {mib(claim.memory_mib)}"
            since = age_text(moment.now_s - claim.at_s)
            name = plain(names.get(claim.workload, claim.workload), 40)
            entries.append((name, cell(f"{claim.share.value}{part}{memory}, for {since}")))
            entries.append(("  its limits", _limits(held.get(claim.workload))))
    for holder in row.holders:
        if holder.kind is HolderKind.STRANGER:
            entries.append((holder.name, cell("stranger: nobody booked it", Role.WARN)))
    if row.unlisted:
        entries.append(("processes", text(None, absent=f"n/a: {plain(row.unlisted)}")))
    return Section("Held by", tuple(entries) or (("nobody", cell("free", Role.DIM)),))


def _limits(held: HeldBy | None) -> Cell:
    """What holds each limit: the kernel (hard), what the work was told (soft), nothing but the books (booked)."""
    if held is None:
        return cell("n/a: it is not in our books", Role.WARN)
    return cell(held_text(held) or "nothing yet")


def _load(device: Device) -> Section:
    why = device.unavailable.get
    activity = device.activity
    return Section(
        "Load",
        (
            ("utilization", reading(device.gpu_utilization_ratio, share, why("gpu_utilization_ratio"))),
            ("SMs active", reading(activity.sm_active_ratio, share, why("activity.sm_active_ratio"))),
            ("SM occupancy", reading(activity.sm_occupancy_ratio, share, why("activity.sm_occupancy_ratio"))),
            ("tensor pipes", reading(activity.tensor_active_ratio, share, why("activity.tensor_active_ratio"))),
            ("DRAM active", reading(activity.dram_active_ratio, share, why("activity.dram_active_ratio"))),
            ("memory bus", reading(device.memory_utilization_ratio, share, why("memory_utilization_ratio"))),
            ("memory used", reading(device.memory_used_mib, mib, why("memory_used_mib"))),
            ("memory total", reading(device.memory_total_mib, mib, why("memory_total_mib"))),
            ("encoder", reading(device.encoder_utilization_ratio, share, why("encoder_utilization_ratio"))),
            ("decoder", reading(device.decoder_utilization_ratio, share, why("decoder_utilization_ratio"))),
        ),
    )


def _power(device: Device) -> Section:
    why = device.unavailable.get
    return Section(
        "Power, heat, clocks",
        (
            ("power", reading(device.power_w, _WATT, why("power_w"))),
            ("power limit", reading(device.power_limit_w, _WATT, why("power_limit_w"))),
            ("limit range", _limit_range(device)),
            ("energy", reading(device.energy_j, lambda joule: f"{joule / 3.6e6:,.1f} kWh", why("energy_j"))),
            ("temperature", reading(device.temperature_c, _CELSIUS, why("temperature_c"))),
            ("memory temp.", reading(device.memory_temperature_c, _CELSIUS, why("memory_temperature_c"))),
            ("fan", reading(device.fan_ratio, share, why("fan_ratio"))),
            ("SM clock", reading(device.sm_clock_mhz, _MHZ, why("sm_clock_mhz"))),
            ("memory clock", reading(device.memory_clock_mhz, _MHZ, why("memory_clock_mhz"))),
            ("performance", reading(device.performance_state, lambda state: f"P{state:.0f}", why("performance_state"))),
            ("held down by", _throttles(device)),
        ),
    )


def _limit_range(device: Device) -> Cell:
    low, high, usual = device.power_limit_min_w, device.power_limit_max_w, device.power_limit_default_w
    if low is None or high is None:
        return reading(None, count, device.unavailable.get("power_limit_min_w"))
    return cell(f"{low:.0f} to {high:.0f} W" + ("" if usual is None else f", usually {usual:.0f} W"))


def _throttles(device: Device) -> Cell:
    if device.throttles is None:
        return reading(None, count, device.unavailable.get("throttles"))
    if not device.throttles:
        return cell("nothing")
    bad = any(one not in NO_THROTTLE for one in device.throttles)
    return cell(", ".join(one.value for one in device.throttles), Role.WARN if bad else Role.PLAIN)


def _memory_errors(device: Device) -> Section:
    ecc, why = device.ecc, device.unavailable.get
    counts = (
        ("corrected", "volatile_corrected", ecc.volatile_corrected, False),
        ("uncorrected", "volatile_uncorrected", ecc.volatile_uncorrected, True),
        ("ever corrected", "aggregate_corrected", ecc.aggregate_corrected, False),
        ("ever uncorrected", "aggregate_uncorrected", ecc.aggregate_uncorrected, True),
        ("rows replaced", "remapped_uncorrected", ecc.remapped_uncorrected, True),
    )
    return Section(
        "Memory errors",
        (
            ("ECC", yes_no(ecc.enabled, why("ecc.enabled"))),
            *((label, _errors(value, why(f"ecc.{name}"), bad=bad)) for label, name, value, bad in counts),
            ("waits for reset", yes_no(ecc.remap_pending, why("ecc.remap_pending"), bad=True)),
            ("no spare row", yes_no(ecc.remap_failed, why("ecc.remap_failed"), bad=True)),
        ),
    )


def _errors(value: int | None, reason: str | None, *, bad: bool) -> Cell:
    if not value:
        return reading(value, count, reason)
    return cell(count(value), Role.BAD if bad else Role.PLAIN)


def _links(device: Device) -> Section:
    pcie, why = device.pcie, device.unavailable.get
    rates = (
        ("PCIe in", "pcie.rx_bytes_per_s", pcie.rx_bytes_per_s),
        ("PCIe out", "pcie.tx_bytes_per_s", pcie.tx_bytes_per_s),
        ("NVLink in", "nvlink_rx_bytes_per_s", device.nvlink_rx_bytes_per_s),
        ("NVLink out", "nvlink_tx_bytes_per_s", device.nvlink_tx_bytes_per_s),
    )
    return Section(
        "Links",
        (
            ("PCIe", _pcie(device)),
            ("PCIe replays", reading(pcie.replays, count, why("pcie.replays"))),
            ("NVLinks", _nvlinks(device)),
            *((label, reading(value, rate_text, why(name))) for label, name, value in rates),
        ),
    )


def _pcie(device: Device) -> Cell:
    pcie = device.pcie
    if pcie.generation is None or pcie.width is None:
        return reading(None, count, device.unavailable.get("pcie.generation"))
    best = "" if pcie.generation_max is None else f" of gen {pcie.generation_max} x{pcie.width_max}"
    narrow = pcie.width_max is not None and pcie.width < pcie.width_max
    return cell(f"gen {pcie.generation} x{pcie.width}{best}", Role.WARN if narrow else Role.PLAIN)


def _nvlinks(device: Device) -> Cell:
    if not device.nvlinks:
        return text(device.unavailable.get("nvlinks"), absent="none")
    down = [link.index for link in device.nvlinks if link.up is False]
    errors = sum(link.errors or 0 for link in device.nvlinks)
    words = f"{len(device.nvlinks) - len(down)} of {len(device.nvlinks)} up"
    words += f", {errors:,} errors" if errors else ""
    return cell(words, Role.BAD if down else Role.WARN if errors else Role.PLAIN)


def _board(device: Device) -> Section:
    board, why = device.board, device.unavailable.get
    numa = None if device.numa_node is None else f"{device.numa_node}, CPUs {device.cpus or 'n/a'}"
    return Section(
        "Board",
        (
            ("PCI address", text(board.pci_bus_id or why("board.pci_bus_id"))),
            ("device file", text(None if device.minor is None else f"/dev/nvidia{device.minor}")),
            ("NUMA node", text(numa)),
            ("architecture", text(device.architecture)),
            ("serial", text(board.serial)),
            ("VBIOS", text(board.vbios_version)),
            ("InfoROM", text(board.inforom_version)),
        ),
    )
