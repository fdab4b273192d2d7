"""Real sshd processes on loopback, each a node of its own, with a throw-away unix account to log in to.

    with sshd_farm(["n1", "n2"]) as farm:
        target = SshTarget(farm["n1"].host, user=..., port=..., options=farm["n1"].options)

As root the account is made for the farm (empty home, bare shell) and removed with everything that runs as it;
otherwise, or with `as_root`, the account is the one that runs the tests. Nothing of the farm outlives its context.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_READY_S = 60.0
_TRIES = 5
_HOST = "127.0.0.1"


@dataclass
class FarmNode:
    """One sshd and how to reach it."""

    name: str
    user: str
    folder: Path
    """Belongs to the account; holds the node's `cache` and `state` folders."""
    options: tuple[tuple[str, str], ...]
    """For `ssh -o`: key, known hosts, and nothing from the configuration of the account that runs the tests."""
    environment: dict[str, str]
    """What sshd sets for each session."""
    host: str = _HOST
    port: int = 0
    within: tuple[str, ...] = ()
    """What stands before the command of the sshd, such as one that enters a namespace and executes the rest."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def cache(self) -> Path:
        """Where the node program is cached: `XDG_CACHE_HOME` of its sessions."""
        return self.folder / "cache"

    @property
    def state(self) -> Path:
        """`GPUALLOC_NODE_STATE_DIR` of its sessions."""
        return self.folder / "state"

    def sessions(self) -> list[int]:
        """Pids of everything that descends from this sshd, its connections and what runs in them."""
        return _descendants(self.process.pid) if self.process is not None else []

    def connections(self) -> set[int]:
        """Pids of the processes that serve a connection each."""
        assert self.process is not None
        return {pid for pid in _descendants(self.process.pid, deep=False) if _name(pid).startswith("sshd")}

    def cut(self) -> None:
        """Kill the connections, and nothing that was started in them, as a broken network would look to a client."""
        for pid in self.sessions():
            if _name(pid).startswith("sshd"):
                _kill(pid, signal.SIGKILL)

    def freeze(self, *, programs: bool = True) -> None:
        """Stop the sshd and its connections in their tracks, and unless told otherwise what runs in these."""
        assert self.process is not None
        for pid in [self.process.pid, *self.sessions()]:
            if programs or _name(pid).startswith("sshd"):
                _kill(pid, signal.SIGSTOP)

    def wake(self) -> None:
        """Let all go on that was frozen."""
        assert self.process is not None
        for pid in [self.process.pid, *self.sessions()]:
            _kill(pid, signal.SIGCONT)

    def programs(self) -> list[int]:
        """Pids of what runs in the connections."""
        return [pid for pid in self.sessions() if not _name(pid).startswith("sshd")]

    def stop(self) -> None:
        """End the sshd and its connections."""
        if self.process is None:
            return
        self.cut()
        self.process.kill()
        self.process.wait()
        self.process = None

    def restart(self, **environment: str) -> None:
        """Start the sshd again with more variables for its sessions."""
        self.stop()
        self.environment.update(environment)
        self.start()

    def start(self) -> None:
        """Start the sshd, on the port it had before if it had one."""
        for _ in range(_TRIES):
            self.port = self.port or _free_port()
            config = self.folder.parent / f"{self.name}.conf"
            config.write_text(_sshd_config(self))
            log = (self.folder.parent / f"{self.name}.log").open("ab")
            with log:
                command = [*self.within, _sshd(), "-D", "-e", "-f", str(config)]
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            if _answers(self):
                self._write_known_hosts()
                return
            self.process.wait()
            self.port = 0
        raise RuntimeError(f"sshd does not start: {(self.folder.parent / f'{self.name}.log').read_text()}")

    def _write_known_hosts(self) -> None:
        public = (self.folder.parent / f"{self.name}.key.pub").read_text().split()
        known = self.folder.parent / f"{self.name}.known_hosts"
        known.write_text(f"[{self.host}]:{self.port} {public[0]} {public[1]}\n")

    def forget_host_key(self) -> None:
        """Make this node a stranger to ssh."""
        (self.folder.parent / f"{self.name}.known_hosts").write_text("")

    def mistake_host_key(self, other: FarmNode) -> None:
        """Make ssh expect another node's key here."""
        public = (other.folder.parent / f"{other.name}.key.pub").read_text().split()
        known = self.folder.parent / f"{self.name}.known_hosts"
        known.write_text(f"[{self.host}]:{self.port} {public[0]} {public[1]}\n")


@dataclass
class SshdFarm:
    """The nodes by name, in a folder that everyone may enter."""

    folder: Path
    home: Path
    """Home of the account; None of its start-up files exist unless a test writes one."""
    nodes: dict[str, FarmNode]

    def __getitem__(self, name: str) -> FarmNode:
        return self.nodes[name]


@contextlib.contextmanager
def sshd_farm(
    names: Sequence[str],
    environment: Mapping[str, Mapping[str, str]] | None = None,
    *,
    shell: str = "/bin/sh",
    as_root: bool = False,
) -> Iterator[SshdFarm]:
    """Run one sshd per name.

    Args:
        names: names of the nodes.
        environment: more variables for the sessions of a node, by name, such as `LD_LIBRARY_PATH`.
        shell: login shell of the throw-away account.
        as_root: log in to root instead of a throw-away account (only when the tests run as root).
    """
    # Not pytest's folder: nobody but its owner may enter that, and a short path leaves room for sockets.
    folder = Path(tempfile.mkdtemp(prefix="gpualloc-farm-"))
    folder.chmod(0o755)
    throw_away = os.geteuid() == 0 and not as_root
    farm = SshdFarm(folder, folder / "home", {})
    user = pwd.getpwuid(os.geteuid()).pw_name
    try:
        if throw_away:
            user = _add_user(farm.home, shell)
        account = pwd.getpwnam(user)
        _prepare(folder, account.pw_uid)
        for name in names:
            farm.nodes[name] = _node(folder, name, account, (environment or {}).get(name, {}))
            farm.nodes[name].start()
        yield farm
    finally:
        for node in farm.nodes.values():
            leftover = node.sessions()
            node.stop()
            for pid in leftover:
                _kill(pid, signal.SIGKILL)
        if throw_away and user.startswith("gpa"):
            _remove_user(user)
        shutil.rmtree(folder, ignore_errors=True)


def _prepare(folder: Path, uid: int) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "id")], check=True)
    shutil.copy(folder / "id.pub", folder / "authorized_keys")
    os.chmod(folder / "authorized_keys", 0o644)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's own, which a package's start script would make


def _node(folder: Path, name: str, account: pwd.struct_passwd, more: Mapping[str, str]) -> FarmNode:
    own = folder / name
    for path in (own, own / "cache", own / "state"):
        path.mkdir(mode=0o700)
        os.chown(path, account.pw_uid, account.pw_gid)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / f"{name}.key")], check=True)
    options = (
        ("IdentityFile", str(folder / "id")),
        ("IdentitiesOnly", "yes"),
        ("IdentityAgent", "none"),
        ("UserKnownHostsFile", str(folder / f"{name}.known_hosts")),
        ("GlobalKnownHostsFile", "/dev/null"),
        ("StrictHostKeyChecking", "yes"),
        ("KexAlgorithms", "curve25519-sha256"),
        # Longer than gpualloc's own: a busy machine is no silent node. Tests of silence put theirs before these.
        ("ConnectTimeout", "60"),
        ("ServerAliveInterval", "60"),
    )
    environment = {"XDG_CACHE_HOME": str(own / "cache"), "GPUALLOC_NODE_STATE_DIR": str(own / "state"), **more}
    return FarmNode(name, account.pw_name, own, options, environment)


def _sshd_config(node: FarmNode) -> str:
    folder = node.folder.parent
    settings = " ".join(shlex.quote(f"{key}={value}") for key, value in node.environment.items())
    return "\n".join(
        [
            f"ListenAddress {node.host}:{node.port}",
            f"HostKey {folder}/{node.name}.key",
            f"PidFile {folder}/{node.name}.pid",
            f"AuthorizedKeysFile {folder}/authorized_keys",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "PrintMotd no",
            "MaxStartups 100",
            "MaxSessions 100",
            f"SetEnv {settings}",
            "",
        ]
    )


def _sshd() -> str:
    path = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        raise RuntimeError("sshd is not installed (Debian: openssh-server)")
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _answers(node: FarmNode) -> bool:
    """Wait until the sshd answers; False when it ended, because someone else took the port."""
    deadline = time.monotonic() + _READY_S
    assert node.process is not None
    while node.process.poll() is None and time.monotonic() < deadline:
        try:
            with socket.create_connection((node.host, node.port), timeout=_READY_S) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            time.sleep(0.02)
    return False


def _add_user(home: Path, shell: str) -> str:
    home.mkdir()
    name = f"gpa{os.getpid()}x{time.monotonic_ns() % 1_000_000}"
    # The password `*` matches nothing, and unlike `!` does not make sshd take the account for a locked one.
    command = ["useradd", "-M", "-N", "-d", str(home), "-s", shell, "-p", "*", name]
    for _ in range(600):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break
        if done.returncode not in (1, 10):  # Another useradd holds the lock of the password file.
            raise RuntimeError(f"useradd failed: {done.stderr}")
        time.sleep(0.1)
    account = pwd.getpwnam(name)
    os.chown(home, account.pw_uid, account.pw_gid)
    return name


def _remove_user(name: str) -> None:
    uid = pwd.getpwnam(name).pw_uid
    deadline = time.monotonic() + 60
    while (pids := _processes_of(uid)) and time.monotonic() < deadline:
        for pid in pids:
            _kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    for _ in range(600):
        done = subprocess.run(["userdel", "-f", name], capture_output=True, text=True, check=False)
        if done.returncode not in (1, 10):
            return
        time.sleep(0.1)


def _processes_of(uid: int) -> list[int]:
    found = []
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == uid and _state(int(entry.name)) != "Z":
                found.append(int(entry.name))
    return found


def _descendants(root: int, *, deep: bool = True) -> list[int]:
    parents = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                parents[int(entry.name)] = int(_stat_fields(int(entry.name))[1])
    found = [pid for pid, parent in parents.items() if parent == root]
    for pid in found if deep else []:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _stat_fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _state(pid: int) -> str:
    return _stat_fields(pid)[0]


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _kill(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
