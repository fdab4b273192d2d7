"""Signs of trouble on one device, from its readings and from what is on it; pure.

A reading that is not known says nothing, neither that something is wrong nor that it is over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gpualloc.engine.health_signs import Finding, Sign, Unknown
from gpualloc.model.health import HealthRules, SeenDevice, Severity, Trouble
from gpualloc.model.inventory import Device, DeviceState, Node, Process
from gpualloc.model.readings import Throttle

IDLE_RATIO = 0.01
"""Up to this use a GPU counts as not used."""
BUSY_RATIO = 0.10
"""From this use on a GPU counts as working."""
NVLINK_CALM_S = 3600.0
"""So long after NVLink errors last grew the links are well again."""

_SLOWED = (Throttle.HW_SLOWDOWN, Throttle.SW_THERMAL, Throttle.HW_THERMAL, Throttle.POWER_BRAKE)
_READ = (
    Trouble.GHOST_BUSY,
    Trouble.MEMORY_IDLE,
    Trouble.ALLOCATED_IDLE,
    Trouble.THROTTLED,
    Trouble.PCIE_DEGRADED,
    Trouble.NVLINK_ERRORS,
    Trouble.ECC_ERRORS,
    Trouble.REMAP_PENDING,
    Trouble.REMAP_FAILED,
)
"""Troubles that are judged from readings, which a sick device does not tell."""

_STATES = {
    DeviceState.HUNG: (
        Severity.CRITICAL,
        "its driver does not answer",
        "look at `gpualloc events`; when it stays so, drain the node and reboot it",
    ),
    DeviceState.LOST: (Severity.CRITICAL, "the driver lost the GPU", "drain the node and reboot it"),
    DeviceState.NEEDS_RESET: (Severity.CRITICAL, "the GPU must be reset", "drain the GPU and reset it"),
    DeviceState.NO_PERMISSION: (
        Severity.WARNING,
        "the account may not read the GPU",
        "give the account access to /dev/nvidia*, or install the node program for root (docs/privilege.md)",
    ),
    DeviceState.FAILED: (Severity.ERROR, "the GPU cannot be read", "look at `gpualloc events`"),
}
_SINCE = re.compile(r"since ([0-9]{1,9}) s")
_MOST_NAMED = 3


def device_findings(
    node: Node, device: Device, seen: SeenDevice | None, rules: HealthRules, now_s: float
) -> Iterator[Finding]:
    """All that can be said of one device by itself.

    Args:
        node: the node it is on, which was reached.
        device: the device.
        seen: what is remembered of it; None of a device that is new.
        rules: from where on something counts.
        now_s: epoch seconds.
    """
    if device.state is not DeviceState.OK:
        yield _state(device, now_s)
        yield from (Unknown(trouble, device.uuid) for trouble in _READ)
        return
    processes = [process for process in node.processes if process.device == device.uuid]
    yield from _ghost_busy(device, processes, rules)
    yield from _held_idle(node, device, processes, rules)
    yield from _throttled(device, rules)
    yield from _pcie(device, rules)
    yield from _nvlink_errors(device, seen, now_s)
    yield from _memory_errors(device)


def nvlink_findings(node: Node) -> Iterator[Finding]:
    """Devices with fewer links up than others of their model there: what is not wired is down on all of them."""
    up = {device.uuid: _links_up(device) for device in node.devices}
    for device in node.devices:
        own = up[device.uuid]
        if own is None:
            yield Unknown(Trouble.NVLINK_DOWN, device.uuid)
            continue
        alike = [other for other in node.devices if other.model == device.model and other.uuid != device.uuid]
        known = [count for count in (up[other.uuid] for other in alike) if count is not None]
        most = max(known, default=0)
        linked = sum(count > 0 for count in known)
        if own < most and (own > 0 or 2 * linked > len(known) + 1):
            down = ", ".join(str(link.index) for link in device.nvlinks if link.up is False)
            what = f"NVLinks {down} are down: {own} are up, {most} on others of the node"
            advice = "reset the GPUs of the node; if it comes back, look at bridges, cables and switches"
            yield Sign(Trouble.NVLINK_DOWN, Severity.ERROR, device.uuid, what, advice)


def _links_up(device: Device) -> int | None:
    """How many of its links are up; None when one of them is not known."""
    if device.state is not DeviceState.OK or "nvlinks" in device.unavailable:
        return None
    told = [link.up for link in device.nvlinks]
    return None if None in told else told.count(True)


def in_use(device: Device) -> float | None:
    """The most that its readings say of its use, 0..1; None when none of them is known."""
    told = [ratio for ratio in (device.gpu_utilization_ratio, device.activity.sm_active_ratio) if ratio is not None]
    return max(told, default=None)


def _state(device: Device, now_s: float) -> Sign:
    severity, what, advice = _STATES[device.state]
    reason = device.reason or ""
    found = _SINCE.search(reason)
    if device.state is DeviceState.HUNG:
        since_s = now_s - int(found[1]) if found else None
        return Sign(Trouble.DEVICE_STATE, severity, device.uuid, f"{device.state}: {what}", advice, since_s=since_s)
    said = f" ({reason})" if reason else ""
    return Sign(Trouble.DEVICE_STATE, severity, device.uuid, f"{device.state}: {what}{said}", advice, moving=True)


def _ghost_busy(device: Device, processes: Sequence[Process], rules: HealthRules) -> Iterator[Finding]:
    used = device.gpu_utilization_ratio
    if used is None or "processes" in device.unavailable:
        yield Unknown(Trouble.GHOST_BUSY, device.uuid)
    elif used >= BUSY_RATIO and not processes:
        yield Sign(
            Trouble.GHOST_BUSY,
            Severity.WARNING,
            device.uuid,
            "the GPU is busy, and no process is on it",
            "a program may have died inside the driver: reset the GPU if it stays so",
            after_s=rules.ghost_busy_after_s,
        )


def _held_idle(node: Node, device: Device, processes: Sequence[Process], rules: HealthRules) -> Iterator[Finding]:
    """Held and not used: by work that it is allocated to, else by whoever has memory on it. Not in MIG mode."""
    holders = sorted({claim.workload for claim in node.claims if claim.device == device.uuid})
    trouble = Trouble.ALLOCATED_IDLE if holders else Trouble.MEMORY_IDLE
    used = in_use(device)
    if used is None or device.mig_enabled or (not holders and "processes" in device.unavailable):
        yield Unknown(trouble, device.uuid)
        return
    if used > IDLE_RATIO:
        return
    if holders:
        what = f"allocated to {_named(holders)}, and not used"
        advice = "ask the owner; `gpualloc release` gives it back"
    elif sum(process.gpu_memory_used_mib or 0 for process in processes) >= rules.held_memory_mib:
        who = sorted({f"{process.user or 'somebody'} (pid {process.pid})" for process in processes})
        what = f"{_named(who)} {'holds' if len(who) == 1 else 'hold'} memory on it, and it is not used"
        advice = "ask the owner to end what is not needed"
    else:
        return
    yield Sign(trouble, Severity.WARNING, device.uuid, what, advice, after_s=rules.idle_after_s)


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _throttled(device: Device, rules: HealthRules) -> Iterator[Finding]:
    """Heat, brakes and hardware slowdown; a power cap only below the board's own limit: there it is normal."""
    if device.throttles is None:
        yield Unknown(Trouble.THROTTLED, device.uuid)
        return
    limit_w, default_w = device.power_limit_w, device.power_limit_default_w
    if slowed := [throttle.value for throttle in _SLOWED if throttle in device.throttles]:
        severity, what = Severity.WARNING, f"its clocks are held down: {', '.join(slowed)}"
        advice = "look at the cooling and the power supply of the node"
    elif Throttle.POWER_CAP in device.throttles and limit_w and default_w and limit_w < default_w:
        severity, what = Severity.INFO, f"its clocks are held down by a power limit of {limit_w:.0f} W"
        advice = f"by default the limit is {default_w:.0f} W"
    else:
        return
    yield Sign(Trouble.THROTTLED, severity, device.uuid, what, advice, after_s=rules.throttled_after_s)


def _pcie(device: Device, rules: HealthRules) -> Iterator[Finding]:
    """Fewer lanes than there could be; or a slower generation, which counts only while the GPU works."""
    pcie = device.pcie
    narrow = None if None in (pcie.width, pcie.width_max) else (pcie.width or 0) < (pcie.width_max or 0)
    slow = (
        None if None in (pcie.generation, pcie.generation_max) else (pcie.generation or 0) < (pcie.generation_max or 0)
    )
    advice = "seat the board and its riser again; look at the slot"
    if narrow:
        what = f"its PCIe link has {pcie.width} lanes instead of {pcie.width_max}"
        yield Sign(Trouble.PCIE_DEGRADED, Severity.WARNING, device.uuid, what, advice)
    elif slow and (in_use(device) or 0.0) >= BUSY_RATIO:
        what = f"its PCIe link runs at generation {pcie.generation} instead of {pcie.generation_max} while it works"
        after_s = rules.throttled_after_s
        yield Sign(Trouble.PCIE_DEGRADED, Severity.WARNING, device.uuid, what, advice, after_s=after_s)
    elif narrow is None or slow or slow is None:
        yield Unknown(Trouble.PCIE_DEGRADED, device.uuid)


def _nvlink_errors(device: Device, seen: SeenDevice | None, now_s: float) -> Iterator[Finding]:
    grown_at_s = None if seen is None else seen.nvlink_errors_at_s
    if grown_at_s is not None and now_s - grown_at_s < NVLINK_CALM_S:
        what = "errors on its NVLinks are growing"
        advice = "look at `nvidia-smi nvlink -e`; reset the GPUs of the node, then look at bridges and cables"
        yield Sign(Trouble.NVLINK_ERRORS, Severity.WARNING, device.uuid, what, advice, since_s=grown_at_s)


def _memory_errors(device: Device) -> Iterator[Finding]:
    ecc = device.ecc
    if ecc.volatile_uncorrected is None:
        yield Unknown(Trouble.ECC_ERRORS, device.uuid)
    elif ecc.volatile_uncorrected:
        what = f"uncorrected memory errors since the driver was loaded: {ecc.volatile_uncorrected}"
        advice = "drain the GPU and reset it; exchange the board if they come back"
        yield Sign(Trouble.ECC_ERRORS, Severity.ERROR, device.uuid, what, advice)
    if ecc.remap_pending is None:
        yield Unknown(Trouble.REMAP_PENDING, device.uuid)
    elif ecc.remap_pending:
        what = "a faulty row of its memory waits for a reset to be replaced"
        yield Sign(Trouble.REMAP_PENDING, Severity.WARNING, device.uuid, what, "drain the GPU and reset it")
    if ecc.remap_failed is None:
        yield Unknown(Trouble.REMAP_FAILED, device.uuid)
    elif ecc.remap_failed:
        what = "a faulty row of its memory could not be replaced"
        advice = "drain the GPU, run the field diagnostics and exchange the board"
        yield Sign(Trouble.REMAP_FAILED, Severity.ERROR, device.uuid, what, advice)
