"""The step `signal` on a simulated node."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from gpualloc.model.signals import ProcessState
from gpualloc.node.wire import WORK_SIGNALS, Refused
from gpualloc.sim.adopting import strangers
from gpualloc.sim.host import HANDLERS, SimulatedHost

_KEPT = 50
"""So many orders are remembered, the newest."""


class Signalling:
    """Sends signals, each once: what ends programs ends these, and they do nothing on HUP, USR1 and USR2."""

    def preflight(self, host: SimulatedHost, step: dict[str, Any]) -> None:
        """Refuse a process that is not there or another one, and what work may not get."""
        pid, name = step["process"]["pid"], step["process"]["signal"]
        _, process = strangers(host, pid, step["process"]["started_at_s"])[0]
        if process.workload is not None and name not in WORK_SIGNALS:
            raise Refused(
                "claimed", f"process {pid} belongs to workload {process.workload}, which its keeper ends or stops"
            )

    def do(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Let the process be gone, stand still or go on."""
        order = _order(step)
        if order not in host.signals:
            self.preflight(host, step)
            state = _sent(host, step["process"]["pid"], step["process"]["signal"])
            host.signals = dict([*host.signals.items(), (order, state)][-_KEPT:])
        return {"state": host.signals[order]}

    def verify(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Whether it was sent."""
        state = host.signals.get(_order(step))
        return {"holds": False} if state is None else {"holds": True, "state": state}

    def undo(self, _host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Refuse: what was sent was sent."""
        raise Refused("bad-request", f"a signal to process {step['process']['pid']} cannot be taken back")


def _order(step: dict[str, Any]) -> str:
    return f"{step['controller']}-{step['order']}"


def _sent(host: SimulatedHost, pid: int, name: str) -> str:
    """Let the signal act; how the process stands after it."""
    state = ProcessState.RUNNING
    for gpu in host.gpus:
        others = [process for process in gpu.processes if process.pid != pid]
        for process in gpu.processes:
            if process.pid == pid:
                stopped = name == "STOP" or (process.stopped and name != "CONT")
                state = _state(name, stopped=stopped)
                left = [] if state is ProcessState.GONE else [replace(process, stopped=stopped)]
                gpu.processes = [*others, *left]
    return state.value


def _state(name: str, *, stopped: bool) -> ProcessState:
    """How a process stands after the signal; one that stands still does nothing on most."""
    if name == "KILL" or (name in ("TERM", "INT", "QUIT") and not stopped):
        return ProcessState.GONE
    return ProcessState.STOPPED if stopped else ProcessState.RUNNING


HANDLERS["signal"] = Signalling()
