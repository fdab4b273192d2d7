"""Read what happened, and go on reading while it happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from gpualloc.engine.context import Context
from gpualloc.engine.observe import check_names
from gpualloc.model.health import Event, Severity


class Wanted(Struct, frozen=True):
    """Which events are asked for."""

    least: Severity = Severity.INFO
    node: str | None = None
    device: str | None = None
    """UUID, or with a node the index that the device has or had there."""

    def fits(self, event: Event) -> bool:
        """Whether the event is one of them."""
        return (
            event.severity.rank >= self.least.rank
            and self.node in (None, event.node)
            and self.device in (None, event.device)
        )


class Found(Struct, frozen=True):
    """Events, and how to name their devices."""

    events: tuple[Event, ...]
    """Oldest first."""
    indices: dict[str, int | None]
    """Index of each known device by UUID."""


def events_of(ctx: Context, wanted: Wanted, ago_s: float) -> Found:
    """The events of the last `ago_s` seconds.

    Raises:
        NotFoundError: no such node.
    """
    indices, wanted = _indices(ctx), _by_uuid(ctx, wanted)
    since_s = ctx.clock.now_s() - ago_s
    return Found(ctx.events.events(since_s, node=wanted.node, device=wanted.device, least=wanted.least), indices)


def new_events(
    ctx: Context, wanted: Wanted, ago_s: float, wait: Callable[[], bool]
) -> Iterator[tuple[Event, dict[str, int | None]]]:
    """Events of the last `ago_s` seconds, then each as it is kept; with the indices of devices.

    What a kernel log held before its node was first seen is no news, and told only where it is within that time.

    Args:
        ctx: the ports.
        wanted: which events.
        ago_s: how far back, seconds.
        wait: waits until the store should be asked again; False ends it.

    Raises:
        NotFoundError: no such node.
    """
    mark = ctx.events.mark()
    found, wanted = events_of(ctx, wanted, ago_s), _by_uuid(ctx, wanted)
    yield from ((event, found.indices) for event in found.events)
    told = {event.key for event in found.events}
    while wait():
        kept, mark = ctx.events.kept_after(mark)
        fresh = [event for event in kept if event.news and event.key not in told and wanted.fits(event)]
        if fresh:
            indices = _indices(ctx)
            yield from ((event, indices) for event in fresh)
        told.clear()


def _indices(ctx: Context) -> dict[str, int | None]:
    return {device.uuid: device.index for heard in ctx.events.heard().values() for device in heard.devices}


def _by_uuid(ctx: Context, wanted: Wanted) -> Wanted:
    """The same with the UUID of a device that is named by its index."""
    if wanted.node is None:
        return wanted
    check_names(ctx, (wanted.node,))
    heard = ctx.events.heard((wanted.node,)).get(wanted.node)
    by_index = {str(device.index): device.uuid for device in (heard.devices if heard else ())}
    device = None if wanted.device is None else by_index.get(wanted.device, wanted.device)
    return Wanted(wanted.least, wanted.node, device)
