"""CUDA in a process of its own, asked with a deadline.

A call may block for ever (a driver that hangs, a peer of an NCCL job that is locked), and a process that began CUDA
keeps the devices open until it ends: neither may happen to the node program. It lives for one step. When the node
program is killed, the call under way is finished; the lock it was given tells whoever comes next to wait for that.

    {"function": "unlock", "args": [4711]}  ->  {"result": null} | {"failed": "cuCheckpointProcessUnlock", "code": 401}
"""

import json
import os
import select
import subprocess
import sys
import time
from typing import Any

from gpualloc.node.cuda import Cuda, CudaError, CudaMissing

QUICK_S = 15.0
"""How long a question, an unlock and the start of CUDA may last."""
COPY_S = 120.0
"""How long a copy between GPU and host may last, beside the time for its size."""
COPY_S_PER_GIB = 2.0

_FUNCTIONS = ("version", "state", "lock", "checkpoint", "restore", "unlock")
_BOOTSTRAP = "import sys; sys.path.insert(0, sys.argv[1]); from gpualloc.node import cuda_process; cuda_process.main()"
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class CudaSilent(Exception):
    """The driver did not answer; what became of the call, only its next answers tell."""


class CudaProcess:
    """The functions of `cuda.Cuda`, each with its deadline; all raise CudaMissing, CudaError and CudaSilent.

    Args:
        lock_fd: descriptor of a locked file, which the process keeps open for as long as it lives.
    """

    def __init__(self, lock_fd: int) -> None:
        self._lock_fd = lock_fd
        self._process: Any = None

    def version(self) -> int:
        """CUDA version of the driver: major * 1000 + minor * 10."""
        version: int = self._ask("version", [], QUICK_S)
        return version

    def state(self, pid: int) -> "str | None":
        """State of a process, one of cuda.STATES; None when it has nothing to do with CUDA."""
        state: "str | None" = self._ask("state", [pid], QUICK_S)
        return state

    def lock(self, pid: int, timeout_s: float) -> None:
        """RUNNING to LOCKED within that time."""
        self._ask("lock", [pid, max(1, int(timeout_s * 1000))], timeout_s + QUICK_S)

    def checkpoint(self, pid: int, size_mib: int) -> None:
        """LOCKED to CHECKPOINTED; the size tells how long it may last."""
        self._ask("checkpoint", [pid], _copy_s(size_mib))

    def restore(self, pid: int, pairs: "list[list[str]]", size_mib: int) -> None:
        """CHECKPOINTED to LOCKED; `pairs` of old and new UUID, empty: where it was."""
        self._ask("restore", [pid, pairs], _copy_s(size_mib))

    def unlock(self, pid: int) -> None:
        """LOCKED to RUNNING."""
        self._ask("unlock", [pid], QUICK_S)

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(QUICK_S)
        except subprocess.TimeoutExpired:
            pass  # it is inside the kernel's driver, where no signal reaches it; the lock tells the next one

    def _ask(self, function: str, args: "list[Any]", deadline_s: float) -> Any:
        if self._process is None:
            self._process = self._start()
        until_s = time.monotonic() + deadline_s
        try:
            self._process.stdin.write(json.dumps({"function": function, "args": args}).encode("ascii") + b"\n")
            self._process.stdin.flush()
            line = _line(self._process.stdout.fileno(), until_s)
        except BrokenPipeError:
            line = b""
        if not line:
            self.close()
            fate = "did not return within %d s" % deadline_s if line is None else "ended the process that called it"
            raise CudaSilent("%s of the CUDA driver %s" % (function, fate))
        answer = json.loads(line.decode("ascii"))
        if "missing" in answer:
            raise CudaMissing(answer["missing"])
        if "failed" in answer:
            raise CudaError(answer["failed"], answer["code"])
        return answer["result"]

    def _start(self) -> Any:
        # What hides GPUs from programs must not hide them from the one that moves programs between them.
        env = {name: value for name, value in os.environ.items() if not name.startswith("CUDA_")}
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, _ROOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=env,
            pass_fds=(self._lock_fd,),
            start_new_session=True,  # a Ctrl-C at the operator's terminal must not end it half-way
        )


def main() -> None:
    """Answer requests from stdin until it ends."""
    cuda: "Cuda | None" = None
    for line in sys.stdin.buffer:
        asked = json.loads(line.decode("ascii"))
        if asked["function"] not in _FUNCTIONS:
            raise ValueError("no such function: %r" % asked["function"])
        try:
            cuda = Cuda() if cuda is None else cuda
            answer = {"result": getattr(cuda, asked["function"])(*asked["args"])}
        except CudaMissing as missing:
            answer = {"missing": str(missing)}
        except CudaError as error:
            answer = {"failed": error.function, "code": error.code}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _copy_s(size_mib: int) -> float:
    return COPY_S + COPY_S_PER_GIB * size_mib / 1024


def _line(fd: int, until_s: float) -> "bytes | None":
    """The next line; None when the time is over, empty when the other side has ended."""
    data = b""
    while not data.endswith(b"\n"):
        left_s = until_s - time.monotonic()
        if left_s <= 0 or not select.select([fd], [], [], left_s)[0]:
            return None
        part = os.read(fd, 65536)
        if not part:
            return b""
        data += part
    return data
