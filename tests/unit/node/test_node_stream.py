"""Serving on file descriptors: order, bounds, and an exit that nothing holds up."""

import contextlib
import json
import os
import threading

import pytest

from gpualloc.node.backlog import Backlog
from gpualloc.node.stream import serve
from gpualloc.node.telling import Telling


class StubServer:
    """Answers with its verb; `hang` waits for the gate, and so does `do`, which tells when it began."""

    def __init__(self):
        self.gate = threading.Event()
        self.began = threading.Event()
        self.finished = []

    def handle(self, request):
        if request["verb"] in ("hang", "do"):
            self.began.set()
            self.gate.wait()
            self.finished.append(request["verb"])
        return {"id": request.get("id"), "ok": {"verb": request["verb"], "padding": "x" * request.get("size", 0)}}


class Line:
    def __init__(self):
        self.server = StubServer()
        self.in_read, self.in_write = os.pipe()
        self.out_read, self.out_write = os.pipe()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        self.out = os.fdopen(self.out_read, "rb")

    def _serve(self):
        serve(self.server, self.in_read, self.out_write, "n1")
        os.close(self.out_write)

    def send(self, *requests):
        os.write(self.in_write, b"".join(json.dumps(one).encode() + b"\n" for one in requests))

    def receive(self):
        return json.loads(self.out.readline())

    def hang_up(self):
        os.close(self.in_write)

    def ended(self):
        self.thread.join(60)
        return not self.thread.is_alive()


@pytest.fixture
def line():
    made = Line()
    yield made
    made.server.gate.set()
    made.out.close()
    if not made.ended():
        made.hang_up()
        made.ended()
    os.close(made.in_read)


def test_answers_come_in_order_after_the_mark(line):
    line.send(*({"id": number, "verb": "sample"} for number in range(50)))
    assert line.out.readline() == b"GPUALLOC-NODE 3 n1\n"
    assert [line.receive()["id"] for _ in range(50)] == list(range(50))
    line.hang_up()
    assert line.out.read() == b""
    assert line.ended()


def test_a_large_answer_arrives_whole(line):
    line.out.readline()
    line.send({"id": 1, "verb": "sample", "size": 3_000_000})
    assert len(line.receive()["ok"]["padding"]) == 3_000_000
    line.hang_up()


def test_what_is_no_message_is_refused_and_the_rest_answered(line):
    line.out.readline()
    os.write(line.in_write, b"\xff\n[1]\n")
    line.send({"id": 3, "verb": "sample"})
    assert [line.receive()["error"]["reason"] for _ in range(2)] == ["bad-request"] * 2
    assert line.receive()["id"] == 3
    line.hang_up()


def test_a_reading_that_hangs_does_not_hold_up_the_end(line):
    line.out.readline()
    line.send({"id": 1, "verb": "hang"})
    assert line.server.began.wait(60)
    line.hang_up()
    assert line.ended()


def test_a_step_under_way_is_finished_and_no_other_begun(line):
    line.out.readline()
    line.send({"id": 1, "verb": "do"}, {"id": 2, "verb": "do"})
    assert line.server.began.wait(60)
    line.hang_up()
    line.thread.join(0.2)
    assert line.thread.is_alive()
    line.server.gate.set()
    assert line.receive()["id"] == 1
    assert line.ended()
    assert line.server.finished == ["do"]


def test_it_ends_when_nobody_reads(line):
    line.out.readline()
    line.out.close()
    line.send({"id": 1, "verb": "sample"})
    assert line.ended()
    line.hang_up()


def test_an_endless_line_ends_the_connection(line):
    def write():
        with contextlib.suppress(BrokenPipeError):
            while True:
                os.write(line.in_write, b"x" * 65536)

    line.out.readline()
    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    assert line.ended()
    os.close(line.in_read)
    line.in_read = os.open(os.devnull, os.O_RDONLY)
    writer.join(60)
    assert not writer.is_alive()
    line.hang_up()


class PictureServer:
    """A node whose picture changes by one number at each look."""

    def __init__(self):
        self.looks = 0
        self.devices = ["GPU-a"]
        self.asked = []

    def handle(self, request):
        verb = request["verb"]
        self.asked.append(verb)
        if verb == "claims":
            return {"id": 0, "error": {"reason": "disk", "message": "full"}}
        if verb == "sample":
            self.looks += 1
        rows = [{"uuid": uuid, "state": "ok", "n": self.looks} for uuid in self.devices]
        return {"id": request["id"], "ok": {"devices": rows} if verb == "sample" else {"verb": verb}}


@pytest.fixture
def told():
    line = Line.__new__(Line)
    line.server = PictureServer()
    line.in_read, line.in_write = os.pipe()
    line.out_read, line.out_write = os.pipe()
    line.thread = threading.Thread(target=line._serve, daemon=True)
    line.thread.start()
    line.out = os.fdopen(line.out_read, "rb")
    line.out.readline()
    yield line
    line.hang_up()
    assert line.ended()
    line.out.close()
    os.close(line.in_read)


def test_pictures_follow_whole_at_first_then_what_changed(told):
    told.send({"id": 1, "verb": "stream", "args": {"every_s": 0.2, "delay_s": 0}})
    records = [told.receive() for _ in range(4)]
    ended = [record for record in records if "id" in record]
    pictures = [record for record in records if "tick" in record]
    assert ended == [{"id": 1, "ok": {}}]
    assert pictures[0]["tick"] == 1
    assert pictures[0]["full"]["sample"] == {"devices": [{"uuid": "GPU-a", "state": "ok", "n": 1}]}
    assert pictures[0]["full"]["claims"] == {"error": {"reason": "disk", "message": "full"}}
    assert [picture["tick"] for picture in pictures] == [1, 2, 3]
    assert pictures[1]["delta"] == {"d": {"sample": {"d": {"devices": {"l": {"0": {"=": {"n": 2}}}}}}}}
    assert told.server.asked.count("inventory") == 1, "what seldom changes is not looked at each time"
    told.server.devices = ["GPU-a", "GPU-b"]
    while told.server.asked.count("inventory") == 1:
        told.receive()


def test_other_requests_are_answered_between_pictures_and_the_pace_can_change(told):
    told.send({"id": 1, "verb": "stream", "args": {"every_s": 3600, "delay_s": 3600}})
    assert [told.receive() for _ in range(2)]
    told.send({"id": 2, "verb": "hello"}, {"id": 3, "verb": "stream", "args": {"every_s": 0.2, "delay_s": 0}})
    assert told.receive() == {"id": 2, "ok": {"verb": "hello"}}
    assert "delta" in [told.receive() for _ in range(2)][1] or "delta" in told.receive()


@pytest.mark.parametrize(
    "args", [{}, {"every_s": 0, "delay_s": 0}, {"every_s": "1", "delay_s": 0}, {"every_s": 1, "delay_s": -1}, None]
)
def test_a_pace_that_makes_no_sense_is_refused(told, args):
    told.send({"id": 1, "verb": "stream", "args": args})
    assert told.receive()["error"]["reason"] == "bad-request"


class SlowServer(PictureServer):
    """A node whose look after the first waits until the test lets it go on."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        self.waiting = threading.Event()

    def handle(self, request):
        if request["verb"] == "kernel" and self.looks == 2:
            self.waiting.set()
            self.gate.wait()
        return super().handle(request)


def test_what_is_kept_begins_with_a_whole_picture_also_when_a_look_is_under_way(tmp_path):
    server, controller = SlowServer(), "c" * 32
    telling = Telling(server, lambda record: None, str(tmp_path))
    telling.pace({"every_s": 0.2, "delay_s": 0, "keep": {"controller": controller, "for_s": 1}})
    assert server.waiting.wait(60)
    telling.stop()
    server.looks = 10
    threading.Timer(0.3, server.gate.set).start()
    telling.keep()
    kept = list(Backlog(str(tmp_path), controller).take())
    assert ["full" in record for record in kept] == [True] + [False] * (len(kept) - 1)
    assert len(kept) >= 2
    assert all(record["at_s"] > 0 for record in kept)
    assert list(Backlog(str(tmp_path), controller).take()) == []
