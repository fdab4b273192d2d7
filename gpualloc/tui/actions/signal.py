"""Send a signal to processes."""

from __future__ import annotations

from gpualloc.engine.chain import OnStep
from gpualloc.engine.signalling import Chosen, address, send
from gpualloc.model.signals import ProcessSignal, parse_signal
from gpualloc.planning.signalling import Addressee
from gpualloc.tui.actions.action import Answers, Ask, Change, ProcessTarget, Scene, Targets
from gpualloc.tui.actions.told import answered, simulated_mark
from gpualloc.tui.cells import Cell, Role, Span
from gpualloc.tui.state import State
from gpualloc.tui.text import plain
from gpualloc.views.look import Look
from gpualloc.views.signals import delivery_line, gpus_text
from gpualloc.views.text import plural

_HARMLESS = (ProcessSignal.CONT, ProcessSignal.HUP, ProcessSignal.USR1, ProcessSignal.USR2)
_WARNINGS = {
    ProcessSignal.KILL: "They end at once and save nothing. Processes below them are left.",
    ProcessSignal.STOP: "They stand still and keep their GPU memory until they get CONT.",
}
_USUAL_WARNING = "They may end. Processes below them get no signal."


def signal_asks(_: State, __: Targets) -> tuple[Ask, ...]:
    """Which one."""
    return (Ask("signal", "signal", "TERM", choices=tuple(signal.value for signal in ProcessSignal)),)


def signal(scene: Scene, targets: Targets, answers: Answers) -> Change:
    """Look who would get it: exactly the processes that were shown, or none where another has its number now.

    Raises:
        NotFoundError: a process ended, or is another one by now.
        UsageError: a process is the system's own, or work that may not get this signal.
        UnreachableError: a node does not answer.
        InfeasibleError: gpualloc may not change a node.
    """
    ctx = scene.ctx
    wanted = answered("signal", parse_signal, answers["signal"])
    chosen = [Chosen(one.node, one.pid, one.started_at_s) for one in targets if isinstance(one, ProcessTarget)]
    order = address(ctx, wanted, chosen)

    def do(on_step: OnStep) -> tuple[str, ...]:
        sent = send(ctx, order, on_step=on_step)
        if sent.error is not None:
            raise sent.error
        lines = tuple(delivery_line(one.to, one.state, Look()) for one in sent.deliveries)
        mark = simulated_mark(ctx.simulated)
        count = plural(len(lines), "process", "processes")
        return (f"{lines[0]}{mark}",) if len(lines) == 1 else (f"{wanted.value} sent to {count}{mark}", *lines)

    nodes: dict[str, list[str]] = {}
    for one in order.to:
        nodes.setdefault(one.node, []).append(str(one.pid))
    return Change(
        f"Send {wanted.value} to {plural(len(order.to), 'process', 'processes')}",
        tuple(_line(one) for one in order.to),
        tuple(("signal", node, *pids, "--signal", wanted.value) for node, pids in nodes.items()),
        do,
        None if wanted in _HARMLESS else _WARNINGS.get(wanted, _USUAL_WARNING),
        grave=wanted not in _HARMLESS,
    )


def _line(to: Addressee) -> Cell:
    user, command = plain(to.user or "unknown user", 40), plain(to.command or "unknown command", 120)
    whose = f", of workload {to.workload}" if to.workload else ""
    below = f", {plural(to.below, 'process', 'processes')} below it" if to.below else ""
    return (
        Span(f"{plain(to.node)} pid {to.pid} ", Role.NAME),
        Span(f"of {user} on GPU {gpus_text(to)}{whose}{below}: {command}"),
    )
