"""The table of nodes and devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from rich.cells import cell_len

from gpualloc.model.inventory import Device
from gpualloc.tui.cells import (
    NOTHING,
    Cell,
    Role,
    Span,
    bar,
    cell,
    dimmed,
    memory_pair,
    memory_ratio,
    number,
    percent,
    watts,
)
from gpualloc.tui.columns import Column, PlacedColumn
from gpualloc.tui.rows import FleetRow, HolderKind, Moment, Standing, state_words
from gpualloc.tui.text import clip_middle, plain
from gpualloc.tui.totals import Sums, sums
from gpualloc.tui.widgets.table import Table

_PAIR_WIDTH = 9
_STATE_WHOLE_FROM = 20
"""Width of the state column from which states are written out."""
_REASON_FROM = 30
"""Width from which a reason says more than it loses."""
STATE = Column("state", "STATE", least=11, most=20, priority=2)
COLUMNS = (
    Column("node", "NODE", least=4, most=4, priority=0),
    Column("gpu", "GPU", least=3, most=3, priority=1, right=True),
    Column("model", "MODEL", least=14, most=24, priority=9),
    Column("util", "UTIL", least=8, most=17, priority=4),
    Column("memory", "MEMORY GiB", least=13, most=24, priority=5),
    Column("power", "POWER", least=5, most=5, priority=7, right=True),
    Column("temp", "TEMP", least=4, most=4, priority=8, right=True),
    Column("clock", "SM MHz", least=6, most=6, priority=10, right=True),
    STATE,
    Column("who", "WHO", least=12, most=60, priority=3),
    Column("age", "AGE", least=5, most=5, priority=6, right=True),
)


class FleetTable(Table[FleetRow]):
    """Every node, with its devices below it or, sorted by a reading, all devices in one list."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._moment = Moment(0.0, 0.0, 0.0)
        self._grouped = True
        self._name_width = COLUMNS[0].least

    def show_at(self, moment: Moment, rows: Sequence[FleetRow], sorted_by: tuple[str, bool]) -> None:
        """Draw these rows as they stand at that moment."""
        self._moment = moment
        self._grouped = sorted_by[0] == "node"
        self._name_width = max((cell_len(plain(row.node.name)) for row in rows), default=0)
        self.show(rows, sorted_by)

    def columns(self, width: int) -> Sequence[Column]:
        """Names of nodes get the room they need, within reason."""
        most = 12 if width < 100 else 32
        wanted = max(COLUMNS[0].least, min(self._name_width, most))
        # Between its short and its whole words, more room for a state shows nothing more.
        state_most = STATE.least if width < 110 else STATE.most
        sized = {"node": (wanted, wanted), "state": (STATE.least, state_most)}
        return [
            replace(column, least=sized[column.key][0], most=sized[column.key][1]) if column.key in sized else column
            for column in COLUMNS
        ]

    def key_of(self, row: FleetRow) -> str:
        """Node name, and the device's UUID."""
        return row.key

    def is_strong(self, row: FleetRow) -> bool:
        """A node stands out over its devices."""
        return self._grouped and row.device is None

    def draw(self, row: FleetRow, placed: PlacedColumn) -> Cell:
        """One cell; rows that are no longer known to be true are dim but for their state and age."""
        key = placed.column.key
        if key == "state":
            words = state_words(row, self._moment)
            return cell(words.whole if placed.width >= _STATE_WHOLE_FROM else words.short, words.role)
        stale = self._moment.is_stale(row)
        if key == "age":
            return cell(self._moment.age_words(row), Role.WARN if stale else Role.DIM)
        if row.device is None:
            has_model = any(other.column.key == "model" for other in self._placed)
            content = _node_cell(row, key, placed.width, has_model)
        else:
            content = _device_cell(row, row.device, key, placed.width, self._grouped)
        # A node keeps its name in sight, whatever became of it.
        keeps = row.device is None and key == "node"
        return dimmed(content) if stale and not keeps else content


def _node_cell(row: FleetRow, key: str, width: int, has_model: bool) -> Cell:
    devices = row.node.devices
    if key == "node":
        return cell(clip_middle(plain(row.node.name), width), Role.NAME)
    if key == "gpu":
        return cell(str(len(devices)), Role.NAME) if row.node.heard_s is not None or devices else NOTHING
    if key == "model":
        return cell(_models(devices))
    if key == "who":
        return _node_note(row, width, has_model)
    if not devices:
        return NOTHING
    known = sums(devices)
    if key == "util":
        ratios = [device.gpu_utilization_ratio for device in devices if device.gpu_utilization_ratio is not None]
        mean = sum(ratios) / len(ratios) if ratios else None
        return (*percent(mean), Span(" "), *bar(mean, width - 5, Role.UTILIZATION))
    if key == "memory":
        return _memory(known.memory_used_mib, known.memory_total_mib, width)
    if key == "power":
        return number(_power(known), width)
    if key == "temp":
        warmest = max((device.temperature_c for device in devices if device.temperature_c is not None), default=None)
        return number(None if warmest is None else f"{warmest}°C", width)
    return NOTHING


def _device_cell(row: FleetRow, device: Device, key: str, width: int, grouped: bool) -> Cell:
    if key == "node":
        return cell(clip_middle(plain(row.node.name), width), Role.DIM if grouped else Role.PLAIN)
    if key == "who":
        return _holders(row)
    return _DEVICE_CELLS[key](device, width)


def _memory(used_mib: int | None, total_mib: int | None, width: int) -> Cell:
    pair = number(memory_pair(used_mib, total_mib), _PAIR_WIDTH)
    return (*pair, Span(" "), *bar(memory_ratio(used_mib, total_mib), width - _PAIR_WIDTH - 1, Role.MEMORY))


def _utilization(device: Device, width: int) -> Cell:
    ratio = device.gpu_utilization_ratio
    return (*percent(ratio), Span(" "), *bar(ratio, width - 5, Role.UTILIZATION))


_DEVICE_CELLS: dict[str, Callable[[Device, int], Cell]] = {
    "gpu": lambda device, width: number(str(device.index), width),
    "model": lambda device, _: cell(_short_model(device.model)),
    "util": _utilization,
    "memory": lambda device, width: _memory(device.memory_used_mib, device.memory_total_mib, width),
    "power": lambda device, width: number(None if device.power_w is None else watts(device.power_w), width),
    "temp": lambda device, width: number(None if device.temperature_c is None else f"{device.temperature_c}°C", width),
    "clock": lambda device, width: number(None if device.sm_clock_mhz is None else str(device.sm_clock_mhz), width),
}


def _power(known: Sums) -> str | None:
    return None if known.power_w is None else watts(known.power_w)


def _short_model(model: str) -> str:
    # Every model carries the maker's name, and the column is narrow.
    return plain(model.removeprefix("NVIDIA "), 80)


def _models(devices: Sequence[Device]) -> str:
    models = list(dict.fromkeys(_short_model(device.model) for device in devices))
    if not models:
        return ""
    return models[0] if len(models) == 1 else f"{len(models)} models"


def _node_note(row: FleetRow, width: int, has_model: bool) -> Cell:
    node = row.node.node
    if node is None:
        return NOTHING
    if row.node.failing:
        return cell(plain(node.reason or ""), Role.DIM)
    if node.nvml_reason is not None and width >= _REASON_FROM:
        return cell(plain(node.nvml_reason), Role.DIM)
    if not has_model and row.node.devices:
        return cell(_models(row.node.devices), Role.DIM)
    host = node.host
    parts = []
    if host.cpu_utilization_ratio is not None:
        parts.append(f"cpu {host.cpu_utilization_ratio * 100:.0f}%")
    if host.memory_total_mib is not None and host.memory_available_mib is not None:
        pair = memory_pair(host.memory_total_mib - host.memory_available_mib, host.memory_total_mib)
        parts.append(f"ram {pair} GiB")
    return cell("  ".join(parts), Role.DIM)


def _holders(row: FleetRow) -> Cell:
    if not row.holders:
        return cell("free", Role.GOOD) if row.device is not None and row.standing is Standing.IDLE else NOTHING
    first = row.holders[0]
    more = cell(f" +{len(row.holders) - 1}", Role.DIM) if len(row.holders) > 1 else NOTHING
    if first.kind is HolderKind.STRANGER:
        return (Span(first.name, Role.WARN), *more, Span(" stranger", Role.WARN))
    if first.kind is HolderKind.OTHER:
        return (Span(first.name), *more, Span(" other controller", Role.DIM))
    owner = f" {first.user}" if first.user else ""
    return (Span(first.name), *more, Span(owner, Role.DIM))
