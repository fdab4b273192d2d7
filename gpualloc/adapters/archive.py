"""The node program in one file, for nodes where nothing of gpualloc is installed."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
from pathlib import Path

from msgspec import Struct

import gpualloc
from gpualloc.adapters.nvml_file import nvml_file

_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
"""Zip members carry a time; a fixed one makes equal contents give equal archives."""


class Archive(Struct, frozen=True):
    """A zip of the package's own file (its version), the node program, and nvidia-ml-py's single file."""

    data: bytes
    digest: str
    """SHA-256 of `data`, hexadecimal; the node caches by it."""


def node_archive(cache: Path | None = None) -> Archive:
    """The archive of this installation, from the cache when its sources have not changed since.

    Args:
        cache: folder for the built archive; None is gpualloc's folder in the account's cache.
    """
    members = _members()
    folder = _cache_folder() if cache is None else cache
    path = folder / f"node-{gpualloc.__version__}-{_fingerprint(members)}.zip"
    try:
        return _sealed(path.read_bytes())
    except OSError:
        archive = _sealed(_zip(members))
    _keep(archive, path)
    return archive


def _sealed(data: bytes) -> Archive:
    return Archive(data, hashlib.sha256(data).hexdigest())


def _members() -> list[tuple[str, Path]]:
    """Name in the archive and source file of everything that goes in, sorted."""
    package = Path(gpualloc.__file__).parent
    sources = [package / "__init__.py", *package.glob("node/**/*.py")]
    members = [(f"gpualloc/{path.relative_to(package).as_posix()}", path) for path in sources]
    nvml = nvml_file()
    if nvml is not None:
        members.append((nvml.name, nvml))
    return sorted(members)


def _fingerprint(members: list[tuple[str, Path]]) -> str:
    """Changes when a source file does."""
    facts = [(name, os.stat(path).st_mtime_ns, os.stat(path).st_size) for name, path in members]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _zip(members: list[tuple[str, Path]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, path in members:
            info = zipfile.ZipInfo(name, _FIXED_TIME)
            info.external_attr = 0o600 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, path.read_bytes())
    return buffer.getvalue()


def _cache_folder() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("gpualloc")


def _keep(archive: Archive, path: Path) -> None:
    """Store the archive by rename and drop older ones; without a writable cache it is built each time."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix="new-", delete=False) as file:
            file.write(archive.data)
        os.replace(file.name, path)
        for old in path.parent.glob("node-*.zip"):
            if old != path:
                old.unlink(missing_ok=True)
    except OSError:
        return
