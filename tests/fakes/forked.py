"""gpualloc in forks of a process that has all of it imported: each takes a fraction of the time of a fresh one.

Run as a script it is that process.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import gpualloc

LATER = ("gpualloc.tui", "gpualloc.forecast.ml_", "gpualloc.node.__main__", "gpualloc.__main__")
"""What is large, may not be installed, or begins at once: whoever needs it imports it."""
BESIDES = ("numpy", "sqlite_utils")
"""What functions of gpualloc import."""
MAX_REQUEST_BYTES = 1 << 17


class ForkServer:
    """A process that is asked to run command lines; several threads may ask at once."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            env = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(__file__))}
            self._process = subprocess.Popen([sys.executable, __file__], stdin=theirs, env=env)

    def run(self, args: Sequence[str], env: Mapping[str, str], timeout_s: float) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` with its output captured as text, and no input."""
        request = json.dumps({"args": args, "env": dict(env), "folder": os.getcwd()}).encode()
        pipes = [os.pipe() for _ in range(3)]
        socket.send_fds(self._requests, [request], [end for _, end in pipes])
        for _, end in pipes:
            os.close(end)
        told = {begin: b"" for begin, _ in pipes}
        ended = _read(told, timeout_s)
        output, errors, process = map(_text, told.values())
        pid, *status = map(int, process.split())
        if not ended:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(list(args), timeout_s, output, errors)
        return subprocess.CompletedProcess(list(args), status[0], output, errors)

    def close(self) -> None:
        """End the process."""
        self._requests.close()
        self._process.wait()


@functools.cache
def fork_server() -> ForkServer:
    """The one of this process, which ends with it."""
    made = ForkServer()
    atexit.register(made.close)
    return made


def _read(told: dict[int, bytes], timeout_s: float) -> bool:
    """Read from each until its end, and close it; returns whether that came in time."""
    end_s = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as waiting:
        for each in told:
            waiting.register(each, selectors.EVENT_READ)
        while waiting.get_map() and time.monotonic() < end_s:
            for key, _ in waiting.select(end_s - time.monotonic()):
                piece = os.read(key.fd, 1 << 16)
                told[key.fd] += piece
                if not piece:
                    waiting.unregister(key.fd)
        ended = not waiting.get_map()
    for each in told:
        os.close(each)
    return ended


def _text(told: bytes) -> str:
    return told.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")


def serve(requests: socket.socket) -> list[str] | None:
    """Fork for each request; returns its arguments in the fork, and None when nobody asks any more."""
    with selectors.DefaultSelector() as waiting:
        waiting.register(requests, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.data is not None:
                    waiting.unregister(key.fd)
                    _tell_end(key.fd, *key.data)
                    continue
                text, outputs, _, _ = socket.recv_fds(requests, MAX_REQUEST_BYTES, 3)
                if not text:
                    return None
                pid = os.fork()
                if pid == 0:
                    _let_go(waiting, requests)
                    return _become(json.loads(text), outputs)
                *others, told = outputs
                for each in others:
                    os.close(each)
                os.write(told, b"%d " % pid)
                waiting.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, told))


def _tell_end(pidfd: int, pid: int, told: int) -> None:
    _, status = os.waitpid(pid, 0)
    os.write(told, b"%d" % os.waitstatus_to_exitcode(status))
    os.close(told)
    os.close(pidfd)


def _let_go(waiting: selectors.BaseSelector, requests: socket.socket) -> None:
    """Close what other forks are waited for with, so that who asked for them hears of their end."""
    for key in waiting.get_map().values():
        if key.data is not None:
            os.close(key.fd)
            os.close(key.data[1])
    waiting.close()
    requests.close()


def _become(request: dict[str, Any], outputs: Sequence[int]) -> list[str]:
    """Be as a process is that was started with these; returns its arguments."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    *writable, told = outputs
    for number, each in enumerate((nothing, *writable)):
        os.dup2(each, number)
        os.close(each)
    os.close(told)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    return request["args"]


def _import_everything() -> None:
    for name in BESIDES:
        importlib.import_module(name)
    for module in pkgutil.walk_packages(gpualloc.__path__, "gpualloc."):
        if not module.name.startswith(LATER):
            importlib.import_module(module.name)
    # A fork shares with its parent what no collector touches.
    gc.collect()
    gc.freeze()


def _end(status: int) -> None:
    """Exit as an interpreter does, but for freeing what is shared with the parent piece by piece."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _import_everything()
    asked = serve(socket.socket(fileno=os.dup(0)))
    if asked is not None:
        from gpualloc import __main__ as program

        sys.argv = [program.__file__, *asked]
        _end(program.main())
