"""The list of nodes."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from gpualloc.model.health import Condition, Severity
from gpualloc.model.inventory import HostReading, Node
from gpualloc.tui.cells import NOTHING, Cell, Role, Span, bar, cell, memory_pair, memory_ratio, number, percent
from gpualloc.tui.fields import Field, Unit, Value
from gpualloc.tui.listing import Listing, Sort
from gpualloc.tui.listings.fleet import models_text
from gpualloc.tui.rows import FleetRow, Moment, Standing, state_words
from gpualloc.tui.state import State
from gpualloc.tui.text import clip_middle, plain
from gpualloc.tui.totals import sums

_WHOLE_FROM = 16
_SEVERE = Severity.ERROR.rank


class NodeRow(Struct, frozen=True):
    """A node with what its devices and its troubles come to."""

    row: FleetRow
    devices: tuple[FleetRow, ...]
    conditions: tuple[Condition, ...]

    @property
    def answer(self) -> Node | None:
        """What it told last; None while it told nothing."""
        return self.row.node.node

    def standing(self, standing: Standing) -> int:
        """How many of its devices stand so."""
        return sum(one.standing is standing for one in self.devices)


def node_rows(state: State) -> tuple[NodeRow, ...]:
    """Every node of the state, by name."""
    own: dict[str, list[FleetRow]] = {}
    for row in state.rows:
        if row.device is not None:
            own.setdefault(row.node.name, []).append(row)
    troubles: dict[str, list[Condition]] = {}
    for condition in state.seen.judged.conditions:
        troubles.setdefault(condition.node, []).append(condition)
    return tuple(
        NodeRow(row, tuple(own.get(row.node.name, ())), tuple(troubles.get(row.node.name, ())))
        for row in state.rows
        if row.device is None
    )


def of_host(value: Callable[[HostReading], Value]) -> Callable[[NodeRow, Moment], Value]:
    """A reading of the node's host; None while it told nothing."""
    return lambda row, _moment: None if row.answer is None else value(row.answer.host)


def of_answer(value: Callable[[Node], Value]) -> Callable[[NodeRow, Moment], Value]:
    """Something that the node told; None while it told nothing."""
    return lambda row, _moment: None if row.answer is None else value(row.answer)


def used_memory_mib(host: HostReading) -> int | None:
    """Host memory in use; None when unknown."""
    if host.memory_total_mib is None or host.memory_available_mib is None:
        return None
    return host.memory_total_mib - host.memory_available_mib


def _name(row: NodeRow, _: Moment, width: int) -> Cell:
    return cell(clip_middle(plain(row.row.node.name), width), Role.NAME)


def _state_cell(row: NodeRow, moment: Moment, width: int) -> Cell:
    words = state_words(row.row, moment)
    return cell(words.whole if width >= _WHOLE_FROM else words.short, words.role)


def _utilization(row: NodeRow, _: Moment) -> Value:
    known = [one.gpu_utilization_ratio for one in row.row.node.devices if one.gpu_utilization_ratio is not None]
    return sum(known) / len(known) if known else None


def _bar(value: Callable[[NodeRow, Moment], Value], role: Role) -> Callable[[NodeRow, Moment, int], Cell]:
    def draw(row: NodeRow, moment: Moment, width: int) -> Cell:
        found = value(row, moment)
        known = found if isinstance(found, float | int) else None
        return (*percent(known), Span(" "), *bar(known, width - 5, role))

    return draw


def _gpu_memory(row: NodeRow, _: Moment) -> Value:
    known = sums(row.row.node.devices)
    return memory_ratio(known.memory_used_mib, known.memory_total_mib)


def _host_memory(host: HostReading) -> Value:
    return memory_ratio(used_memory_mib(host), host.memory_total_mib)


def _ram_cell(row: NodeRow, _: Moment, width: int) -> Cell:
    host = None if row.answer is None else row.answer.host
    if host is None:
        return number(None, width)
    return number(memory_pair(used_memory_mib(host), host.memory_total_mib), width)


def _gpus_cell(row: NodeRow, _: Moment, width: int) -> Cell:
    if not row.devices:
        return NOTHING
    faulty, busy = row.standing(Standing.FAULTY), row.standing(Standing.BUSY)
    text = f"{busy}/{len(row.devices)}"
    spans: Cell = (Span(text.rjust(max(len(text), width - (3 if faulty else 0)))),)
    return (*spans, Span(f" {faulty}!", Role.BAD)) if faulty else spans


def _troubles(row: NodeRow, _: Moment) -> Value:
    return tuple(condition.trouble.value for condition in row.conditions)


def _troubles_cell(row: NodeRow, _: Moment, width: int) -> Cell:
    if not row.conditions:
        return cell("none", Role.DIM)
    worst = max(row.conditions, key=lambda one: one.severity.rank)
    role = Role.BAD if worst.severity.rank >= _SEVERE else Role.WARN
    more = f" +{len(row.conditions) - 1}" if len(row.conditions) > 1 else ""
    text = f"{worst.severity.value}: {worst.trouble.value}"
    # What it is says more than how bad it is.
    return (Span(text if len(text + more) <= width else worst.trouble.value, role), Span(more, Role.DIM))


def _models(row: NodeRow, _: Moment) -> Value:
    return models_text(row.row.node.devices) or None


def _age_cell(row: NodeRow, moment: Moment, _: int) -> Cell:
    return cell(moment.age_words(row.row), Role.WARN if moment.is_stale(row.row) else Role.DIM)


def _power(row: NodeRow, _: Moment) -> Value:
    return sums(row.row.node.devices).power_w


FIELDS: tuple[Field[NodeRow], ...] = (
    Field("node", "NODE", "name", lambda row, _: row.row.node.name, draw=_name, least=8, most=28, priority=0),
    Field(
        "state",
        "STATE",
        "how it stands",
        lambda row, moment: state_words(row.row, moment).whole,
        draw=_state_cell,
        least=11,
        most=20,
        priority=1,
        keeps=True,
    ),
    Field(
        "gpus",
        "BUSY GPUS",
        "GPUs in use, of how many, and how many are faulty",
        lambda row, _: len(row.devices),
        Unit.COUNT,
        draw=_gpus_cell,
        least=9,
        most=9,
        priority=2,
        descends=True,
    ),
    Field("model", "MODEL", "models of its GPUs", _models, least=14, most=22, priority=9),
    Field(
        "util",
        "UTIL",
        "mean GPU utilization",
        _utilization,
        Unit.RATIO,
        draw=_bar(_utilization, Role.UTILIZATION),
        least=8,
        most=10,
        priority=3,
        descends=True,
    ),
    Field(
        "mem",
        "GPU MEM",
        "part of its GPU memory in use",
        _gpu_memory,
        Unit.RATIO,
        draw=_bar(_gpu_memory, Role.MEMORY),
        least=8,
        most=10,
        priority=4,
        descends=True,
    ),
    Field("power", "POWER", "power of its GPUs", _power, Unit.WATT, least=6, most=7, priority=8, descends=True),
    Field(
        "cpu",
        "CPU",
        "CPU load of the host",
        of_host(lambda host: host.cpu_utilization_ratio),
        Unit.RATIO,
        least=4,
        most=5,
        priority=6,
        descends=True,
    ),
    Field(
        "ram",
        "RAM GiB",
        "part of the host's memory in use",
        of_host(_host_memory),
        Unit.RATIO,
        draw=_ram_cell,
        least=11,
        most=11,
        priority=7,
        descends=True,
    ),
    Field("trouble", "TROUBLE", "what is wrong there", _troubles, draw=_troubles_cell, least=14, most=40, priority=5),
    Field(
        "age",
        "AGE",
        "time since it was heard",
        lambda row, moment: moment.age_s(row.row.heard_s),
        Unit.SECONDS,
        draw=_age_cell,
        least=5,
        most=5,
        priority=3,
        descends=True,
        keeps=True,
    ),
    Field("pool", "POOL", "its pool", lambda row, _: row.row.node.spec.pool, least=8, most=12, shown=False),
    Field("via", "VIA", "how it is reached", lambda row, _: row.row.node.spec.transport, least=6, most=9, shown=False),
    Field("driver", "DRIVER", "driver", of_answer(lambda one: one.driver_version), least=8, most=12, shown=False),
    Field(
        "reason",
        "REASON",
        "why it stands as it does",
        of_answer(lambda one: one.reason or one.cordon or one.nvml_reason or one.limited),
        least=12,
        most=60,
        absent="",
        shown=False,
    ),
    Field(
        "clock",
        "CLOCK",
        "by how much its clock is ahead",
        of_answer(lambda one: one.clock_offset_s),
        Unit.COUNT,
        draw=lambda row, _, width: number(_clock_text(row), width),
        least=7,
        most=8,
        shown=False,
    ),
    Field(
        "rx",
        "NET IN",
        "network towards it",
        of_host(lambda host: host.network_rx_bytes_per_s),
        Unit.BYTES_PER_S,
        least=8,
        most=8,
        shown=False,
        descends=True,
    ),
    Field(
        "tx",
        "NET OUT",
        "network from it",
        of_host(lambda host: host.network_tx_bytes_per_s),
        Unit.BYTES_PER_S,
        least=8,
        most=8,
        shown=False,
        descends=True,
    ),
    Field(
        "disk",
        "DISK",
        "part of its disk in use",
        of_host(lambda host: memory_ratio(host.disk_used_mib, host.disk_total_mib)),
        Unit.RATIO,
        least=5,
        most=5,
        shown=False,
        descends=True,
    ),
    Field(
        "owner",
        "OWNER",
        "other controllers",
        of_answer(lambda one: one.other_controllers),
        least=8,
        most=16,
        shown=False,
    ),
)


def _clock_text(row: NodeRow) -> str | None:
    offset_s = None if row.answer is None else row.answer.clock_offset_s
    return None if offset_s is None else f"{offset_s:+.1f}s"


NODES: Listing[NodeRow] = Listing(
    "nodes",
    FIELDS,
    key=lambda row: row.row.node.name,
    sorts=(Sort("node"),),
    stale=lambda row, moment: moment.is_stale(row.row),
    absent="no node is configured; `gpualloc init` writes a configuration",
)
"""Every node."""
