"""The resize command of a workload, run once as its owner in its group by a program of its own.

That program holds the lock of the workload's changes for as long as the command runs, and ends it when the node
program is gone, so that two of them are never under way. Its answer is one JSON object.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

from gpualloc.node import (
    cgroup,
    cgroup1,  # noqa: F401 - `cgroup.probe` needs one of the three; later the program may be gone
    cgroup2,  # noqa: F401
    child,
    processes,
    systemd,  # noqa: F401
)

DONE, FAILED, LATE, CUT_SHORT = "done", "failed", "late", "cut short"
"""How the command went: it ended with 0; otherwise; not within its time; ended since the node program is gone."""

_PR_SET_CHILD_SUBREAPER = 36
_POLL_S = 0.02
_KEPT_BYTES = 4096
_MAX_SPEC_BYTES = 16 << 20
_KILLED_S = 10.0
"""How long the kernel may take to end what is killed."""

_BOOTSTRAP = (
    "import sys; sys.path.insert(0, sys.argv[1]); from gpualloc.node import resize_hook; "
    "resize_hook.main(int(sys.argv[2]))"
)


def run(spec: "dict[str, Any]", lock_fd: int) -> "dict[str, Any]":
    """Run the command of the spec, and answer how it went.

    Args:
        spec: what `child.run` needs, and `grace_s`: how long the command may take.
        lock_fd: the lock that is held meanwhile.

    Returns:
        `outcome`; `exit_code`, None unless it ended by itself; `output`: the first of what it wrote; `refused`:
        `reason` and `message` when it could not be executed, else None.
    """
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, root, str(lock_fd)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        pass_fds=(lock_fd,),
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        with suppress(BrokenPipeError):  # then it tells nothing, which is an answer
            process.stdin.write(json.dumps(spec).encode("ascii") + b"\n")
            process.stdin.flush()
        # Left open: at its end the command is ended.
        told = process.stdout.read()
    process.wait()
    if not told:
        return {"outcome": FAILED, "exit_code": None, "output": "", "refused": None}
    answer: "dict[str, Any]" = json.loads(told.decode("ascii"))
    return answer


def main(lock_fd: int) -> None:
    """Read the spec from stdin, run its command, tell on stdout. Never returns."""
    os.set_inheritable(lock_fd, False)
    asked_fd, told_fd = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    libc = ctypes.CDLL(None, use_errno=True)
    # So that whatever the command starts stays below this program, whose end is awaited.
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0:
        answer = _Run(json.loads(_line(asked_fd).decode("ascii")), asked_fd).answer()
        with suppress(BrokenPipeError):
            os.write(told_fd, json.dumps(answer).encode("ascii"))
    os._exit(0)


class _Run:
    """The command from fork to end."""

    def __init__(self, spec: "dict[str, Any]", asked_fd: int) -> None:
        self._until_s = time.monotonic() + spec["grace_s"]
        self._asked_fd = asked_fd
        self._output = b""
        self._told = b""
        self._output_fd, write_fd = os.pipe()
        self._tell_fd, tell_fd = os.pipe()
        cgroups = cgroup.probe()
        self._pid = os.fork()
        if self._pid == 0:
            child.run(spec, cgroups, write_fd, tell_fd)
        os.close(write_fd)
        os.close(tell_fd)
        self._open = [self._output_fd, self._tell_fd]

    def answer(self) -> "dict[str, Any]":
        """Wait for the end of the command, and end what is left of one that did not do it."""
        outcome, exit_code = self._awaited()
        self._read(0.0)
        if outcome != DONE:
            _end_all()
        refused = self._told.partition(b"\n")[2]
        return {
            "outcome": outcome,
            "exit_code": exit_code,
            "output": self._output.decode("utf-8", "replace"),
            "refused": json.loads(refused.decode("ascii")) if refused else None,
        }

    def _awaited(self) -> "tuple[str, int | None]":
        while True:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid and os.WIFEXITED(status):
                return (FAILED if os.WEXITSTATUS(status) else DONE), os.WEXITSTATUS(status)
            if pid:
                return FAILED, 128 + os.WTERMSIG(status)
            left_s = self._until_s - time.monotonic()
            if left_s <= 0:
                return LATE, None
            if self._abandoned(min(_POLL_S, left_s)):
                return CUT_SHORT, None

    def _abandoned(self, wait_s: float) -> bool:
        """Take in what there is to read; whether nobody waits for the command any more."""
        self._read(wait_s)
        return bool(select.select([self._asked_fd], [], [], 0)[0]) and not os.read(self._asked_fd, 1)

    def _read(self, wait_s: float) -> None:
        """Take in what the command wrote and what became of it."""
        for fd in select.select(self._open, [], [], wait_s)[0]:
            data = os.read(fd, 1 << 16)
            if not data:
                self._open.remove(fd)
            elif fd == self._tell_fd:
                self._told += data
            else:
                self._output = (self._output + data)[:_KEPT_BYTES]


def _end_all() -> None:
    """Kill everything below this program, and wait until it is gone."""
    until_s = time.monotonic() + _KILLED_S
    while time.monotonic() < until_s:
        for pid in processes.descendants(os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        time.sleep(_POLL_S)


def _line(fd: int) -> bytes:
    """The first line; what comes after it is not read."""
    data = b""
    while not data.endswith(b"\n") and len(data) < _MAX_SPEC_BYTES:
        piece = os.read(fd, 1 << 16)
        if not piece:
            os._exit(1)  # whoever began to send it is gone
        data += piece
    return data
