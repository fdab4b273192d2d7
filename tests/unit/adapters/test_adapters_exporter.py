"""The server of the exporter: bounded whatever its clients do."""

import gzip
import http.client
import socket
import threading
import time
import tracemalloc
from contextlib import ExitStack

import pytest

from gpualloc.adapters import exporter
from gpualloc.adapters.exporter import MAX_REQUEST_BYTES, PageServer
from gpualloc.errors import GpuallocError

TYPE = "text/plain; version=0.0.4; charset=utf-8"
BIG = b"x" * (32 << 20)
"""More than the kernel takes from us for a client that does not read."""


@pytest.fixture
def server():
    with PageServer("127.0.0.1", 0, TYPE) as server:
        server.put(b"a 1\n")
        yield server


def ask(server, method="GET", path="/metrics", **headers):
    connection = http.client.HTTPConnection(*server.address, timeout=20)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def raw(server, data):
    with socket.create_connection(server.address, timeout=20) as client:
        client.sendall(data)
        received = b""
        while piece := client.recv(65536):
            received += piece
    return received


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_page_is_served_with_its_type(server):
    status, headers, body = ask(server)
    assert (status, body) == (200, b"a 1\n")
    assert (headers["Content-Type"], headers["Content-Length"], headers["Connection"]) == (TYPE, "4", "close")
    server.put(b"a 2\n")
    assert ask(server)[2] == b"a 2\n"


def test_head_has_no_body(server):
    status, headers, body = ask(server, "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "4", b"")


def test_the_root_says_where_the_page_is(server):
    assert b"/metrics" in ask(server, path="/")[2]
    assert ask(server, path="/metrics?x=1")[2] == b"a 1\n"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/metrics/", 404), ("GET", "/../etc/passwd", 404), ("POST", "/metrics", 405), ("DELETE", "/", 405)],
)
def test_anything_else_is_refused(server, method, path, status):
    assert ask(server, method, path)[0] == status


@pytest.mark.parametrize("line", [b"GET", b"GET /metrics", b"GET /metrics HTTP/2", b"\x16\x03\x01\x02", b"a b c d"])
def test_what_is_no_request_is_refused(server, line):
    assert raw(server, line + b"\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_request_without_end_is_cut_off(server):
    try:
        assert raw(server, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * MAX_REQUEST_BYTES).startswith(b"HTTP/1.1 431 ")
    except ConnectionError:
        # What it had not read when it hung up made the kernel say so first.
        pass
    assert ask(server)[0] == 200


def test_a_client_that_hangs_up_is_forgotten(server):
    for asked in (b"", b"GET /me", b"GET /metrics HTTP/1.1\r\n\r\n"):
        with socket.create_connection(server.address, timeout=20) as client:
            client.sendall(asked)
    until(lambda: server.connections == 0)


def test_pages_are_packed_once_somebody_takes_them_so(server):
    assert "Content-Encoding" not in ask(server, Accept_Encoding="gzip, deflate")[1]
    server.put(b"a 3\n" * 1000)
    status, headers, body = ask(server, Accept_Encoding="deflate, gzip;q=0.5")
    assert (status, headers["Content-Encoding"], gzip.decompress(body)) == (200, "gzip", b"a 3\n" * 1000)
    assert len(body) < 200
    for refused in ({}, {"Accept_Encoding": "identity"}, {"Accept_Encoding": "gzip;q=0"}):
        assert ask(server, **refused)[2] == b"a 3\n" * 1000


def test_clients_that_do_not_read_keep_nobody_waiting(server, monkeypatch):
    monkeypatch.setattr(exporter, "REQUEST_S", 300.0)
    monkeypatch.setattr(exporter, "ANSWER_S", 300.0)
    server.put(BIG)
    tracemalloc.start()
    with ExitStack() as opened:
        opened.callback(tracemalloc.stop)
        for number in range(200):
            client = opened.enter_context(socket.create_connection(server.address, timeout=20))
            client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n" if number % 2 else b"GET /met")
        until(lambda: server.connections == 200)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
        server.put(b"a 4\n")
        assert ask(server)[2] == b"a 4\n"
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < 10
        assert server.connections == 0


def test_more_clients_than_are_served_wait_their_turn(server, monkeypatch):
    monkeypatch.setattr(exporter, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(exporter, "REQUEST_S", 300.0)
    with ExitStack() as opened:
        idle = [opened.enter_context(socket.create_connection(server.address, timeout=20)) for _ in range(3)]
        until(lambda: server.connections == 3)
        got = []
        waiting = threading.Thread(target=lambda: got.append(ask(server)[2]))
        waiting.start()
        waiting.join(0.2)
        assert server.connections == 3
        assert got == []
        idle[0].close()
        waiting.join(20)
        assert got == [b"a 1\n"]


@pytest.mark.parametrize("asked", [b"", b"GET /metrics HTTP/1.1\r\nX: y"])
def test_a_client_that_does_not_ask_is_let_go(server, monkeypatch, asked):
    monkeypatch.setattr(exporter, "REQUEST_S", 0.1)
    assert raw(server, asked) == b""


def test_a_client_that_does_not_read_is_let_go(server, monkeypatch):
    monkeypatch.setattr(exporter, "ANSWER_S", 0.1)
    server.put(BIG)
    with socket.create_connection(server.address, timeout=20) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert client.recv(4) == b"HTTP"
        until(lambda: server.connections == 0)


def test_a_port_that_is_taken_is_an_error(server):
    with pytest.raises(GpuallocError, match=r"cannot listen at 127\.0\.0\.1 port"):
        PageServer(*server.address, TYPE)
    with pytest.raises(GpuallocError, match=r"cannot listen at 192\.0\.2\.1"):
        PageServer("192.0.2.1", 0, TYPE)
