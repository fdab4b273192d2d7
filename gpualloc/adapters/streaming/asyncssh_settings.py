"""What ssh would do for a host, as `ssh -G` tells it, for another engine that must not do anything else."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

_ON = ("yes", "true")
_OFF = ("no", "false", "none")
_ALLOWED: Mapping[str, Sequence[str]] = {
    "bindaddress": _OFF,
    "bindinterface": _OFF,
    "canonicalizehostname": _OFF,
    "certificatefile": _OFF,
    "checkhostip": _OFF,
    "controlpath": _OFF,
    "gssapikeyexchange": _OFF,
    "knownhostscommand": _OFF,
    "nohostauthenticationforlocalhost": _OFF,
    "permitlocalcommand": _OFF,
    "pkcs11provider": _OFF,
    "proxycommand": _OFF,
    "proxyusefdpass": _OFF,
    "pubkeyauthentication": (*_ON, "unbound", "host-bound"),
    "refuseconnection": _OFF,
    "remotecommand": _OFF,
    "revokedhostkeys": _OFF,
    "setenv": _OFF,
    "stricthostkeychecking": (*_ON, "ask"),
    "tunnel": _OFF,
    "verifyhostkeydns": _OFF,
}
"""Options whose effect only ssh has, with the values that have none; so has an option that is not told of."""

_JUMP = re.compile(r"(?:ssh://)?(?:([^@:/\s]+)@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*)(?::([0-9]+))?/?")
_ADDRESS_FAMILIES = ("any", "inet", "inet6")


class NeedsSsh(Exception):
    """Only ssh itself can serve this host; the text says why."""


class Jump(Struct, frozen=True):
    """A host to go through."""

    host: str
    user: str | None = None
    port: int | None = None


class HostSettings(Struct, frozen=True):
    """How to reach one host and what to believe on the way."""

    host: str
    port: int
    user: str
    family: str
    """`any`, `inet` or `inet6`."""
    known_as: str
    """What it is called in the files of known hosts."""
    known_hosts: tuple[str, ...]
    required_rsa_bits: int
    identity_files: tuple[str, ...]
    identities_only: bool
    agent: str | None
    """Socket of the agent; None is none."""
    host_key_algorithms: tuple[str, ...]
    key_algorithms: tuple[str, ...]
    """Signatures that may be made for the login."""
    exchanges: tuple[str, ...]
    ciphers: tuple[str, ...]
    macs: tuple[str, ...]
    compression: bool
    variables: tuple[str, ...]
    """Patterns of the environment variables that are sent along."""
    connect_s: int
    alive_s: int
    """Seconds of silence before the host is asked whether it lives; 0 never asks."""
    alive_count: int
    jumps: tuple[Jump, ...]


def read_settings(told: str) -> HostSettings:
    """The settings in the output of `ssh -G`.

    Raises:
        NeedsSsh: they ask for something that only ssh does.
    """
    options = _options(told)
    for name, allowed in _ALLOWED.items():
        for value in options.get(name, ()):
            if value.lower() not in allowed:
                raise NeedsSsh(f"{name} is {value[:60]}")
    one = {name: values[0] for name, values in options.items()}
    if "publickey" not in one.get("preferredauthentications", "publickey"):
        raise NeedsSsh("keys are not among its ways to log in")
    port = _number(one, "port")
    try:
        host, user, family = one["hostname"], one["user"], one["addressfamily"]
        algorithms = {name: tuple(one[name].split(",")) for name in _ALGORITHMS}
    except KeyError as missing:
        raise NeedsSsh(f"ssh -G does not tell {missing}") from None
    if family not in _ADDRESS_FAMILIES:
        raise NeedsSsh(f"addressfamily is {family[:60]}")
    return HostSettings(
        host=host,
        port=port,
        user=user,
        family=family,
        known_as=_known_as(host, port, one.get("hostkeyalias")),
        known_hosts=tuple((one.get("userknownhostsfile", "") + " " + one.get("globalknownhostsfile", "")).split()),
        required_rsa_bits=_number(one, "requiredrsasize", 1024),
        identity_files=tuple(_path("identityfile", path) for path in options.get("identityfile", ()) if path != "none"),
        identities_only=one.get("identitiesonly", "no") in _ON,
        agent=_agent(one.get("identityagent")),
        host_key_algorithms=algorithms["hostkeyalgorithms"],
        key_algorithms=algorithms["pubkeyacceptedalgorithms"],
        exchanges=algorithms["kexalgorithms"],
        ciphers=algorithms["ciphers"],
        macs=algorithms["macs"],
        compression=one.get("compression", "no") in _ON,
        variables=tuple(options.get("sendenv", ())),
        connect_s=_number(one, "connecttimeout"),
        alive_s=_number(one, "serveraliveinterval"),
        alive_count=_number(one, "serveralivecountmax"),
        jumps=_jumps(one.get("proxyjump", "none")),
    )


_ALGORITHMS = ("hostkeyalgorithms", "pubkeyacceptedalgorithms", "kexalgorithms", "ciphers", "macs")


def _options(told: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in told.splitlines():
        name, _, value = line.strip().partition(" ")
        found.setdefault(name.lower(), []).append(value.strip())
    return found


def _number(one: Mapping[str, str], name: str, otherwise: int | None = None) -> int:
    text = one.get(name, "" if otherwise is None else str(otherwise))
    if not text.isascii() or not text.isdigit():
        raise NeedsSsh(f"{name} is {text[:60] or 'not told'}")
    return int(text)


def _known_as(host: str, port: int, alias: str | None) -> str:
    if alias is not None:
        return alias.lower()
    return host.lower() if port == 22 else f"[{host.lower()}]:{port}"


def _path(name: str, path: str) -> str:
    if "%" in path or "${" in path:
        raise NeedsSsh(f"{name} is {path[:60]}")
    return str(Path(path).expanduser()) if path.startswith("~") else path


def _agent(told: str | None) -> str | None:
    if told in (None, "SSH_AUTH_SOCK"):
        return os.environ.get("SSH_AUTH_SOCK") or None
    assert told is not None
    if told == "none":
        return None
    return os.environ.get(told[1:]) or None if told.startswith("$") else _path("identityagent", told)


def _jumps(told: str) -> tuple[Jump, ...]:
    if told == "none":
        return ()
    found = [(_JUMP.fullmatch(part), part) for part in told.split(",")]
    return tuple(_jump(match, part) for match, part in found)


def _jump(match: re.Match[str] | None, part: str) -> Jump:
    if match is None:
        raise NeedsSsh(f"proxyjump goes through {part[:60]}")
    user, host, port = match.groups()
    return Jump(host.strip("[]"), user, int(port) if port else None)
