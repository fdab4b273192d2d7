"""The files of known hosts, read as ssh reads them: which keys a host may show."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from msgspec import Struct

_HASHED = "|1|"
_MARKERS = ("@cert-authority", "@revoked")


class KnownKeys(Struct, frozen=True):
    """What is known of one host; keys as they are written, such as `ssh-ed25519 AAAA...`."""

    trusted: tuple[str, ...]
    revoked: tuple[str, ...]
    certified: bool
    """Whether a certificate authority is trusted for it."""


class _Entry(Struct, frozen=True):
    marker: str | None
    hosts: str
    """Patterns with commas between them, in lower case; or, hashed, as written."""
    key: str

    def is_about(self, name: str) -> bool:
        if self.hosts.startswith(_HASHED):
            return _is_hash_of(self.hosts, name)
        found = False
        for pattern in self.hosts.split(","):
            wanted = not pattern.startswith("!")
            if _matches(pattern if wanted else pattern[1:], name):
                if not wanted:
                    return False
                found = True
        return found


def known_keys(name: str, files: Sequence[str]) -> KnownKeys:
    """What the files know of a host, as ssh goes about it: without its port when nothing is known of it with the port.

    Args:
        name: in lower case, `host` or `[host]:port`.
        files: paths; one that cannot be read knows nothing.
    """
    found = [entry for entry in _entries(files) if entry.is_about(name)]
    plain = re.fullmatch(r"\[(.*)\]:[0-9]+", name)
    if plain is not None and all(entry.marker == "@revoked" for entry in found):
        found += [entry for entry in _entries(files) if entry.is_about(plain[1])]
    return KnownKeys(
        trusted=tuple(entry.key for entry in found if entry.marker is None),
        revoked=tuple(entry.key for entry in found if entry.marker == "@revoked"),
        certified=any(entry.marker == "@cert-authority" for entry in found),
    )


def _entries(files: Sequence[str]) -> Iterator[_Entry]:
    for path in files:
        try:
            info = os.stat(path)
            yield from _read(path, info.st_mtime_ns, info.st_size)
        except OSError:
            continue


@lru_cache(maxsize=64)
def _read(path: str, _mtime_ns: int, _size: int) -> tuple[_Entry, ...]:
    """The entries of a file as it stands; a thousand hosts share one."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return tuple(entry for line in file for entry in _entry(line.split()))


def _entry(words: Sequence[str]) -> Iterator[_Entry]:
    marker = words[0] if words and words[0] in _MARKERS else None
    rest = words[1:] if marker else words
    # Comments, markers of tomorrow, and the three numbers of keys that no ssh takes any more.
    if len(rest) < 3 or rest[0].startswith(("#", "@")) or rest[1].isdigit():
        return
    hosts = rest[0] if rest[0].startswith(_HASHED) else rest[0].lower()
    yield _Entry(marker, hosts, f"{rest[1]} {rest[2]}")


def _is_hash_of(hashed: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in hashed[len(_HASHED) :].split("|"))
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)


def _matches(pattern: str, name: str) -> bool:
    if "*" not in pattern and "?" not in pattern:
        return pattern == name
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), name) is not None
