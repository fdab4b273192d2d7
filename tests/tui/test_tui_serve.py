"""Serving the dashboard: what is refused before anything listens, and the secrets of the door."""

import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.errors import GpuallocError, UsageError
from gpualloc.tui import serve
from gpualloc.tui.browser.door import Door

PORT = 8470


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "", "127.0.0.1.example.org"])
def test_only_loopback_is_listened_on(host):
    with pytest.raises(UsageError, match="loopback") as refused:
        serve.serve(["true"], host, PORT, tell=print)
    assert f"ssh -t -L {PORT}:127.0.0.1:{PORT}" in refused.value.hint


@pytest.mark.parametrize("missing", ["textual_serve", "aiohttp", "aiohttp_jinja2"])
def test_without_the_extra_its_command_is_named(monkeypatch, missing):
    for module in [name for name in sys.modules if name.startswith(("gpualloc.tui.browser.s", missing))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UsageError, match="not installed") as refused:
        serve.serve(["true"], tell=print)
    assert refused.value.hint == "pip install 'gpualloc[serve]'"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_port_that_is_taken_or_none_is_named(address):
    with (
        serve._listening(address, 0) as taken,
        pytest.raises(GpuallocError, match=f"cannot listen on {address} port {taken.getsockname()[1]}") as refused,
    ):
        serve.serve(["true"], address, taken.getsockname()[1], tell=print)
    assert "--port 0" in refused.value.hint
    with pytest.raises(GpuallocError, match="port 70000"):
        serve.serve(["true"], port=70000, tell=print)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]"])
def test_names_of_this_machine_are_listened_on(host):
    with serve._listening(serve._loopback(host, 0), 0) as listening:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        assert listening.family == family


@given(st.text())
def test_no_text_but_the_secret_opens_the_door(text):
    door = Door("127.0.0.1", PORT)
    assert not door.redeem(text)
    assert not door.admits(text)


def test_a_ticket_is_good_once():
    door = Door("127.0.0.1", PORT)
    ticket = door.address.partition("token=")[2]
    assert door.redeem(ticket)
    assert not door.redeem(ticket)
    assert door.redeem(door.address.partition("token=")[2])


def test_every_secret_is_another_and_long():
    doors = [Door("127.0.0.1", PORT) for _ in range(10)]
    secrets = {text for door in doors for text in (door.path, door.pass_, door.address)}
    assert len(secrets) == 30
    assert min(len(text.rpartition("=")[2]) for text in secrets) > 20


@given(st.text(), st.text())
def test_only_a_page_of_the_same_host_opens_a_terminal(origin, host):
    door = Door("::1", PORT)
    assert not door.is_origin(origin, host)
    assert not door.is_origin(origin, f"localhost:{PORT}")
    assert not door.is_origin(f"http://localhost:{PORT}", host)
    assert door.is_origin(f"http://[::1]:{PORT}", f"[::1]:{PORT}")


def test_the_usual_port_is_left_out_by_browsers():
    assert Door("127.0.0.1", 80).is_host("localhost")
    assert not Door("127.0.0.1", PORT).is_host("localhost")
    assert not Door("127.0.0.1", PORT).is_host(None)
