"""A look round this machine: what `init` suggests from and what `doctor` checks here."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from gpualloc.config.settings import HOST_NAME

MAX_SSH_CONFIG_BYTES = 1024 * 1024
MAX_SSH_HOSTS = 500

_CONTROLLER_SIGNS = {
    "Slurm": ("/etc/slurm/slurm.conf", "/etc/slurm-llnl/slurm.conf", "/var/spool/slurmd"),
    "Kubernetes": ("/etc/kubernetes", "/var/lib/kubelet"),
}


def ssh_hosts(file: Path) -> tuple[str, ...]:
    """Names on the `Host` lines of an ssh configuration that are plain names; none when it cannot be read."""
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_SSH_CONFIG_BYTES).decode(errors="replace")
    except OSError:
        return ()
    names: dict[str, None] = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\s*host[\s=]+(.*)", line, re.IGNORECASE)
        for name in match[1].split() if match else ():
            if HOST_NAME.fullmatch(name.strip('"')):
                names[name.strip('"')] = None
    return tuple(names)[:MAX_SSH_HOSTS]


def controllers_here(root: Path = Path("/")) -> tuple[str, ...]:
    """Other controllers of GPUs set up on this machine, by the files they leave."""
    return tuple(
        name for name, signs in _CONTROLLER_SIGNS.items() if any((root / sign.lstrip("/")).exists() for sign in signs)
    )


def file_system_of(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """Type of the file system that a path, which need not exist yet, lies on; None when it cannot be told."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    wanted = os.path.realpath(path)
    best, kind = "", None
    for line in lines:
        before, _, after = line.partition(" - ")
        if len(before.split()) < 5 or not after:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split()[4])
        inside = wanted == point or wanted.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, after.split()[0]
    return kind


def folder_problem(folder: Path) -> str | None:
    """Why files cannot be made in a folder, or in the one it would be made in; None when they can."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        return f"{existing} is not a folder"
    try:
        with tempfile.TemporaryFile(dir=existing):
            return None
    except OSError as error:
        return f"cannot be written: {error.strerror}"


def pynvml_distributions() -> tuple[str, ...]:
    """Installed distributions that bring a top-level module `pynvml`, sorted."""
    from importlib.metadata import distributions

    found = set()
    for distribution in distributions():
        files = distribution.files or ()
        if any(file.parts and file.parts[0] in ("pynvml.py", "pynvml") for file in files):
            found.add(distribution.metadata["Name"])
    return tuple(sorted(found))
