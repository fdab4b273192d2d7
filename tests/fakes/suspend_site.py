"""A host for suspensions in a test's folder, and a program that suspends or resumes on it and dies where it is told.

Run as a script: `suspend_site.py FOLDER suspend|resume POINT DEVICE...`. Every change (a call of the driver that moves
a process, a file written, the limit set, freezing) is two points, before and after it; at the one numbered POINT the
program kills itself; at 0 it never does, and tells how many points it passed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fakes.cuda_stub import FakeCuda

from gpualloc.node.cuda import Cuda
from gpualloc.node.cuda_work import CudaWork
from gpualloc.node.processes import stat
from gpualloc.node.resume import Resumption
from gpualloc.node.suspend import Suspension
from gpualloc.node.suspended import Suspended
from gpualloc.node.wire import Refused

CHANGES = ("lock", "checkpoint", "restore", "unlock", "save", "remove", "set_memory", "freeze")


class FileSite:
    """The host as `cuda_work.Site` sees it, kept in `site.json`; what is on the GPUs the fake driver knows."""

    def __init__(self, folder: Path, cuda: FakeCuda) -> None:
        self.folder = folder
        self.cuda = cuda
        self.path = folder / "site.json"
        self.marker = cuda.folder / "frozen"

    def set(self, **fields: Any) -> None:
        """Change what the host is like."""
        before = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.path.write_text(json.dumps({**before, **fields}))

    def get(self, name: str) -> Any:
        return json.loads(self.path.read_text())[name]

    def members(self) -> dict[int, int]:
        found = [stat(pid) for pid in self.get("pids")]
        return {one.pid: one.start_ticks for one in found if one is not None and not one.dead}

    def on_devices(self) -> dict[int, dict[str, int | None]]:
        alive = [pid for pid in self.cuda.pids() if stat(pid) is not None]
        up = [pid for pid in alive if self.cuda.state(pid) in ("running", "locked")]
        return {pid: dict(self.cuda.memory(pid)) for pid in up}

    def devices(self) -> dict[str, dict[str, Any]]:
        known = self.get("devices")
        return {
            uuid: {
                "model": "model",
                "mig": False,
                "ok": True,
                "used_mib": 0,
                "free_mib": self.cuda.free_mib(uuid),
                **more,
            }
            for uuid, more in known.items()
        }

    def host_free_mib(self) -> int | None:
        return self.get("host_free_mib")

    def memory(self) -> tuple[int | None, int | None]:
        on_host = sum(self.cuda.host_mib(pid) for pid in self.cuda.pids())
        return self.get("limit_mib"), self.get("used_mib") + on_host

    def set_memory(self, mib: int) -> None:
        if self.get("limit_fixed"):
            raise PermissionError("the limit is somebody else's")
        self.set(limit_mib=mib)

    def frozen(self) -> bool | None:
        return self.marker.exists() if self.get("can_freeze") else None

    def freeze(self, frozen: bool) -> None:
        states = {pid: self.cuda.state(pid) for pid in self.cuda.pids() if stat(pid) is not None}
        self.set(frozen_in=[*self.get("frozen_in"), states] if frozen else self.get("frozen_in"))
        if frozen:
            self.marker.touch()
        else:
            self.marker.unlink(missing_ok=True)


class OwnCuda:
    """The driver in this process, with the arguments of `cuda_process.CudaProcess`."""

    def __init__(self) -> None:
        self._cuda = Cuda()
        self.version, self.state, self.unlock = self._cuda.version, self._cuda.state, self._cuda.unlock

    def lock(self, pid: int, timeout_s: float) -> None:
        self._cuda.lock(pid, int(timeout_s * 1000))

    def checkpoint(self, pid: int, size_mib: int) -> None:
        self._cuda.checkpoint(pid)

    def restore(self, pid: int, pairs: list[list[str]], size_mib: int) -> None:
        self._cuda.restore(pid, pairs)


class Deadly:
    """Passes everything on, and ends the program at a point of its changes."""

    passed = 0
    point = 0

    def __init__(self, inner: Any) -> None:
        self.__dict__["_inner"] = inner

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._inner, name, value)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in CHANGES:
            return found

        def change(*args: Any) -> None:
            self._reach()
            found(*args)
            self._reach()

        return change

    @classmethod
    def _reach(cls) -> None:
        Deadly.passed += 1
        if Deadly.passed == Deadly.point:
            os.kill(os.getpid(), signal.SIGKILL)


class Ground:
    """Processes that use CUDA, the driver and the host around them, in a folder; made by `prepared`."""

    def __init__(self, folder: Path, cuda: FakeCuda, pids: list[int]) -> None:
        self.folder = folder
        self.cuda = cuda
        self.pids = pids
        self.site = FileSite(folder, cuda)
        self.record_path = folder / "suspended.json"

    def states(self) -> list[str]:
        return [self.cuda.state(pid) for pid in self.pids]


@contextmanager
def prepared(folder: Path, memory: list[dict[str, int]], free: dict[str, int], **driver: Any) -> Iterator[Ground]:
    """A workload with a process for each element of `memory` (device to MiB), on a host with these GPUs (free MiB)."""
    processes = [subprocess.Popen(["sleep", "300"]) for _ in memory]
    try:
        cuda = FakeCuda(folder / "cuda", free, **driver)
        for process, gpus in zip(processes, memory, strict=True):
            cuda.add(process.pid, gpus)
        ground = Ground(folder, cuda, [process.pid for process in processes])
        ground.site.set(
            pids=ground.pids,
            devices={uuid: {} for uuid in free},
            host_free_mib=100_000,
            limit_mib=4000,
            used_mib=1000,
            limit_fixed=False,
            can_freeze=True,
            frozen_in=[],
        )
        yield ground
    finally:
        for process in processes:
            process.kill()
            process.wait()


def grants(devices: list[str]) -> list[dict[str, Any]]:
    return [
        {"device": uuid, "mig_instance": None, "place": None, "share": "exclusive", "fraction": 1.0, "memory_mib": None}
        for uuid in devices
    ]


def main(folder: Path, what: str, point: int, devices: list[str]) -> None:
    Deadly.point = point
    site, record = FileSite(folder, FakeCuda.open(folder / "cuda")), Suspended(str(folder / "suspended.json"))
    work = CudaWork(Deadly(OwnCuda()), Deadly(site), Deadly(record))
    try:
        if what == "suspend":
            Suspension(work, grants(devices)).suspend()
        else:
            Resumption(work, devices).resume()
    except Refused as refused:
        sys.exit(f"refused after {Deadly.passed}: {refused}")
    print(Deadly.passed)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:])
