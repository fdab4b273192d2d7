"""What a step makes of what its device is meant to be. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from gpualloc.model.desired import DesiredDevice, DeviceSettings
from gpualloc.model.plan import Step, StepKind, StepReason

CAPPING = (StepReason.BUDGET, StepReason.TROUGH)
"""Reasons for which a power limit is lowered for a while."""
MIG_OFF = "off"
"""Layout of a device whose MIG mode is off."""


def desired_after(current: DesiredDevice | None, step: Step, at_s: float) -> DesiredDevice:
    """The device once the step is done: its layout, and its settings merged; what it had before we came is kept.

    A repair changes nothing of what it is meant to be, and a cap for the budget of its pool or for a trough is kept
    by itself.

    Args:
        current: what it was meant to be so far; None when gpualloc never decided anything about it.
        step: a step about a device.
        at_s: when, epoch seconds.
    """
    if current is not None and step.reason is StepReason.REPAIR:
        return current
    device = current or _undecided(step)
    wanted, before = step.wanted or DeviceSettings(), step.before or DeviceSettings()
    if step.reason in CAPPING:
        return _capped(replace(device, at_s=at_s), before.power_limit_w, wanted.power_limit_w)
    own_power = wanted.power_limit_w is not None
    return replace(
        device,
        cap_w=None if own_power else device.cap_w,
        uncapped_w=None if own_power else device.uncapped_w,
        layout=device.layout if step.layout is None else step.layout,
        settings=_merged(device.settings, wanted),
        before=_merged(_only(before, wanted), device.before),
        at_s=at_s,
        automatic=_automatic(device, step),
        made=_made(device, step),
    )


def desired_before(current: DesiredDevice | None, step: Step, at_s: float) -> DesiredDevice:
    """The device once the step was taken back: the layout without it, and of its settings what they were before.

    A setting that the step was the first to change is no longer ours.
    """
    device = current or _undecided(step)
    wanted, before = step.wanted or DeviceSettings(), step.before or DeviceSettings()
    if step.reason in CAPPING:
        return _capped(replace(device, at_s=at_s), wanted.power_limit_w, before.power_limit_w)
    settings, kept = {}, {}
    for name in _names(wanted):
        first = getattr(device.before, name) in (None, getattr(before, name))
        settings[name] = None if first else getattr(before, name)
        kept[name] = None if first else getattr(device.before, name)
    return replace(
        device,
        layout=device.layout if step.layout is None else layout_before(step, step.layout),
        settings=replace(device.settings, **settings),
        before=replace(device.before, **kept),
        at_s=at_s,
        made=tuple(place for place in device.made if place != step.place),
    )


def _capped(device: DesiredDevice, from_w: float | None, to_w: float | None) -> DesiredDevice:
    """The device after its limit went from one value to another for the budget of its pool, or for a trough."""
    uncapped_w = from_w if device.uncapped_w is None else device.uncapped_w
    lifted = to_w is None or to_w == device.uncapped_w
    return replace(device, cap_w=None if lifted else to_w, uncapped_w=None if lifted else uncapped_w)


def _automatic(device: DesiredDevice, step: Step) -> bool:
    """Whether the MIG mode is one that waiting work needed."""
    if step.kind is not StepKind.MIG_MODE:
        return device.automatic
    return step.reason is StepReason.REPARTITION and step.mig_enabled is True


def _made(device: DesiredDevice, step: Step) -> tuple[str, ...]:
    if step.place is None:
        return device.made
    others = tuple(place for place in device.made if place != step.place)
    ours = step.kind is StepKind.MIG_CREATE and step.reason in (StepReason.REPARTITION, StepReason.AHEAD)
    return (*others, step.place) if ours else others


def _undecided(step: Step) -> DesiredDevice:
    return DesiredDevice(step.node, step.device or "", None)


def layout_before(step: Step, layout: str) -> str:
    """The layout that a step with this layout began with."""
    places = [place for place in layout.split(",") if place and place != MIG_OFF]
    if step.kind is StepKind.MIG_MODE:
        return MIG_OFF if step.mig_enabled else ""
    if step.kind is StepKind.MIG_CREATE:
        places = [place for place in places if place != step.place]
    elif step.place is not None:
        places = sorted([*places, step.place], key=_start)
    return ",".join(places)


def _start(place: str) -> int:
    start = place.partition("@")[2]
    return int(start) if start.isdigit() else 0


def _merged(under: DeviceSettings, over: DeviceSettings) -> DeviceSettings:
    """`over`, and where it tells nothing `under`."""
    return replace(under, **{name: getattr(over, name) for name in _names(over)})


def _only(settings: DeviceSettings, like: DeviceSettings) -> DeviceSettings:
    """The settings that the other one tells too."""
    return replace(DeviceSettings(), **{name: getattr(settings, name) for name in _names(like)})


def _names(settings: DeviceSettings) -> list[str]:
    """Names of the settings that are told."""
    return [name for name in settings.__struct_fields__ if getattr(settings, name) is not None]
