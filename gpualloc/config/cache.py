"""The validated configuration kept as JSON, so that the next command imports neither pydantic nor a TOML parser.

One file per configuration file, private to its owner, replaced whole. Whatever is wrong with it, it is only ignored.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gpualloc import __version__
from gpualloc.config.settings import Config, Origin, specs_of

MAX_BYTES = 16 * 1024 * 1024


class _Kept(Struct, frozen=True):
    """What the file holds."""

    key: str
    config: Config
    """Without its nodes, which depend on more than its text."""
    origins: dict[str, Origin]


def key_of(text: bytes, given: object, host: str) -> str:
    """SHA-256 over everything a validated configuration depends on."""
    rest = json.dumps([__version__, host, given], sort_keys=True)
    return hashlib.sha256(rest.encode() + b"\0" + text).hexdigest()


def file_of(directory: Path, source: Path | None) -> Path:
    """Where the result for one configuration file is kept."""
    name = hashlib.sha256(os.fsencode(os.path.abspath(source) if source else "")).hexdigest()[:16]
    return directory / f"config-{name}.json"


def read(file: Path, key: str, host: str) -> tuple[Config, Mapping[str, Origin]] | None:
    """The configuration kept under this key; None when there is none, it is another's, or it is broken."""
    try:
        with file.open("rb") as stream:
            if os.fstat(stream.fileno()).st_uid != os.geteuid():
                return None
            kept = msgspec.json.decode(stream.read(MAX_BYTES), type=_Kept)
    except (OSError, msgspec.DecodeError, RecursionError):
        return None
    if kept.key != key:
        return None
    return replace(kept.config, nodes=specs_of(kept.config.pools, host)), kept.origins


def write(file: Path, key: str, config: Config, origins: Mapping[str, Origin]) -> None:
    """Keep a configuration; where that is not possible, the next command validates again."""
    text = msgspec.json.encode(_Kept(key, replace(config, nodes=()), dict(origins)))
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text)
        draft.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
