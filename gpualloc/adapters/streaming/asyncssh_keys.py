"""Keys as asyncssh takes them: those a host may show, and those the operator logs in with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache

import asyncssh

from gpualloc.adapters.streaming.asyncssh_hosts import known_keys
from gpualloc.adapters.streaming.asyncssh_settings import HostSettings, NeedsSsh

ClientKey = asyncssh.SSHKey | tuple[asyncssh.SSHKey, asyncssh.SSHCertificate] | asyncssh.SSHKeyPair
HostKeys = tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey], list[asyncssh.SSHKey]]
_HARDWARE = "sk-"
"""Keys whose signature wants a touch begin so."""


def host_keys(settings: HostSettings) -> HostKeys:
    """Trusted keys, trusted authorities (none) and revoked keys of a host.

    Raises:
        NeedsSsh: nothing that asyncssh could compare with is known of it.
    """
    known = known_keys(settings.known_as, settings.known_hosts)
    if known.certified:
        raise NeedsSsh("its host key is vouched for by a certificate authority")
    trusted = [key for key in map(_public, known.trusted) if key is not None and _is_long_enough(key, settings)]
    if not trusted:
        raise NeedsSsh("none of its host keys is known")
    return trusted, [], [key for key in map(_public, known.revoked) if key is not None]


def host_key_algorithms(settings: HostSettings, keys: HostKeys) -> list[str]:
    """The signatures that the host may make, in the order in which they are preferred; for its known keys only.

    Raises:
        NeedsSsh: there is none.
    """
    possible = {name.decode() for key in keys[0] for name in key.sig_algorithms}
    chosen = [name for name in settings.host_key_algorithms if name in possible]
    if not chosen:
        raise NeedsSsh("none of its known host keys is of an accepted kind")
    return chosen


def file_keys(settings: HostSettings) -> list[ClientKey]:
    """The identity files that are there and need no passphrase, each with its certificate when it has one."""
    found: list[ClientKey] = []
    for path in settings.identity_files:
        for key in _private(path):
            if _is_long_enough(key, settings):
                found += [(key, certificate) for certificate in _certificates(path)]
                found.append(key)
    return found


async def agent_keys(agent: asyncssh.SSHAgentClient, settings: HostSettings) -> list[ClientKey]:
    """The keys of the agent, those of identity files first; where only these may be used, no others."""
    named = _public_parts(settings.identity_files)
    found = [pair for pair in await agent.get_keys() if not pair.algorithm.startswith(_HARDWARE.encode())]
    first = [pair for pair in found if pair.public_data in named]
    if settings.identities_only:
        return [*first]
    return [*first, *(pair for pair in found if pair.public_data not in named)]


def _public_parts(paths: Sequence[str]) -> set[bytes]:
    parts = set()
    for path in paths:
        parts |= {key.public_data for key in _private(path)}
        try:
            parts.add(asyncssh.read_public_key(path + ".pub").public_data)
        except (OSError, asyncssh.KeyImportError):
            continue
    return parts


def _private(path: str) -> tuple[asyncssh.SSHKey, ...]:
    """The key in a file; nothing when there is none, or one that only ssh or the agent can use."""
    try:
        info = os.stat(path)
        # As ssh does, which leaves alone what others can read.
        exposed = info.st_uid == os.getuid() and info.st_mode & 0o077
        return () if exposed else _read_private(path, info.st_ctime_ns)
    except OSError:
        return ()


@lru_cache(maxsize=64)
def _read_private(path: str, _ctime_ns: int) -> tuple[asyncssh.SSHKey, ...]:
    """A thousand hosts share one."""
    try:
        key = asyncssh.read_private_key(path)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
        return ()
    return () if key.get_algorithm().startswith(_HARDWARE) else (key,)


def _certificates(path: str) -> list[asyncssh.SSHCertificate]:
    try:
        return [asyncssh.read_certificate(path + "-cert.pub")]
    except (OSError, asyncssh.KeyImportError):
        return []


def _public(text: str) -> asyncssh.SSHKey | None:
    try:
        return asyncssh.import_public_key(text)
    except asyncssh.KeyImportError:
        return None


def _is_long_enough(key: asyncssh.SSHKey, settings: HostSettings) -> bool:
    if key.get_algorithm() != "ssh-rsa":
        return True
    return int(getattr(key.pyca_key, "key_size", 0)) >= settings.required_rsa_bits
