"""Histories of spot prices: columns time_s, zone, price and, if wanted, interruptions_per_hour. Rows in any order."""

from __future__ import annotations

import math
from collections.abc import Iterable

from gpualloc.model.spot import Price, PriceHistory
from gpualloc.sim.traces.cells import WrongCell, name, seconds, shown
from gpualloc.sim.traces.rows import Layout, Row, Table

_LAYOUT = Layout("spot prices", ("time_s", "zone", "price"), ("interruptions_per_hour",))


def read_prices(lines: Iterable[str], source: str) -> PriceHistory:
    """The prices of a text, CSV or JSON lines.

    Args:
        lines: the text, line by line.
        source: how errors name it.

    Raises:
        BrokenInputError: names source, line and what was expected.
    """
    table = Table(lines, source, [_LAYOUT])
    zones: dict[str, dict[float, Price]] = {}
    for row in table:
        try:
            zone, price = _price(row)
        except WrongCell as wrong:
            raise table.wrong(row, str(wrong)) from None
        if price.at_s in zones.setdefault(zone, {}):
            raise table.wrong(row, f"zone {shown(zone)} has a price for that time already")
        zones[zone][price.at_s] = price
    return PriceHistory({zone: tuple(found[at_s] for at_s in sorted(found)) for zone, found in zones.items()})


def _price(row: Row) -> tuple[str, Price]:
    time_s, zone, price, often = row.cells
    return name("zone", zone), Price(
        seconds("time_s", time_s), _amount("price", price), _amount("interruptions_per_hour", often) if often else None
    )


def _amount(column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise WrongCell(f"{column} is {shown(text)}, not a number from 0")
    return value
