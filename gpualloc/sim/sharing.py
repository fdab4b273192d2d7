"""The steps `mps-start` and `mps-stop` on a simulated node: a daemon for each account on each device."""

from __future__ import annotations

from typing import Any

from gpualloc.node.wire import Refused
from gpualloc.sim.host import HANDLERS, SimulatedHost

_VERSION = "580"


class MpsSteps:
    """Writes down which workloads need the daemon of a device; one that nobody needs is not there."""

    def preflight(self, host: SimulatedHost, step: dict[str, Any]) -> None:
        """Refuse more than one device for one process."""
        if len(_devices(step)) > 1:
            raise Refused("not-supported", "a process reaches one MPS daemon, and each device has its own")
        for device in _devices(step):
            host.gpu(device)

    def do(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Let the workload need the daemon, or need it no more."""
        if step["kind"] == "mps-stop":
            host.mps.pop(step["workload"], None)
            return {}
        self.preflight(host, step)
        host.mps[step["workload"]] = _devices(step)
        return self._facts(step)

    def verify(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Whether the workload needs the daemon."""
        known = step["workload"] in host.mps
        if step["kind"] == "mps-stop":
            return {"holds": not known}
        return {"holds": known, **self._facts(step)}

    def undo(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """The workload needs the daemon no more."""
        host.mps.pop(step["workload"], None)
        return {}

    @staticmethod
    def _facts(step: dict[str, Any]) -> dict[str, Any]:
        return {
            "daemons": [
                {"pipe_directory": f"simulated/{device}", "version": _VERSION, "clients": []}
                for device in _devices(step)
            ]
        }


def _devices(step: dict[str, Any]) -> list[str]:
    return [grant["device"] for grant in step["grants"] if grant["share"] == "mps"]


HANDLERS.update({"mps-start": MpsSteps(), "mps-stop": MpsSteps()})
