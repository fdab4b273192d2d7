"""What is wrong with the nodes and with this installation: checks over facts that others gathered."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from gpualloc.engine.doctor_finding import Finding, Verdict
from gpualloc.engine.doctor_fleet import fleet_findings
from gpualloc.model.inventory import Device, DeviceState, Node, NodeState, Snapshot

EARLIEST_TIME_S = 1_735_689_600.0
"""2025-01-01: a clock before this was never set."""
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "afs", "9p", "fuse.sshfs"}
)
"""Types of file systems on which file locks and SQLite's durability are not to be relied on."""

_REACHED = {"local": "this machine", "ssh": "reached by ssh", "simulated": "simulated", "recorded": "recorded"}


class LocalFacts(Struct, frozen=True):
    """What wiring found out about this installation."""

    config_file: str | None
    """The file in force; None when there is none."""
    config_problem: str | None
    """Why the configuration cannot be used; None when it can."""
    state_dir: str
    state_problem: str | None
    """Why nothing can be written there; None when it can."""
    state_file_system: str | None
    """Type of the file system it lies on; None when unknown."""
    pynvml_distributions: tuple[str, ...]
    """Installed distributions that bring a module `pynvml`; right is `nvidia-ml-py` alone."""
    now_s: float
    """This machine's clock, epoch seconds."""


def diagnose(snapshot: Snapshot | None, facts: LocalFacts) -> tuple[Finding, ...]:
    """Every check, this installation first, then node by node.

    Args:
        snapshot: None when the configuration is not usable, so that there are no nodes to look at.
        facts: about this installation.
    """
    found = [_config(facts), *_state(facts), _pynvml(facts), _clock(facts)]
    nodes = snapshot.nodes if snapshot else ()
    compared = fleet_findings(nodes, facts.now_s)
    for node in nodes:
        found += [*_node(node), *compared.get(node.name, ())]
    return tuple(found)


def healthy(findings: tuple[Finding, ...]) -> bool:
    """Whether no check found a problem; warnings do not count."""
    return all(finding.verdict is not Verdict.PROBLEM for finding in findings)


def _config(facts: LocalFacts) -> Finding:
    if facts.config_problem is not None:
        return Finding("config", Verdict.PROBLEM, facts.config_problem, "`gpualloc config check` tells all of it")
    if facts.config_file is None:
        what = "no configuration file: this machine is the whole fleet"
        return Finding("config", Verdict.OK, what, "`gpualloc init` writes one")
    return Finding("config", Verdict.OK, f"{facts.config_file} is valid")


def _state(facts: LocalFacts) -> Iterator[Finding]:
    if facts.state_problem is None:
        yield Finding("state", Verdict.OK, f"{facts.state_dir} can be written")
    else:
        hint = "make it writable, or name another with GPUALLOC_STATE_DIR"
        yield Finding("state", Verdict.PROBLEM, f"{facts.state_dir}: {facts.state_problem}", hint)
    kind = facts.state_file_system
    if kind in NETWORK_FILE_SYSTEMS:
        what = f"{facts.state_dir} is on a network file system ({kind}), where locks cannot be relied on"
        hint = "put it on a local disk: set GPUALLOC_STATE_DIR"
        yield Finding("state-file-system", Verdict.PROBLEM, what, hint)
    else:
        yield Finding("state-file-system", Verdict.OK, f"{facts.state_dir} is on {kind or 'an unknown file system'}")


def _pynvml(facts: LocalFacts) -> Finding:
    strangers = [name for name in facts.pynvml_distributions if name.lower().replace("_", "-") != "nvidia-ml-py"]
    if strangers:
        what = f"the module pynvml is not NVIDIA's: it comes from {', '.join(strangers)}"
        hint = f"pip uninstall {' '.join(strangers)}; pip install --force-reinstall nvidia-ml-py"
        return Finding("pynvml", Verdict.PROBLEM, what, hint)
    if not facts.pynvml_distributions:
        return Finding("pynvml", Verdict.PROBLEM, "nvidia-ml-py is not installed", "pip install nvidia-ml-py")
    return Finding("pynvml", Verdict.OK, "the module pynvml is NVIDIA's")


def _clock(facts: LocalFacts) -> Finding:
    if facts.now_s < EARLIEST_TIME_S:
        return Finding("clock", Verdict.PROBLEM, "the clock of this machine was never set", "start a time service")
    return Finding("clock", Verdict.OK, "the clock of this machine is set")


_NOT_REACHED = {
    NodeState.STALE: "look whether {name} is overloaded, or its network is",
    NodeState.UNREACHABLE: "try: ssh {name} true",
    NodeState.AUTH_FAILED: "load the key into ssh-agent; try: ssh -o BatchMode=yes {name} true",
    NodeState.HOST_KEY: "connect once by hand and compare the fingerprint: ssh {name}",
    NodeState.NO_PYTHON: "install python3, 3.6 or newer, on {name}",
    NodeState.HUNG: "a driver that hangs takes its callers along; look at dmesg on {name}",
    NodeState.FAILED: "look at `gpualloc nodes` again; when it stays so, please report it",
}


def _node(node: Node) -> Iterator[Finding]:
    """The checks of one node."""
    if node.state is not NodeState.OK:
        what = f"{node.state}: {node.reason}" if node.reason else str(node.state)
        hint = _NOT_REACHED[node.state].format(name=node.name)
        yield Finding("reach", Verdict.PROBLEM, what, hint, node.name)
        return
    account = f" as {node.user}" if node.user else ""
    version = f", python {node.python_version}" if node.python_version else ""
    yield Finding("reach", Verdict.OK, f"{_REACHED[node.spec.transport]}{account}{version}", node=node.name)
    yield _nvml(node)
    yield from (_device(node, device) for device in node.devices if device.state is not DeviceState.OK)
    yield _cgroup(node)
    yield _privilege(node)
    if node.other_controllers:
        yield _other_controllers(node)


def _nvml(node: Node) -> Finding:
    if node.nvml_reason is None:
        what = f"driver {node.driver_version or 'of unknown version'}, {len(node.devices)} devices"
        return Finding("nvml", Verdict.OK, what, node=node.name)
    if "not installed" in node.nvml_reason:
        what = f"no GPUs: {node.nvml_reason}"
        return Finding("nvml", Verdict.WARNING, what, "install NVIDIA's driver, if it has GPUs", node.name)
    hint = "until then no device of it is seen"
    return Finding("nvml", Verdict.PROBLEM, node.nvml_reason, hint, node.name)


def _device(node: Node, device: Device) -> Finding:
    why = f": {device.reason}" if device.reason else ""
    what = f"device {device.index} ({device.uuid}): {device.state}{why}"
    return Finding("device", Verdict.PROBLEM, what, "it takes no new work until it is well", node.name)


def _cgroup(node: Node) -> Finding:
    support = node.cgroup
    if support.mode == "none":
        what = "no control groups: limits of CPU, memory and processes cannot be set"
        return Finding("cgroup", Verdict.PROBLEM, what, "mount cgroup2 at /sys/fs/cgroup", node.name)
    controllers = ", ".join(support.controllers) or "no controllers"
    what = f"control groups {support.mode} ({controllers})"
    missing = sorted({"cpu", "memory", "pids"} - set(support.controllers))
    if missing:
        what = f"control groups {support.mode} without {', '.join(missing)}"
        hint = "such limits cannot be set there; enable the controllers"
        return Finding("cgroup", Verdict.WARNING, what, hint, node.name)
    return Finding("cgroup", Verdict.OK, what, node=node.name)


def _privilege(node: Node) -> Finding:
    if node.privileged and node.cgroup.writable:
        return Finding("privilege", Verdict.OK, "limits will be hard", node=node.name)
    if node.cgroup.writable:
        own = ", ".join(node.cgroup.controllers) or "nothing"
        what = (
            f"without root's program only limits of {own} will be hard, and no GPU is kept from work it is not given to"
        )
        return Finding("privilege", Verdict.WARNING, what, "run `sudo gpualloc node install` on the node", node.name)
    lack = "control groups cannot be written"
    if not node.privileged:
        lack = f"{node.user or 'its account'} is not root, and no program of root's answers it through sudo -n"
    what = f"limits will be soft or booked only: {lack}"
    return Finding("privilege", Verdict.WARNING, what, "run `sudo gpualloc node install` on the node", node.name)


def _other_controllers(node: Node) -> Finding:
    names = ", ".join(node.other_controllers)
    if node.manageable:
        what = f"{names} found; it is changed all the same, for its pool says manage = true"
        return Finding("controller", Verdict.WARNING, what, "make sure that only one of them gives its GPUs", node.name)
    what = f"{names} found: only looked at"
    return Finding("controller", Verdict.OK, what, "manage = true in its pool would let gpualloc change it", node.name)
