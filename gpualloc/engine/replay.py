"""What happened in a recording: what is other from one picture of a node to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from typing import Protocol

from gpualloc.model.happening import Happening
from gpualloc.model.health import Severity
from gpualloc.model.inventory import Device, DeviceState, Node, NodeState, Process


class Recorded(Protocol):
    """A recording that is played tick by tick."""

    @property
    def next_s(self) -> float | None:
        """When the next tick is, epoch seconds; None at the end."""
        ...

    def play(self) -> Set[str]:
        """Take in the next tick; returns the names of the nodes that told something."""
        ...

    def node(self, name: str) -> Node | None:
        """A node as it was told last; None before it was."""
        ...


def replay(
    recording: Recorded, from_s: float, await_moment: Callable[[float], None], stopped: Callable[[], bool]
) -> Iterator[Happening]:
    """What happens from a moment on, to the end.

    Args:
        recording: not played yet.
        from_s: epoch seconds in the recording; what was before is only what things are compared with.
        await_moment: called with the time of each tick from then on; returns when it has come.
        stopped: asked before each tick; once True, it ends.

    Raises:
        BrokenInputError: the recording is damaged.
    """
    known: dict[str, Node] = {}
    while (next_s := recording.next_s) is not None and not stopped():
        if next_s >= from_s:
            await_moment(next_s)
        for name in sorted(recording.play()):
            node = recording.node(name)
            if node is None:
                continue
            if next_s >= from_s:
                yield from happened(known.get(name), node)
            known[name] = node


def happened(before: Node | None, after: Node) -> Iterator[Happening]:
    """What is other than it was: states, devices that come and go, processes, lines of the kernel log.

    Args:
        before: the node as it was; None when nothing is known of it, so that all that is not well is told.
        after: the node as it is.
    """
    if before is None or (before.state, before.reason) != (after.state, after.reason):
        yield from _node_state(before, after)
    if after.state is NodeState.OK:
        yield from _restart(before, after)
        yield from _devices(before, after)
        yield from _processes(before, after)
        yield from _kernel(before, after)


def _node_state(before: Node | None, after: Node) -> Iterator[Happening]:
    well = after.state is NodeState.OK
    if before is None and well:
        return
    said = after.state.value + (f": {after.reason}" if after.reason and not well else "")
    yield Happening(after.at_s, after.name, None, Severity.INFO if well else Severity.ERROR, said)


def _restart(before: Node | None, after: Node) -> Iterator[Happening]:
    if before is not None and before.boot_id and after.boot_id and before.boot_id != after.boot_id:
        yield Happening(after.at_s, after.name, None, Severity.WARNING, "the node was booted")


def _devices(before: Node | None, after: Node) -> Iterator[Happening]:
    known = {device.uuid: device for device in before.devices} if before is not None else {}
    for device in after.devices:
        yield from _device(known.pop(device.uuid, None), device, after, first=before is None or not before.devices)
    for device in known.values():
        yield Happening(after.at_s, after.name, device.uuid, Severity.ERROR, f"gpu {device.index} is gone")


def _device(was: Device | None, device: Device, node: Node, *, first: bool) -> Iterator[Happening]:
    well = device.state is DeviceState.OK
    if was is None and not first:
        yield Happening(node.at_s, node.name, device.uuid, Severity.INFO, f"gpu {device.index} is there")
    if (was is None and not well) or (was is not None and was.state is not device.state):
        said = device.state.value + (f": {device.reason}" if device.reason and not well else "")
        severity = Severity.INFO if well else Severity.ERROR
        yield Happening(node.at_s, node.name, device.uuid, severity, f"gpu {device.index}: {said}")


def _processes(before: Node | None, after: Node) -> Iterator[Happening]:
    if before is None:
        return
    indices = {device.uuid: device.index for device in (*before.devices, *after.devices)}
    was = {_identity(process): process for process in before.processes}
    now = {_identity(process): process for process in after.processes}
    for verb, found in (
        ("begins", [process for key, process in now.items() if key not in was]),
        ("is gone", [process for key, process in was.items() if key not in now]),
    ):
        for process in found:
            of = f" of {process.user}" if process.user else ""
            said = f"gpu {indices.get(process.device, '?')}: process {process.pid}{of} {verb}"
            said += f" ({process.command})" if verb == "begins" and process.command else ""
            yield Happening(after.at_s, after.name, process.device, Severity.INFO, said)


def _identity(process: Process) -> tuple[int, float | None, str, str | None]:
    return process.pid, process.started_at_s, process.device, process.mig_instance


def _kernel(before: Node | None, after: Node) -> Iterator[Happening]:
    same_boot = before is not None and before.boot_id == after.boot_id
    known = {message.seq for message in before.kernel_messages} if before is not None and same_boot else set()
    for message in after.kernel_messages:
        if message.seq not in known and (before is not None or message.at_s >= after.at_s):
            yield Happening(
                message.at_s, after.name, None, Severity.WARNING, f"{message.trouble.value}: {message.text}"
            )
