"""What a node writes down of a suspension before anything happens: `<folder of the workload>/suspended.json`.

Where each process stands, the driver tells. What it does not tell is here: how much memory each process has where, on
which devices it was, and the memory limit to go back to.
"""

import os
from typing import Any

from gpualloc.node.state import FORMAT, read_json, write_json


class Suspended:
    """The record of one workload; there is one from before the suspension until all of it runs again.

    Args:
        path: where it is kept.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        content = read_json(path) or {}
        known = content.get("format") == FORMAT
        self.exists = known
        self.memory_mib: "int | None" = content["memory_mib"] if known else None
        """Memory limit that was raised; None: it was not."""
        self.processes: "dict[int, dict[str, Any]]" = {}
        """By pid: `start_ticks`, `memory` (device to MiB), `devices` (in the order of the grants), and `moving`: the
        devices a restore under way takes it to, None when none is."""
        if known:
            self.processes = {one["pid"]: one for one in content["processes"]}

    def save(self) -> None:
        """Write it; raises OSError."""
        content = {"format": FORMAT, "memory_mib": self.memory_mib, "processes": list(self.processes.values())}
        write_json(self._path, content)
        self.exists = True

    def remove(self) -> None:
        """All runs again."""
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass
        self.exists = False
        self.memory_mib = None
        self.processes = {}

    def put(self, pid: int, start_ticks: int, memory: "dict[str, int]", devices: "list[str]") -> None:
        """Note a process that is on the devices now; where it was moved to before, it is still."""
        before = self.processes.get(pid)
        if before is not None and before["start_ticks"] == start_ticks:
            devices = before["devices"]
        self.processes[pid] = {
            "pid": pid,
            "start_ticks": start_ticks,
            "memory": memory,
            "devices": devices,
            "moving": None,
        }

    def move(self, pids: "list[int]", devices: "list[str]") -> bool:
        """Note that processes are about to be restored on these devices; False when none of them is known."""
        known = [self.processes[pid] for pid in pids if pid in self.processes]
        for entry in known:
            entry["moving"] = devices
        return bool(known)

    def stay(self, pids: "list[int]") -> None:
        """Note that processes are on the host and not about to be restored."""
        for pid in pids:
            if pid in self.processes:
                self.processes[pid]["moving"] = None

    def settle(self, pid: int) -> None:
        """The process came back from the host: it is where it was being moved to."""
        entry = self.processes.get(pid)
        if entry is not None and entry["moving"] is not None:
            renamed = moves(entry["devices"], entry["moving"])
            entry["memory"] = {renamed.get(uuid, uuid): mib for uuid, mib in entry["memory"].items()}
            entry.update(devices=entry["moving"], moving=None)

    def size_mib(self, pid: int) -> int:
        """GPU memory of a process; 0 when nothing is known of it."""
        entry = self.processes.get(pid)
        return 0 if entry is None else sum(entry["memory"].values())


def moves(before: "list[str]", after: "list[str]") -> "dict[str, str]":
    """Each device that is left to the one at the same place of the other list; those that stay are not in it."""
    return {old: after[place] for place, old in enumerate(before) if old != after[place]}
