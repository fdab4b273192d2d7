"""A small HTTP server for one page: one thread, bounded in connections, memory and time whatever its clients do."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
import zlib
from email.utils import formatdate

from msgspec import Struct, field

from gpualloc.errors import GpuallocError

MAX_CONNECTIONS = 256
"""Those beyond it wait in the kernel until one ends."""
MAX_REQUEST_BYTES = 8192
"""Request line and headers together."""
REQUEST_S = 5.0
"""A client that has not asked by then is let go."""
ANSWER_S = 30.0
"""A client that has not read its answer by then is let go."""
_BACKLOG = 128
_SHORT_S = 0.05
_PIECE = 1 << 18
_LEVEL = 1
"""Of compression: higher ones take three times as long for a fifth less."""
_ABOUT = b"gpualloc exporter: metrics for Prometheus are at /metrics\n"


class _Client(Struct):
    """One connection: what it asked so far, then what is left of its answer."""

    until_s: float
    asked: bytearray = field(default_factory=bytearray)
    left: list[memoryview] = field(default_factory=list)


class _Page(Struct, frozen=True):
    """What is served at /metrics."""

    plain: bytes = b""
    packed: bytes | None = None
    """As gzip; None until somebody asks for it so."""


class PageServer:
    """Serves the page that was put last, at /metrics.

    Args:
        host: address or name to listen at.
        port: port; 0 lets the kernel choose.
        content_type: of the page.

    Raises:
        GpuallocError: it cannot listen there.
    """

    def __init__(self, host: str, port: int, content_type: str) -> None:
        self._content_type = content_type
        self._page = _Page()
        self._packs = False
        self._closed = False
        self._listener = _listen(host, port)
        self._wake_out, self._wake_in = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._clients: dict[socket.socket, _Client] = {}
        self._accepts = False
        self._accept_more(wanted=True)
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="exporter", daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it listens at."""
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    @property
    def connections(self) -> int:
        """Clients that are being served now."""
        return len(self._clients)

    def put(self, page: bytes) -> None:
        """Serve this page from now on; answers under way go on with the one they began."""
        self._page = _Page(page, _packed(page) if self._packs else None)

    def close(self) -> None:
        """Let go of every client at once; doing so twice does no harm."""
        if self._closed:
            return
        self._closed = True
        self._wake_in.send(b"x")
        self._thread.join()
        for client in list(self._clients):
            self._drop(client)
        for each in (self._selector, self._listener, self._wake_in, self._wake_out):
            each.close()

    def __enter__(self) -> PageServer:
        """Itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close it."""
        self.close()

    def _serve(self) -> None:
        while not self._closed:
            for key, events in self._selector.select(self._wait_s()):
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._clients:
                    self._attend(key.fileobj, events)
            now_s = time.monotonic()
            for client in [each for each, state in self._clients.items() if state.until_s <= now_s]:
                self._drop(client)
            self._accept_more(wanted=len(self._clients) < MAX_CONNECTIONS)

    def _wait_s(self) -> float | None:
        if not self._clients:
            return None
        return max(0.0, min(state.until_s for state in self._clients.values()) - time.monotonic())

    def _accept_more(self, *, wanted: bool) -> None:
        if wanted and not self._accepts:
            self._selector.register(self._listener, selectors.EVENT_READ)
        elif self._accepts and not wanted:
            self._selector.unregister(self._listener)
        self._accepts = wanted

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:
            # Descriptors are short: it still waits, and would be found again at once.
            time.sleep(_SHORT_S)
            return
        client.setblocking(False)
        self._clients[client] = _Client(time.monotonic() + REQUEST_S)
        self._selector.register(client, selectors.EVENT_READ)

    def _attend(self, client: socket.socket, events: int) -> None:
        state = self._clients[client]
        try:
            if events & selectors.EVENT_READ:
                self._read(client, state)
            else:
                self._write(client, state)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)

    def _read(self, client: socket.socket, state: _Client) -> None:
        told = client.recv(MAX_REQUEST_BYTES)
        if not told:
            self._drop(client)
            return
        state.asked += told
        ended = b"\r\n\r\n" in state.asked or b"\n\n" in state.asked
        if not ended and len(state.asked) <= MAX_REQUEST_BYTES:
            return
        state.left = [memoryview(part) for part in self._answer(bytes(state.asked), whole=ended) if part]
        state.asked.clear()
        state.until_s = time.monotonic() + ANSWER_S
        self._selector.modify(client, selectors.EVENT_WRITE)
        self._write(client, state)

    def _write(self, client: socket.socket, state: _Client) -> None:
        sent = client.send(state.left[0][:_PIECE])
        state.left[0] = state.left[0][sent:]
        if not state.left[0]:
            state.left.pop(0)
        if not state.left:
            self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(client)
        self._clients.pop(client, None)
        client.close()

    def _answer(self, asked: bytes, *, whole: bool) -> tuple[bytes, bytes]:
        if not whole:
            return _plain("431 Request Header Fields Too Large")
        line, _, headers = asked.partition(b"\n")
        words = line.split()
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _plain("400 Bad Request")
        if words[0] not in (b"GET", b"HEAD"):
            return _plain("405 Method Not Allowed", "Allow: GET, HEAD\r\n")
        path = words[1].partition(b"?")[0]
        if path == b"/metrics":
            head, body = self._metrics(packed=_takes_gzip(headers))
        elif path == b"/":
            head, body = _plain("200 OK", body=_ABOUT)
        else:
            head, body = _plain("404 Not Found")
        return head, body if words[0] == b"GET" else b""

    def _metrics(self, *, packed: bool) -> tuple[bytes, bytes]:
        page = self._page
        # Compressed where pages are made, from the next page on: it would keep all others waiting here.
        self._packs = self._packs or packed
        if packed and page.packed is not None:
            more = "Vary: Accept-Encoding\r\nContent-Encoding: gzip\r\n"
            return _head("200 OK", self._content_type, len(page.packed), more), page.packed
        return _head("200 OK", self._content_type, len(page.plain), "Vary: Accept-Encoding\r\n"), page.plain


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(where[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise GpuallocError(
            f"cannot listen at {host} port {port}: {error.strerror or error}",
            hint="another program may be there; `--listen 127.0.0.1:0` takes any free port",
        ) from error
    listener.setblocking(False)
    return listener


def _packed(page: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, wbits=31)
    return packer.compress(page) + packer.flush()


def _takes_gzip(headers: bytes) -> bool:
    for line in headers.split(b"\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"accept-encoding":
            codings = value.lower().replace(b" ", b"").strip().split(b",")
            return any(each == b"gzip" or (each.startswith(b"gzip;") and each != b"gzip;q=0") for each in codings)
    return False


def _plain(status: str, more: str = "", body: bytes | None = None) -> tuple[bytes, bytes]:
    text = body if body is not None else f"{status[4:]}\n".encode()
    return _head(status, "text/plain; charset=utf-8", len(text), more), text


def _head(status: str, content_type: str, length: int, more: str) -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nDate: {formatdate(usegmt=True)}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {length}\r\n{more}X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    ).encode("ascii")
