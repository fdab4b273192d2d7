"""Change the MIG instances of a device."""

from __future__ import annotations

from gpualloc.engine.apply import apply, failure
from gpualloc.engine.chain import OnStep
from gpualloc.engine.devices import find_device
from gpualloc.engine.mig import Wish, layout_of_device, layout_plan
from gpualloc.engine.observe import observe
from gpualloc.errors import UsageError
from gpualloc.model.mig import layout_text, parse_target
from gpualloc.model.plan import StepKind
from gpualloc.tui.actions.action import Answers, Ask, Change, DeviceTarget, Scene, Targets
from gpualloc.tui.actions.planned import plan_lines, report_of
from gpualloc.tui.actions.told import answered, simulated_mark
from gpualloc.tui.state import State
from gpualloc.tui.text import plain

_OFF = "off"
_DRAIN = Ask("drain", "work in the way", "forbids it", choices=("forbids it", "gives way"))


def mig_asks(state: State, targets: Targets) -> tuple[Ask, ...]:
    """The layout, as it is now, and what becomes of work in the way."""
    (target,) = targets
    assert isinstance(target, DeviceTarget)
    device = state.device(target.node, target.uuid)
    now = layout_of_device(device) if device is not None else None
    is_off = device is not None and device.mig_enabled is False
    text = layout_text(now) if now is not None else _OFF if is_off else ""
    return (
        Ask("layout", "instances", text, "none; or such as 3g.40gb@0,2g.20gb@4; or off: MIG mode off", known=(_OFF,)),
        _DRAIN,
    )


def mig(scene: Scene, targets: Targets, answers: Answers) -> Change:
    """Plan another layout.

    Raises:
        UsageError: a layout that the device cannot have, or has already.
        InfeasibleError: something in use would have to go, or the node is not ours to change.
        NotFoundError: the device does not answer.
    """
    (target,) = targets
    assert isinstance(target, DeviceTarget)
    ctx, text = scene.ctx, answers["layout"].strip()
    drain = answers.get("drain") == _DRAIN.choices[1]
    layout = answered("layout", parse_target, text)
    snapshot = observe(ctx, [target.node])
    plan = layout_plan(ctx, [Wish(*find_device(snapshot, target.uuid), layout)], snapshot, drain=drain)
    if not plan.applyable:
        raise UsageError("--layout: the device has it already")

    def do(on_step: OnStep) -> tuple[str, ...]:
        ctx.journal.save_plan(plan)
        report = apply(ctx, plan, on_step=on_step)
        error = failure(report)
        if error is not None:
            raise error
        return (f"{where} has its instances: {report_of(report)}{simulated_mark(ctx.simulated)}",)

    where = f"{plain(target.node)} GPU {target.index}"
    kinds = {step.kind for step in plan.steps}
    ends = bool(kinds & {StepKind.STOP, StepKind.SUSPEND})
    warning = "Work in the way is stopped or suspended first." if ends else None
    if warning is None and StepKind.MIG_DESTROY in kinds:
        warning = "Instances are destroyed."
    flags = ("--drain",) if drain else ()
    return Change(
        f"MIG instances of {where}",
        plan_lines(plan, scene.state),
        (("mig", "apply", "--device", target.uuid, "--layout", text, *flags),),
        do,
        warning,
        grave=ends or bool(kinds & {StepKind.MIG_DESTROY, StepKind.MIG_MODE}),
    )
