"""Signs of trouble of a node itself: its state, its driver, how many GPUs it has, its ports, its clock; pure."""

from __future__ import annotations

from collections.abc import Iterator

from gpualloc.engine.health_signs import Finding, Sign, Unknown
from gpualloc.model.health import MAX_CLOCK_OFF_S, HealthRules, Heard, SeenDevice, Severity, Trouble
from gpualloc.model.inventory import Node, NodeState

SWAPPING_BYTES_PER_S = 1 << 20
"""From this rate on a node that reads from its swap counts as swapping."""

_STATES = {
    NodeState.STALE: (Severity.WARNING, "look whether the node is overloaded or its network is"),
    NodeState.UNREACHABLE: (Severity.CRITICAL, "look whether it runs: ssh {name} true"),
    NodeState.AUTH_FAILED: (Severity.ERROR, "load the key into ssh-agent; try: ssh -o BatchMode=yes {name} true"),
    NodeState.HOST_KEY: (Severity.ERROR, "connect once by hand and compare the fingerprint: ssh {name}"),
    NodeState.NO_PYTHON: (Severity.ERROR, "install python3, 3.6 or newer, on {name}"),
    NodeState.HUNG: (Severity.CRITICAL, "a driver that hangs takes its callers along; look at dmesg on {name}"),
    NodeState.FAILED: (Severity.ERROR, "`gpualloc doctor` says more"),
}
_NO_LIBRARY = "install NVIDIA's driver and its libraries"


def unreached_sign(node: Node) -> Sign:
    """What is to say of a node that does not tell of itself."""
    severity, advice = _STATES[node.state]
    said = f": {node.reason}" if node.reason else ""
    return Sign(
        Trouble.NODE_STATE,
        severity,
        None,
        f"{node.state}{said}",
        advice.format(name=node.name),
        since_s=node.at_s if node.state is NodeState.STALE else None,
        moving=True,
    )


def node_findings(node: Node, heard: Heard, rules: HealthRules) -> Iterator[Finding]:
    """All that can be said of a node that was reached, its devices aside.

    Args:
        node: the node.
        heard: what is remembered of it, this look included.
        rules: from where on something counts.
    """
    yield from _driver(node, heard)
    yield from _missing(node, heard)
    yield from _ports(node, heard)
    yield from _swapping(node, rules)
    yield from _clock(node)


def expects_gpus(node: Node, heard: Heard) -> bool:
    """Whether the node should have GPUs: so it is configured, the kernel sees some, or there were some."""
    return bool(node.spec.gpus or node.host.gpus_on_bus or (node.spec.gpus is None and heard.devices))


def _driver(node: Node, heard: Heard) -> Iterator[Finding]:
    if node.nvml_reason is None:
        return
    if node.nvml_state == "hung":
        what, advice = "NVML does not come back: the driver hangs", "look at `gpualloc events`; reboot the node"
        yield Sign(Trouble.SAMPLER_BLOCKED, Severity.CRITICAL, None, what, advice)
    elif node.nvml_state == "absent":
        if expects_gpus(node, heard):
            yield Sign(Trouble.DRIVER, Severity.CRITICAL, None, node.nvml_reason, _NO_LIBRARY, moving=True)
    else:
        advice = "reload the driver or reboot; no device of the node is seen until then"
        yield Sign(Trouble.DRIVER, Severity.CRITICAL, None, node.nvml_reason, advice, moving=True)


def _missing(node: Node, heard: Heard) -> Iterator[Finding]:
    """GPUs that were seen and are gone, each by its UUID, and those of which only the number is known."""
    present = {device.uuid for device in node.devices}
    gone = [device for device in heard.devices if device.uuid not in present]
    if node.nvml_reason is not None:
        yield Unknown(Trouble.GPU_MISSING, "")
        yield from (Unknown(Trouble.GPU_MISSING, device.uuid) for device in gone)
        return
    on_bus = node.host.gpus_on_bus
    for device in gone:
        advice = "reboot the node; `gpualloc health --forget` if it was taken out on purpose"
        yield Sign(Trouble.GPU_MISSING, Severity.CRITICAL, device.uuid, _gone(device, present, on_bus), advice)
    expected = on_bus if node.spec.gpus is None else node.spec.gpus
    nameless = (expected or 0) - len(present) - len(gone)
    if nameless > 0:
        source = "as configured" if node.spec.gpus is not None else "on its bus"
        what = f"{expected} GPUs should be there ({source}), the driver tells of {len(present)}"
        advice = "look at the kernel log; `gpus` of the pool says how many a node has"
        yield Sign(Trouble.GPU_MISSING, Severity.ERROR, None, what, advice)


def _gone(device: SeenDevice, present: set[str], on_bus: int | None) -> str:
    place = f" at {device.pci_bus_id}" if device.pci_bus_id else ""
    where = ""
    if on_bus is not None:
        where = ", and off the bus too" if on_bus <= len(present) else ", and still on the bus"
    name = "a GPU that was sampled here" if device.index is None else f"GPU {device.index}{place}"
    return f"{name} is gone: the driver no longer tells of it{where}"


def _ports(node: Node, heard: Heard) -> Iterator[Finding]:
    """Ports that were up once and are down or gone; others may be meant to be down."""
    up = {port.name: port.up for port in node.host.ports}
    lost = [f"{name} is {'down' if name in up else 'gone'}" for name in heard.ports if up.get(name, False) is False]
    if not up:
        # No port at all is an adapter that hangs: the look itself came over one.
        yield Unknown(Trouble.LINK_DOWN, "")
    elif lost:
        what = f"{', '.join(lost)}, and was up"
        advice = "look at cable, switch and adapter; `gpualloc health --forget` if it is meant to be so"
        yield Sign(Trouble.LINK_DOWN, Severity.WARNING, None, what, advice)
    elif any(up[name] is None for name in heard.ports):
        yield Unknown(Trouble.LINK_DOWN, "")


def _swapping(node: Node, rules: HealthRules) -> Iterator[Finding]:
    rate = node.host.swap_in_bytes_per_s
    if rate is None:
        yield Unknown(Trouble.SWAPPING, "")
    elif rate >= SWAPPING_BYTES_PER_S:
        what = "it reads from its swap all the time: host memory is short"
        advice = "look at the host memory of what runs there"
        yield Sign(Trouble.SWAPPING, Severity.WARNING, None, what, advice, after_s=rules.swapping_after_s)


def _clock(node: Node) -> Iterator[Finding]:
    """Whether its clock is off, in words without a figure: that moves from look to look."""
    ahead_s = node.clock_offset_s
    if ahead_s is None:
        yield Unknown(Trouble.CLOCK, "")
    elif abs(ahead_s) > MAX_CLOCK_OFF_S:
        size = "more than 30 s" if abs(ahead_s) < 300 else "minutes" if abs(ahead_s) < 3600 else "hours or more"
        what = f"its clock is {size} {'ahead of' if ahead_s > 0 else 'behind'} this machine's"
        yield Sign(Trouble.CLOCK, Severity.WARNING, None, what, "start a time service on both")
