"""Where a process was before it came into a workload's group, and the way back there."""

import os
from typing import TYPE_CHECKING

from gpualloc.node import group_files, processes

if TYPE_CHECKING:
    from gpualloc.node.cgroup import Cgroups

_ROUNDS = 50
"""How often processes that were begun meanwhile are gone after."""


def groups_of(pid: int) -> "list[tuple[str, str]]":
    """Controllers (empty: version 2) and path of each group the process is in; empty when it is gone."""
    lines = (group_files.read_value("/proc/%d/cgroup" % pid) or "").splitlines()
    fields = [line.split(":", 2) for line in lines]
    return [(controllers, path) for _, controllers, path in (parts for parts in fields if len(parts) == 3)]


def empty(cgroups: "Cgroups", workload: str, came_from: "list[tuple[str, str]]") -> None:
    """Move all processes out of a workload's group to where they came from, or as near above it as there is a group.

    Raises OSError when one cannot be moved.
    """
    mounts, back = _mounts(), dict(came_from)
    for _ in range(_ROUNDS):
        inside = cgroups.members(workload)
        for pid in inside:
            for controllers, path in groups_of(pid):
                if processes.named_in(path) == workload and controllers in mounts:
                    _move(pid, mounts[controllers], back.get(controllers, "/"))
        if not inside:
            return


def _move(pid: int, mount: str, path: str) -> None:
    while True:
        folder = os.path.join(mount, path.strip("/"))
        if os.path.isdir(folder) or path.strip("/") == "":
            break
        path = os.path.dirname(path)
    try:
        group_files.write_value(os.path.join(folder, "cgroup.procs"), str(pid))
    except ProcessLookupError:
        return  # it ended meanwhile


def _mounts() -> "dict[str, str]":
    """Mount point of each hierarchy, by its controllers as /proc/<pid>/cgroup names them."""
    found: "dict[str, str]" = {}
    named = [controllers for controllers, _ in groups_of(os.getpid())]
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        for line in file:
            _, path, kind, options = line.split()[:4]
            if kind == "cgroup2":
                found.setdefault("", path)
            if kind == "cgroup":
                for controllers in named:
                    if controllers and set(controllers.split(",")) <= set(options.split(",")):
                        found.setdefault(controllers, path)
    return found
