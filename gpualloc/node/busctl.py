"""Calls to a systemd manager, the system's or the account's own, through `busctl`: no library is needed on the node."""

import errno
import os

SYSTEM_SOCKET = "/run/dbus/system_bus_socket"
"""Where the system's manager is reached."""

_FOLDERS = ("/usr/bin", "/bin")
_MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_ANSWER_S = 20


def user_socket() -> str:
    """Where the manager of this account is reached, when it runs."""
    return "/run/user/%d/bus" % os.geteuid()


def program() -> "str | None":
    """Path of `busctl`; None when it is not installed. PATH is not asked, since root calls it."""
    return next((path for path in (folder + "/busctl" for folder in _FOLDERS) if os.access(path, os.X_OK)), None)


def call(own: bool, method: str, signature: str, *words: str) -> None:
    """Call a method of a manager and wait for its answer.

    Args:
        own: the manager of this account instead of the system's.
        method: name of the method.
        signature: D-Bus types of its arguments.
        words: the arguments, as `busctl` takes them.

    Raises OSError with what the manager said.
    """
    import subprocess  # 10 ms that readings need not wait for

    path = program()
    if path is None:
        raise OSError(errno.ENOENT, "busctl is not installed")
    command = [path, "--user" if own else "--system", "--quiet", "--timeout=%d" % _ANSWER_S, "call", *_MANAGER]
    try:
        done = subprocess.run(
            [*command, method, signature, "--", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            # Nothing of the caller's: its environment may name another bus.
            env={"LC_ALL": "C", "XDG_RUNTIME_DIR": os.path.dirname(user_socket())},
            timeout=2 * _ANSWER_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise OSError(errno.ETIMEDOUT, "systemd does not answer") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().replace("Call failed: ", "")[:500]
        raise OSError(errno.EREMOTEIO, "systemd refuses %s: %s" % (method, ascii(said)[1:-1]))
