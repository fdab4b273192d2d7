"""The steps `mig-mode`, `mig-create` and `mig-destroy`: MIG mode of a GPU, and instances at explicit places.

Each looks first, does only what is missing, and reads back, so that it can be asked for again after a kill at any
moment. The driver never chooses a place.
"""

import os
from typing import TYPE_CHECKING, Any

import pynvml

from gpualloc.node import holders, instances
from gpualloc.node.booked import check_free
from gpualloc.node.mode import ModeSwitch
from gpualloc.node.refusals import told
from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from gpualloc.node.gpu import Gpu
    from gpualloc.node.parts import Parts, StepHandler

CONFIG_FILE = "/proc/driver/nvidia/capabilities/mig/config"
"""Whoever may read it may make and remove instances."""

_NEEDS = "root, or the right to read %s" % CONFIG_FILE
_WITHIN_S = 30.0
"""Seconds the driver gets for an instance."""


class Handler:
    """Does each of the three kinds by its own object."""

    def __init__(self, parts: "Parts") -> None:
        self._of_kind: "dict[str, StepHandler]" = {
            "mig-mode": ModeSwitch(parts),
            "mig-create": _Making(parts),
            "mig-destroy": _Removal(parts),
        }

    def preflight(self, step: "dict[str, Any]") -> None:
        """Refuse what `do` would refuse."""
        self._of_kind[step["kind"]].preflight(step)

    def do(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Switch the mode, make the instance or remove it, as far as that is not so already."""
        return self._of_kind[step["kind"]].do(step)

    def verify(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Read back what the driver has."""
        return self._of_kind[step["kind"]].verify(step)

    def undo(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Switch the mode back, remove the instance, or make an empty one at its place."""
        return self._of_kind[step["kind"]].undo(step)


class _Making:
    """One GPU instance with its compute instance, at the place of the step."""

    def __init__(self, parts: "Parts") -> None:
        self._nvml = parts.nvml
        self._parts = parts

    def preflight(self, step: "dict[str, Any]") -> None:
        _check_right(step)
        self._nvml.change(step["device"], lambda gpu: _look(gpu, step), _WITHIN_S)

    def do(self, step: "dict[str, Any]") -> "dict[str, Any]":
        def act(gpu: "Gpu") -> str:
            with told(gpu, "make %s" % step["place"], _NEEDS):
                return _made(gpu, step)

        return {"mig_instance": self._nvml.change(step["device"], act, _WITHIN_S), "place": step["place"]}

    def verify(self, step: "dict[str, Any]") -> "dict[str, Any]":
        def act(gpu: "Gpu") -> "list[str]":
            with told(gpu, "look for %s" % step["place"], _NEEDS):
                found = _at(gpu, step["place"])
                return [] if found is None else [uuid for uuid, _ in instances.mig_devices(gpu, found)]

        uuids = self._nvml.change(step["device"], act, _WITHIN_S)
        holds = len(uuids) == 1
        return {"holds": holds, "mig_instance": uuids[0] if holds else None, "place": step["place"]}

    def undo(self, step: "dict[str, Any]") -> "dict[str, Any]":
        return _Removal(self._parts).do(dict(step, mig_instance=None))


class _Removal:
    """Whatever lies at the place of the step, half made or whole, unless somebody uses it."""

    def __init__(self, parts: "Parts") -> None:
        self._nvml = parts.nvml
        self._parts = parts

    def preflight(self, step: "dict[str, Any]") -> None:
        _check_right(step)
        self._nvml.change(step["device"], lambda gpu: self._doomed(gpu, step), _WITHIN_S)

    def do(self, step: "dict[str, Any]") -> "dict[str, Any]":
        def act(gpu: "Gpu") -> None:
            found = self._doomed(gpu, step)
            if found is not None:
                with told(gpu, "remove %s" % step["place"], _NEEDS):
                    instances.remove(found)

        self._nvml.change(step["device"], act, _WITHIN_S)
        return {}

    def verify(self, step: "dict[str, Any]") -> "dict[str, Any]":
        def act(gpu: "Gpu") -> bool:
            with told(gpu, "look for %s" % step["place"], _NEEDS):
                return _at(gpu, step["place"]) is None

        return {"holds": self._nvml.change(step["device"], act, _WITHIN_S)}

    def undo(self, step: "dict[str, Any]") -> "dict[str, Any]":
        return _Making(self._parts).do(step)

    def _doomed(self, gpu: "Gpu", step: "dict[str, Any]") -> "instances.Found | None":
        """What is to be removed; None when there is nothing; refuses what is used or is not what was named."""
        with told(gpu, "look for %s" % step["place"], _NEEDS):
            found = _at(gpu, step["place"])
            devices = [] if found is None else list(instances.mig_devices(gpu, found))
            uuids = [uuid for uuid, _ in devices]
            if step["mig_instance"] is not None:
                _check_named(gpu, step, uuids)
            pids = sorted({pid for _, handle in devices for pid, _ in holders.running(handle)})
        if pids:
            raise Refused("in-use", "%s of device %s is used by %s" % (step["place"], gpu.uuid, holders.named(pids)))
        check_free(self._parts, gpu.uuid, uuids)
        return found


def _check_right(step: "dict[str, Any]") -> None:
    if os.geteuid() != 0 and not os.access(CONFIG_FILE, os.R_OK):
        raise Refused("not-permitted", "%s of device %s needs %s" % (step["kind"], step["device"], _NEEDS))


def _check_named(gpu: "Gpu", step: "dict[str, Any]", uuids: "list[str]") -> None:
    """Refuse when the instance that was named is not the one at its place; one that is nowhere is gone already."""
    named = step["mig_instance"]
    if uuids and uuids != [named]:
        raise Refused("gone", "%s lies at %s, not %s" % (", ".join(uuids), step["place"], named))
    if uuids or not _in_mig_mode(gpu):
        return
    for other in instances.every(gpu):
        if named in [uuid for uuid, _ in instances.mig_devices(gpu, other)]:
            raise Refused("gone", "%s lies at %s, not at %s" % (named, other.place, step["place"]))


def _in_mig_mode(gpu: "Gpu") -> bool:
    return bool(pynvml.nvmlDeviceGetMigMode(gpu.opened())[0] == pynvml.NVML_DEVICE_MIG_ENABLE)


def _at(gpu: "Gpu", place: str) -> "instances.Found | None":
    if not _in_mig_mode(gpu):
        return None
    return next((found for found in instances.every(gpu) if found.place == place), None)


def _look(gpu: "Gpu", step: "dict[str, Any]") -> "tuple[dict[str, Any], int, instances.Found | None]":
    """Profile and start of the place, and what lies there; refuses a place that cannot be taken."""
    name, _, start = step["place"].rpartition("@")
    with told(gpu, "make %s" % step["place"], _NEEDS):
        profile = next((row for row in gpu.profiles() if row["name"] == name), None)
        if profile is None:
            known = ", ".join(row["name"] for row in gpu.profiles())
            raise Refused("bad-request", "device %s has no MIG profile %s; it has %s" % (gpu.uuid, name, known))
        if int(start) not in profile["starts"]:
            starts = ", ".join(map(str, profile["starts"]))
            raise Refused("bad-request", "%s cannot start at %s; it can at %s" % (name, start, starts))
        if not _in_mig_mode(gpu):
            raise Refused("not-supported", "device %s is not in MIG mode" % gpu.uuid)
        others = [found for found in instances.every(gpu) if found.overlaps(profile, int(start))]
        more = pynvml.nvmlDeviceGetGpuInstanceRemainingCapacity(gpu.opened(), profile["id"])
    found = next((other for other in others if other.place == step["place"]), None)
    if found is None and others:
        lying = ", ".join(other.place for other in others)
        raise Refused("failed", "no room for %s on device %s: %s lies there" % (step["place"], gpu.uuid, lying))
    if found is None and not more:
        raise Refused("failed", "device %s can have no more instances of %s beside those it has" % (gpu.uuid, name))
    return profile, int(start), found


def _made(gpu: "Gpu", step: "dict[str, Any]") -> str:
    """UUID of the instance at the place, made or completed as needed."""
    profile, start, found = _look(gpu, step)
    if found is None:
        found = instances.make(gpu, profile, start)
        try:
            instances.complete(found)
        except pynvml.NVMLError:
            instances.remove(found)
            raise
    else:
        slices = [size for size, _ in instances.compute_instances(found)]
        if not slices:
            instances.complete(found)
        elif slices != [profile["slices"]]:
            raise Refused("failed", "%s of device %s is split into compute instances" % (step["place"], gpu.uuid))
    uuids = [uuid for uuid, _ in instances.mig_devices(gpu, found)]
    if len(uuids) != 1:
        raise Refused("failed", "%s of device %s was made, and the driver does not list it" % (step["place"], gpu.uuid))
    return uuids[0]
