"""Single values as nvidia-smi prints them: numbers, words, and the ways in which it says that there is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from msgspec import Struct

from gpualloc.model.desired import ComputeMode
from gpualloc.model.readings import Throttle

Read = Callable[[str], object]
"""Makes a wire value of a cell; raises Missing."""

_V = TypeVar("_V")
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,9})?")
_BITS = re.compile(r"0x[0-9a-fA-F]{1,16}")
_BUS = re.compile(r"([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-9a-fA-F])")
_SAID: Mapping[str, str] = {
    "n/a": "not supported",
    "not supported": "not supported",
    "not available": "not supported",
    "requested functionality has been deprecated": "not supported",
    "insufficient permissions": "no permission",
    "gpu is lost": "lost",
}
"""What nvidia-smi says in the place of a value, and the wire's reason for it; anything else is a failure."""

STATES: Mapping[str, str] = {
    "gpu is lost": "GPU lost",
    "gpu requires reset": "needs reset",
    "reset required": "needs reset",
}
"""What it says of a value that holds for the whole GPU, and the wire's state for it."""

_COMPUTE_MODES: Mapping[str, str] = {
    "default": ComputeMode.DEFAULT.value,
    "exclusive_process": ComputeMode.EXCLUSIVE_PROCESS.value,
    "prohibited": ComputeMode.PROHIBITED.value,
}
_FLAGS: Mapping[str, bool] = {"enabled": True, "disabled": False, "yes": True, "no": False, "1": True, "0": False}
_THROTTLES = tuple(throttle for throttle in Throttle if throttle is not Throttle.OTHER)


class Missing(Exception):
    """There is no value, for this reason of the wire."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Column(Struct, frozen=True):
    """One column of a query."""

    name: str
    """As nvidia-smi is asked for it."""
    field: str
    """Where its value belongs in the rows of the wire, with a dot before the name inside a part."""
    read: Read


def said(cell: str) -> str:
    """A cell without the brackets of those that are no values, in lower case."""
    return cell.strip().strip("[]").lower()


def number(low: float, high: float, factor: float = 1.0) -> Read:
    """Reads a number in a range, times a factor; what is outside is implausible."""

    def read(cell: str) -> float:
        value = _number(cell)
        if not low <= value <= high:
            raise Missing("implausible")
        return value * factor

    return read


def whole(low: int, high: int) -> Read:
    """Reads a whole number in a range."""

    def read(cell: str) -> int:
        value = _number(cell)
        if not low <= value <= high:
            raise Missing("implausible")
        return round(value)

    return read


def text(cell: str) -> str:
    """A text as it is."""
    _refuse_nothing(cell)
    return cell.strip()


def flag(cell: str) -> bool:
    """Whether something is enabled."""
    return _word(cell, _FLAGS)


def compute_mode(cell: str) -> str:
    """The compute mode as the wire names it."""
    return _word(cell, _COMPUTE_MODES)


def performance_state(cell: str) -> object:
    """`P0` to `P15` as a number."""
    return whole(0, 15)(cell.strip().removeprefix("P"))


def bus(cell: str) -> str:
    """A PCI address as the kernel writes it."""
    match = _BUS.fullmatch(cell.strip())
    if match is None:
        raise _missing(cell)
    return f"{int(match[1], 16):04x}:{match[2].lower()}"


def bus_within(line: str) -> str | None:
    """The PCI address somewhere in a line, as the kernel writes it; None when there is none."""
    match = _BUS.search(line)
    return None if match is None else bus(match[0])


def throttles(cell: str) -> list[str]:
    """The reasons whose bits are set, the names of the wire."""
    if not _BITS.fullmatch(cell.strip()):
        raise _missing(cell)
    bits = int(cell, 16)
    names = [throttle.value for number, throttle in enumerate(_THROTTLES) if bits >> number & 1]
    return [*names, Throttle.OTHER.value] if bits >> len(_THROTTLES) else names


def _number(cell: str) -> float:
    if not _NUMBER.fullmatch(cell.strip()):
        raise _missing(cell)
    return float(cell)


def _word(cell: str, words: Mapping[str, _V]) -> _V:
    value = words.get(cell.strip().lower())
    if value is None:
        raise _missing(cell)
    return value


def _refuse_nothing(cell: str) -> None:
    if said(cell) in _SAID or cell.strip().startswith("[") or not cell.strip() or said(cell) == "err!":
        raise _missing(cell)


def _missing(cell: str) -> Missing:
    return Missing(_SAID.get(said(cell), "failed"))
