"""A notice as a signed POST: one deadline over all of it, bounded answers, no way to another host."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import os
import socket
import ssl
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from urllib.parse import SplitResult, urljoin, urlsplit

from msgspec import Struct

from gpualloc import __version__
from gpualloc.adapters.fields import clean
from gpualloc.model.alert import Channel, Notice

MAX_ANSWER_BYTES = 4096
"""What is read of an answer; the connection is closed over the rest."""
MAX_REDIRECTS = 3
MAX_SECRET_BYTES = 4096
SIGNATURE = "X-Gpualloc-Signature"
_SAME_AGAIN = frozenset({307, 308})
"""Redirects that let a POST be a POST."""
_LATER = frozenset({408, 425, 429})
"""Refusals that may be none the next time."""


class Posted(Struct, frozen=True):
    """How a try ended."""

    problem: str | None
    answer: str
    """`HTTP 200`, and the first line of what was said; untrusted."""
    lasting: bool = False
    """Whether the next try would end as this one did."""


class _Refused(Exception):
    """It cannot be sent; the message says why."""


def post(channel: Channel, notice: Notice) -> Posted:
    """Send the notice once; never raises for what the network does."""
    body = notice.document.encode()
    try:
        headers = _headers(channel, notice, body)
        status, said = _follow(urlsplit(channel.url), body, headers, time.monotonic() + channel.timeout_s)
    except _Refused as error:
        return Posted(str(error), "")
    except TimeoutError:
        return Posted(f"no answer in {channel.timeout_s:g} s", "")
    except ssl.SSLCertVerificationError as error:
        return Posted(f"its certificate is not trusted: {clean(error.verify_message)}", "")
    except (OSError, http.client.HTTPException) as error:
        return Posted(_words(error), "")
    except ValueError:
        return Posted("it redirects to what is no address", "", lasting=True)
    answer = f"HTTP {status}" + (f": {said}" if said else "")
    if 200 <= status < 300:
        return Posted(None, answer)
    return Posted(f"answered {status}", answer, lasting=300 <= status < 500 and status not in _LATER)


def sign(secret: bytes, at_s: int, body: bytes) -> str:
    """The value of the signature's header: `t=<epoch seconds>,v1=<hex HMAC-SHA256 of "<t>." and the body>`."""
    digest = hmac.new(secret, b"%d." % at_s + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"


def read_secret(channel: Channel) -> bytes | None:
    """What the channel signs with; None when it signs nothing.

    Raises:
        ValueError: it cannot be had; says why, and nothing of the secret.
    """
    if channel.secret_variable is not None:
        value = os.environ.get(channel.secret_variable, "").strip()
        if not value:
            raise ValueError(f"environment variable {channel.secret_variable}, which holds its secret, is not set")
        return value.encode()
    return None if channel.secret_file is None else _secret_of(channel.secret_file)


def _secret_of(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ValueError(f"secret file {path} cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"secret file {path} is no file")
        if found.st_mode & 0o077 or found.st_uid not in (0, os.geteuid()):
            raise ValueError(f"secret file {path} may be read by others: chmod 600 it")
        secret = stream.read(MAX_SECRET_BYTES).partition(b"\n")[0].strip()
    if not secret:
        raise ValueError(f"secret file {path} has an empty first line")
    return secret


def _headers(channel: Channel, notice: Notice, body: bytes) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"gpualloc/{__version__}",
        "Idempotency-Key": notice.id,
        "Connection": "close",
    }
    try:
        secret = read_secret(channel)
    except ValueError as error:
        raise _Refused(str(error)) from error
    if secret is not None:
        headers[SIGNATURE] = sign(secret, int(time.time()), body)
    return headers


def _follow(url: SplitResult, body: bytes, headers: Mapping[str, str], deadline: float) -> tuple[int, str]:
    """Status and first words of the answer, after redirects within the same host."""
    for _ in range(MAX_REDIRECTS + 1):
        status, said, location = _exchange(url, body, headers, deadline)
        if status not in _SAME_AGAIN or location is None:
            return status, said
        onward = urlsplit(urljoin(url.geturl(), location))
        if (onward.scheme, onward.hostname, onward.port) != (url.scheme, url.hostname, url.port):
            return status, "it redirects to another host, which is not followed"
        url = onward
    return status, "it redirects without end"


def _exchange(
    url: SplitResult, body: bytes, headers: Mapping[str, str], deadline: float
) -> tuple[int, str, str | None]:
    """Status, first words and Location of one answer."""
    host, path = url.hostname or "", (url.path or "/") + (f"?{url.query}" if url.query else "")
    with _connected(url, deadline) as (connected, cut):
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = kind(host, url.port)
        connection.sock = connected
        connection.request("POST", path, body, dict(headers))
        answer = connection.getresponse()
        said = answer.read(MAX_ANSWER_BYTES)
        if cut.is_set():
            # A body without a length ends where it is cut.
            raise TimeoutError
    words = said.decode("utf-8", "replace").strip().partition("\n")[0]
    return answer.status, clean(words)[:200], answer.getheader("Location")


@contextmanager
def _connected(url: SplitResult, deadline: float) -> Iterator[tuple[socket.socket, threading.Event]]:
    """A connection that is cut at the deadline, whatever is under way on it, and whether it was."""
    cut, held = threading.Event(), [_connect(url, deadline)]

    def cut_it() -> None:
        cut.set()
        with suppress(OSError):
            # Not the method of a TLS socket, which would say goodbye first.
            socket.socket.shutdown(held[0], socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), cut_it)
    timer.daemon = True
    timer.start()
    try:
        if url.scheme == "https":
            trust = ssl.create_default_context()
            secured = trust.wrap_socket(held[0], server_hostname=url.hostname, do_handshake_on_connect=False)
            held[0] = secured
            secured.do_handshake()
        yield held[0], cut
    except (OSError, http.client.HTTPException):
        if cut.is_set():
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()
        held[0].close()


def _connect(url: SplitResult, deadline: float) -> socket.socket:
    """A connection to the first address of the host that takes one."""
    port = url.port or (443 if url.scheme == "https" else 80)
    problem: OSError = TimeoutError()
    for family, kind, protocol, _, address in socket.getaddrinfo(url.hostname, port, type=socket.SOCK_STREAM):
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        made = socket.socket(family, kind, protocol)
        try:
            made.settimeout(left_s)
            made.connect(address)
        except OSError as error:
            made.close()
            problem = error
        else:
            return made
    raise problem


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {clean(error.reason or 'no reason given')}"
    if isinstance(error, OSError):
        return clean(error.strerror or "the connection was cut").lower()
    return f"its answer is not HTTP ({type(error).__name__})"
