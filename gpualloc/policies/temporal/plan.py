"""Where items are in each interval, what that costs, and why they move."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from gpualloc.policies.temporal.problem import Places


class Cause(StrEnum):
    """Why an item moves."""

    OVERLOAD = "overload"
    """What it left would have more compute asked for than it has."""
    MEMORY = "memory"
    """What it left would not have had the memory."""
    EMPTIED = "emptied"
    """What it left has nothing on it afterwards, and can be off."""
    ROOM = "room"
    """It makes room on what it left for an item that comes there."""
    CHEAPER = "cheaper"
    """The whole plan costs less with it, for none of these reasons alone."""


class Move(Struct, frozen=True):
    """An item goes from one device to another."""

    item: int
    interval: int
    """It is on the new device from the beginning of this interval; 0 is a move to be made now."""
    source: int
    """Device that it leaves."""
    target: int
    """Device that it goes to."""
    cause: Cause
    forecast: int | None
    """Item whose forecast is the reason; None when the reason is not what a single item is expected to do."""
    when: int
    """Interval in which the reason shows."""
    load: float
    """Compute that would be asked of the source there if the item stayed, in devices; of `EMPTIED` and `CHEAPER` what
    is asked of the target with it."""


class Costs(Struct, frozen=True):
    """The cost of a plan, by parts; prices are those of the problem."""

    needed: int
    """Devices that are on at once, at most."""
    on_hours: float
    """Hours of devices that are on."""
    overload_hours: float
    """Expected compute beyond what devices have, in hours of a device of compute 1."""
    moves: int
    total: float
    """All parts at their prices."""


class TemporalPlan(Struct, frozen=True, eq=False):
    """A valid answer to a `TemporalProblem`: no device holds more memory than it has.

    The one exception are items that are on a device already: where nothing else has room they stay, and what that
    device lacks then is in `short`.
    """

    place: Places
    """(I, T) device of each item in each interval; NOWHERE while it is not alive, or has no place."""
    costs: Costs
    moves: tuple[Move, ...]
    """By interval, then by item."""
    unplaced: tuple[int, ...]
    """Items that are alive in some interval without a place: no device that they may be on has the memory."""
    short: tuple[int, ...]
    """Devices on which more memory is to be kept free than they have, for items that are there already."""
    complete: bool
    """False when the deadline cut the search short."""
