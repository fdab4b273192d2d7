"""Which NVIDIA device files a workload may use: device numbers, and nothing of how that is enforced."""

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple, Tuple

from gpualloc.node.group_files import read_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping  # novm

GPU_MAJOR = 195
"""Character major of every GPU's own device file, of nvidiactl and of nvidia-modeset."""

ALWAYS = (254, 255)
"""Minors of `GPU_MAJOR` that every workload keeps: nvidia-modeset and nvidiactl. A GPU they show stays unusable."""

_CAPABILITIES = "nvidia-caps"
"""Driver name of the files by which MIG instances are reached; its major differs from boot to boot."""

_OLD_INSTANCE = r"MIG-GPU-[^/]+/([0-9]+)/([0-9]+)"
_MIG_MINOR = r"gpu([0-9]+)/gi([0-9]+)(?:/ci([0-9]+))?/access ([0-9]+)"


class DeviceRule(NamedTuple):
    """Character devices that are denied but for some; every other device is left as it is.

    Equal rules are equal values: majors and minors are sorted. Make one with `device_rule.made`.
    """

    majors: Tuple[Tuple[int, Tuple[int, ...]], ...]
    """Each major that is denied, with the minors that are let through all the same."""


def made(majors: "Mapping[int, Iterable[int]]") -> DeviceRule:
    """The rule that denies each major but for its minors: `{195: {0, 254, 255}, 508: set()}`."""
    return DeviceRule(tuple((major, tuple(sorted(set(majors[major])))) for major in sorted(majors)))


def to_json(rule: DeviceRule) -> "dict[str, list[int]]":
    """The rule as a JSON object: `{"195": [0, 254, 255]}`."""
    return {str(major): list(minors) for major, minors in rule.majors}


def from_json(fields: "dict[str, Any]") -> DeviceRule:
    """The rule that `to_json` wrote down."""
    return made({int(major): minors for major, minors in fields.items()})


def for_grants(
    grants: "list[dict[str, Any]]", devices: "Callable[[], list[dict[str, Any]]] | None"
) -> "dict[str, list[int]] | None":
    """The rule of `of_grants` as JSON; `devices` tells the rows of `inventory` when they are needed."""
    rows = devices() if grants and devices is not None else []
    rule = of_grants(grants, rows)
    return None if rule is None else to_json(rule)


def of_grants(grants: "list[dict[str, Any]]", rows: "list[dict[str, Any]]", root: str = "/") -> "DeviceRule | None":
    """The rule under which a workload reaches what it was given and no other GPU or MIG instance.

    Without grants, every GPU is denied. None when the device files of something given are not known.

    Args:
        grants: `device`, `share` and `mig_instance` of each.
        rows: devices as `inventory` tells them, for what /proc does not; an entry of `mig_instances` is found by its
            `gpu_instance` and `compute_instance`.
        root: folder in which `proc` is.
    """
    known = _minors(root)
    minors = {row["uuid"]: known.get(row["uuid"], row.get("minor")) for row in rows}
    minors.update(known)
    gpus, instances = set(), set()
    for grant in grants:
        minor = minors.get(grant["device"])
        if minor is None:
            return None
        gpus.add(minor)
        if grant["share"] == "mig":
            place = _place(grant["mig_instance"], rows)
            if place is None:
                return None
            instances.add((minor, place[0], place[1]))
    return of_numbers(gpus, instances, root)


def of_numbers(
    gpus: "Iterable[int]", instances: "Iterable[Tuple[int, int, int]]", root: str = "/"
) -> "DeviceRule | None":
    """The rule that lets some GPUs and MIG instances through; None when a file of an instance is not known.

    Args:
        gpus: minors of the GPUs, those of instances included.
        instances: minor of the GPU, GPU instance, compute instance.
        root: folder in which `proc` is.
    """
    major, capabilities = _capability_major(root), _capability_minors(root)
    given = set()
    for minor, gpu_instance, compute_instance in instances:
        for key in ((minor, gpu_instance, None), (minor, gpu_instance, compute_instance)):
            if major is None or key not in capabilities:
                return None
            given.add(capabilities[key])
    majors = {GPU_MAJOR: set(ALWAYS) | set(gpus)}
    if major is not None:
        majors[major] = given
    return made(majors)


def _minors(root: str) -> "dict[str, int]":
    """Minor of each GPU that the kernel driver names by UUID; it names none before its first use."""
    found = {}
    folder = os.path.join(root, "proc/driver/nvidia/gpus")
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        text = read_value(os.path.join(folder, name, "information")) or ""
        pairs = (line.partition(":") for line in text.splitlines())
        fields = {key.strip(): value.strip() for key, _, value in pairs}
        if fields.get("Device Minor", "").isdigit() and "?" not in fields.get("GPU UUID", "?"):
            found[fields["GPU UUID"]] = int(fields["Device Minor"])
    return found


def _place(uuid: "str | None", rows: "list[dict[str, Any]]") -> "Tuple[int, int] | None":
    """GPU instance and compute instance of a MIG instance; None when they are not known, as of one yet to be made."""
    old = re.fullmatch(_OLD_INSTANCE, uuid or "")
    if old:
        return int(old.group(1)), int(old.group(2))
    for row in rows:
        for instance in row.get("mig_instances") or ():
            place = instance.get("gpu_instance"), instance.get("compute_instance")
            if instance["uuid"] == uuid and None not in place:
                return place
    return None


def _capability_major(root: str) -> "int | None":
    for line in (read_value(os.path.join(root, "proc/devices")) or "").splitlines():
        if line.startswith("Block"):
            break
        words = line.split()
        if words[1:] == [_CAPABILITIES]:
            return int(words[0])
    return None


def _capability_minors(root: str) -> "dict[Tuple[int, int, int | None], int]":
    """Minor of each capability file: by GPU minor, GPU instance, compute instance (None: the GPU instance's own)."""
    found = {}
    for line in (read_value(os.path.join(root, "proc/driver/nvidia-caps/mig-minors")) or "").splitlines():
        match = re.fullmatch(_MIG_MINOR, line.strip())
        if match:
            gpu, gpu_instance, compute_instance, minor = match.groups()
            place = int(gpu), int(gpu_instance), None if compute_instance is None else int(compute_instance)
            found[place] = int(minor)
    return found
