"""The steps `mig-mode`, `mig-create` and `mig-destroy` on a simulated node; they refuse what a real one refuses."""

from __future__ import annotations

from typing import Any

from gpualloc.node.wire import Refused
from gpualloc.sim.gpu import GpuModel, GpuRefusal, Instance
from gpualloc.sim.host import HANDLERS, SimulatedHost

REASONS = {
    "not supported": "not-supported",
    "invalid argument": "bad-request",
    "insufficient resources": "failed",
    "in use": "in-use",
    "not found": "gone",
}
"""What a GPU's refusal is on the wire."""


class MigModeSteps:
    """MIG mode on or off; an idle GPU without instances changes at once."""

    def preflight(self, host: SimulatedHost, step: dict[str, Any]) -> None:
        """Refuse a GPU without MIG, one that is used or given away, and one that still has instances."""
        gpu = healthy(host, step)
        if not gpu.kind.has_mig or gpu.kind.mig is None:
            raise Refused("not-supported", f"{gpu.kind.product} has no MIG mode that can be simulated")
        if gpu.mig_enabled == step["mig_enabled"]:
            return
        _check_unused(gpu, None)
        _check_unclaimed(host, gpu, None)
        if gpu.instances:
            lying = ", ".join(map(_place, gpu.instances))
            raise Refused("in-use", f"GPU {gpu.index} of {host.spec.name} still has {lying}")

    def do(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Bring the mode about, unless it is in force."""
        self.preflight(host, step)
        gpu = host.gpu(step["device"])
        gpu.set_mig_mode(step["mig_enabled"])
        return _modes(gpu)

    def verify(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Holds when the mode is in force and no other one is pending."""
        modes = _modes(healthy(host, step))
        return {"holds": set(modes.values()) == {step["mig_enabled"]}, **modes}

    def undo(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Bring the other mode about."""
        return self.do(host, {**step, "mig_enabled": not step["mig_enabled"]})


class MigCreateSteps:
    """One instance at the place of the step."""

    def preflight(self, host: SimulatedHost, step: dict[str, Any]) -> None:
        """Refuse a place that the GPU does not have or that is taken."""
        gpu = healthy(host, step)
        if _at(gpu, step["place"]) is None:
            _make(GpuModel.from_plain(gpu.to_plain()), step["place"])

    def do(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Make the instance, or find it made."""
        gpu = healthy(host, step)
        found = _at(gpu, step["place"]) or _make(gpu, step["place"])
        if not found.complete:
            gpu.complete_instance(found.gi)
        return {"mig_instance": found.uuid, "place": step["place"]}

    def verify(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Holds when a whole instance lies there."""
        found = _at(healthy(host, step), step["place"])
        holds = found is not None and found.complete
        return {"holds": holds, "mig_instance": found.uuid if found and holds else None, "place": step["place"]}

    def undo(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Remove what lies there."""
        return MigDestroySteps().do(host, {**step, "mig_instance": None})


class MigDestroySteps:
    """What lies at the place of the step, unless it is used or given away."""

    def preflight(self, host: SimulatedHost, step: dict[str, Any]) -> None:
        """Refuse an instance that is used, given away, or not the one that was named."""
        self._doomed(host, step)

    def do(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Remove the instance, or find it gone."""
        found = self._doomed(host, step)
        if found is not None:
            host.gpu(step["device"]).destroy_instance(found.uuid)
        return {}

    def verify(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Holds when nothing lies there."""
        return {"holds": _at(healthy(host, step), step["place"]) is None}

    def undo(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Make an empty instance there."""
        return MigCreateSteps().do(host, step)

    def _doomed(self, host: SimulatedHost, step: dict[str, Any]) -> Instance | None:
        gpu, named = healthy(host, step), step["mig_instance"]
        found = _at(gpu, step["place"])
        elsewhere = gpu.instance(named) if named is not None else None
        if named is not None and (found or elsewhere) and (found is None or found.uuid != named):
            raise Refused("gone", f"{named} does not lie at {step['place']} of GPU {gpu.index}")
        if found is not None:
            _check_unused(gpu, found.uuid)
            _check_unclaimed(host, gpu, found.uuid)
        return found


def healthy(host: SimulatedHost, step: dict[str, Any]) -> GpuModel:
    """The GPU of a step; refuses one that is not there or does not work."""
    gpu = host.gpu(step["device"])
    if gpu.index in host.faults:
        raise Refused("unhealthy", f"GPU {gpu.index} of {host.spec.name} does not work")
    return gpu


def _make(gpu: GpuModel, place: str) -> Instance:
    name, _, start = place.rpartition("@")
    profiles = gpu.kind.mig.profiles if gpu.kind.mig is not None else ()
    if all(profile.name != name or int(start) not in profile.starts for profile in profiles):
        raise Refused("bad-request", f"{gpu.kind.product} has no place {place} for a MIG instance")
    try:
        return gpu.create_instance(name, int(start))
    except GpuRefusal as refusal:
        raise Refused(REASONS[refusal.reason], str(refusal)) from refusal


def _at(gpu: GpuModel, place: str) -> Instance | None:
    return next((instance for instance in gpu.instances if _place(instance) == place), None)


def _place(instance: Instance) -> str:
    return f"{instance.profile.name}@{instance.start}"


def _modes(gpu: GpuModel) -> dict[str, Any]:
    return {"mig_enabled": gpu.mig_enabled, "mig_pending": gpu.mig_pending}


def _check_unused(gpu: GpuModel, instance: str | None) -> None:
    """Refuse when a process is on the instance, or with None anywhere on the GPU."""
    users = [process for process in gpu.processes if instance is None or process.instance == instance]
    if users:
        told = ", ".join(f"process {each.pid} of {each.user} ({each.command[:60]})" for each in users[:5])
        raise Refused("in-use", f"{instance or f'device {gpu.uuid}'} is used by {told}")


def _check_unclaimed(host: SimulatedHost, gpu: GpuModel, instance: str | None) -> None:
    ended = host.ended()
    for claim in host.ledger.claims():
        alive = (claim["workload"], claim["attempt"]) not in ended
        if alive and claim["device"] == gpu.uuid and instance in (None, claim["mig_instance"]):
            raise Refused("claimed", f"{instance or f'device {gpu.uuid}'} is given to workload {claim['workload']}")


HANDLERS.update({"mig-mode": MigModeSteps(), "mig-create": MigCreateSteps(), "mig-destroy": MigDestroySteps()})
