"""The step `resize` on a simulated node. Nothing is executed: the command goes as `sim.command` says."""

from __future__ import annotations

from typing import Any

from gpualloc.node import claims
from gpualloc.node.wire import Refused
from gpualloc.sim.command import behaviour, is_missing, shown
from gpualloc.sim.host import HANDLERS, SimulatedHost
from gpualloc.sim.work import HostedWork

_SECONDS = 1.0
"""How long a resize takes; the virtual clock does not move meanwhile."""


class Resizing:
    """Lets a workload use other devices of its node."""

    def preflight(self, host: SimulatedHost, step: dict[str, Any]) -> None:
        """Refuse what can be known to be refused."""
        work = _work(host, step)
        if not _in_force(host, step):
            _check(host, work, step)

    def do(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Tell the work, which then uses what it has from now on."""
        self.preflight(host, step)
        work = _work(host, step)
        if not _in_force(host, step):
            _check_command(host, step)
            _change(host, work, step)
        return {"devices": _devices(step), "seconds": _SECONDS}

    def verify(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Whether it has exactly the devices of the step."""
        if not _runs(host, step):
            return {"holds": False, "devices": []}
        return {"holds": _in_force(host, step), "devices": [claim["device"] for claim in _own(host, step)]}

    def undo(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Resize it back to what it had before; what has ended is left alone."""
        if not _runs(host, step):
            return {}
        whole = {"mig_instance": None, "place": None, "share": "exclusive", "fraction": 1.0, "memory_mib": None}
        grants = [{**whole, "device": device} for device in step["devices_before"]]
        return self.do(host, {**step, "grants": grants, "devices_before": _devices(step)})


def _runs(host: SimulatedHost, step: dict[str, Any]) -> bool:
    work = host.work.get(step["workload"])
    return work is not None and work.end is None and work.attempt == step["attempt"]


def _work(host: SimulatedHost, step: dict[str, Any]) -> HostedWork:
    if not _runs(host, step):
        raise Refused("gone", f"start {step['attempt']} of {step['workload']} does not run on {host.spec.name}")
    return host.work[step["workload"]]


def _claims(host: SimulatedHost) -> list[dict[str, Any]]:
    return claims.alive(host.ledger.claims(), host.records())


def _own(host: SimulatedHost, step: dict[str, Any]) -> list[dict[str, Any]]:
    return [claim for claim in _claims(host) if claim["workload"] == step["workload"]]


def _in_force(host: SimulatedHost, step: dict[str, Any]) -> bool:
    return claims.in_force(step, _claims(host))


def _check(host: SimulatedHost, work: HostedWork, step: dict[str, Any]) -> None:
    if work.suspended_at_s is not None:
        raise Refused("busy", "it stands still, and cannot be told of other devices")
    had = {claim["device"] for claim in _own(host, step)}
    if had != set(step["devices_before"]):
        raise Refused("claimed", f"it has {', '.join(sorted(had)) or 'none'}, not what it was to be resized from")
    added = [grant for grant in step["grants"] if grant["device"] not in had]
    found = host.processes()["processes"]
    claims.check({**step, "grants": added}, _claims(host), host.inventory(), host.sample(), found)


def _check_command(host: SimulatedHost, step: dict[str, Any]) -> None:
    if is_missing(step["command"][0]):
        raise Refused("no-command", f"its resize command: {step['command'][0]!r} does not exist on {host.spec.name}")
    ends = behaviour(tuple(step["command"]))
    if (ends.duration_s or 0.0) > step["grace_s"]:
        raise Refused("failed", f"its resize command took longer than {step['grace_s']:g} s and was ended")
    if ends.exit_code:
        raise Refused("failed", f"its resize command ended with exit code {ends.exit_code}: {shown(step['command'])}")


def _change(host: SimulatedHost, work: HostedWork, step: dict[str, Any]) -> None:
    own = {claim["device"]: claim for claim in _own(host, step)}
    made = {claim["device"]: claim for claim in claims.made(step, host.now_s)}
    host.ledger.add_claims([own.get(device, claim) for device, claim in made.items()])
    for gpu in host.gpus:
        if gpu.uuid not in made:
            gpu.processes = [process for process in gpu.processes if process.workload != work.workload]
    host.use_gpus(work, [grant for grant in step["grants"] if grant["device"] not in own])


def _devices(step: dict[str, Any]) -> list[str]:
    return [grant["device"] for grant in step["grants"]]


HANDLERS["resize"] = Resizing()
