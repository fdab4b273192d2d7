"""Checks of memory before a node takes work, each in a process of its own.

A driver that hangs, or memory that is broken, must not take the node program along. One slice at a time, with a bound
on its time and on the memory it takes; it is the first that the kernel kills when memory runs out, and it ends with
this program.
"""

import json
import os
import select
import subprocess
import sys
import time
from typing import Any

from gpualloc.node.wire import Refused

HOST_MEMORY, GPU = "host-memory", "gpu"
PARTS = (HOST_MEMORY, GPU)

MAX_SECONDS = 20.0
"""Longest slice: nobody else is answered meanwhile."""
MAX_HOST_MIB = 4096
HOST_SHARE = 0.25
"""Largest part of the free host memory that is taken."""
GRACE_S = 40.0
"""How much longer than its slice a check may last: CUDA begins slowly where persistence mode is off."""

_MAX_ANSWER_BYTES = 65536
_REAP_S = 10.0
"""How long a killed process may take to give its memory back."""
_BOOTSTRAP = "import sys; sys.path.insert(0, sys.argv[1]); from gpualloc.node import burnin_work; burnin_work.main()"
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Burnin:
    """The checks of one node program. Of one that never ended no other is begun.

    Args:
        grace_s: how much longer than its slice a check may last.
    """

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self._grace_s = grace_s
        self._left: Any = None

    def run(self, asked: "dict[str, Any]", env: "dict[str, str]") -> "dict[str, Any]":
        """Check for one slice, and answer what was found.

        Args:
            asked: what `burnin_work.main` reads.
            env: variables over those of this program.
        """
        if self._left is not None and self._left.poll() is None:
            raise Refused("busy", "an earlier check has not ended: process %d is inside the driver" % self._left.pid)
        process = self._left = self._started(env)
        try:
            line = _answer(process, asked, time.monotonic() + asked["seconds"] + self._grace_s)
        finally:
            process.kill()
            process.stdin.close()
            process.stdout.close()
            _reap(process)
        if line is None:
            for_s = asked["seconds"] + self._grace_s
            raise Refused("unhealthy", "the check did not return within %d s, and was given up" % for_s)
        try:
            told = json.loads(line.decode("ascii"))
        except ValueError:
            raise Refused("failed", "the check ended before it had an answer%s" % _how(process)) from None
        if "refused" in told:
            raise Refused(told["refused"], told["message"])
        found: "dict[str, Any]" = told["found"]
        return found

    def _started(self, env: "dict[str, str]") -> Any:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, _ROOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=dict({name: value for name, value in os.environ.items() if not name.startswith("CUDA_")}, **env),
            start_new_session=True,
        )


def host_mib(asked_mib: int, available_mib: "int | None") -> int:
    """How much of the host's memory is checked: what was asked for, within what leaves the host alone."""
    if available_mib is None:
        raise Refused("not-supported", "this host does not tell how much memory it has free")
    mib = min(asked_mib, MAX_HOST_MIB, int(available_mib * HOST_SHARE))
    if mib < 1:
        raise Refused("memory", "only %d MiB of host memory are free" % available_mib)
    return mib


def _answer(process: Any, asked: "dict[str, Any]", until_s: float) -> "bytes | None":
    """What the process says until it ends; None when the time is over."""
    try:
        process.stdin.write(json.dumps(asked).encode("ascii") + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        return b""
    data, fd = b"", process.stdout.fileno()
    while not data.endswith(b"\n") and len(data) < _MAX_ANSWER_BYTES:
        left_s = until_s - time.monotonic()
        if left_s <= 0 or not select.select([fd], [], [], left_s)[0]:
            return None
        part = os.read(fd, 65536)
        if not part:
            break
        data += part
    return data


def _reap(process: Any) -> None:
    try:
        process.wait(_REAP_S)
    except subprocess.TimeoutExpired:
        return  # inside the kernel's driver, where no signal reaches it


def _how(process: Any) -> str:
    status = process.poll()
    return " (signal %d)" % -status if status is not None and status < 0 and status != -9 else ""
