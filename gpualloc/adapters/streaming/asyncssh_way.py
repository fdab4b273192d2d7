"""The way to a host over asyncssh: connections, each through the one before."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Sequence
from typing import Any

import asyncssh
from asyncssh.encryption import get_encryption_algs
from asyncssh.kex import get_kex_algs
from asyncssh.mac import get_mac_algs
from asyncssh.public_key import get_public_key_algs

from gpualloc.adapters.pipe_link import Launch
from gpualloc.adapters.streaming import asyncssh_keys
from gpualloc.adapters.streaming.asyncssh_channel import WINDOW_BYTES, AsyncSshChannel, Session
from gpualloc.adapters.streaming.asyncssh_settings import HostSettings, NeedsSsh

_FAMILIES = {"any": socket.AF_UNSPEC, "inet": socket.AF_INET, "inet6": socket.AF_INET6}
_COMPRESSION = {True: ["zlib@openssh.com", "none"], False: ["none"]}

# It writes to the terminal otherwise, when nothing else was arranged.
logging.getLogger("asyncssh").addHandler(logging.NullHandler())


class Way:
    """Connections, each through the one before."""

    def __init__(self) -> None:
        self._connections: list[asyncssh.SSHClientConnection] = []

    async def extend(self, settings: HostSettings) -> None:
        """Connect to a host; raises NeedsSsh, OSError (TimeoutError among them) and asyncssh.Error."""
        trusted = asyncssh_keys.host_keys(settings)
        options = _options(settings)
        options["known_hosts"] = trusted
        options["server_host_key_algs"] = asyncssh_keys.host_key_algorithms(settings, trusted)
        async with contextlib.AsyncExitStack() as held:
            options["client_keys"] = await _client_keys(settings, held)
            if self._connections:
                options["tunnel"] = self._connections[-1]
            self._connections.append(await asyncssh.connect(settings.host, settings.port, **options))

    async def run(self, command: str, launch: Launch) -> AsyncSshChannel:
        """Start a command at its end."""
        channel, session = await self._connections[-1].create_session(
            Session, command, encoding=None, window=WINDOW_BYTES, request_pty=False
        )
        assert isinstance(session, Session)
        return AsyncSshChannel(channel, session, launch, self.abandon)

    def abandon(self) -> None:
        """Let go of all at once."""
        for connection in reversed(self._connections):
            connection.abort()


def _options(settings: HostSettings) -> dict[str, Any]:
    """What asyncssh is told for every host; nothing is left to configuration files or defaults of its own."""
    return {
        "config": None,
        "username": settings.user,
        "family": _FAMILIES[settings.family],
        "kex_algs": _common(settings.exchanges, get_kex_algs(), "key exchange"),
        "encryption_algs": _common(settings.ciphers, get_encryption_algs(), "cipher"),
        "mac_algs": _common(settings.macs, get_mac_algs(), "MAC"),
        "signature_algs": _common(settings.key_algorithms, get_public_key_algs(), "kind of key"),
        "compression_algs": _COMPRESSION[settings.compression],
        "connect_timeout": settings.connect_s or None,
        "keepalive_interval": settings.alive_s,
        "keepalive_count_max": settings.alive_count,
        "send_env": settings.variables,
        "preferred_auth": "publickey",
        "password_auth": False,
        "kbdint_auth": False,
        "host_based_auth": False,
        "gss_host": None,
        "agent_path": None,
        "agent_forwarding": False,
        "x11_forwarding": False,
        "x509_trusted_certs": None,
        "x509_trusted_cert_paths": [],
    }


def _common(accepted: Sequence[str], offered: Sequence[bytes], what: str) -> list[str]:
    chosen = [name for name in accepted if name.encode() in offered]
    if not chosen:
        raise NeedsSsh(f"asyncssh knows no accepted {what}")
    return chosen


async def _client_keys(settings: HostSettings, held: contextlib.AsyncExitStack) -> list[asyncssh_keys.ClientKey]:
    """Keys to log in with; the agent is held for as long as they may be asked to sign."""
    found: list[asyncssh_keys.ClientKey] = []
    if settings.agent is not None:
        with contextlib.suppress(OSError, ValueError):
            agent = await held.enter_async_context(asyncssh.SSHAgentClient(settings.agent))
            found = await asyncssh_keys.agent_keys(agent, settings)
    found += asyncssh_keys.file_keys(settings)
    if not found:
        raise NeedsSsh("no key for it that needs neither passphrase nor touch")
    return found
