"""The processes on a GPU: those the driver lists, and those that have its device file open."""

import os
from typing import TYPE_CHECKING, Any

import pynvml

from gpualloc.node import mig, processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_MIB = 1 << 20
_NOT_AVAILABLE = (1 << 64) - 1
_MAX_PID = 1 << 22
_MAX_BYTES = 1 << 50
_ATTEMPTS = 5
"""A list may grow between the call that asks for its length and the one that reads it."""
_NAMED = 5
"""So many processes are named in a message; of the others only the number is told."""
_COMMAND_CHARS = 60


def running(handle: Any) -> "list[tuple[int, int | None]]":
    """Pid and MiB used (None: not told) of each process on a device or MIG instance; raises NVMLError."""
    used: "dict[int, int | None]" = {}
    for kind in ("Compute", "Graphics"):
        for process in _process_list(kind, handle):
            size = process.usedGpuMemory
            known = None if size is None or size == _NOT_AVAILABLE else size // _MIB
            used[process.pid] = max(filter(None, (known, used.get(process.pid))), default=known)
    return sorted(used.items())


def on_device(handle: Any) -> "list[int]":
    """Pids that the driver lists on the GPU or on any of its MIG instances; raises NVMLError."""
    pids = {pid for pid, _ in running(handle)}
    for _, instance in mig.handles(handle):
        pids.update(pid for pid, _ in running(instance))
    return sorted(pids)


def having_open(minor: "int | None", proc: str = "/proc") -> "list[int]":
    """Pids of the other processes that have `/dev/nvidia<minor>` open, as far as this account may see."""
    if minor is None:
        return []
    target = "/dev/nvidia%d" % minor
    return sorted(
        int(name)
        for name in os.listdir(proc)
        if name.isdigit() and int(name) != os.getpid() and target in _open_files(os.path.join(proc, name, "fd"))
    )


def named(pids: "Iterable[int]") -> str:
    """The processes for a message: pid, user and command of the first few."""
    known = list(pids)
    told = []
    for pid in known[:_NAMED]:
        command = (processes.command(pid) or "an unknown command")[:_COMMAND_CHARS]
        told.append("process %d of %s (%s)" % (pid, processes.user(pid) or "an unknown user", command))
    if len(known) > _NAMED:
        told.append("%d more" % (len(known) - _NAMED))
    return ", ".join(told)


def _open_files(folder: str) -> "set[str]":
    found = set()
    try:
        for name in os.listdir(folder):
            found.add(os.readlink(os.path.join(folder, name)))
    except OSError:
        pass  # it ended meanwhile, or belongs to another account
    return found


def _process_list(kind: str, handle: Any) -> "list[Any]":
    error: Any = None
    for version in ("_v3", "_v2"):
        try:
            found = _listed(getattr(pynvml, "nvmlDeviceGet%sRunningProcesses%s" % (kind, version)), handle)
        except (pynvml.NVMLError_FunctionNotFound, pynvml.NVMLLibraryMismatchError) as missing:
            error = missing
        except pynvml.NVMLError_NotSupported:
            if kind == "Graphics":
                return []
            raise
        else:
            # Some R535 drivers fill in longer records than the binding of that version reads.
            if _plausible(found):
                return found
            error = pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)
    if kind == "Graphics":
        return []
    raise error


def _listed(call: "Callable[[Any], list[Any]]", handle: Any) -> "list[Any]":
    for _ in range(_ATTEMPTS - 1):
        try:
            return call(handle)
        except pynvml.NVMLError_InsufficientSize:
            continue
    return call(handle)


def _plausible(found: "list[Any]") -> bool:
    """Whether these can be pids of this kernel and sizes of this world."""
    sizes = [each.usedGpuMemory for each in found if each.usedGpuMemory not in (None, _NOT_AVAILABLE)]
    return all(0 < each.pid <= _MAX_PID for each in found) and all(size <= _MAX_BYTES for size in sizes)
