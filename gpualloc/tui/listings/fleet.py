"""The list of nodes and their devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from gpualloc.model.inventory import Device
from gpualloc.tui.cells import (
    NOTHING,
    Cell,
    Role,
    Span,
    bar,
    cell,
    memory_pair,
    memory_ratio,
    number,
    percent,
    watts,
)
from gpualloc.tui.fields import Field, Unit, Value
from gpualloc.tui.listing import Listing, Sort, Tree
from gpualloc.tui.rows import FleetRow, HolderKind, Moment, Standing, state_words
from gpualloc.tui.text import clip_middle, plain
from gpualloc.tui.totals import sums

_PAIR_WIDTH = 9
_STATE_WHOLE_FROM = 20
"""Width of the state column from which states are written out."""
_REASON_FROM = 30
"""Width from which a reason says more than it loses."""


def of_device(value: Callable[[Device], Value]) -> Callable[[FleetRow, Moment], Value]:
    """A value of the row's device; None on the row of a node."""
    return lambda row, _moment: None if row.device is None else value(row.device)


def why_not(name: str) -> Callable[[FleetRow], str | None]:
    """Why a reading of the row's device is not there."""
    return lambda row: None if row.device is None else row.device.unavailable.get(name)


def reading(  # noqa: PLR0917 (a table of many is read by its places)
    name: str,
    title: str,
    what: str,
    unit: Unit,
    field: str,
    value: Callable[[Device], Value],
    *,
    least: int = 6,
) -> Field[FleetRow]:
    """A reading of devices, without a column until somebody chooses it; `field`: its name in `Device.unavailable`."""
    return Field(
        name,
        title,
        what,
        of_device(value),
        unit,
        reason=why_not(field),
        least=least,
        most=least,
        shown=False,
        priority=60,
        descends=True,
    )


def _name(row: FleetRow, _: Moment, width: int) -> Cell:
    return cell(clip_middle(plain(row.node.name), width), Role.NAME if row.device is None else Role.DIM)


def _gpu(row: FleetRow, _: Moment, width: int) -> Cell:
    if row.device is not None:
        return number(str(row.device.index), width)
    return cell(str(len(row.node.devices)), Role.NAME) if row.node.heard_s is not None else NOTHING


def _model(row: FleetRow, _: Moment) -> Value:
    return short_model(row.device.model) if row.device is not None else models_text(row.node.devices) or None


def _model_cell(row: FleetRow, moment: Moment, _: int) -> Cell:
    return cell(str(_model(row, moment) or ""))


def _utilization(row: FleetRow, _: Moment) -> Value:
    if row.device is not None:
        return row.device.gpu_utilization_ratio
    known = [one.gpu_utilization_ratio for one in row.node.devices if one.gpu_utilization_ratio is not None]
    return sum(known) / len(known) if known else None


def _utilization_cell(row: FleetRow, moment: Moment, width: int) -> Cell:
    if row.device is None and not row.node.devices:
        return NOTHING
    ratio = _utilization(row, moment)
    known = ratio if isinstance(ratio, float | int) else None
    return (*percent(known), Span(" "), *bar(known, width - 5, Role.UTILIZATION))


def _memory_of(row: FleetRow) -> tuple[int | None, int | None]:
    if row.device is not None:
        return row.device.memory_used_mib, row.device.memory_total_mib
    known = sums(row.node.devices)
    return known.memory_used_mib, known.memory_total_mib


def _memory_cell(row: FleetRow, _: Moment, width: int) -> Cell:
    if row.device is None and not row.node.devices:
        return NOTHING
    used_mib, total_mib = _memory_of(row)
    pair = number(memory_pair(used_mib, total_mib), _PAIR_WIDTH)
    return (*pair, Span(" "), *bar(memory_ratio(used_mib, total_mib), width - _PAIR_WIDTH - 1, Role.MEMORY))


def _power(row: FleetRow, _: Moment) -> Value:
    return row.device.power_w if row.device is not None else sums(row.node.devices).power_w


def _temperature(row: FleetRow, _: Moment) -> Value:
    if row.device is not None:
        return row.device.temperature_c
    return max((one.temperature_c for one in row.node.devices if one.temperature_c is not None), default=None)


def _shown_number(value: Callable[[FleetRow, Moment], Value], text: Callable[[float], str]) -> Callable[..., Cell]:
    def draw(row: FleetRow, moment: Moment, width: int) -> Cell:
        if row.device is None and not row.node.devices:
            return NOTHING
        found = value(row, moment)
        return number(text(found) if isinstance(found, float | int) else None, width)

    return draw


def _state(row: FleetRow, moment: Moment) -> Value:
    words = state_words(row, moment)
    return (words.whole, words.short) if words.short != words.whole else words.whole


def _state_cell(row: FleetRow, moment: Moment, width: int) -> Cell:
    words = state_words(row, moment)
    return cell(words.whole if width >= _STATE_WHOLE_FROM else words.short, words.role)


def _badness(row: FleetRow, moment: Moment) -> Value:
    standing = row.standing
    if moment.is_stale(row) and standing in (Standing.BUSY, Standing.IDLE):
        return Standing.IDLE + 0.5
    # Busy before idle among the healthy, so that descending reads faulty, silent, busy, idle.
    return {Standing.IDLE: -1.0}.get(standing, float(standing))


def _who(row: FleetRow, _: Moment) -> Value:
    if row.device is None:
        return None
    found = tuple(holder.name for holder in row.holders)
    return found or (None if row.unlisted else "free")


def _users(row: FleetRow, _: Moment) -> Value:
    return tuple(dict.fromkeys(holder.user for holder in row.holders if holder.user is not None)) or None


def _who_cell(row: FleetRow, _: Moment, width: int) -> Cell:
    return holders_cell(row) if row.device is not None else _node_note(row, width)


def holders_cell(row: FleetRow) -> Cell:
    """Who holds a device: workloads with their owners, strangers, or `free`."""
    if not row.holders and row.unlisted:
        return cell("n/a", Role.DIM)
    if not row.holders:
        return cell("free" if row.standing is Standing.IDLE else "", Role.DIM)
    spans: list[Span] = []
    for holder in row.holders:
        if spans:
            spans.append(Span(", ", Role.DIM))
        spans.append(Span(holder.name, Role.WARN if holder.kind is HolderKind.STRANGER else Role.PLAIN))
        note = holder.user if holder.kind is HolderKind.WORKLOAD else holder.kind.value
        if note:
            spans.append(Span(f" {note}", Role.DIM))
    return tuple(spans)


def _age_cell(row: FleetRow, moment: Moment, _: int) -> Cell:
    return cell(moment.age_words(row), Role.WARN if moment.is_stale(row) else Role.DIM)


MAKER = "NVIDIA "
"""What the product names of drivers begin with."""


def short_model(model: str) -> str:
    """The product name without its maker, which every model carries; safe to draw."""
    return plain(model.removeprefix(MAKER), 80)


def models_text(devices: Sequence[Device]) -> str:
    """The model of devices, or how many there are; empty without any."""
    models = list(dict.fromkeys(short_model(device.model) for device in devices))
    return "" if not models else models[0] if len(models) == 1 else f"{len(models)} models"


def _node_note(row: FleetRow, width: int) -> Cell:
    node = row.node.node
    if node is None:
        return NOTHING
    if row.node.failing:
        return cell(plain(node.reason or ""), Role.DIM)
    if node.nvml_reason is not None and width >= _REASON_FROM:
        return cell(plain(node.nvml_reason), Role.DIM)
    host = node.host
    cpu = "" if host.cpu_utilization_ratio is None else f"cpu {host.cpu_utilization_ratio * 100:.0f}%"
    if not host.memory_total_mib or host.memory_available_mib is None:
        return cell(cpu, Role.DIM)
    used_mib = host.memory_total_mib - host.memory_available_mib
    ram = (f"ram {memory_pair(used_mib, host.memory_total_mib)} GiB", f"ram {used_mib / host.memory_total_mib:.0%}")
    fitting = (text for text in (f"{cpu}  {one}".strip() for one in ram) if len(text) <= width)
    return cell(next(fitting, cpu), Role.DIM)


FIELDS: tuple[Field[FleetRow], ...] = (
    Field("node", "NODE", "name of the node", lambda row, _: row.node.name, draw=_name, least=8, most=24, priority=0),
    Field(
        "gpu",
        "GPU",
        "index of the GPU",
        of_device(lambda one: one.index),
        Unit.COUNT,
        draw=_gpu,
        least=4,
        most=4,
        priority=1,
    ),
    Field("model", "MODEL", "product name", _model, draw=_model_cell, least=14, most=24, priority=9),
    Field(
        "util",
        "UTIL",
        "GPU utilization",
        _utilization,
        Unit.RATIO,
        draw=_utilization_cell,
        reason=why_not("gpu_utilization_ratio"),
        least=8,
        most=17,
        priority=4,
        descends=True,
    ),
    Field(
        "mem",
        "MEMORY GiB",
        "part of the GPU memory in use",
        lambda row, _: memory_ratio(*_memory_of(row)),
        Unit.RATIO,
        draw=_memory_cell,
        reason=why_not("memory_used_mib"),
        least=13,
        most=24,
        priority=5,
        descends=True,
    ),
    Field(
        "power",
        "POWER",
        "power draw",
        _power,
        Unit.WATT,
        draw=_shown_number(_power, watts),
        reason=why_not("power_w"),
        least=5,
        most=5,
        priority=7,
        descends=True,
    ),
    Field(
        "temp",
        "TEMP",
        "temperature of the GPU",
        _temperature,
        Unit.CELSIUS,
        draw=_shown_number(_temperature, lambda value: f"{value:.0f}°C"),
        reason=why_not("temperature_c"),
        least=4,
        most=4,
        priority=8,
        descends=True,
    ),
    Field(
        "clock",
        "SM MHz",
        "clock of the multiprocessors",
        of_device(lambda one: one.sm_clock_mhz),
        Unit.MHZ,
        reason=why_not("sm_clock_mhz"),
        least=6,
        most=6,
        priority=10,
        descends=True,
    ),
    Field("state", "STATE", "how it stands", _state, draw=_state_cell, least=11, most=20, priority=2, keeps=True),
    Field("who", "WHO", "workloads and users on it", _who, draw=_who_cell, least=12, most=60, priority=3),
    Field(
        "age",
        "AGE",
        "time since its readings were true",
        lambda row, moment: moment.age_s(row.heard_s),
        Unit.SECONDS,
        draw=_age_cell,
        least=5,
        most=5,
        priority=6,
        descends=True,
        keeps=True,
    ),
    Field("user", "USER", "users on it", _users, least=8, most=16, shown=False),
    Field("pool", "POOL", "pool of its node", lambda row, _: row.node.spec.pool, least=8, most=12, shown=False),
    Field("bad", "BAD", "how bad it stands", _badness, Unit.COUNT, least=4, most=4, shown=False, descends=True),
    Field("uuid", "UUID", "UUID of the GPU", of_device(lambda one: one.uuid), least=12, most=40, shown=False),
    reading("used", "USED", "GPU memory used", Unit.MIB, "memory_used_mib", lambda one: one.memory_used_mib),
    reading("free", "FREE", "GPU memory free", Unit.MIB, "memory_used_mib", lambda one: one.memory_free_mib),
    reading("total", "TOTAL", "GPU memory", Unit.MIB, "memory_total_mib", lambda one: one.memory_total_mib),
    reading(
        "membus",
        "MEM BUS",
        "memory bus busy",
        Unit.RATIO,
        "memory_utilization_ratio",
        lambda one: one.memory_utilization_ratio,
        least=7,
    ),
    reading(
        "sm",
        "SM ACT",
        "multiprocessors active (GPM)",
        Unit.RATIO,
        "activity.sm_active_ratio",
        lambda one: one.activity.sm_active_ratio,
    ),
    reading(
        "tensor",
        "TENSOR",
        "tensor pipes active (GPM)",
        Unit.RATIO,
        "activity.tensor_active_ratio",
        lambda one: one.activity.tensor_active_ratio,
    ),
    reading(
        "dram",
        "DRAM",
        "memory bandwidth in use (GPM)",
        Unit.RATIO,
        "activity.dram_active_ratio",
        lambda one: one.activity.dram_active_ratio,
    ),
    reading("cap", "CAP", "power limit", Unit.WATT, "power_limit_w", lambda one: one.power_limit_w),
    reading(
        "memtemp",
        "MEM °C",
        "temperature of the memory",
        Unit.CELSIUS,
        "memory_temperature_c",
        lambda one: one.memory_temperature_c,
    ),
    reading("fan", "FAN", "fan speed", Unit.RATIO, "fan_ratio", lambda one: one.fan_ratio),
    reading(
        "memclock",
        "MEM MHz",
        "clock of the memory",
        Unit.MHZ,
        "memory_clock_mhz",
        lambda one: one.memory_clock_mhz,
        least=7,
    ),
    reading("pstate", "P", "performance state", Unit.COUNT, "performance_state", lambda one: one.performance_state),
    reading(
        "encoder",
        "ENC",
        "encoder in use",
        Unit.RATIO,
        "encoder_utilization_ratio",
        lambda one: one.encoder_utilization_ratio,
    ),
    reading(
        "decoder",
        "DEC",
        "decoder in use",
        Unit.RATIO,
        "decoder_utilization_ratio",
        lambda one: one.decoder_utilization_ratio,
    ),
    reading(
        "ecc",
        "ECC",
        "uncorrected memory errors since the boot",
        Unit.COUNT,
        "ecc.volatile_uncorrected",
        lambda one: one.ecc.volatile_uncorrected,
    ),
    reading(
        "pciein",
        "PCIE IN",
        "PCIe towards the GPU",
        Unit.BYTES_PER_S,
        "pcie.rx_bytes_per_s",
        lambda one: one.pcie.rx_bytes_per_s,
        least=8,
    ),
    reading(
        "pcieout",
        "PCIE OUT",
        "PCIe from the GPU",
        Unit.BYTES_PER_S,
        "pcie.tx_bytes_per_s",
        lambda one: one.pcie.tx_bytes_per_s,
        least=8,
    ),
    reading(
        "nvlin",
        "NVL IN",
        "NVLink towards the GPU",
        Unit.BYTES_PER_S,
        "nvlink_rx_bytes_per_s",
        lambda one: one.nvlink_rx_bytes_per_s,
        least=8,
    ),
    reading(
        "nvlout",
        "NVL OUT",
        "NVLink from the GPU",
        Unit.BYTES_PER_S,
        "nvlink_tx_bytes_per_s",
        lambda one: one.nvlink_tx_bytes_per_s,
        least=8,
    ),
    Field(
        "throttle",
        "THROTTLE",
        "why its clocks are held down",
        of_device(lambda one: None if one.throttles is None else tuple(each.value for each in one.throttles)),
        reason=why_not("throttles"),
        least=10,
        most=20,
        shown=False,
    ),
    Field(
        "mig",
        "MIG",
        "MIG instances",
        of_device(lambda one: tuple(each.profile for each in one.mig_instances) or None),
        least=10,
        most=24,
        shown=False,
    ),
)

FLEET: Listing[FleetRow] = Listing(
    "fleet",
    FIELDS,
    key=lambda row: row.key,
    sorts=(Sort("node"),),
    tree=Tree(
        parent=lambda row: None if row.device is None else row.node.name,
        heading=lambda row: row.device is None,
        order="node",
    ),
    stale=lambda row, moment: moment.is_stale(row),
    absent="no node is configured",
)
"""Every node, with its devices below it or, in another order, all devices in one list."""

DEVICES = replace(FLEET.without("node"), name="devices", sorts=(Sort("gpu"),), tree=None, absent="the node has no GPU")
"""The devices of one node."""
