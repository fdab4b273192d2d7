"""What `nvidia-smi --query-...=... --format=csv,noheader,nounits` prints, as values with the names of the wire."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from gpualloc.adapters.smi_cells import (
    STATES,
    Column,
    Missing,
    bus,
    bus_within,
    compute_mode,
    flag,
    number,
    performance_state,
    said,
    text,
    throttles,
    whole,
)

_MAX_MIB = 1 << 32
_MAX_W = 100_000
_MAX_MHZ = 100_000
_MAX_COUNT = 1 << 62
_MAX_LANES = 64

OLD_LOAD: Sequence[Column] = (
    Column("uuid", "uuid", text),
    Column("index", "index", whole(0, 4095)),
    Column("name", "model", text),
    Column("pci.bus_id", "board.pci_bus_id", bus),
    Column("driver_version", "driver_version", text),
    Column("memory.total", "memory_total_mib", whole(1, _MAX_MIB)),
    Column("memory.used", "memory_used_mib", whole(0, _MAX_MIB)),
    Column("utilization.gpu", "gpu_utilization_ratio", number(0, 100, 0.01)),
    Column("utilization.memory", "memory_utilization_ratio", number(0, 100, 0.01)),
    Column("power.draw", "power_w", number(0, _MAX_W)),
    Column("power.limit", "power_limit_w", number(0, _MAX_W)),
    Column("temperature.gpu", "temperature_c", whole(-100, 250)),
    Column("clocks.sm", "sm_clock_mhz", whole(0, _MAX_MHZ)),
)
"""What every driver tells."""

_MORE_LOAD: Sequence[Column] = (
    *OLD_LOAD,
    Column("clocks.mem", "memory_clock_mhz", whole(0, _MAX_MHZ)),
    Column("fan.speed", "fan_ratio", number(0, 200, 0.01)),
    Column("pstate", "performance_state", performance_state),
    Column("temperature.memory", "memory_temperature_c", whole(-100, 250)),
)
LOAD: Sequence[Column] = (*_MORE_LOAD, Column("clocks_event_reasons.active", "throttles", throttles))
THROTTLE_LOAD: Sequence[Column] = (*_MORE_LOAD, Column("clocks_throttle_reasons.active", "throttles", throttles))
"""As the last column was called before driver 535."""

OLD_BOARD: Sequence[Column] = (
    Column("uuid", "uuid", text),
    Column("serial", "board.serial", text),
    Column("vbios_version", "board.vbios_version", text),
    Column("inforom.img", "board.inforom_version", text),
    Column("compute_mode", "settings.compute_mode", compute_mode),
    Column("persistence_mode", "settings.persistence", flag),
    Column("power.default_limit", "power_limit_default_w", number(0, _MAX_W)),
    Column("power.min_limit", "power_limit_min_w", number(0, _MAX_W)),
    Column("power.max_limit", "power_limit_max_w", number(0, _MAX_W)),
    Column("pcie.link.gen.current", "pcie.generation", whole(0, _MAX_LANES)),
    Column("pcie.link.width.current", "pcie.width", whole(0, _MAX_LANES)),
    Column("pcie.link.gen.max", "pcie.generation_max", whole(0, _MAX_LANES)),
    Column("pcie.link.width.max", "pcie.width_max", whole(0, _MAX_LANES)),
)

BOARD: Sequence[Column] = (
    *OLD_BOARD,
    Column("ecc.mode.current", "ecc.enabled", flag),
    Column("ecc.mode.pending", "ecc.pending", flag),
    Column("ecc.errors.corrected.volatile.total", "ecc.volatile_corrected", whole(0, _MAX_COUNT)),
    Column("ecc.errors.uncorrected.volatile.total", "ecc.volatile_uncorrected", whole(0, _MAX_COUNT)),
    Column("ecc.errors.corrected.aggregate.total", "ecc.aggregate_corrected", whole(0, _MAX_COUNT)),
    Column("ecc.errors.uncorrected.aggregate.total", "ecc.aggregate_uncorrected", whole(0, _MAX_COUNT)),
    Column("mig.mode.current", "mig_enabled", flag),
    Column("mig.mode.pending", "mig_pending", flag),
)

ROWS: Sequence[Column] = (
    Column("gpu_uuid", "uuid", text),
    Column("remapped_rows.correctable", "ecc.remapped_corrected", whole(0, _MAX_COUNT)),
    Column("remapped_rows.uncorrectable", "ecc.remapped_uncorrected", whole(0, _MAX_COUNT)),
    Column("remapped_rows.pending", "ecc.remap_pending", flag),
    Column("remapped_rows.failure", "ecc.remap_failed", flag),
)

APPS: Sequence[Column] = (
    Column("gpu_uuid", "uuid", text),
    Column("pid", "pid", whole(1, 4_194_304)),
    Column("used_memory", "gpu_memory_used_mib", whole(0, _MAX_MIB)),
)

_UUID = re.compile(r"(GPU|MIG)-[A-Za-z0-9/-]{1,120}")
_NO_HANDLE = re.compile(r"Unable to determine the device handle for GPU\s*([0-9]{1,4}(?=[:\s]|$)(?!:[0-9a-fA-F]{2}:))?")
_LAST = re.compile(r".*: ([^:]+)$")


class Row(Struct):
    """What was told of one GPU (or of one process on it)."""

    uuid: str
    values: dict[str, object] = field(default_factory=dict)
    """By field of the wire."""
    missing: dict[str, str] = field(default_factory=dict)
    """Field to the wire's reason, for each that has no value."""
    state: str = "ok"
    """As the wire names the states of a device."""
    reason: str | None = None


class Unheld(Struct, frozen=True):
    """A GPU that nvidia-smi cannot open, by one or both of its names."""

    index: int | None
    bus: str | None
    state: str
    reason: str
    """Its own words."""


class Table(Struct, frozen=True):
    """The answer to one query."""

    rows: tuple[Row, ...]
    unheld: tuple[Unheld, ...]
    words: str | None
    """The first line that is neither, such as why it failed; None when there is none."""


def read_table(lines: Sequence[str], columns: Sequence[Column]) -> Table:
    """The lines that an `nvidia-smi --query` printed.

    A row with another number of columns says of its GPU only that it could not be understood.
    """
    rows: list[Row] = []
    unheld: list[Unheld] = []
    words: list[str] = []
    for line in filter(None, map(str.strip, lines)):
        cells = [cell.strip() for cell in line.split(",")]
        if _UUID.fullmatch(cells[0]):
            rows.append(_row(cells, columns))
        elif _NO_HANDLE.match(line):
            unheld.append(_unheld(line))
        else:
            words.append(line)
    return Table(tuple(rows), tuple(unheld), words[0] if words else None)


def _row(cells: Sequence[str], columns: Sequence[Column]) -> Row:
    row = Row(cells[0])
    if len(cells) != len(columns):
        row.missing = {column.field: "failed" for column in columns[1:]}
        row.state, row.reason = "failed", f"nvidia-smi told {len(cells)} columns of it instead of {len(columns)}"
        return row
    for column, cell in zip(columns[1:], cells[1:], strict=True):
        try:
            row.values[column.field] = column.read(cell)
        except Missing as missing:
            row.missing[column.field] = missing.reason
        if said(cell) in STATES:
            row.state, row.reason = STATES[said(cell)], f"nvidia-smi says: {said(cell)}"
    return row


def _unheld(line: str) -> Unheld:
    match, last = _NO_HANDLE.match(line), _LAST.fullmatch(line)
    index = match[1] if match else None
    why = last[1].strip() if last else line
    lowered = why.lower()
    state = next((state for words, state in _UNHELD.items() if words in lowered), "failed")
    return Unheld(int(index) if index else None, bus_within(line), state, why)


_UNHELD: Mapping[str, str] = {
    "lost": "GPU lost",
    "unknown error": "GPU lost",
    "reset": "needs reset",
    "insufficient permissions": "no permission",
}
"""Part of why a GPU cannot be opened, and its state; `Unknown Error` is what it says of one that left the bus."""
