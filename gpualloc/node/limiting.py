"""The steps `limit` and `unlimit`: a workload's group with its limits."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gpualloc.node import cgroup, device_rule
from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from gpualloc.node.parts import Parts
    from gpualloc.node.workloads import Folder


class Handler:
    """Makes and removes groups."""

    def __init__(self, parts: "Parts") -> None:
        self._parts = parts
        self._cgroups = parts.cgroups
        self._workloads = parts.workloads

    def preflight(self, step: "dict[str, Any]") -> None:
        """Refuse limits that must be hard and cannot be."""
        if step["kind"] == "limit" and step["require_hard"]:
            check_hard(self._cgroups, step)

    def do(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Make the group, or remove it."""
        if step["kind"] == "unlimit":
            self._cgroups.remove(step["workload"])
            return {}
        folder = self._workloads.folder(step["workload"])
        record = self._workloads.record(folder)
        started = record is not None and record["attempt"] == step["attempt"]
        if started and record is not None and record["end"] is not None:
            # Its group went with its last process and must not come back.
            held_by = {name: record["held_by"].get(name) for name in cgroup.HELD}
        elif started:
            held_by = self._again(folder, step)
        else:
            held_by = cgroup.ensure(self._cgroups, dict(step, rule=self._rule(step)))
        return {"held_by": held_by, "group": self._group(step["workload"])}

    def verify(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Read the limits back."""
        group = self._group(step["workload"])
        if step["kind"] == "unlimit":
            return {"holds": group is None}
        held_by = cgroup.read_back(self._cgroups, step)
        if not self._cgroups.writable():
            # Nothing can be set here: the limit is booked, which is all there is to read back.
            return {"holds": True, "held_by": held_by, "group": group}
        hard = set(self._cgroups.controllers())
        settable = [held_by.get(part) for part, names in cgroup.HELD.items() if _settable(step, names, hard)]
        # Where no group can be made, the limit is booked on purpose, and that stands.
        holds = not hard or (group is not None and "booked" not in settable and self._keeps_devices(step))
        return {"holds": holds, "held_by": held_by, "group": group}

    def undo(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Remove the group."""
        return self.do(dict(step, kind="unlimit"))

    def _again(self, folder: "Folder", step: "dict[str, Any]") -> "dict[str, str | None]":
        """Set the limits and the device rule of work that runs, and let those in who were put out of the group."""
        rule = self._rule(step)
        held_by = cgroup.ensure(self._cgroups, step if rule is None else dict(step, rule=rule))
        for pid in self._workloads.survivors(folder) if self._cgroups.exists(folder.workload) else ():
            if not self._cgroups.holds(folder.workload, pid):
                with suppress(ProcessLookupError):
                    self._cgroups.join(folder.workload, pid)
        return held_by

    def _rule(self, step: "dict[str, Any]") -> "dict[str, Any] | None":
        """The device rule of the grants, which may have moved since the start; else that of the start."""
        rule = device_rule.for_grants(step["grants"], self._parts.devices)
        spec = self._workloads.folder(step["workload"]).spec()
        if rule is None and spec is not None and spec.get("attempt") == step["attempt"]:
            rule = spec.get("rule")
        return rule

    def _keeps_devices(self, step: "dict[str, Any]") -> bool:
        """Whether the device rule is in force, where one can be."""
        rule = self._rule(step)
        if rule is None or self._cgroups.isolation() is None:
            return True
        return cgroup.keeps_to(self._cgroups, step["workload"], rule)

    def _group(self, workload: str) -> "str | None":
        return "%s/%s" % (cgroup.PARENT, workload) if self._cgroups.exists(workload) else None


def _settable(step: "dict[str, Any]", names: "tuple[str, ...]", controllers: "set[str]") -> bool:
    """Whether this node has the controller of each of those limits that the step asks for."""
    return all(cgroup.CONTROLLER_OF[name] in controllers for name in names if step.get(name) is not None)


def check_hard(cgroups: "cgroup.Cgroups", step: "dict[str, Any]") -> None:
    """Refuse as `no-cgroup` when a limit of the step would only be booked."""
    if any(grant["share"] in ("exclusive", "mig") for grant in step["grants"]) and cgroups.isolation() is None:
        raise Refused("no-cgroup", "this node cannot keep work away from GPUs that it was not given")
    controllers = cgroups.controllers() if cgroups.writable() else []
    for name, controller in cgroup.CONTROLLER_OF.items():
        if step[name] is not None and controller not in controllers:
            raise Refused("no-cgroup", "this node cannot limit %s: no usable %s controller" % (name, controller))
