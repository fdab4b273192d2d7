"""The dashboard in a browser on this machine: `gpualloc top --serve`.

Whoever opens the dashboard acts with the rights of the account that serves it, and every account of a machine can
reach its loopback ports. So only loopback is listened on, and only a browser that brought the secret of the printed
address is let in (`browser.door`).
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Mapping, Sequence

from gpualloc.errors import GpuallocError, UsageError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8470
DEFAULT_SESSIONS = 4
"""Most dashboards open at a time: each is a process with connections of its own to the nodes."""
DRIVER = "gpualloc.tui.browser.driver:ServedDriver"
"""How Textual talks to its terminal in a dashboard that is shown in a browser."""


def is_served(env: Mapping[str, str]) -> bool:
    """Whether this process is one of the dashboards that `serve` starts, and so has a browser for a terminal."""
    return env.get("TEXTUAL_DRIVER") == DRIVER


def serve(
    command: Sequence[str],
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    *,
    tell: Callable[[str], object],
    sessions: int = DEFAULT_SESSIONS,
) -> int:
    """Serve a dashboard until INT, TERM or HUP; every browser tab gets a process of its own, which ends with the tab.

    Sets signal handlers, so it is for the main thread.

    Args:
        command: what shows the dashboard, program first; it never meets a shell. `is_served` is true inside.
        host: loopback address to listen on, or `localhost`.
        port: 0 for a free one.
        tell: takes the lines for the operator. The address among them is a secret until it was used once.
        sessions: most dashboards open at a time.

    Returns:
        The exit code: 0 after TERM and HUP, 130 after INT.

    Raises:
        UsageError: the host is no loopback address, or textual-serve is not installed.
        GpuallocError: it cannot listen there.
    """
    address = _loopback(host, port)
    try:
        from gpualloc.tui.browser.server import DashboardServer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("aiohttp", "aiohttp_jinja2", "jinja2", "textual_serve"):
            raise
        raise UsageError(
            "textual-serve, which shows the dashboard in a browser, is not installed",
            hint="pip install 'gpualloc[serve]'",
        ) from error
    with _listening(address, port) as listening:
        return DashboardServer(command, listening, sessions=sessions, tell=tell).run()


def _loopback(host: str, port: int) -> str:
    """The address behind the name; anything that other machines could reach is refused."""
    name = host.strip("[]")
    try:
        address = ipaddress.ip_address(DEFAULT_HOST if name == "localhost" else name)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise UsageError(
            f"the dashboard is served on loopback only, and {host!r} is no loopback address",
            hint=f"from another machine: ssh -t -L {port}:{DEFAULT_HOST}:{port} {os.uname().nodename}, "
            "then open the printed address there",
        )
    return str(address)


def _listening(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family)
    except (OSError, OverflowError) as error:
        raise GpuallocError(
            f"cannot listen on {address} port {port}: {getattr(error, 'strerror', None) or error}",
            hint="--port 0 takes a free one",
        ) from error
