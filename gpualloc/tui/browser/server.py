"""The web server: textual-serve's behind a door, with a page that needs nothing from outside."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from aiohttp import WSCloseCode, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.log import server_logger
from aiohttp.typedefs import Handler
from textual_serve.server import Server, to_int

from gpualloc.tui.browser.door import COOKIE, Door
from gpualloc.tui.browser.session import PATIENCE_S, Session

_PAGE = Path(__file__).parent / "page"
_HEARTBEAT_S = 15.0
"""How often a tab is asked whether it is still there: one that went without a word is closed after one and a half."""
_CLOSE_S = 2.0
"""How long a tab may take to agree to being closed."""
_MESSAGE_BYTES = 1 << 20
"""Longest message of a tab, such as a paste."""
_INTERRUPTED = 130
_DENIED = "gpualloc: open the address that was printed last; each is good for one visit.\n"
_WELCOME = '<!doctype html><title>gpualloc top</title><meta http-equiv="refresh" content="0;url={path}/">\n'
_FULL = "\r\n  {count} dashboards are open, which is as many as this server allows.\r\n  Close one of them first.\r\n"


class DashboardServer(Server):
    """Serves one command on one listening socket.

    Args:
        command: what shows the dashboard, program first.
        listening: socket bound to a loopback address.
        sessions: most dashboards open at a time.
        tell: takes the lines for the operator.
    """

    def __init__(
        self, command: Sequence[str], listening: socket.socket, *, sessions: int, tell: Callable[[str], object]
    ) -> None:
        host, port = listening.getsockname()[:2]
        super().__init__("", host=host, port=port, title="gpualloc top", templates_path=_PAGE)
        self._arguments = tuple(command)
        self._listening = listening
        self._most = sessions
        self._tell = tell
        self._door = Door(host, port)
        self._tabs: set[web.WebSocketResponse] = set()
        self._exit_code = 0

    def run(self) -> int:
        """Serve until a signal; returns the exit code."""
        loop = asyncio.new_event_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # What is ignored stays so: nohup means it.
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._end, loop, number)
        server_logger.addFilter(_is_ours)
        web.run_app(
            self._make_app(),
            sock=self._listening,
            loop=loop,
            handle_signals=False,
            # Addresses hold secrets.
            access_log=None,
            print=None,
            shutdown_timeout=_CLOSE_S + 3 * PATIENCE_S,
        )
        return self._exit_code

    def _end(self, loop: asyncio.AbstractEventLoop, number: signal.Signals) -> None:
        # A second interrupt does not wait for the dashboards; they end by themselves when the server is gone.
        loop.remove_signal_handler(signal.SIGINT)
        self._exit_code = _INTERRUPTED if number == signal.SIGINT else 0
        self.request_exit()

    async def _make_app(self) -> web.Application:
        inner = await super()._make_app()
        inner.add_routes([web.static("/page", _PAGE)])
        outer = web.Application(middlewares=[self._guard])
        outer.add_routes([web.get("/", self._enter, allow_head=False)])
        outer.add_subapp(self._door.path, inner)
        outer.on_response_prepare.append(self._harden)
        return outer

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        host, origin = request.headers.get("Host"), request.headers.get("Origin")
        known = self._door.is_host(host)
        if origin is not None or "Upgrade" in request.headers:
            known = self._door.is_origin(origin, host)
        # The ticket of a first visit is looked at where it is used up.
        if not known or (request.path != "/" and not self._door.admits(request.cookies.get(COOKIE))):
            raise web.HTTPForbidden(text=_DENIED)
        return await handler(request)

    async def _enter(self, request: web.Request) -> web.Response:
        if not self._door.redeem(request.query.get("token", "")):
            raise web.HTTPForbidden(text=_DENIED)
        self._tell(f"opened; for another browser: {self._door.address}")
        # A page rather than a redirection: after a redirection from another site the cookie would not be sent.
        response = web.Response(text=_WELCOME.format(path=self._door.path), content_type="text/html")
        response.set_cookie(
            COOKIE, self._door.pass_, path=f"{self._door.path}/", httponly=True, samesite="Strict", max_age=None
        )
        return response

    async def _harden(self, _request: web.Request, response: web.StreamResponse) -> None:
        sockets = " ".join(f"ws://{host}" for host in sorted(self._door.hosts) if "[" not in host)
        response.headers.update(
            {
                # The terminal writes style sheets into the page; scripts come from files alone.
                "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
                f"font-src 'self'; img-src 'self' data:; connect-src 'self' {sockets}; "
                "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                "Cache-Control": "no-store",
                "Cross-Origin-Opener-Policy": "same-origin",
                "Cross-Origin-Resource-Policy": "same-origin",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
            }
        )

    async def on_startup(self, app: web.Application) -> None:  # noqa: ARG002  textual-serve's signature
        """Tell where to look."""
        self._tell(f"dashboard at {self._door.address}\nInterrupt (Ctrl-C) ends it and every dashboard that is open.")

    async def on_shutdown(self, app: web.Application) -> None:  # noqa: ARG002  textual-serve's signature
        """Close every tab; the dashboards end with their tabs."""
        await asyncio.gather(*(tab.close(code=WSCloseCode.GOING_AWAY) for tab in self._tabs))

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Run a dashboard for a tab until either ends."""
        tab = web.WebSocketResponse(heartbeat=_HEARTBEAT_S, timeout=_CLOSE_S, max_msg_size=_MESSAGE_BYTES)
        await tab.prepare(request)
        if len(self._tabs) >= self._most:
            await tab.send_bytes(_FULL.format(count=self._most).encode())
            await tab.close(code=WSCloseCode.TRY_AGAIN_LATER)
            return tab
        self._tabs.add(tab)
        try:
            await self._show(tab, request)
        finally:
            self._tabs.discard(tab)
        return tab

    async def _show(self, tab: web.WebSocketResponse, request: web.Request) -> None:
        session = Session(
            self._arguments,
            write_bytes=tab.send_bytes,
            write_str=tab.send_str,
            close=tab.close,
            downloads=self.download_manager,
            download_url=lambda key: f"{self._door.path}/download/{key}",
        )
        size = [to_int(request.query.get(name, ""), usual) for name, usual in (("width", 80), ("height", 24))]
        try:
            await session.start(*size)
        except OSError as error:
            self._tell(f"a dashboard cannot be started: {error.strerror or error}")
            await tab.close(code=WSCloseCode.INTERNAL_ERROR)
            return
        try:
            await self._process_messages(tab, session)
        except (ValueError, LookupError, TypeError, AttributeError, AssertionError):
            # Nothing of textual-serve's page speaks like that.
            await tab.close(code=WSCloseCode.UNSUPPORTED_DATA)
        except ConnectionResetError:
            # The tab went while it was answered.
            pass
        finally:
            await session.stop()


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether something of ours failed. Who talks nonsense to a port gets his 400 and fills no terminal of ours."""
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)
