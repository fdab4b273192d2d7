"""Who may come in: secrets, and the checks of a request's headers."""

from __future__ import annotations

import secrets

COOKIE = "gpualloc"


class Door:
    """Three secrets guard one server.

    The ticket stands in the printed address and is good for one visit, since addresses are seen: in the arguments of a
    browser's process, in its history. The pass stands in the cookie that the visit earns. The path is where the
    dashboard is: browsers show a cookie of 127.0.0.1 to every port there, but only below the path it was given for,
    so another account's server never gets to see it.

    Args:
        address: loopback address that is listened on.
        port: TCP port there.
    """

    def __init__(self, address: str, port: int) -> None:
        self.path = f"/{secrets.token_urlsafe(16)}"
        """Where the dashboard is."""
        self.pass_ = secrets.token_urlsafe(32)
        """Value of the cookie."""
        self._ticket = secrets.token_urlsafe(32)
        own = f"[{address}]" if ":" in address else address
        self._origin = f"http://{own}:{port}"
        names = (own, "127.0.0.1", "localhost", "[::1]")
        # A browser leaves the usual port out.
        self.hosts = frozenset(f"{name}:{port}" for name in names) | frozenset(names if port == 80 else ())
        """Values of the header Host that mean this server; others come from a name that was bent to this machine."""

    @property
    def address(self) -> str:
        """What is opened in a browser. A secret, and good for one visit."""
        return f"{self._origin}/?token={self._ticket}"

    def is_host(self, host: str | None) -> bool:
        """Whether the header Host is ours."""
        return host is not None and host.lower() in self.hosts

    def is_origin(self, origin: str | None, host: str | None) -> bool:
        """Whether a websocket was opened by a page of ours."""
        return origin is not None and self.is_host(host) and origin.lower() == f"http://{host}".lower()

    def redeem(self, ticket: str) -> bool:
        """Whether the ticket is the one that is out; it is then used up, and `address` has the next."""
        good = _same(ticket, self._ticket)
        if good:
            self._ticket = secrets.token_urlsafe(32)
        return good

    def admits(self, cookie: str | None) -> bool:
        """Whether the cookie is the pass."""
        return cookie is not None and _same(cookie, self.pass_)


def _same(given: str, secret: str) -> bool:
    return secrets.compare_digest(given.encode(errors="replace"), secret.encode())
