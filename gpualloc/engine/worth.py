"""What room for a request is worth, in seconds of one GPU, and what it would wait for without. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

from msgspec.structs import replace

from gpualloc.engine.making_room import Rooms
from gpualloc.engine.outlook import Outlook, expected_excess
from gpualloc.model.allocation import Share
from gpualloc.model.workload import Request, Workload
from gpualloc.policies.filters import allowed, takes_work, why_not
from gpualloc.policies.room import DeviceRoom, NodeRoom, Target


def wait_s(request: Request, rooms: Rooms, outlook: Outlook) -> float | None:
    """How long the request would wait until enough running work has ended on one node; None when nobody can tell.

    Run times are taken at their median.
    """
    waits = [_wait_on(room, request, outlook) for room in rooms.values() if _may(room, request)]
    known = [wait for wait in waits if wait is not None]
    # A node of which nothing can be told might be free first, but is no reason to wait.
    return min(known, default=None)


def waiting_worth(workload: Workload, rooms: Rooms, outlook: Outlook, now_s: float, horizon_s: float) -> float:
    """What it is worth that the work need not wait, in seconds of one GPU.

    Where nobody can tell how long it would wait on, as long as it waited so far is taken: of waits of all lengths
    that is what is left in the mean when nothing else is known.
    """
    expected = wait_s(workload.request, rooms, outlook)
    waited = max(0.0, now_s - workload.submitted_at_s)
    return workload.request.gpus * min(horizon_s, waited if expected is None else expected)


def demand_worth(outlook: Outlook, pool: str, taken: float, free: int, more: int) -> float:
    """What it is worth that `more` whole devices are free beside `free`, in seconds of one GPU.

    Args:
        outlook: the forecast of the pool's demand.
        pool: its name.
        taken: devices of the pool that are held or cannot be had, parts counted as parts.
        free: whole devices that are free now.
        more: by how many more it would be.

    Returns:
        what demand is expected to find no whole device without them and would find one with them, over the horizons;
        0 where nothing can be told.
    """
    worth, before_s = 0.0, 0.0
    for at_s, band in outlook.forecast(pool):
        short = expected_excess(band, taken + free) - expected_excess(band, taken + free + more)
        worth += short * (at_s - before_s)
        before_s = at_s
    return worth


def whole_free(rooms: Iterable[NodeRoom]) -> int:
    """Whole devices that a request could get now."""
    any_gpu = Request(("",))
    return sum(
        why_not(Target(device), any_gpu) is None for room in rooms if takes_work(room.node) for device in room.devices
    )


def _may(room: NodeRoom, request: Request) -> bool:
    return takes_work(room.node) and allowed(room.node, request)


def _wait_on(room: NodeRoom, request: Request, outlook: Outlook) -> float | None:
    """When the last of the devices asked for is free on the node; None when too few are known."""
    if request.share is not Share.EXCLUSIVE:
        return None
    ends = [
        _free_in_s(device, outlook)
        for device in room.devices
        if why_not(Target(replace(device, bookings=())), request) is None
    ]
    known = sorted(end for end in ends if end is not None)
    return known[request.gpus - 1] if len(known) >= request.gpus else None


def _free_in_s(device: DeviceRoom, outlook: Outlook) -> float | None:
    """When the last of its holders has ended; 0 for a free one, None when one of them has no forecast."""
    latest = 0.0
    for booking in device.bookings:
        band = outlook.remaining_s.get(booking.workload)
        if band is None or math.isnan(band.median):
            return None
        latest = max(latest, band.median)
    return latest
