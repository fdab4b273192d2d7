"""The steps `mps-start` and `mps-stop`: the MPS daemon that a workload's processes become clients of."""

from typing import TYPE_CHECKING, Any

from gpualloc.node import accounts
from gpualloc.node.mps import Daemon, control
from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from gpualloc.node.parts import Parts


class Handler:
    """Starts and ends MPS daemons."""

    def __init__(self, parts: "Parts") -> None:
        self._workloads = parts.workloads

    def preflight(self, step: "dict[str, Any]") -> None:
        """Refuse MPS where its control program is missing, and more than one device for one process."""
        if step["kind"] == "mps-start":
            accounts.resolve(step["user"])
            control()
            _only_device(step["grants"])

    def do(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Make sure that the daemon runs, or is no longer needed by this workload."""
        if step["kind"] == "mps-stop":
            for daemon in _daemons(step):
                daemon.stop(step["workload"], self._running())
            return {}
        self.preflight(step)
        for daemon in _daemons(step):
            daemon.start(step["workload"])
        return {"daemons": [_facts(daemon) for daemon in _daemons(step)]}

    def verify(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Whether the daemon answers and knows of the workload, or does not any more."""
        found = _daemons(step)
        known = [step["workload"] in daemon.users() for daemon in found]
        if step["kind"] == "mps-stop":
            return {"holds": not any(known)}
        holds = all(known) and all(daemon.answers() for daemon in found)
        return {"holds": holds, "daemons": [_facts(daemon) for daemon in found] if holds else []}

    def undo(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """End the daemon unless other work needs it."""
        return self.do(dict(step, kind="mps-stop"))

    def _running(self) -> "frozenset[str]":
        return frozenset(record["workload"] for record in self._workloads.records() if record["end"] is None)


def client_environment(grants: "list[dict[str, Any]]", account: "accounts.Account") -> "dict[str, str]":
    """What the environment of a workload needs for its MPS grants; empty when it has none."""
    for grant in grants:
        if grant["share"] == "mps":
            return Daemon(account, grant["device"]).client_environment(grant["fraction"], grant["memory_mib"])
    return {}


def leave(spec: "dict[str, Any]") -> None:
    """What a keeper does for MPS when its workload ended; a daemon that does not end is left to `mps-stop`."""
    for grant in spec["grants"]:
        if grant["share"] == "mps":
            try:
                daemon = Daemon(accounts.known(spec["account"]["uid"]), grant["device"])
                daemon.stop(spec["workload"], daemon.users())
            except (Refused, OSError):
                continue


def _daemons(step: "dict[str, Any]") -> "list[Daemon]":
    account = accounts.resolve(step["user"])
    return [Daemon(account, grant["device"]) for grant in step["grants"] if grant["share"] == "mps"]


def _only_device(grants: "list[dict[str, Any]]") -> None:
    if len([grant for grant in grants if grant["share"] == "mps"]) > 1:
        raise Refused("not-supported", "a process reaches one MPS daemon, and each device has its own")


def _facts(daemon: "Daemon") -> "dict[str, Any]":
    return {"pipe_directory": daemon.pipes, "version": daemon.version(), "clients": sorted(daemon.clients())}
