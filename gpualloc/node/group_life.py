"""Stopping, waking and killing a whole group, by the files that its version has."""

import errno
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from gpualloc.node.group_files import read_value, write_value

if TYPE_CHECKING:
    from collections.abc import Callable

_WAIT_S = 10.0
"""How long the kernel gets: a process inside a driver stops and dies only when it comes out."""

_POLL_S = 0.002


def freeze(folder: str, frozen: bool) -> None:
    """Stop or wake the processes of a group that has `cgroup.freeze` or `freezer.state`; waits until it is so.

    Raises OSError: ENOTSUP when the group has neither, ETIMEDOUT when a process does not stop; then none is stopped.
    """
    if os.path.exists(os.path.join(folder, "cgroup.freeze")):
        file, values = "cgroup.freeze", ("0", "1")
    elif os.path.exists(os.path.join(folder, "freezer.state")):
        file, values = "freezer.state", ("THAWED", "FROZEN")
    else:
        raise OSError(errno.ENOTSUP, "this group cannot be frozen", folder)
    path = os.path.join(folder, file)
    write_value(path, values[frozen])
    try:
        _wait(lambda: is_frozen(folder) == frozen, "the group does not %s" % ("stop" if frozen else "wake"), folder)
    except TimeoutError:
        write_value(path, values[False])
        raise


def is_frozen(folder: str) -> "bool | None":
    """Whether every process of the group stands still; None when it has neither file."""
    events = read_value(os.path.join(folder, "cgroup.events"))
    if events is not None:
        told = dict(line.split() for line in events.splitlines()).get("frozen")
        if told is not None:
            return told == "1"
    state = read_value(os.path.join(folder, "freezer.state"))
    return None if state is None else state == "FROZEN"


def kill(folders: "list[str]", members: "Callable[[], list[int]]") -> None:
    """Kill the members of a group with these folders, and wait until nobody is left.

    Raises OSError: ETIMEDOUT when one does not die.
    """

    def kill_the_rest() -> bool:
        """Whether nobody was left."""
        for pid in members():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for folder in folders:
            # A killed process of version 1 dies only once it is awake; one of version 2 dies frozen.
            with suppress(OSError):
                write_value(os.path.join(folder, "freezer.state"), "THAWED")
        return not members()

    for folder in folders:
        with suppress(OSError):  # from kernel 5.14, in version 2; one by one otherwise
            write_value(os.path.join(folder, "cgroup.kill"), "1")
    _wait(kill_the_rest, "a killed process does not end", folders[0] if folders else "")


def _wait(condition: "Callable[[], bool]", problem: str, folder: str) -> None:
    until_s = time.monotonic() + _WAIT_S
    while not condition():
        if time.monotonic() > until_s:
            raise TimeoutError(errno.ETIMEDOUT, problem, folder)
        time.sleep(_POLL_S)
