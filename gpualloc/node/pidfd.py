"""Signals that cannot reach another process of the same pid, where the kernel (5.3) has descriptors of processes."""

import ctypes
import errno
import os

from gpualloc.node import processes

_OPEN, _SEND_SIGNAL = 434, 424
"""Numbers of the system calls: the same on x86-64 and aarch64."""


def open_of(pid: int) -> "int | None":
    """A descriptor of the process, readable once it ended; None when it is gone or the kernel has none."""
    fd = _syscall(_OPEN, pid, 0)
    if fd < 0:
        return None
    os.set_inheritable(fd, False)
    return fd


def send(pid: int, start_ticks: int, number: int) -> bool:
    """Send a signal to the process of that identity; False when it is gone. Raises PermissionError."""
    fd = open_of(pid)
    try:
        # Asked after the descriptor was opened: it stays the same process from here.
        if not processes.is_same(pid, start_ticks):
            return False
        if fd is None or _syscall(_SEND_SIGNAL, fd, number, None, 0) != 0:
            # One that ended meanwhile may have left its pid to another.
            if fd is not None and ctypes.get_errno() == errno.ESRCH:
                return False
            os.kill(pid, number)
    except ProcessLookupError:
        return False
    finally:
        if fd is not None:
            os.close(fd)
    return True


def _syscall(*arguments: "int | None") -> int:
    return int(ctypes.CDLL(None, use_errno=True).syscall(*map(_argument, arguments)))


def _argument(value: "int | None") -> "ctypes.c_long | ctypes.c_void_p":
    return ctypes.c_void_p(None) if value is None else ctypes.c_long(value)
