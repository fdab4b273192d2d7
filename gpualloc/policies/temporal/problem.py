"""What has to be placed over time: items, devices and prices."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from msgspec import Struct

Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]

NOWHERE = -1
"""Stands in places for: on no device."""


class Prices(Struct, frozen=True):
    """What things cost beside devices that are on and moves, in one unit, such as GPU-hours."""

    overload: float = 10.0
    """Of one GPU-hour of compute that is asked for beyond what a device has; infinite makes compute a hard limit."""
    needed: float = 0.0
    """Of each device of the most that are on at once: what it costs to own one more."""


class TemporalProblem(Struct, frozen=True, eq=False):
    """Items over T intervals, and the devices that they can be on.

    Memory is a hard limit, compute is shared: the items of a device may together ask for more than it has, at a price.
    An item is on one device at a time; coming to the first one is no move. In every array I counts items, T intervals,
    D devices and K kinds.
    """

    items: tuple[str, ...]
    """Names, none twice. The answer does not depend on their order."""
    hours: Values
    """(T,) how long each interval lasts, above 0."""
    alive: Flags
    """(I, T) whether the item is there."""
    compute: Values
    """(I, T) median of the expected use of compute, in devices of compute 1; NaN is unknown."""
    memory: Values
    """(I, T) GiB to keep free for the item. The most that it will hold while it is on one device, since what was
    allocated is seldom given back. NaN is unknown."""
    devices: tuple[str, ...]
    """Names, none twice; the first is taken where nothing else tells two apart."""
    device_memory: Values
    """(D,) GiB."""
    upper: Values | None = None
    """(I, T) what the use of compute stays below in 95 of 100 cases; None: the median is what will come."""
    device_compute: Values | None = None
    """(D,) compute of each device; None: 1 each."""
    on_price: Values | None = None
    """(D,) price of an hour in which something is on the device; None: 1 each."""
    enter_price: Values | None = None
    """(D,) price of letting an item in, such as another partitioning; None: 0 each."""
    kind: Places | None = None
    """(D,) number of the kind of each device, from 0, for `allowed`; None: all are of kind 0."""
    allowed: Flags | None = None
    """(I, K) whether the item may be on devices of the kind; None: everywhere."""
    place: Places | None = None
    """(I,) device on which each item is now, or NOWHERE; None: nowhere."""
    pinned: Flags | None = None
    """(I,) items that stay where they are now; None: none."""
    move_price: Values | None = None
    """(I,) price of a move of the item; None: 0.1 each."""
    prices: Prices = Prices()
