"""Errors of memory and bus of one GPU, and its PCIe link. Dear, and slow to change: read every few seconds."""

from typing import TYPE_CHECKING, Any

import pynvml

from gpualloc.node.batch import Batch
from gpualloc.node.reading import Reading

if TYPE_CHECKING:
    from gpualloc.node.driver import Driver

_MAX_COUNT = 1 << 48
"""No counter of a GPU gets here: what is above comes from an overflow."""
_MAX_GENERATION = 16
_MAX_LANES = 32
_MAX_KIB_PER_S = 1 << 30

_MODES = {"enabled": pynvml.NVML_FI_DEV_ECC_CURRENT, "pending": pynvml.NVML_FI_DEV_ECC_PENDING}
_TOTALS = {
    "volatile_corrected": (pynvml.NVML_FI_DEV_ECC_SBE_VOL_TOTAL, 0, 0),
    "volatile_uncorrected": (pynvml.NVML_FI_DEV_ECC_DBE_VOL_TOTAL, 1, 0),
    "aggregate_corrected": (pynvml.NVML_FI_DEV_ECC_SBE_AGG_TOTAL, 0, 1),
    "aggregate_uncorrected": (pynvml.NVML_FI_DEV_ECC_DBE_AGG_TOTAL, 1, 1),
}
"""The field of each total, and the kind of error and of counter by which an older call names it."""
_REMAPPED = {
    "remapped_corrected": pynvml.NVML_FI_DEV_REMAPPED_COR,
    "remapped_uncorrected": pynvml.NVML_FI_DEV_REMAPPED_UNC,
    "remap_pending": pynvml.NVML_FI_DEV_REMAPPED_PENDING,
    "remap_failed": pynvml.NVML_FI_DEV_REMAPPED_FAILURE,
}
_REPLAYS = pynvml.NVML_FI_DEV_PCIE_REPLAY_COUNTER
_LINK = (
    ("generation", "nvmlDeviceGetCurrPcieLinkGeneration", _MAX_GENERATION),
    ("width", "nvmlDeviceGetCurrPcieLinkWidth", _MAX_LANES),
    ("generation_max", "nvmlDeviceGetMaxPcieLinkGeneration", _MAX_GENERATION),
    ("width_max", "nvmlDeviceGetMaxPcieLinkWidth", _MAX_LANES),
)
_THROUGHPUT = {
    "pcie.tx_bytes_per_s": pynvml.NVML_PCIE_UTIL_TX_BYTES,
    "pcie.rx_bytes_per_s": pynvml.NVML_PCIE_UTIL_RX_BYTES,
}

ECC = (*_MODES, *_TOTALS, *_REMAPPED)
"""Fields of `ecc`."""
PCIE = (*(name for name, _, _ in _LINK), "replays", "rx_bytes_per_s", "tx_bytes_per_s")
"""Fields of `pcie`."""
WITHOUT_MIG = frozenset("ecc." + name for name in _REMAPPED)
"""What drivers do not tell while there are MIG instances."""


def ecc(driver: "Driver") -> "Reading":
    """`ecc`: mode, totals of errors and remapped rows, in one call where the driver knows the fields."""
    piece = Reading()
    fields = (*_MODES.values(), *(field for field, _, _ in _TOTALS.values()), *_REMAPPED.values())
    batch = Batch(driver, "ecc", fields)
    for place, (name, field) in enumerate(_MODES.items()):
        piece.flag("ecc." + name, lambda f=field, p=place: batch.value(f, lambda: _mode(driver, p)))  # type: ignore[misc]
    for name, (field, kind, counter) in _TOTALS.items():

        def total(field: int = field, kind: int = kind, counter: int = counter) -> Any:
            return batch.value(field, lambda: driver.ask("ecc", "nvmlDeviceGetTotalEccErrors", kind, counter))

        piece.number("ecc." + name, total, 0, _MAX_COUNT)
    for place, (name, field) in enumerate(_REMAPPED.items()):

        def remapped(field: int = field, place: int = place) -> Any:
            return batch.value(field, lambda: driver.ask("ecc", "nvmlDeviceGetRemappedRows")[place])

        if name.startswith("remapped"):
            piece.number("ecc." + name, remapped, 0, _MAX_COUNT)
        else:
            piece.flag("ecc." + name, remapped)
    return piece


def pcie_link(driver: "Driver") -> "Reading":
    """`pcie` without its traffic: the link now and at its best, and packets sent again."""
    piece = Reading()
    for name, function, most in _LINK:
        piece.number("pcie." + name, lambda f=function: driver.ask("pcie link", f), 1, most)  # type: ignore[misc]
    piece.number("pcie.replays", lambda: driver.ask("pcie link", "nvmlDeviceGetPcieReplayCounter"), 0, _MAX_COUNT)
    return piece


class PcieTraffic:
    """Traffic over PCIe. Each call blocks for the 20 ms it looks at, so that the very first look goes without."""

    def __init__(self) -> None:
        self._asked = False

    def read(self, driver: "Driver") -> "Reading":
        """`pcie.rx_bytes_per_s` and `pcie.tx_bytes_per_s`."""
        piece = Reading()
        for name, counter in _THROUGHPUT.items():
            if self._asked:
                piece.number(name, lambda c=counter: _bytes_per_s(driver, c), 0, _MAX_KIB_PER_S * 1024.0)  # type: ignore[misc]
            else:
                piece.miss(name, "not yet")
        self._asked = True
        return piece


def _mode(driver: "Driver", place: int) -> int:
    mode: int = driver.ask("ecc", "nvmlDeviceGetEccMode")[place]
    return mode


def _bytes_per_s(driver: "Driver", counter: int) -> float:
    return float(driver.ask("pcie throughput", "nvmlDeviceGetPcieThroughput", counter) * 1000)
