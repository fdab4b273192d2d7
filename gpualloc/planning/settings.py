"""Power limit, clocks, compute mode and persistence of devices: what to set, and what to give back. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.errors import InfeasibleError, UsageError
from gpualloc.model.desired import NOTHING_SET, ComputeMode, DesiredDevice, DeviceSettings
from gpualloc.model.inventory import Device, Node
from gpualloc.model.plan import BlastRadius, Step, StepKind, StepReason

_NOT_LOCKED = DeviceSettings(sm_clock_min_mhz=0, sm_clock_max_mhz=0)
_MAX_MHZ = 20_000
_POWER_SLACK_W = 1.0


class SettingsChange(Struct, frozen=True):
    """What an operator wants of devices; None is not touched."""

    settings: DeviceSettings = NOTHING_SET
    power_default: bool = False
    """The power limit that the device has by itself, whatever that is."""
    release: bool = False
    """Give back everything that gpualloc set."""


def settings_for(node: Node, device: Device, change: SettingsChange) -> DeviceSettings:
    """The settings that the change means on this device.

    Raises:
        UsageError: a power limit is out of the device's range.
        InfeasibleError: the device tells no power limit, so that none can be set or given back.
    """
    wanted = change.settings
    where = f"{node.name}: GPU {device.index} ({device.model})"
    if change.power_default:
        if device.power_limit_default_w is None:
            raise InfeasibleError(f"{where} does not tell its default power limit", node=node.name)
        return replace(wanted, power_limit_w=device.power_limit_default_w)
    if wanted.power_limit_w is None:
        return wanted
    low, high = device.power_limit_min_w, device.power_limit_max_w
    if low is None or high is None:
        raise InfeasibleError(f"{where} has no power limit that could be set", node=node.name)
    if not low <= wanted.power_limit_w <= high:
        raise UsageError(f"{where} takes a power limit of {low:g} to {high:g} W, not {wanted.power_limit_w:g} W")
    return wanted


def has(settings: DeviceSettings, wanted: DeviceSettings) -> bool:
    """Whether everything wanted is set; a power limit is told with less than a watt of slack."""
    for name in DeviceSettings.__struct_fields__:
        value, found = getattr(wanted, name), getattr(settings, name)
        if value is None:
            continue
        if isinstance(value, float) and found is not None and abs(value - found) <= _POWER_SLACK_W:
            continue
        if found != value:
            return False
    return True


def given_back(device: Device, known: DesiredDevice) -> DeviceSettings:
    """What a device had before gpualloc set anything; what is not known of that, as a freshly loaded driver has it."""
    fresh = replace(
        _NOT_LOCKED, power_limit_w=device.power_limit_default_w, compute_mode=ComputeMode.DEFAULT, persistence=None
    )
    values = {}
    for name in DeviceSettings.__struct_fields__:
        if getattr(known.settings, name) is not None:
            before = getattr(known.before, name)
            values[name] = getattr(fresh, name) if before is None else before
    return DeviceSettings(**values)


def set_step(node: Node, device: Device, wanted: DeviceSettings, reason: StepReason, detail: str) -> Step:
    """The step that sets this on the device, with what it takes back to; who runs there notices."""
    told = [name for name in DeviceSettings.__struct_fields__ if getattr(wanted, name) is not None]
    there = device.settings
    if there.power_limit_w is None:
        there = replace(there, power_limit_w=device.power_limit_w)
    owners = [claim.workload for claim in node.claims if claim.device == device.uuid]
    users = [process.user for process in node.processes if process.device == device.uuid and process.user]
    return Step(
        seq=1,
        kind=StepKind.SET,
        node=node.name,
        workload=None,
        target=f"GPU {device.index} ({device.model}): {settings_text(wanted)}",
        reason=reason,
        detail=detail,
        allocation=None,
        attempt=0,
        revision=0,
        blast_radius=BlastRadius(tuple(dict.fromkeys(owners)), tuple(dict.fromkeys(users))),
        device=device.uuid,
        wanted=wanted,
        before=DeviceSettings(**{name: getattr(there, name) for name in told}),
    )


def settings_text(settings: DeviceSettings) -> str:
    """Settings in words, such as `250 W, clocks 210-1410 MHz`; empty when nothing is told."""
    parts = []
    if settings.power_limit_w is not None:
        parts.append(f"{settings.power_limit_w:g} W")
    if settings.sm_clock_max_mhz == 0:
        parts.append("clocks not locked")
    elif settings.sm_clock_max_mhz is not None:
        parts.append(f"clocks {settings.sm_clock_min_mhz}-{settings.sm_clock_max_mhz} MHz")
    if settings.compute_mode is not None:
        parts.append(f"compute mode {settings.compute_mode.value}")
    if settings.persistence is not None:
        parts.append(f"persistence {'on' if settings.persistence else 'off'}")
    return ", ".join(parts)


def parse_clocks(text: str) -> tuple[int, int]:
    """`210-1410`, `1410` (both ends) or `reset` (0, 0: not locked), in MHz.

    Raises:
        UsageError: it is none of these.
    """
    if text == "reset":
        return 0, 0
    low, _, high = text.partition("-")
    if not (low.isdecimal() and (high or low).isdecimal()):
        raise UsageError(f"--clocks {text!r} is not a range", hint="write it in MHz: --clocks 210-1410, or reset")
    ends = int(low), int(high or low)
    if not 0 < ends[0] <= ends[1] <= _MAX_MHZ:
        raise UsageError(f"--clocks {text!r}: the lower end comes first, and both are 1 to {_MAX_MHZ} MHz")
    return ends


def parse_power_w(text: str) -> float:
    """`250W` or `250`, in watts.

    Raises:
        UsageError: it is no positive number of watts.
    """
    number = text.strip().removesuffix("W").removesuffix("w").strip()
    try:
        watts = float(number)
    except ValueError:
        watts = 0.0
    if not 0 < watts < 100_000:
        raise UsageError(f"--power {text!r} is not a power", hint="write it in watts: --power 250W, or default")
    return watts


def numbered(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps numbered from 1 in their order, each by itself."""
    return tuple(replace(step, seq=seq) for seq, step in enumerate(steps, start=1))
