"""A node that tells of itself: whole, in changes, silent, cut, lying, and back again."""

import asyncio
import copy
import json
from contextlib import asynccontextmanager

import pytest
from fakes.scripted_node import ANSWERS

from gpualloc.adapters.link import Failure
from gpualloc.adapters.streaming import stream
from gpualloc.adapters.streaming.pace import Pace
from gpualloc.adapters.streaming.sight import Sight
from gpualloc.adapters.streaming.stream import NodeStream, Shared
from gpualloc.adapters.streaming.watch import StreamWatch, Watched
from gpualloc.model.inventory import NodeSpec, NodeState
from gpualloc.node.delta import difference
from gpualloc.node.wire import WIRE_VERSION

SPEC = NodeSpec("n1", "p", "ssh")
CUT = Failure(NodeState.UNREACHABLE, "the connection was lost")


class Introduction:
    def greeting(self, nonce):
        return b"hello\n"

    def reply(self, word, detail):
        return Failure(NodeState.NO_PYTHON, "no python") if word == "no-python" else word.encode()


class Wire:
    """A channel whose other end is the test."""

    def __init__(self, nonce):
        self.nonce = nonce
        self.incoming = asyncio.Queue()
        self.sent = b""
        self.closed = False

    async def read(self):
        return await self.incoming.get()

    def write(self, data):
        self.sent += data

    async def ended(self, last_mark):
        return CUT

    async def close(self):
        self.closed = True

    def say(self, *lines):
        for line in lines:
            self.incoming.put_nowait(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")

    def start(self):
        self.say(f"Welcome!\nGPUALLOC-NODE {WIRE_VERSION} {self.nonce}\n".encode())

    @property
    def requests(self):
        return [json.loads(line) for line in self.sent.split(b"\n") if line.startswith(b"{")]


class Dial:
    introduction = Introduction()

    def __init__(self):
        self.opened = asyncio.Queue()
        self.refuse = None

    async def open(self, nonce):
        if self.refuse is not None:
            return self.refuse
        wire = Wire(nonce)
        self.opened.put_nowait(wire)
        return wire


class Site:
    """A stream, and what is seen of its node."""

    def __init__(self, every_s):
        self.now_s = 1_000_000_003.0
        self.dial = Dial()
        self.news = asyncio.Queue()
        self.sight = Sight(SPEC, lambda: self.now_s, lambda sight: self.news.put_nowait(sight.node()))
        self.shared = Shared(Pace(every_s), asyncio.Semaphore(1), lambda: self.now_s)
        self.stream = NodeStream(SPEC, self.dial, self.sight, self.shared)

    async def streaming(self):
        """A connection that has told its first picture."""
        wire = await self.dial.opened.get()
        wire.start()
        wire.say({"id": 1, "ok": {}}, {"tick": 1, "full": picture()})
        return wire, await self.news.get()


def picture(**sample):
    told = copy.deepcopy(dict(ANSWERS))
    told["sample"]["devices"][0].update(sample)
    return told


@asynccontextmanager
async def site(every_s=10.0):
    made = Site(every_s)
    running = asyncio.create_task(made.stream.run())
    try:
        async with asyncio.timeout(60):
            yield made
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_picture_and_its_changes_are_seen():
    async with site() as here:
        wire, node = await here.streaming()
        assert (node.state, node.at_s, node.devices[0].temperature_c) == (NodeState.OK, here.now_s, 41)
        (asked,) = wire.requests
        assert (asked["verb"], asked["args"]["every_s"]) == ("stream", 10.0)
        here.now_s += 4.0
        wire.say({"tick": 2, "delta": difference(picture(), picture(temperature_c=60))})
        node = await here.news.get()
        assert (node.at_s, node.devices[0].temperature_c) == (here.now_s, 60)
        assert here.shared.counts.messages == 3


async def test_a_node_that_drifts_to_the_border_of_ticks_is_given_its_pace_anew():
    async with site() as here:
        wire, _ = await here.streaming()
        here.now_s = 1_000_000_009.8
        wire.say({"tick": 2, "delta": {}})
        await here.news.get()
        while len(wire.requests) < 2:
            await asyncio.sleep(0)
        due = (here.now_s + wire.requests[1]["args"]["delay_s"]) % 10 / 10
        assert 0.1 < due < 0.7


async def test_a_cut_connection_is_told_and_made_anew(monkeypatch):
    async with site() as here:
        wire, _ = await here.streaming()
        wire.say(b"")
        node = await here.news.get()
        assert (node.state, len(node.devices)) == (NodeState.STALE, 1), "what it told last is still shown"
        assert "the connection was lost" in node.reason
        again, node = await here.streaming()
        assert wire.closed
        assert again is not wire
        assert node.state is NodeState.OK
        assert here.shared.counts.resumed == 1


async def test_what_cannot_be_reached_again_is_unreachable_and_left_alone_for_longer_and_longer(monkeypatch):
    pauses = []
    sleep = asyncio.sleep

    async def short(seconds):
        pauses.append(seconds)
        await sleep(0)

    async with site() as here:
        wire, _ = await here.streaming()
        monkeypatch.setattr(stream.asyncio, "sleep", short)
        here.dial.refuse = Failure(NodeState.AUTH_FAILED, "the login was refused", "load the key")
        wire.say(b"")
        assert (await here.news.get()).state is NodeState.STALE
        for _ in range(3):
            node = await here.news.get()
            assert (node.state, node.devices) == (NodeState.AUTH_FAILED, ())
            assert node.reason == "the login was refused; load the key"
        assert 0 < pauses[0] < pauses[2]
        here.dial.refuse = None
        _, node = await here.streaming()
        while node.state is not NodeState.OK:
            node = await here.news.get()


async def test_silence_makes_a_node_stale_and_then_its_program_is_replaced(monkeypatch):
    monkeypatch.setattr(stream, "CONNECT_S", 30.0)
    monkeypatch.setattr(Pace, "stale_s", property(lambda pace: 0.05))
    monkeypatch.setattr(Pace, "dead_s", property(lambda pace: 0.15))
    async with site() as here:
        wire, _ = await here.streaming()
        here.now_s += 17
        node = await here.news.get()
        assert (node.state, node.reason, len(node.devices)) == (NodeState.STALE, "last heard 17 s ago", 1)
        node = await here.news.get()
        assert node.state is NodeState.HUNG
        assert "said nothing" in node.reason
        assert wire.closed
        _, node = await here.streaming()
        assert node.state is NodeState.OK


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b"[1]\n",
        b'{"tick": 2}\n',
        b'{"tick": 2, "delta": {"d": {"nothing": {"v": 1}}}}\n',
        b'{"id": 2, "error": {"reason": "bad-request", "message": "no"}}\n',
        b"x" * (9 << 20) + b"\n",
        b"y" * (9 << 20),
    ],
)
async def test_nonsense_ends_the_connection_and_is_told(line):
    async with site() as here:
        wire, _ = await here.streaming()
        wire.say(line)
        node = await here.news.get()
        assert node.state in (NodeState.STALE, NodeState.FAILED)
        assert node.reason.isprintable()
        _, node = await here.streaming()
        assert wire.closed
        assert node.state is NodeState.OK


async def test_a_picture_that_cannot_be_read_is_a_failed_node_and_not_an_end():
    async with site() as here:
        wire, _ = await here.streaming()
        wire.say({"tick": 2, "delta": {"d": {"sample": {"=": {"devices": "none"}}}}})
        node = await here.news.get()
        assert (node.state, node.devices) == (NodeState.FAILED, ())
        wire.say({"tick": 3, "full": picture()})
        assert (await here.news.get()).state is NodeState.OK


async def test_a_part_that_the_node_could_not_look_at_is_told():
    async with site() as here:
        wire, _ = await here.streaming()
        wire.say({"tick": 2, "delta": {"=": {"claims": {"error": {"reason": "disk", "message": "full"}}}}})
        node = await here.news.get()
        assert node.state is NodeState.FAILED
        assert "full" in node.reason


async def test_a_change_before_the_first_picture_of_a_connection_is_refused():
    async with site() as here:
        wire, _ = await here.streaming()
        wire.say(b"")
        assert (await here.news.get()).state is NodeState.STALE
        again = await here.dial.opened.get()
        again.start()
        again.say({"tick": 7, "delta": {}})
        assert (await here.news.get()).state is NodeState.FAILED


async def test_a_node_without_python_never_streams():
    made = Site(10.0)
    running = asyncio.create_task(made.stream.run())
    wire = await made.dial.opened.get()
    wire.say(f"GPUALLOC-STUB no-python {wire.nonce} \n".encode())
    async with asyncio.timeout(30):
        await running
    assert wire.closed
    assert made.news.empty()


async def test_another_wire_version_is_told():
    async with site() as here:
        wire = await here.dial.opened.get()
        wire.say(f"GPUALLOC-NODE 99 {wire.nonce}\n".encode())
        node = await here.news.get()
        assert node.state is NodeState.FAILED
        assert "wire version 99" in node.reason


async def test_what_was_kept_is_told_late_and_nonsense_in_it_costs_nothing_else():
    async with site() as here:
        wire, node = await here.streaming()
        offset_s = picture()["sample"]["at_s"] - here.now_s
        assert node.clock_offset_s == offset_s
        for record in (
            {"delta": {}, "at_s": 990.0},
            "nonsense",
            {"full": picture(temperature_c=77), "at_s": here.now_s + offset_s - 100},
            {"delta": {"d": {"nowhere": {"v": 1}}}, "at_s": here.now_s + offset_s - 95},
            {"full": picture(temperature_c=78), "at_s": here.now_s + offset_s - 90},
            {"full": picture(temperature_c=79), "at_s": here.now_s + offset_s + 90},
        ):
            wire.say({"kept": record} if record != "nonsense" else {"kept": {"full": "nonsense", "at_s": 1.0}})
        wire.say({"tick": 2, "delta": {}})
        await here.news.get()
        late = here.sight.late()
        assert [(round(here.now_s - one.at_s), one.devices[0].temperature_c) for one in late] == [(100, 77), (90, 78)]
        assert here.sight.late() == []
        assert here.sight.well


def test_a_fault_of_our_own_is_told_to_whoever_hears_and_the_watch_can_still_be_closed():
    def broken():
        raise ZeroDivisionError

    watch = StreamWatch([Watched(SPEC, broken, broken)], 10.0, lambda: 1.0)
    with pytest.raises(RuntimeError, match="ended by itself"):
        watch.hear(60)
    watch.close()
    watch.close()
