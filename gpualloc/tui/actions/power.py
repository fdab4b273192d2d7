"""Set the power limit of devices."""

from __future__ import annotations

from gpualloc.engine.apply import failure
from gpualloc.engine.chain import OnStep
from gpualloc.engine.settings import carry_out, settings_plan
from gpualloc.errors import UsageError
from gpualloc.model.desired import DeviceSettings
from gpualloc.model.inventory import Device
from gpualloc.planning.settings import SettingsChange, parse_power_w
from gpualloc.tui.actions.action import Answers, Ask, Change, DeviceTarget, NodeTarget, Scene, Targets
from gpualloc.tui.actions.planned import plan_lines, report_of
from gpualloc.tui.actions.told import answered, simulated_mark
from gpualloc.tui.state import State
from gpualloc.views.text import plural

_DEFAULT = "default"


def power_asks(state: State, targets: Targets) -> tuple[Ask, ...]:
    """How many watts."""
    devices = _devices(state, targets)
    ranges = {
        f"{one.power_limit_min_w:g} to {one.power_limit_max_w:g} W"
        for one in devices
        if one.power_limit_min_w is not None and one.power_limit_max_w is not None
    }
    now = {f"{one.power_limit_w:g}W" for one in devices if one.power_limit_w is not None}
    placeholder = f"{ranges.pop()}, or {_DEFAULT}" if len(ranges) == 1 else f"such as 250W, or {_DEFAULT}"
    return (Ask("power", "power limit", now.pop() if len(now) == 1 else "", placeholder, known=(_DEFAULT,)),)


def power(scene: Scene, targets: Targets, answers: Answers) -> Change:
    """Plan another power limit.

    Raises:
        UsageError: it is none, is out of a device's range, or every device has it.
        InfeasibleError: a node is only observed, or a device cannot be set so.
        UnreachableError: a node does not answer.
    """
    ctx, text = scene.ctx, answers["power"].strip()
    default = text == _DEFAULT
    wanted = DeviceSettings(power_limit_w=None if default else answered("power", parse_power_w, text))
    names = tuple(target.node if isinstance(target, NodeTarget) else _name(target) for target in targets)
    plan = settings_plan(ctx, names, None, SettingsChange(wanted, power_default=default))
    if not plan.applyable:
        raise UsageError("--power: the devices have that limit already")

    def do(on_step: OnStep) -> tuple[str, ...]:
        report = carry_out(ctx, plan, release=False, on_step=on_step)
        error = failure(report)
        if error is not None:
            raise error
        return (f"power limit set: {report_of(report)}{simulated_mark(ctx.simulated)}",)

    devices = len({step.device for step in plan.steps})
    return Change(
        f"Power limit of {plural(devices, 'GPU')}",
        plan_lines(plan, scene.state),
        (("set", *names, "--power", text),),
        do,
        "Work there runs slower under a lower limit." if not default else None,
    )


def _name(target: object) -> str:
    assert isinstance(target, DeviceTarget)
    return target.uuid


def _devices(state: State, targets: Targets) -> list[Device]:
    found: list[Device] = []
    for target in targets:
        if isinstance(target, DeviceTarget):
            device = state.device(target.node, target.uuid)
            found += [device] if device is not None else []
        elif isinstance(target, NodeTarget) and target.node in state.nodes:
            found += state.nodes[target.node].devices
    return found
