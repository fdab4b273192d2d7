"""The steps `suspend` and `resume` on a simulated node."""

from __future__ import annotations

from typing import Any

from gpualloc.node.wire import Refused
from gpualloc.sim.gpu import GpuModel, process_from_plain, process_to_plain
from gpualloc.sim.host import HANDLERS, SimulatedHost
from gpualloc.sim.work import HostedWork

_MARGIN = 1.1
"""Host memory needed for each byte of GPU memory, as on a real node."""
_MIB_PER_S = 4096
"""How fast GPU memory moves."""


class Suspending:
    """Parks the processes of a workload on the host, and brings them back."""

    def preflight(self, host: SimulatedHost, step: dict[str, Any]) -> None:
        """Refuse what `do` would refuse."""
        work = _work(host, step)
        if step["kind"] == "suspend":
            _check_suspend(host, work, step)
        else:
            _check_resume(host, work, step)

    def do(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Bring the workload to rest, or back on the devices of the step."""
        self.preflight(host, step)
        work = _work(host, step)
        if step["kind"] == "suspend":
            if work.suspended_at_s is None:
                _park(host, work, step)
            return _suspend_facts(work)
        seconds = _seconds(work)
        if work.suspended_at_s is not None:
            _bring_back(host, work, step)
        return {"seconds": seconds, "state": "running"}

    def verify(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Whether it is suspended, or runs."""
        work = host.work.get(step["workload"])
        if work is None or work.end is not None or work.attempt != step["attempt"]:
            return {"holds": step["kind"] == "resume", "state": None}
        if step["kind"] == "resume":
            return {"holds": work.suspended_at_s is None, "state": "running"}
        return {"holds": work.suspended_at_s is not None, **_suspend_facts(work)}

    def undo(self, host: SimulatedHost, step: dict[str, Any]) -> dict[str, Any]:
        """Do the other of the two; work that has ended is left alone.

        Devices that were given back meanwhile are claimed again first; refused when others have them.
        """
        work = host.work.get(step["workload"])
        if work is None or work.end is not None:
            return {}
        if step["kind"] == "resume":
            return self.do(host, dict(step, kind="suspend"))
        _claim_again(host, step)
        return self.do(host, dict(step, kind="resume"))


def _work(host: SimulatedHost, step: dict[str, Any]) -> HostedWork:
    work = host.work.get(step["workload"])
    if work is None or work.end is not None or work.attempt != step["attempt"]:
        raise Refused("gone", f"start {step['attempt']} of {step['workload']} does not run on {host.spec.name}")
    return work


def _check_suspend(host: SimulatedHost, work: HostedWork, step: dict[str, Any]) -> None:
    if not step["grants"]:
        raise Refused("not-supported", "it has no GPU: there is nothing to free")
    if any(grant["share"] in ("mig", "mps") for grant in step["grants"]):
        raise Refused("not-supported", "the driver cannot suspend work on MIG instances or under MPS")
    _check_driver(host, 570, "to suspend work")
    needed_mib = int(sum(process["process"]["memory_mib"] for process in _on_gpus(host, work, step)) * _MARGIN)
    free_mib = host.sample()["host"]["memory_available_mib"]
    if free_mib < needed_mib:
        raise Refused("memory", f"its GPU memory needs {needed_mib} MiB on the host, where {free_mib} are free")


def _check_resume(host: SimulatedHost, work: HostedWork, step: dict[str, Any]) -> None:
    needed: dict[str, int] = {}
    for parked in work.parked:
        if parked["place"] >= len(step["grants"]):
            raise Refused("bad-request", f"it was suspended on more than {len(step['grants'])} devices")
        device = step["grants"][parked["place"]]["device"]
        _check_device(host, host.gpu(device), parked)
        needed[device] = needed.get(device, 0) + parked["process"]["memory_mib"]
    for device, mib in needed.items():
        gpu = host.gpu(device)
        free_mib = gpu.kind.memory_total_mib - gpu.memory_used_mib()
        if free_mib < mib:
            raise Refused("memory", f"{device}: it needs {mib} MiB, {free_mib} are free")


def _check_device(host: SimulatedHost, gpu: GpuModel, parked: dict[str, Any]) -> None:
    if gpu.index in host.faults:
        raise Refused("unhealthy", f"device {gpu.uuid} does not answer")
    if gpu.mig_enabled:
        raise Refused("not-supported", f"device {gpu.uuid} is in MIG mode")
    if gpu.kind.product != parked["product"]:
        raise Refused("not-supported", f"{gpu.uuid} is not a {parked['product']}")
    if gpu.uuid != parked["device"]:
        _check_driver(host, 580, "to resume on another device")


def _check_driver(host: SimulatedHost, branch: int, what: str) -> None:
    if int(host.spec.driver.partition(".")[0]) < branch:
        raise Refused("not-supported", f"driver >= {branch} needed {what}; {host.spec.name} has {host.spec.driver}")


def _on_gpus(host: SimulatedHost, work: HostedWork, step: dict[str, Any]) -> list[dict[str, Any]]:
    """The processes of the work on GPUs, as they are parked."""
    places = {grant["device"]: place for place, grant in enumerate(step["grants"])}
    return [
        {
            "place": places.get(gpu.uuid, 0),
            "device": gpu.uuid,
            "product": gpu.kind.product,
            "process": process_to_plain(process),
        }
        for gpu in host.gpus
        for process in gpu.processes
        if process.workload == work.workload
    ]


def _park(host: SimulatedHost, work: HostedWork, step: dict[str, Any]) -> None:
    work.parked = _on_gpus(host, work, step)
    work.go_on_at(1.0, host.now_s)
    work.suspended_at_s = host.now_s
    for gpu in host.gpus:
        gpu.processes = [process for process in gpu.processes if process.workload != work.workload]


def _bring_back(host: SimulatedHost, work: HostedWork, step: dict[str, Any]) -> None:
    for parked in work.parked:
        gpu = host.gpu(step["grants"][parked["place"]]["device"])
        gpu.processes.append(process_from_plain(parked["process"]))
    copied_s = 2 * _seconds(work)
    work.stood_still_s += host.now_s - (work.suspended_at_s or host.now_s) + copied_s
    work.parked, work.suspended_at_s = [], None


def _claim_again(host: SimulatedHost, step: dict[str, Any]) -> None:
    for grant in step["grants"]:
        for claim in host.ledger.claims():
            other = claim["workload"] != step["workload"] and claim["device"] == grant["device"]
            if other and "exclusive" in (claim["share"], grant["share"]):
                raise Refused("claimed", f"{grant['device']} is given to workload {claim['workload']}")
    own = {"workload": step["workload"], "controller": step["controller"], "attempt": step["attempt"]}
    host.ledger.add_claims([{**grant, **own, "at_s": host.now_s} for grant in step["grants"]])


def _seconds(work: HostedWork) -> float:
    return round(work.parked_mib / _MIB_PER_S, 3)


def _suspend_facts(work: HostedWork) -> dict[str, Any]:
    state = "running" if work.suspended_at_s is None else "suspended"
    return {"gpu_memory_mib": work.parked_mib, "left_mib": 0, "seconds": _seconds(work), "state": state}


HANDLERS.update(suspend=Suspending(), resume=Suspending())
