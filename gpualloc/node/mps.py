"""One MPS daemon per device and account: started, asked, told to end. Its commands are the legacy ones (version 2).

A daemon runs as the account of the work it serves, which needs no root, and lives as long as a workload is written
down beside its pipes. Work of another account on the same device has a daemon of its own: the driver then shares the
device between both in time.
"""

import os
import re
import shutil
import signal
import stat
import subprocess
import time
from typing import TYPE_CHECKING

from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from gpualloc.node.accounts import Account

CONTROL = "nvidia-cuda-mps-control"
"""The daemon, and with text on stdin the way to talk to it."""

_ROOT_FOLDER = "/run/gpualloc/mps"
_ASK_S = 10.0
_WAIT_S = 10.0
_POLL_S = 0.05
_MAX_SOCKET_PATH = 100
_WORKLOAD_FILE = re.compile(r"w[0-9a-hjkmnp-tv-z]{8}")


class Daemon:
    """The MPS daemon of one account on one device.

    Args:
        account: whom it serves and as whom it runs.
        device: UUID.
    """

    def __init__(self, account: "Account", device: str) -> None:
        self._account = account
        self._device = device
        self.folder = os.path.join(_base(account), "%s-%s" % (account.uid, device[-12:]))
        self.pipes = os.path.join(self.folder, "pipe")
        # Not inside: the account could put a link in the place of what it owns.
        self._users = self.folder + ".users"

    def client_environment(self, fraction: float, memory_mib: "int | None") -> "dict[str, str]":
        """What makes a process a client that may have so much of the device."""
        env = {
            "CUDA_MPS_PIPE_DIRECTORY": self.pipes,
            "CUDA_MPS_LOG_DIRECTORY": os.path.join(self.folder, "log"),
            "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "%g" % max(1.0, round(fraction * 100, 1)),
        }
        if memory_mib is not None:
            env["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] = "0=%dM" % memory_mib
        return env

    def start(self, workload: str) -> None:
        """Write the workload down and make sure that the daemon runs. Raises Refused."""
        self._make_folders()
        self._mark(workload)
        if self.answers():
            return
        done = self._run(["-d"], b"")
        until_s = time.monotonic() + _WAIT_S
        while not self.answers():
            if done.returncode != 0 or time.monotonic() > until_s:
                self._unmark(workload)
                raise Refused("failed", "the MPS daemon of %s does not come up: %s" % (self._device, _told(done)))
            time.sleep(_POLL_S)

    def stop(self, workload: str, others: "frozenset[str]") -> None:
        """Take the workload's mark away, and end the daemon when none of `others`, which run, is left there."""
        self._unmark(workload)
        for stale in self.users() - others:
            self._unmark(stale)
        if self.users() or not os.path.isdir(self._users):
            return
        if self.answers():
            self._ask("quit")
        until_s = time.monotonic() + _WAIT_S
        while self.answers():
            if time.monotonic() > until_s:
                raise Refused("busy", "the MPS daemon of %s does not end: it has clients" % self._device)
            time.sleep(_POLL_S)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.rmdir(self._users)

    def users(self) -> "frozenset[str]":
        """Ids of the workloads written down here."""
        try:
            names = os.listdir(self._users)
        except OSError:
            return frozenset()
        return frozenset(name for name in names if _WORKLOAD_FILE.fullmatch(name))

    def answers(self) -> bool:
        """Whether the daemon runs."""
        return os.path.isdir(self.pipes) and self._ask("get_server_list").returncode == 0

    def clients(self) -> "frozenset[int]":
        """Pids of its clients now; a process that found no daemon runs without MPS and is not among them."""
        found: "set[int]" = set()
        for server in re.findall(r"\d+", _text(self._ask("get_server_list"))):
            found.update(int(pid) for pid in re.findall(r"\d+", _text(self._ask("get_client_list %s" % server))))
        return frozenset(found)

    def version(self) -> "str | None":
        """What the program says of its version; None when it does not know the question."""
        done = self._run(["-v"], b"")
        found = re.search(r"\d+(\.\d+)*", _text(done))
        return found.group(0) if done.returncode == 0 and found else None

    def _ask(self, command: str) -> "subprocess.CompletedProcess[bytes]":
        return self._run([], (command + "\n").encode("ascii"))

    def _run(self, arguments: "list[str]", stdin: bytes) -> "subprocess.CompletedProcess[bytes]":
        env = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "CUDA_VISIBLE_DEVICES": self._device,
            "CUDA_MPS_PIPE_DIRECTORY": self.pipes,
            "CUDA_MPS_LOG_DIRECTORY": os.path.join(self.folder, "log"),
        }
        try:
            return subprocess.run(
                [control(), *arguments],
                input=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_ASK_S,
                env=env,
                cwd="/",
                preexec_fn=self._become,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Refused("failed", "the MPS daemon of %s does not answer" % self._device) from None
        except OSError as error:
            raise Refused("failed", "%s cannot be run: %s" % (CONTROL, error)) from error

    def _become(self) -> None:
        os.setsid()
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if os.geteuid() == 0 and self._account.uid != 0:
            os.initgroups(self._account.name, self._account.gid)
            os.setgid(self._account.gid)
            os.setuid(self._account.uid)

    def _make_folders(self) -> None:
        """Folders that the account alone may enter; one that somebody else made is refused."""
        if len(self.pipes) > _MAX_SOCKET_PATH:
            raise Refused("failed", "the path for the pipes of MPS is too long: %s" % self.pipes)
        try:
            base = os.path.dirname(self.folder)
            os.makedirs(os.path.dirname(base), 0o755, exist_ok=True)
            self._own(base, os.geteuid(), 0o755)
            self._own(self._users, os.geteuid(), 0o700)
            for path in (self.folder, self.pipes, os.path.join(self.folder, "log")):
                self._own(path, self._account.uid, 0o700)
        except OSError as error:
            raise Refused("disk", "the folder for MPS cannot be made: %s" % error) from error

    def _own(self, path: str, uid: int, mode: int) -> None:
        """Make the folder for that account, or find it made for it: nobody else's folder and no link will do."""
        try:
            os.mkdir(path, mode)
            if uid != os.geteuid():
                os.chown(path, uid, self._account.gid, follow_symlinks=False)
        except FileExistsError:
            status = os.lstat(path)
            if status.st_uid != uid or not stat.S_ISDIR(status.st_mode):
                raise Refused("not-permitted", "%s belongs to somebody else" % path) from None

    def _mark(self, workload: str) -> None:
        with open(os.path.join(self._users, workload), "wb"):
            pass

    def _unmark(self, workload: str) -> None:
        try:
            os.unlink(os.path.join(self._users, workload))
        except OSError:
            pass  # never written, or gone with the folder


def control() -> str:
    """Path of the control program; raises Refused when this node has none."""
    found = shutil.which(CONTROL)
    if found is None:
        raise Refused("not-supported", "this node has no %s, so no MPS" % CONTROL)
    return found


def _base(account: "Account") -> str:
    if os.geteuid() == 0:
        return os.environ.get("GPUALLOC_MPS_DIR") or _ROOT_FOLDER
    return os.environ.get("GPUALLOC_MPS_DIR") or "/tmp/gpualloc-mps-%d" % account.uid  # noqa: S108 - its owner is checked


def _text(done: "subprocess.CompletedProcess[bytes]") -> str:
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def _told(done: "subprocess.CompletedProcess[bytes]") -> str:
    return ascii(done.stdout.decode("utf-8", "replace").strip()[:200]) or "it says nothing"
