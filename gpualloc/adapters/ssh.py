"""The node program at the far end of the operator's own ssh."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from gpualloc.adapters import loader
from gpualloc.adapters.archive import Archive, node_archive
from gpualloc.adapters.link import Failure
from gpualloc.adapters.local import program_ended
from gpualloc.adapters.pipe_link import PipeLink
from gpualloc.adapters.ssh_failure import ssh_failure
from gpualloc.errors import ConfigError
from gpualloc.model.inventory import NodeState

if TYPE_CHECKING:
    from gpualloc.adapters.shell_node import ShellNode

CONNECT_TIMEOUT_S = 6
CONTROL_PERSIST_S = 60
MAX_SOCKET_PATH_BYTES = 100
_CONTROL_NAME_BYTES = 1 + 40 + 17
"""Slash, the hash that %C stands for, and what ssh appends while it makes the socket."""
_ASK_CONFIG_S = 5.0
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@\\-]{0,127}")
_OPTION = re.compile(r"[A-Za-z][A-Za-z0-9]*")

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
    f"echo;echo {loader.STUB_MARK} no-python $n $t;"
    # What was sent for a python is passed over; then comes a program for this shell, or the end.
    "e=$(echo;echo x);e=${e%x};s=;"
    'while read -r l;do [ "$l" = "$n" ]&&break;done;'
    'while IFS= read -r l;do [ "$l" = "$n" ]&&break;s=$s$l$e;done;'
    """eval "$s"'"""
)
"""The constant command for every node: finds a python3 that will do, else says so and waits for a shell program,
which is sent between two lines with the nonce."""


ALWAYS: Mapping[str, str] = {
    # Nobody is there to answer a question: ssh then refuses a host key that it does not know.
    "BatchMode": "yes",
    # A node gets nothing of the operator's: no agent, no display, no ports, no network device.
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "ClearAllForwardings": "yes",
    "Tunnel": "no",
    # What is meant for the operator's own logins to the same hosts.
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    # Known hosts are the operator's to write.
    "UpdateHostKeys": "no",
    # Below it reasons of failures are not told, such as a connection that went silent; above it they get lost.
    "LogLevel": "INFO",
}
"""Options that stand first on the command line, where the first counts: no configuration undoes them."""

_NO_QUESTIONS = ("env", "SSH_ASKPASS_REQUIRE=never")
"""The ssh that ssh runs for a ProxyJump is not told of BatchMode: without this it asks in a window about host keys."""


class SshTarget(Struct, frozen=True):
    """Where ssh goes, and which ssh.

    Raises:
        ConfigError: host, user or an option has characters that it cannot have.
    """

    host: str
    user: str | None = None
    port: int | None = None
    options: tuple[tuple[str, str], ...] = ()
    """Pairs for `ssh -o Key=value`, in order; they win over gpualloc's own but for `ALWAYS`."""
    command: tuple[str, ...] = ("ssh",)
    """The ssh program and arguments that always go first."""

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            raise ConfigError(f"{self.host!r} is not a host name", hint="letters, digits, dots, dashes, underscores")
        if self.user is not None and not _USER.fullmatch(self.user):
            raise ConfigError(f"{self.user!r} is no account for ssh", hint="letters, digits, and then also . _ - @ \\")
        for key, value in self.options:
            if not _OPTION.fullmatch(key) or not value or not value.isprintable():
                raise ConfigError(f"{key!r} with {value!r} is no option of ssh", hint="as in: ServerAliveInterval=5")

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
        shared: whether the connection is to serve later commands, too.
    """

    def __init__(
        self,
        target: SshTarget,
        archive: Callable[[], Archive] = node_archive,
        runtime_dir: Path | None = None,
        *,
        shared: bool = True,
    ) -> None:
        self._target = target
        self._shared = shared
        self._make_archive = archive
        self._archive: Archive | None = None
        self._runtime_dir = runtime_dir
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
        return [*_NO_QUESTIONS, *self._target.command, *_as_options(ALWAYS), *self._target.arguments()]

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
        control = {"ControlMaster": "auto", "ControlPersist": CONTROL_PERSIST_S, "ControlPath": f"{folder}/%C"}
        return _as_options(control)


class SshLink(PipeLink):
    """`NodeLink` over ssh: to the node program, or to a shell program where no python3 can run it."""

    def __init__(self, node: str, target: SshTarget, runtime_dir: Path | None = None) -> None:
        super().__init__(node, SshLaunch(target, runtime_dir=runtime_dir), find_stand_in=shell_stand_in)


def shell_stand_in(word: str, nonce: str, detail: str) -> ShellNode | None:
    """`FindStandIn`: a shell program where the stub found no python3 that will do."""
    if word != "no-python":
        return None
    from gpualloc.adapters.shell_node import ShellNode  # few fleets have such nodes

    return ShellNode(nonce, detail)


def _as_options(settings: Mapping[str, object]) -> list[str]:
    return [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]


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
