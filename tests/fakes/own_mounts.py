"""A mount namespace of a test's own: what is mounted in it is seen by nobody outside, and goes with its processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator

OWN_SYSTEM = """\
mount -t tmpfs none /run
mkdir -m 755 /run/sshd /run/sbin
cp -a /etc /run/etc || test -s /run/etc/passwd
mount --bind /run/etc /etc
mount --bind /run/sbin /usr/local/sbin
mount -t tmpfs none /var/lib
"""
"""A system whose /etc is a copy, and whose /run, /var/lib and /usr/local/sbin are empty.

cp fails when a lock or a draft in /etc vanishes under it, as tests beside this one make accounts; the rest is copied.
"""


def another_controller(name: str, file: str) -> str:
    """Mounts that let a process of the namespace pass for one called `name`; `file` is made for it."""
    return f"echo {name} > {file}\nmount --bind {file} /proc/$$/comm\n"


@contextlib.contextmanager
def own_mounts(script: str) -> Iterator[tuple[str, ...]]:
    """Make the namespace by a shell script; yields what to put before a command that is to run inside. Needs root."""
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-ec"]
    holder = subprocess.Popen(
        [*command, script + "echo ready\nexec sleep infinity"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert holder.stdout is not None
    try:
        if holder.stdout.readline() != "ready\n":
            raise RuntimeError("the mounts cannot be made")
        yield ("nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", "--")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
