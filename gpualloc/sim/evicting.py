"""The step `evict` on a simulated node."""

from __future__ import annotations

from typing import Any

from gpualloc.node.wire import Refused
from gpualloc.sim.adopting import strangers
from gpualloc.sim.host import HANDLERS, SimulatedHost


class Evicting:
    """Ends processes on devices that they were not given."""

    def preflight(self, host: SimulatedHost, step: dict[str, Any]) -> None:
        """Refuse a process that is not on the device, and suspension, which needs a workload here."""
        pid = step["process"]["pid"]
        if step["process"]["action"] != "terminate":
            raise Refused("not-supported", f"a simulated node cannot suspend process {pid}: it is no workload")
        on = {gpu.uuid for gpu, _ in strangers(host, pid, step["process"]["started_at_s"])}
        if step["device"] not in on:
            raise Refused("gone", f"process {pid} is not on device {step['device']} any more")

    def do(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Let the process be gone from every GPU."""
        if not self._gone(host, step):
            self.preflight(host, step)
            for gpu in host.gpus:
                gpu.processes = [process for process in gpu.processes if process.pid != step["process"]["pid"]]
        return {"state": "terminated"}

    def verify(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Whether that process is gone."""
        gone = self._gone(host, step)
        return {"holds": gone, "state": "terminated" if gone else "running"}

    def undo(self, _host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Refuse: nothing gives a process back."""
        raise Refused("bad-request", f"process {step['process']['pid']} cannot be brought back")

    def _gone(self, host: SimulatedHost, step: dict[str, Any]) -> bool:
        try:
            strangers(host, step["process"]["pid"], step["process"]["started_at_s"])
        except Refused:
            return True
        return False


HANDLERS["evict"] = Evicting()
