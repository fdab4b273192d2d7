"""A guest under QEMU, emulated, reached by ssh on a port of loopback; it ends with the process that started it."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vm.image import Image

BOOT_S = 240.0
"""How long a cold boot may take on a busy machine; it takes 20 s on a quiet one."""

_HOST = "127.0.0.1"
_SNAPSHOT = "ready"
HARDWARE = (
    *("-machine", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "1024"),
    *("-display", "none", "-vga", "none", "-no-user-config", "-nodefaults"),
    *("-device", "virtio-blk-pci,drive=disk", "-device", "virtio-net-pci,netdev=net", "-device", "virtio-rng-pci"),
)
COMMAND_LINE = "root=/dev/vda rw console=ttyS0 quiet"
"""A snapshot is of this very machine, so an image is named by it too."""


class Guest:
    """A running guest.

    Args:
        image: what it was built from.
        folder: its own files: the layer of its disk, console, control sockets.
        process: the emulator.
        port: where its sshd is on loopback.
    """

    host = _HOST

    def __init__(self, image: Image, folder: Path, process: subprocess.Popen[bytes], port: int) -> None:
        self.image = image
        self.folder = folder
        self.process = process
        self.port = port
        (folder / "known_hosts").write_text(f"[{_HOST}]:{port} {image.host_key}\n")

    @property
    def ssh_options(self) -> tuple[tuple[str, str], ...]:
        """For `ssh -o`: key and known hosts, nothing from the configuration of the account that runs the tests."""
        return (
            ("IdentityFile", str(self.image.key)),
            ("IdentitiesOnly", "yes"),
            ("IdentityAgent", "none"),
            ("UserKnownHostsFile", str(self.folder / "known_hosts")),
            ("GlobalKnownHostsFile", "/dev/null"),
            ("StrictHostKeyChecking", "yes"),
            ("KexAlgorithms", "curve25519-sha256"),
        )

    def ssh(self, user: str = "root", *, shared: bool = True) -> list[str]:
        """The start of an ssh command line; `shared` connections are opened once per account."""
        options = [f"-o{name}={value}" for name, value in self.ssh_options]
        if shared:
            options += ["-oControlMaster=auto", f"-oControlPath={self.folder}/{user}.sock", "-oControlPersist=60"]
        command = ["ssh", "-F", "/dev/null", "-T", "-oBatchMode=yes", "-oConnectTimeout=10", "-oLogLevel=ERROR"]
        return [*command, *options, "-p", str(self.port), f"{user}@{_HOST}"]

    def run(
        self, *command: str, user: str = "root", check: bool = True, stdin: bytes = b"", timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the guest, as an account of it."""
        done = subprocess.run(
            [*self.ssh(user), "--", shlex.join(command)],
            input=stdin,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        out, complaints = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
        assert not check or done.returncode == 0, f"{command}: exit {done.returncode}\n{out}\n{complaints}"
        return subprocess.CompletedProcess(command, done.returncode, out, complaints)

    def put(self, source: Path, target: str) -> None:
        """Copy a file or the content of a folder into the guest, below a folder of root's."""
        names = ["-C", str(source), "."] if source.is_dir() else ["-C", str(source.parent), source.name]
        packed = subprocess.run(["tar", "-c", "--owner=0", "--group=0", *names], stdout=subprocess.PIPE, check=True)
        self.run("mkdir", "-p", target)
        self.run("tar", "-x", "-C", target, stdin=packed.stdout)

    def await_ssh(self, timeout_s: float = BOOT_S) -> None:
        """Wait until root can log in; fails with what the console shows."""
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s and self.process.poll() is None:
            if self.boot_id():
                return
            time.sleep(0.5)
        raise AssertionError(f"the guest does not answer:\n{self.console()[-3000:]}")

    def await_boot(self) -> None:
        """Wait until systemd has started everything."""
        self.await_ssh()
        told = self.run("systemctl", "is-system-running", "--wait", check=False, timeout_s=BOOT_S).stdout.strip()
        failed = self.run("systemctl", "--failed", "--no-legend", "--plain").stdout
        assert told == "running", f"{told}: {failed}"

    def set_clock(self) -> None:
        """Give the guest this machine's time, which stood still in a snapshot."""
        self.run("date", "--utc", "--set", f"@{time.time():.3f}")

    def reboot(self, *, orderly: bool = True) -> None:
        """Boot it anew, as an operator does or as by its reset button, and wait until it is up."""
        before = self.boot_id()
        if orderly:
            self.run("systemctl", "reboot", check=False)
        else:
            self.monitor("system_reset")
        self.end_connections()
        end_s = time.monotonic() + BOOT_S
        while self.boot_id() in ("", before):
            assert time.monotonic() < end_s, f"it does not boot:\n{self.console()[-3000:]}"
            time.sleep(0.5)
        self.await_boot()

    def end_connections(self) -> None:
        """End the shared connections."""
        for control in self.folder.glob("*.sock"):
            command = ["ssh", "-O", "exit", "-o", f"ControlPath={control}", _HOST]
            subprocess.run(command, capture_output=True, check=False)

    def boot_id(self) -> str:
        """The kernel's name for this boot; empty while nobody answers."""
        command = [*self.ssh(shared=False), "cat", "/proc/sys/kernel/random/boot_id"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()

    def console(self) -> str:
        """What the kernel and systemd said."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "console").read_text(errors="replace")
        return ""

    def monitor(self, command: str) -> str:
        """Give the emulator a command; answers what it said."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(120)
            connection.connect(str(self.folder / "monitor"))
            lines = connection.makefile("rw", encoding="utf-8")
            for request in (
                {"execute": "qmp_capabilities"},
                {"execute": "human-monitor-command", "arguments": {"command-line": command}},
            ):
                lines.write(json.dumps(request) + "\n")
                lines.flush()
            for line in lines:
                answer = json.loads(line)
                if isinstance(answer.get("return"), str):
                    return str(answer["return"])
        raise AssertionError(f"the emulator did not answer {command!r}")


@contextlib.contextmanager
def started(image: Image) -> Iterator[Guest]:
    """A guest that has just booted, from its snapshot; what it writes is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="gpualloc-vm-") as name:
        layer = Path(name) / "layer.qcow2"
        shutil.copy(image.booted, layer)
        # The disk was elsewhere when the layer was made.
        _run("qemu-img", "rebase", "-u", "-F", "qcow2", "-b", str(image.disk), str(layer))
        with _running(image, Path(name), "-loadvm", _SNAPSHOT) as guest:
            guest.await_ssh()
            guest.set_clock()
            yield guest


def keep_booted(image: Image) -> None:
    """Boot an image cold and keep the state it is then in."""
    # Not in the image's own folder, where paths of sockets may be too long.
    with tempfile.TemporaryDirectory(prefix="gpualloc-vm-") as name:
        layer = Path(name) / "layer.qcow2"
        _run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(image.disk), str(layer))
        with _running(image, Path(name)) as guest:
            guest.await_boot()
            guest.run("sync")
            guest.end_connections()
            said = guest.monitor(f"savevm {_SNAPSHOT}").strip()
            assert not said, said
        shutil.move(layer, image.booted)


@contextlib.contextmanager
def _running(image: Image, folder: Path, *more: str) -> Iterator[Guest]:
    port = _free_port()
    command = [
        # It must not outlive the tests, however they end.
        *("setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", *HARDWARE),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", COMMAND_LINE),
        *("-drive", f"id=disk,if=none,format=qcow2,cache=unsafe,file={folder}/layer.qcow2"),
        *("-netdev", f"user,id=net,restrict=on,hostfwd=tcp:{_HOST}:{port}-:22"),
        *("-serial", f"file:{folder}/console", "-qmp", f"unix:{folder}/monitor,server=on,wait=off", *more),
    ]
    with (folder / "emulator.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    guest = Guest(image, folder, process, port)
    try:
        yield guest
    finally:
        guest.end_connections()
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
