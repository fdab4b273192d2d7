"""How the GPUs of a simulated node are wired, and what boards they are. Nominal, and the same on every run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

from gpualloc.sim.catalog import GpuKind
from gpualloc.sim.gpu import GpuModel

_SWITCHED_LINKS = {
    "A100-40GB": 12,
    "A100-80GB": 12,
    "H100-80GB": 18,
    "H200-141GB": 18,
    "H20-96GB": 18,
    "B200-180GB": 18,
    "B300": 18,
    "V100-16GB": 6,
    "V100-32GB": 6,
}
"""NVLinks of models that reach all others of the node: up to four GPUs directly, more over switches."""
_BRIDGED_LINKS = {"A30-24GB": 4, "H100-94GB": 12}
"""NVLinks of models that a bridge joins in pairs."""
_DIRECT_GPUS = 4
_GENERATIONS = {"pascal": 3, "volta": 3, "turing": 3, "ampere": 4, "ada": 4, "hopper": 5, "blackwell": 5}
_FIRST_BUS, _BUS_STEP = 3, 3
LANES = 16


def has_hbm(kind: GpuKind) -> bool:
    """Whether the model has stacked memory, which has a sensor and does not slow down; the others have GDDR."""
    return kind.key.startswith(("A100", "A30", "B200", "B300", "GB", "GH", "H1", "H2", "P100", "V100"))


def is_desktop(kind: GpuKind) -> bool:
    """Whether it is a board for desktops: with a fan, and without ECC and a serial number."""
    return kind.key.startswith("RTX-3") or kind.key.startswith("RTX-4")


def pcie_generation(kind: GpuKind) -> int:
    """The highest PCIe generation of the model."""
    return _GENERATIONS.get(kind.generation, 4)


def pci_bus_id(index: int) -> str:
    """Address of the GPU with that index on its node."""
    return f"0000:{_FIRST_BUS + index * _BUS_STEP:02x}:00.0"


def board_row(gpu: GpuModel) -> dict[str, Any]:
    """`board` of `inventory`: boards of one model have the same firmware."""
    mark = crc32(gpu.kind.product.encode())
    serial = crc32(gpu.uuid.encode())
    return {
        "pci_bus_id": pci_bus_id(gpu.index),
        "serial": None if is_desktop(gpu.kind) else f"1{serial:012d}",
        "vbios_version": f"{90 + mark % 7}.{mark >> 4 & 0xFF:02X}.{mark >> 12 & 0xFF:02X}.00.01",
        "inforom_version": None if is_desktop(gpu.kind) else f"G{500 + mark % 60}.0200.00.{1 + mark % 9:02d}",
    }


def peers_row(gpu: GpuModel, gpus: Sequence[GpuModel], numa_nodes: int) -> dict[str, str]:
    """`peers` of `inventory`: how it reaches each other GPU of the node."""
    return {other.uuid: _way(gpu, other, gpus, numa_nodes) for other in gpus if other is not gpu}


def nvlink_rows(gpu: GpuModel, gpus: Sequence[GpuModel]) -> list[dict[str, Any]]:
    """`nvlinks` of `sample`: none on a model that has none; those that are not wired are down."""
    key = gpu.kind.key
    total = _SWITCHED_LINKS.get(key, _BRIDGED_LINKS.get(key, 0))
    alike = [other for other in gpus if other.kind.key == key]
    if key in _BRIDGED_LINKS:
        wired = total if any(_joined(gpu, other) for other in alike) else 0
    else:
        wired = (
            0 if len(alike) < 2 else total if len(alike) > _DIRECT_GPUS else _shared(total, alike) * (len(alike) - 1)
        )
    switch = key in _SWITCHED_LINKS and len(alike) > _DIRECT_GPUS
    return [
        {"index": index, "up": index < wired, "remote": _remote(index, wired, switch, gpu, alike), "errors": 0}
        for index in range(total)
    ]


def _way(one: GpuModel, other: GpuModel, gpus: Sequence[GpuModel], numa_nodes: int) -> str:
    key = one.kind.key
    if other.kind.key == key:
        alike = [gpu for gpu in gpus if gpu.kind.key == key]
        if key in _SWITCHED_LINKS:
            total = _SWITCHED_LINKS[key]
            return f"NV{total if len(alike) > _DIRECT_GPUS else _shared(total, alike)}"
        if key in _BRIDGED_LINKS and _joined(one, other):
            return f"NV{_BRIDGED_LINKS[key]}"
    if one.index // 2 == other.index // 2:
        return "PIX"
    places = [gpu.index * numa_nodes // len(gpus) for gpu in (one, other)]
    return "NODE" if places[0] == places[1] else "SYS"


def _shared(total: int, alike: Sequence[GpuModel]) -> int:
    """Links between each two of a few GPUs that are joined directly."""
    return total // max(1, len(alike) - 1)


def _joined(one: GpuModel, other: GpuModel) -> bool:
    return one is not other and one.index // 2 == other.index // 2


def _remote(index: int, wired: int, switch: bool, gpu: GpuModel, alike: Sequence[GpuModel]) -> str | None:
    if index >= wired:
        return None
    if switch:
        return "switch"
    others = [other for other in alike if other is not gpu]
    if gpu.kind.key in _BRIDGED_LINKS:
        others = [other for other in others if _joined(gpu, other)]
    return pci_bus_id(others[index * len(others) // wired].index)


def own_reasons(row: Mapping[str, Any], part: str, reason: str) -> dict[str, str]:
    """`unavailable` for what is null in a part of a row."""
    return {f"{part}.{name}": reason for name, value in row.items() if value is None}
