"""The disk of a genuine Debian node, built from Debian's packages once and kept in a cache.

    python -m vm.image        builds it when needed, and says how far it is

The cache is GPUALLOC_VM_CACHE, else `gpualloc-vm` in the account's cache folder. A build is named by what it is made
of, so a changed recipe makes a new one, and the one before goes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from vm.qemu import COMMAND_LINE, HARDWARE, keep_booted

SUITE = "bookworm"
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd", "udev", "kmod"),
    *("linux-image-cloud-amd64", "openssh-server", "iproute2", "sudo", "python3", "python3-pytest"),
)
ACCOUNTS = {"gpuop": "may become root through gpualloc's sudo rule", "plain": "has nothing but its own manager"}
LINGERING = ("plain",)
"""Accounts whose own systemd manager runs from boot on."""

_EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
_DISK = "1G"
_MASKED = (
    *("systemd-networkd-wait-online.service", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer"),
    *("e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", "systemd-timesyncd.service", "getty@.service"),
    *("serial-getty@.service", "systemd-pstore.service"),
)
_NETWORK = """\
[Match]
Type=ether

[Network]
Address=10.0.2.15/24
Gateway=10.0.2.2
LinkLocalAddressing=no
"""
_SSHD = """\
PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
MaxStartups 100
MaxSessions 100
SetEnv GPUALLOC_FAKE_NVML=/etc/gpualloc-nvml GPUALLOC_NVML_DEADLINE_S=20
"""
_SUDO = 'Defaults env_keep += "GPUALLOC_FAKE_NVML GPUALLOC_NVML_DEADLINE_S"\n'
"""What the driver library of the tests shows is seen by every session, and by what it starts as root."""


class Image(Struct, frozen=True):
    """A finished build: files in one folder."""

    folder: Path

    @property
    def disk(self) -> Path:
        """The file system; never written to after the build."""
        return self.folder / "disk.qcow2"

    @property
    def booted(self) -> Path:
        """A layer over `disk` with the state of a node that has just booted, as the snapshot `ready`."""
        return self.folder / "booted.qcow2"

    @property
    def kernel(self) -> Path:
        """Its kernel."""
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """What the kernel starts from."""
        return self.folder / "initrd"

    @property
    def key(self) -> Path:
        """The private ssh key that root and every account of the guest take."""
        return self.folder / "id"

    @property
    def host_key(self) -> str:
        """Type and value of the guest's public host key."""
        return " ".join((self.folder / "host.pub").read_text().split()[:2])


def image() -> Image:
    """The image of this recipe; built when the cache has none. Raises RuntimeError when it cannot be built."""
    cache = _cache()
    cache.mkdir(parents=True, exist_ok=True)
    built = Image(cache / _name())
    with _locked(cache / "lock"):
        if not built.folder.exists():
            _build(built)
            _forget_others(cache, built)
    return built


def _cache() -> Path:
    given = os.environ.get("GPUALLOC_VM_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gpualloc-vm"


def _name() -> str:
    """A name for what the image is made of: this file, the machine it runs on, and its emulator."""
    recipe = hashlib.sha256(Path(__file__).read_bytes())
    recipe.update(repr((HARDWARE, COMMAND_LINE)).encode())
    recipe.update(subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, check=True).stdout)
    return f"{SUITE}-{recipe.hexdigest()[:16]}"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _forget_others(cache: Path, built: Image) -> None:
    # A guest that still runs from one keeps its open files.
    for folder in cache.glob(f"{SUITE}-*"):
        if folder != built.folder:
            shutil.rmtree(folder)


def _build(built: Image) -> None:
    if os.geteuid() != 0:
        raise RuntimeError("the image of the virtual node can only be built as root; run `make test-vm` so once")
    with tempfile.TemporaryDirectory(prefix="building-", dir=built.folder.parent) as name:
        root, made = Path(name) / "root", Image(Path(name) / "made")
        made.folder.mkdir()
        with _told("installing Debian's packages"):
            _install_packages(root)
        with _told("setting the node up"):
            _set_up(root, made)
        with _told("making the disk"):
            _make_disk(root, made)
        with _told("booting it once"):
            keep_booted(made)
        made.folder.rename(built.folder)


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    begun_s = time.monotonic()
    print(f"virtual node: {what} ...", end="", file=sys.stderr, flush=True)
    yield
    print(f" {time.monotonic() - begun_s:.0f} s", file=sys.stderr, flush=True)


def _install_packages(root: Path) -> None:
    excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED]
    _run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}", *excluded, SUITE, str(root))


def _set_up(root: Path, made: Image) -> None:
    (root / "etc/hostname").write_text("gpuvm\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n127.0.1.1 gpuvm\n")
    (root / "etc/machine-id").write_text(uuid.uuid4().hex + "\n")
    (root / "etc/fstab").write_text("/dev/vda / ext4 defaults 0 0\n")
    (root / "etc/systemd/network/10-user.network").write_text(_NETWORK)
    (root / "etc/ssh/sshd_config.d/tests.conf").write_text(_SSHD)
    (root / "etc/sudoers.d/tests").write_text(_SUDO)
    _run("chroot", str(root), "systemctl", "--quiet", "enable", "systemd-networkd.service")
    _run("chroot", str(root), "systemctl", "--quiet", "mask", *_MASKED)
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "gpualloc tests", "-f", str(made.key))
    public = made.key.with_suffix(".pub").read_text()
    _take_key(root / "root", public, 0)
    for name, described in ACCOUNTS.items():
        _run("chroot", str(root), "useradd", "--create-home", "--shell", "/bin/sh", "-c", described, "-p", "*", name)
        home = root / "home" / name
        _take_key(home, public, home.stat().st_uid)
    lingering = root / "var/lib/systemd/linger"
    lingering.mkdir(parents=True, exist_ok=True)
    for name in LINGERING:
        (lingering / name).touch()
    for name, pattern in (("vmlinuz", "vmlinuz-*"), ("initrd", "initrd.img-*")):
        (found,) = (root / "boot").glob(pattern)
        found.rename(made.folder / name)
    shutil.copy(root / "etc/ssh/ssh_host_ed25519_key.pub", made.folder / "host.pub")


def _take_key(home: Path, public: str, uid: int) -> None:
    folder = home / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "authorized_keys").write_text(public)
    for path in (folder, folder / "authorized_keys"):
        os.chown(path, uid, uid)


def _make_disk(root: Path, made: Image) -> None:
    raw = made.folder / "disk.raw"
    _run("mkfs.ext4", "-q", "-L", "gpuvm", "-d", str(root), str(raw), _DISK)
    _run("qemu-img", "convert", "-c", "-O", "qcow2", str(raw), str(made.disk))
    raw.unlink()


def _run(*command: str) -> None:
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed ({done.returncode}):\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    print(f"virtual node: {image().folder}", file=sys.stderr)
