"""Values in sections: with their units, and with the reason where one is missing."""

from __future__ import annotations

from collections.abc import Callable

from gpualloc.tui.cells import Cell, Role, cell, gib
from gpualloc.tui.text import plain

Entry = tuple[str, Cell]


def text(value: str | None, limit: int = 300, absent: str = "n/a") -> Cell:
    """A text, or what stands there when there is none."""
    return cell(absent, Role.DIM) if value is None else cell(plain(value, limit))


def reading(value: float | None, shown: Callable[[float], str], reason: str | None) -> Cell:
    """A reading, or n/a with the reason why it is not there."""
    if value is not None:
        return cell(shown(value))
    return cell("n/a" if reason is None else f"n/a: {plain(reason)}", Role.DIM)


def yes_no(value: bool | None, reason: str | None = None, *, bad: bool | None = None) -> Cell:
    """`yes` or `no`, in the colour of a fault when it is `bad`."""
    if value is None:
        return cell("n/a" if reason is None else f"n/a: {plain(reason)}", Role.DIM)
    return cell("yes" if value else "no", Role.BAD if bad is not None and value is bad else Role.PLAIN)


def share(ratio: float) -> str:
    """0..1 as percent."""
    return f"{ratio * 100:.0f} %"


def mib(amount: float) -> str:
    """MiB, as GiB from one on."""
    return f"{gib(round(amount))} GiB" if amount >= 1024 else f"{amount:,.0f} MiB"


def count(amount: float) -> str:
    """A whole number."""
    return f"{amount:,.0f}"


def with_unit(unit: str) -> Callable[[float], str]:
    """A function that writes a number with its unit."""
    return lambda amount: f"{amount:,.0f} {unit}"
