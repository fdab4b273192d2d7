"""The steps `adopt` and `let-go` on a simulated node."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from gpualloc.node.wire import Refused
from gpualloc.sim.gpu import GpuModel, GpuProcess
from gpualloc.sim.host import HANDLERS, SimulatedHost
from gpualloc.sim.work import HostedWork

_SAME_START_S = 0.25


class Adopting:
    """Takes strangers' processes in as work, and lets them go again."""

    def preflight(self, host: SimulatedHost, step: dict[str, Any]) -> None:
        """Refuse a process that is not there, is another one, belongs to another user, or is work already."""
        if step["kind"] != "adopt":
            return
        pid = step["process"]["pid"]
        for _, process in strangers(host, pid, step["process"]["started_at_s"]):
            if process.workload not in (None, step["workload"]):
                raise Refused("claimed", f"process {pid} belongs to workload {process.workload} already")
            if step["user"] not in (None, process.user):
                raise Refused("no-user", f"process {pid} belongs to {process.user}, not to {step['user']}")

    def do(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Let the process be the workload, or a stranger again."""
        if step["kind"] == "let-go":
            return self._let_go(host, step["workload"])
        work = host.work.get(step["workload"])
        if work is None or work.attempt != step["attempt"]:
            self.preflight(host, step)
            work = _adopted(host, step)
            host.work[work.workload] = work
            _give(host, work.pid, work.workload)
        return work.facts()

    def verify(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Whether it was taken in and not let go since, or let go."""
        work = host.work.get(step["workload"])
        if step["kind"] == "let-go":
            return {"holds": work is None or work.end is not None, "end": work.end if work else None}
        let_go = work is not None and work.end is not None and work.end["reason"] == "let-go"
        holds = work is not None and work.attempt == step["attempt"] and not let_go
        return {"holds": holds, **(work.facts() if work is not None and holds else {})}

    def undo(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Let the process go again."""
        return self._let_go(host, step["workload"])

    def _let_go(self, host: SimulatedHost, workload: str) -> dict[str, Any]:
        work = host.work.get(workload)
        if work is None:
            return {"end": None}
        if work.end is None:
            _give(host, work.pid, None)
            work.end = {"exit_code": 255, "signal": None, "oom": False, "at_s": host.now_s, "reason": "let-go"}
            host.groups.pop(workload, None)
            host.ledger.remove_claims(workload, up_to_attempt=work.attempt)
        return {"end": work.end}


def strangers(host: SimulatedHost, pid: int, started_at_s: float) -> list[tuple[GpuModel, GpuProcess]]:
    """The process of that identity on each GPU it uses; refuses as `gone` when it is another one or none."""
    found = [(gpu, process) for gpu in host.gpus for process in gpu.processes if process.pid == pid]
    if not found:
        raise Refused("gone", f"there is no process {pid}")
    if abs(found[0][1].started_at_s - started_at_s) > _SAME_START_S:
        raise Refused("gone", f"process {pid} is not the one that was named: it began at another time")
    return found


def _adopted(host: SimulatedHost, step: dict[str, Any]) -> HostedWork:
    _, process = strangers(host, step["process"]["pid"], step["process"]["started_at_s"])[0]
    return HostedWork(
        workload=step["workload"],
        controller=step["controller"],
        attempt=step["attempt"],
        pid=process.pid,
        user=process.user,
        command=(process.command,),
        started_at_s=process.started_at_s,
        at_most_s=None,
        visible="",
        held_by={
            "gpu": "booked" if step["grants"] else None,
            "cpu": "hard" if any(step[name] is not None for name in ("cpus", "cpuset", "cpu_weight")) else None,
            "memory": "hard" if step["memory_mib"] is not None else None,
            "pids": "hard" if step["pids"] is not None else None,
            "io": "hard" if step["io_weight"] is not None else None,
        },
        cpus=step["cpus"] or 1.0,
        memory_mib=step["memory_mib"] or 1024,
    )


def _give(host: SimulatedHost, pid: int, workload: str | None) -> None:
    for gpu in host.gpus:
        gpu.processes = [
            replace(process, workload=workload) if process.pid == pid else process for process in gpu.processes
        ]


_handler = Adopting()
HANDLERS.update({"adopt": _handler, "let-go": _handler})
