"""The node program at the far end of the operator's own ssh."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpualloc.adapters import loader
from gpualloc.adapters.archive import Archive, node_archive
from gpualloc.adapters.link import Failure
from gpualloc.adapters.local import program_ended
from gpualloc.adapters.pipe_link import PipeLink
from gpualloc.adapters.ssh_failure import ssh_failure
from gpualloc.errors import ConfigError
from gpualloc.model.inventory import NodeState

CONNECT_TIMEOUT_S = 6
CONTROL_PERSIST_S = 60
MAX_SOCKET_PATH_BYTES = 100
_CONTROL_NAME_BYTES = 1 + 40 + 17
"""Slash, the hash that %C stands for, and what ssh appends while it makes the socket."""
_ASK_CONFIG_S = 5.0
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

# Sent to whatever the login shell is, so it is one line in single quotes with no quote, backslash or exclamation
# mark in it. The boot program takes the source of the loader from descriptor 0, up to a NUL.
_BOOT = (
    "import sys,os;from importlib.util import find_spec as f;"
    "(sys.version_info<(3,6) or None in map(f,sys.argv[2:])) and sys.exit(97);"
    "exec(bytes().join(iter(lambda:os.read(0,1) or sys.exit(1),bytes(1))))"
)
_PYTHONS = " ".join(["python3", "/usr/libexec/platform-python", *(f"python3.{minor}" for minor in range(14, 5, -1))])
REMOTE_COMMAND = (
    "exec /bin/sh -c '"
    f"read -r n;echo;echo {loader.STUB_MARK} shell $n;"
    f'for p in {_PYTHONS};do command -v "$p" >/dev/null 2>&1||continue;'
    f'"$p" -I -S -c "{_BOOT}" "$n" json ctypes fcntl hashlib threading;r=$?;[ $r = 97 ]||exit $r;t="$t $p";done;'
    f"echo;echo {loader.STUB_MARK} no-python $n $t'"
)
"""The constant command for every node: finds a python3 that will do, else says so."""


@dataclass(frozen=True, slots=True)
class SshTarget:
    """Where ssh goes.

    Raises:
        ConfigError: the host has characters that a host name cannot have.
    """

    host: str
    user: str | None = None
    port: int | None = None
    options: tuple[tuple[str, str], ...] = ()
    """Pairs for `ssh -o Key=value`, in order; they win over gpualloc's own but for BatchMode."""

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            raise ConfigError(f"{self.host!r} is not a host name", hint="letters, digits, dots, dashes, underscores")

    @property
    def text(self) -> str:
        """As one would type it after `ssh`."""
        port = f"-p {self.port} " if self.port is not None else ""
        return port + (f"{self.user}@{self.host}" if self.user else self.host)

    def arguments(self) -> list[str]:
        """The arguments of ssh that come from the configuration."""
        chosen = [part for key, value in self.options for part in ("-o", f"{key}={value}")]
        if self.user is not None:
            chosen += ["-l", self.user]
        if self.port is not None:
            chosen += ["-p", str(self.port)]
        return chosen


class SshLaunch:
    """Starts ssh, and over it the loader and the node program.

    Args:
        target: where to.
        archive: gives the node program; called at the first contact that is answered.
        runtime_dir: folder for the control sockets; None looks for the account's own.
        ssh: the ssh binary.
        shared: whether the connection is to serve later commands, too.
    """

    def __init__(
        self,
        target: SshTarget,
        archive: Callable[[], Archive] = node_archive,
        runtime_dir: Path | None = None,
        ssh: str = "ssh",
        *,
        shared: bool = True,
    ) -> None:
        self._target = target
        self._shared = shared
        self._make_archive = archive
        self._archive: Archive | None = None
        self._runtime_dir = runtime_dir
        self._ssh = ssh
        self._multiplexing: list[str] | None = None
        self.unprivileged_reason: str | None = None
        """Why an installed privileged node program is not used; None when there is none or it is used."""

    def argv(self, nonce: str) -> Sequence[str]:  # noqa: ARG002 - the nonce travels in the greeting
        """The command of the child."""
        if self._multiplexing is None:
            self._multiplexing = self._find_multiplexing() if self._shared else []
        return [
            *self._base_arguments(),
            "-T",
            *("-o", f"ConnectTimeout={CONNECT_TIMEOUT_S}"),
            *("-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=2"),
            # A forwarding meant for the operator's own logins would keep its port for as long as the connection lives.
            *("-o", "ClearAllForwardings=yes"),
            *self._multiplexing,
            "--",
            self._target.host,
            REMOTE_COMMAND,
        ]

    def greeting(self, nonce: str) -> bytes:
        """The nonce, the loader, and which archive it is about."""
        archive = self._the_archive()
        source = Path(loader.__file__).read_bytes()
        return b"%s\n%s\0%s %d\n" % (nonce.encode(), source, archive.digest.encode(), len(archive.data))

    def reply(self, word: str, detail: str) -> bytes | Failure:
        """The archive when it is needed."""
        if word == "need":
            return self._the_archive().data
        if word == "unprivileged":
            self.unprivileged_reason = detail
        if word == "no-python":
            tried = f"only {detail}, without json and ctypes or older than 3.6" if detail else "none found"
            return Failure(NodeState.NO_PYTHON, f"it needs python3, 3.6 or newer: {tried}", "install python3 there")
        return b""

    def failure(self, status: int | None, stderr: str, last_mark: str | None) -> Failure:
        """What ssh says went wrong, or how the node program ended."""
        if status == 255:
            return ssh_failure(stderr, self._target.text, connected=last_mark is not None)
        return program_ended(status, stderr)

    def _the_archive(self) -> Archive:
        if self._archive is None:
            self._archive = self._make_archive()
        return self._archive

    def _base_arguments(self) -> list[str]:
        return [self._ssh, "-o", "BatchMode=yes", *self._target.arguments()]

    def _find_multiplexing(self) -> list[str]:
        """Share one connection per node between commands, unless the operator's ssh does so already."""
        folder = self._runtime_dir or runtime_dir()
        if folder is None or len(os.fsencode(folder)) + _CONTROL_NAME_BYTES > MAX_SOCKET_PATH_BYTES:
            return []
        try:
            shown = subprocess.run(
                [*self._base_arguments(), "-G", "--", self._target.host],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_ASK_CONFIG_S,
                check=False,
                start_new_session=True,
            )
        except (OSError, subprocess.TimeoutExpired):
            return []
        path = re.search(rb"^controlpath (.+)$", shown.stdout, re.MULTILINE)
        if shown.returncode != 0 or (path is not None and path[1] != b"none"):
            return []
        control = ["ControlMaster=auto", f"ControlPersist={CONTROL_PERSIST_S}", f"ControlPath={folder}/%C"]
        return [part for option in control for part in ("-o", option)]


class SshLink(PipeLink):
    """`NodeLink` over ssh."""

    def __init__(self, node: str, target: SshTarget, runtime_dir: Path | None = None) -> None:
        super().__init__(node, SshLaunch(target, runtime_dir=runtime_dir))


def runtime_dir() -> Path | None:
    """A folder for sockets that only this account can enter; None when there is none to be had."""
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}")
    folder = base / "gpualloc"
    if not base.is_dir() or not os.access(base, os.W_OK):
        folder = Path(tempfile.gettempdir()) / f"gpualloc-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        info = folder.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid() and not info.st_mode & 0o077
    # ssh expands % and ${} in the path, and splits at spaces.
    return folder if private and re.fullmatch(r"[A-Za-z0-9._/-]+", str(folder)) else None
