"""To which container, Kubernetes pod and Slurm job a process belongs, by the names of its control groups.

Everything but `Pods` is pure. Names of groups come from programs that may create them, and environments from whoever
started the process.
"""

import os
import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTAINER_DIGITS = 12
"""Of a container's id so many are told, as its own tools do."""

POD_LOGS = "/var/log/pods"
"""The kubelet keeps a folder here for each pod, named by namespace, name and UID."""

_CONTAINER = re.compile(r"(?:^|[/:_.-])(?:(conmon)-)?([0-9a-f]{64})(?![0-9a-f])")
_LXC = re.compile(r"/lxc(?:\.payload)?[./](?!monitor\b|pivot\b)([A-Za-z0-9][A-Za-z0-9_.-]{0,63})(?:/|$)")
_UUID = r"[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}"
_POD = re.compile(r"kubepods.*[/-]pod(%s|[0-9a-f]{32})(?:\.slice|[/:]|$)" % _UUID)
_SLURM = re.compile(
    r"(?:/slurm[^/]*/uid_[0-9]+|slurmstepd\.scope)/job_([0-9]{1,12})(?:/step_([A-Za-z0-9]{1,16}))?(?=/|$)"
)
_NUMBER = re.compile(r"[0-9]{1,12}")
_STEPS = {"4294967291": "batch", "4294967292": "extern", "4294967290": "interactive"}
"""Slurm's numbers of steps that have a name."""


def container(groups: str) -> "str | None":
    """Id of the innermost container, 12 digits of it, or the name of an LXC one; None for a process in none.

    Args:
        groups: content of /proc/<pid>/cgroup.
    """
    for path in _paths(groups):
        found = [digits for monitor, digits in _CONTAINER.findall(path) if not monitor]
        if found:
            return str(found[-1][:CONTAINER_DIGITS])
    names = [name for path in _paths(groups) for name in _LXC.findall(path)]
    return names[0] if names else None


def pod(groups: str) -> "str | None":
    """UID of the pod as the kubelet writes it in names of files; None for a process in none."""
    for path in _paths(groups):
        found = _POD.search(path)
        if found is not None:
            return found.group(1).replace("_", "-")
    return None


def slurm_job(groups: str) -> "str | None":
    """Number of the job, with `.step` where the group tells it; None for a process in none."""
    for path in _paths(groups):
        found = _SLURM.search(path)
        if found is not None:
            return _job(found.group(1), found.group(2))
    return None


def slurm_job_told(environment: "Mapping[str, str]") -> "str | None":
    """The job that the environment tells of, where Slurm uses no control groups; None when it tells none."""
    job = environment.get("SLURM_JOB_ID", "")
    if not _NUMBER.fullmatch(job):
        return None
    step = environment.get("SLURM_STEP_ID", environment.get("SLURM_STEPID", ""))
    return _job(job, _STEPS.get(step, step) if _NUMBER.fullmatch(step) else None)


def _job(number: str, step: "str | None") -> str:
    return number if step is None else "%s.%s" % (number, step)


def _paths(groups: str) -> "list[str]":
    """The path in each line, `number:controllers:path`; the path may hold colons itself."""
    return [line.split(":", 2)[2] for line in groups.splitlines() if line.count(":") >= 2]


class Pods:
    """Names of the pods of this host.

    Args:
        folder: the kubelet's folder of logs.
    """

    _AGAIN_S = 5.0

    def __init__(self, folder: str = POD_LOGS) -> None:
        self._folder = folder
        self._names: "dict[str, str]" = {}
        self._looked_s: "float | None" = None

    def name(self, uid: str) -> str:
        """`namespace/name` of the pod; the UID itself when that is not to be had."""
        now_s = time.monotonic()
        if uid not in self._names and (self._looked_s is None or now_s - self._looked_s >= self._AGAIN_S):
            self._looked_s = now_s
            self._names = self._look()
        return self._names.get(uid, uid)

    def _look(self) -> "dict[str, str]":
        try:
            folders = os.listdir(self._folder)
        except OSError:
            return {}
        # Neither a namespace nor the name of a pod may hold an underscore.
        parts = [folder.split("_") for folder in folders]
        return {part[2]: "%s/%s" % (part[0], part[1]) for part in parts if len(part) == 3}
