"""Who is let in to a served dashboard, by requests as any program of this machine can make them."""

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap

import aiohttp
import pytest
from fakes.browser_tab import until

# A program that says of itself what a dashboard would draw.
ECHO = """
import json, os, sys
def draw(text):
    data = text.encode()
    os.write(1, b"D" + len(data).to_bytes(4, "big") + data)
os.write(1, b"__GANGLION__\\n")
draw(json.dumps([sys.argv[1:], dict(os.environ)]))
while (kind := os.read(0, 1)):
    data = os.read(0, int.from_bytes(os.read(0, 4), "big"))
    if kind == b"M" and json.loads(data)["type"] == "quit":
        break
    draw(kind.decode() + data.decode())
"""
DELIVERS = """
import io
from textual.app import App
class Delivers(App):
    def on_mount(self):
        self.deliver_text(io.StringIO("node,gpu\\nbirch01,0\\n"), save_filename="nodes.csv", mime_type="text/csv")
Delivers().run()
"""
ARGUMENTS = ["--node", "a b", "$(touch hacked)", "';", "é"]
GUARDS = ("Content-Security-Policy", "Referrer-Policy", "X-Content-Type-Options", "Cache-Control")


@pytest.fixture
def served(serve):
    """A server of the program that says what it is given."""
    return serve(sys.executable, "-c", ECHO, *ARGUMENTS, sessions=2)


def ask(served, path, *, method="GET", **headers):
    """Status, headers and text of the answer."""
    host = served.origin.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=100)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": host, **headers}.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read().decode()


def enter(served, token=None):
    """Where the dashboard is and the cookie that opens it."""
    status, headers, text = ask(served, f"/?token={token or served.ticket}")
    assert status == 200
    return re.search("url=(/[^/]+/)", text)[1], headers["Set-Cookie"].split(";")[0]


def upgrade(**headers):
    return {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **headers,
    }


class Terminal:
    """A websocket as textual-serve's page opens it."""

    def __init__(self, served, path, cookie):
        self._address = f"{served.origin}{path}ws?width=80&height=24"
        self._headers = {"Cookie": cookie, "Origin": served.origin}

    async def __aenter__(self):
        self._session = aiohttp.ClientSession()
        self.socket = await self._session.ws_connect(self._address, headers=self._headers)
        return self.socket

    async def __aexit__(self, *_):
        await self._session.close()


def test_the_ticket_lets_in_once_and_then_the_next_does(served):
    path, cookie = enter(served)
    following = served.next_address().partition("token=")[2]
    assert ask(served, f"/?token={served.ticket}")[0] == 403
    status, _, text = ask(served, path, Cookie=cookie)
    assert (status, "textual.js" in text) == (200, True)
    assert following != served.ticket
    assert enter(served, following) == (path, cookie)


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?token=%C3%A9%ff", "?Token={ticket}"])
def test_without_the_ticket_nobody_enters(served, query):
    status, headers, _ = ask(served, "/" + query.format(ticket=served.ticket))
    assert (status, headers["Set-Cookie"]) == (403, None)
    assert enter(served)


@pytest.mark.parametrize(
    "below", ["", "ws", "static/js/textual.js", "static/", "page/page.js", "download/x", "nothing"]
)
def test_knowing_the_path_is_not_enough(served, below):
    path, cookie = enter(served)
    assert ask(served, path + below)[0] == 403
    assert ask(served, path + below, Cookie="gpualloc=wrong")[0] == 403
    assert ask(served, path + below, Cookie="gpualloc=é")[0] == 403
    assert ask(served, path + below, Cookie=cookie)[0] != 403


def test_knowing_the_cookie_is_not_enough(served):
    _, cookie = enter(served)
    for path in ("/ws", "/static/js/textual.js", "/download/x", "/elsewhere/ws"):
        assert ask(served, path, Cookie=cookie)[0] == 404


@pytest.mark.parametrize("host", ["evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil:{port}", "", None])
def test_another_name_for_this_machine_is_refused(served, host):
    path, cookie = enter(served)
    port = served.origin.rpartition(":")[2]
    named = host and host.format(port=port)
    assert ask(served, path, Cookie=cookie, Host=named)[0] in ((403, 400) if host is None else (403,))
    assert ask(served, f"/?token={served.next_address()}", Host=named)[0] in (403, 400)
    for own in ("localhost", "LOCALHOST", "[::1]", "127.0.0.1"):
        assert ask(served, path, Cookie=cookie, Host=f"{own}:{port}")[0] == 200


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://127.0.0.1:1", "https://127.0.0.1:{port}"]
)
def test_a_page_from_elsewhere_opens_no_terminal(served, origin):
    path, cookie = enter(served)
    port = served.origin.rpartition(":")[2]
    sent = upgrade(Cookie=cookie, Origin=origin and origin.format(port=port))
    assert ask(served, f"{path}ws", **sent)[0] == 403
    assert served.children() == []


def test_a_terminal_needs_the_cookie(served):
    path, _ = enter(served)
    assert ask(served, f"{path}ws", **upgrade(Origin=served.origin))[0] == 403
    assert served.children() == []


def test_every_answer_forbids_what_the_page_does_not_need(served):
    path, cookie = enter(served)
    for status, headers, _ in (
        ask(served, path, Cookie=cookie),
        ask(served, f"{path}nothing", Cookie=cookie),
        ask(served, path),
        ask(served, path, Cookie=cookie, Host="evil.example"),
        ask(served, path, Cookie=cookie, method="POST"),
    ):
        assert [name for name in GUARDS if name not in headers] == [], status
        assert "script-src 'self';" in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "no-referrer"


def test_the_cookie_is_for_this_server_and_no_script(served):
    given = ask(served, f"/?token={served.ticket}")[1]["Set-Cookie"]
    assert "HttpOnly" in given
    assert "SameSite=Strict" in given
    assert re.search(r"Path=/[\w-]{20,}/", given)
    assert "Domain" not in given


@pytest.mark.parametrize(
    "nonsense",
    [b"\x16\x03\x01", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"A" * 99_999],
)
def test_nonsense_is_refused_and_noted_nowhere(served, nonsense):
    port = int(served.origin.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(nonsense)
        assert b" 400 Bad Request" in connection.recv(1000)
    served.end(signal.SIGTERM)
    assert served.log.read_text() == ""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another account needs root")
def test_another_account_cannot_find_what_lets_in(served):
    path, cookie = enter(served)
    address = served.next_address()
    secrets = [served.ticket, address.partition("token=")[2], path.strip("/"), cookie.partition("=")[2]]
    process = f"/proc/{served.process.pid}"
    found = stranger(
        f"""
        for name in ("cmdline", "environ", "mem", "net/tcp", "maps", "fd"):
            try:
                print(open(f"{process}/{{name}}", "rb").read())
            except OSError as error:
                print(name, error)
        port = socket.create_connection(("127.0.0.1", {served.origin.rpartition(":")[2]}))
        port.sendall(b"GET / HTTP/1.1\\r\\nHost: {served.origin.removeprefix("http://")}\\r\\n\\r\\n")
        print(port.recv(1000))
        """
    )
    assert "gpualloc" in found
    assert "403" in found
    assert [secret for secret in secrets if secret in found] == []


def stranger(script):
    """What the script prints when the account nobody runs it."""
    program = "import encodings.idna, os, socket; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    done = subprocess.run(
        [sys.executable, "-c", program + textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    return done.stdout


async def test_the_program_gets_its_arguments_as_they_are_and_none_of_the_secrets(served):
    path, cookie = await asyncio.to_thread(enter, served)
    async with Terminal(served, path, cookie) as terminal:
        drawn = await terminal.receive_bytes(timeout=100)
    arguments, env = json.loads(drawn)
    assert arguments == ARGUMENTS
    assert env["TEXTUAL_DRIVER"] == "gpualloc.tui.browser.driver:ServedDriver"
    assert [secret for secret in (served.ticket, path.strip("/"), cookie.split("=")[1]) if secret in str(env)] == []


async def test_no_more_dashboards_than_allowed(served):
    path, cookie = await asyncio.to_thread(enter, served)
    async with Terminal(served, path, cookie) as first:
        await first.receive_bytes(timeout=100)
        async with Terminal(served, path, cookie) as second:
            await second.receive_bytes(timeout=100)
            async with Terminal(served, path, cookie) as third:
                assert b"2 dashboards are open" in await third.receive_bytes(timeout=100)
                assert (await third.receive(timeout=100)).data == aiohttp.WSCloseCode.TRY_AGAIN_LATER
            assert len(served.children()) == 2
        drawn = b"are open"
        while b"are open" in drawn:  # until the place of the second one is free again
            async with Terminal(served, path, cookie) as third:
                drawn = await third.receive_bytes(timeout=100)
        assert b"TEXTUAL_DRIVER" in drawn


@pytest.mark.parametrize(
    "message",
    [
        "no json",
        "{}",
        "[]",
        "5",
        '["resize", {"width": "x", "height": 1}]',
        '["resize", 1]',
        '["stdin", 5]',
        '["stdin"]',
    ],
)
async def test_a_tab_that_talks_nonsense_is_closed(served, message):
    path, cookie = await asyncio.to_thread(enter, served)
    async with Terminal(served, path, cookie) as terminal:
        await terminal.receive_bytes(timeout=100)
        await terminal.send_str(message)
        assert (await terminal.receive(timeout=100)).data == aiohttp.WSCloseCode.UNSUPPORTED_DATA
    await until(lambda: not served.children())


async def test_sizes_that_no_window_has_are_cut_down(served):
    path, cookie = await asyncio.to_thread(enter, served)
    async with Terminal(served, path, cookie) as terminal:
        await terminal.receive_bytes(timeout=100)
        await terminal.send_json(["resize", {"width": 10**9, "height": -3}])
        drawn = await terminal.receive_bytes(timeout=100)
        assert json.loads(drawn[1:]) == {"type": "resize", "width": 1000, "height": 1}


async def test_a_program_that_is_not_there_closes_its_tab(serve):
    served = serve("/nowhere/gpualloc")
    path, cookie = await asyncio.to_thread(enter, served)
    async with Terminal(served, path, cookie) as terminal:
        assert (await terminal.receive(timeout=100)).data == aiohttp.WSCloseCode.INTERNAL_ERROR
    await asyncio.to_thread(served.printed, "cannot be started: No such file")


async def test_a_file_reaches_the_browser_once_and_only_with_the_cookie(serve):
    served = serve(sys.executable, "-c", DELIVERS)
    path, cookie = await asyncio.to_thread(enter, served)
    async with Terminal(served, path, cookie) as terminal:
        while (message := await terminal.receive(timeout=100)).type != aiohttp.WSMsgType.TEXT:
            pass
        kind, told = json.loads(message.data)
        assert (kind, told["url"].startswith(f"{path}download/")) == ("open_url", True)
        assert (await asyncio.to_thread(ask, served, told["url"]))[0] == 403
        status, headers, text = await asyncio.to_thread(ask, served, told["url"], Cookie=cookie)
        assert (status, text) == (200, "node,gpu\nbirch01,0\n")
        assert headers["Content-Disposition"] == "attachment; filename=nodes.csv"
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        assert (await asyncio.to_thread(ask, served, told["url"], Cookie=cookie))[0] == 404


async def test_a_program_that_fails_at_once_closes_its_tab(serve):
    served = serve(sys.executable, "-c", "import sys; sys.exit('no configuration')")
    path, cookie = await asyncio.to_thread(enter, served)
    async with Terminal(served, path, cookie) as terminal:
        assert (await terminal.receive(timeout=100)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert "no configuration" in served.log.read_text()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGINT, 130)])
async def test_a_signal_ends_the_server_and_every_dashboard(served, number, code):
    path, cookie = await asyncio.to_thread(enter, served)
    async with Terminal(served, path, cookie) as terminal:
        await terminal.receive_bytes(timeout=100)
        [dashboard] = served.children()
        ended = asyncio.create_task(asyncio.to_thread(served.end, number))
        assert (await terminal.receive(timeout=100)).data == aiohttp.WSCloseCode.GOING_AWAY
        assert await ended == code
    assert not os.path.exists(f"/proc/{dashboard}")


async def test_a_hangup_that_is_ignored_ends_nothing(serve):
    served = serve(sys.executable, "-c", ECHO, before="signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    served.process.send_signal(signal.SIGHUP)
    assert await asyncio.to_thread(enter, served)
    assert served.end(signal.SIGTERM) == 0


async def test_dashboards_end_by_themselves_when_their_server_is_killed(serve):
    served = serve()
    path, cookie = await asyncio.to_thread(enter, served)
    async with Terminal(served, path, cookie) as terminal:
        await terminal.receive_bytes(timeout=100)
        [dashboard] = served.children()
        assert served.end(signal.SIGKILL) == -signal.SIGKILL
        await until(lambda: not os.path.exists(f"/proc/{dashboard}"))
