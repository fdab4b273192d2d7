"""Answers of the shell program: frames, and what /proc says in them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.adapters import shell_talk
from gpualloc.adapters.shell_proc import (
    read_clock,
    read_cpus,
    read_disk,
    read_information,
    read_memory,
    read_network,
    read_process,
)
from gpualloc.adapters.shell_talk import Shell, Told
from gpualloc.node.wire import WireError

NONCE = "0123456789abcdef"


class Script:
    """A talk whose other side says these lines."""

    def __init__(self, *lines: str) -> None:
        self._lines = [line.encode() for line in lines]
        self.said = b""

    def say(self, data: bytes) -> None:
        self.said += data

    def hear(self) -> bytes:
        if not self._lines:
            raise TimeoutError
        return self._lines.pop(0)

    def rest(self, seconds: float) -> None:
        raise NotImplementedError

    def left_s(self) -> float:
        return 10.0


def frame(word: str, *lines: str, status: str = "0", nonce: str = NONCE) -> Sequence[str]:
    return (f"GPUALLOC-SHELL {nonce} begin {word}", *lines, "", f"GPUALLOC-SHELL {nonce} end {word} {status}")


def test_answers_come_in_the_order_of_the_words():
    script = Script(*frame("load", "a", ""), *frame("apps", status="9"))
    assert Shell(NONCE).ask(script, "load", "apps") == [Told(("a", ""), "0"), Told((), "9")]
    assert script.said == b"load\napps\n"


def test_marks_of_another_nonce_are_output():
    other = frame("load", nonce="f" * 16)
    (told,) = Shell(NONCE).ask(Script(*frame("process", *other)), "process 12")
    assert told.lines == other


@pytest.mark.parametrize("lines", [frame("apps"), ("rubbish",), frame("load", nonce="f" * 16)])
def test_what_is_no_answer_is_refused(lines):
    with pytest.raises(WireError, match="not the answer to load"):
        Shell(NONCE).ask(Script(*lines), "load")


def test_an_answer_without_an_end_is_refused(monkeypatch):
    monkeypatch.setattr(shell_talk, "MAX_LINE_BYTES", 100)
    with pytest.raises(WireError, match="does not end"):
        Shell(NONCE).ask(Script(*frame("load", *["x" * 30] * 4)), "load")


def test_the_host():
    assert read_memory(["MemTotal:       16384000 kB", "MemFree: 1 kB", "MemAvailable:    8192000 kB"]) == {
        "MemTotal": 16000,
        "MemAvailable": 8000,
    }
    assert read_cpus(["cpu  10 0 10 70 10 0 0 0 0 0", "cpu0 1 2", "cpu1 1 2", "intr 5"]) == (2, (20, 100))
    assert read_network(
        [
            "Inter-|   Receive  |  Transmit",
            " face |bytes packets",
            "    lo: 9 9 9 9 0 0 0 0 9 9 9 9 0 0 0 0",
            "  eth0: 100 1 2 3 0 0 0 0 200 1 4 5 0 0 0 0",
        ]
    ) == (100, 200, 14)
    assert read_disk(
        ["Filesystem 1024-blocks Used Available Capacity Mounted on", "/dev/a b 4096000 1024000 3 26% /"]
    ) == (
        4000,
        1000,
    )
    clock = read_clock(["1700000000", "12.5 3.0"])
    assert clock is not None
    assert (clock.epoch_s, clock.uptime_s) == (1_700_000_000.0, 12.5)


STAT = "(a) b\nc) S 7 1 1 0 -1 4194560 1 0 0 0 1 1 0 0 20 0 1 0 4242 1 1"


def test_a_process_whose_name_is_meant_to_confuse():
    known = read_process(
        ["dr-xr-xr-x 9 ada staff 0 Nov 21 18:50 /proc/12", *f"12 ({STAT}".split("\n"), "python\0-u\0x\0"]
    )
    assert known is not None
    assert (known.user, known.parent, known.start_ticks) == ("ada", 7, 4242)


def test_a_kernel_thread_has_its_name_for_a_command():
    known = read_process(["dr-xr-xr-x 9 root root 0 Nov 21 18:50 /proc/12", "12 (kthreadd) S 0 " + "0 " * 17 + "5 0"])
    assert known is not None
    assert known.command == "[kthreadd]"


def test_a_process_that_is_gone_tells_nothing():
    assert read_process([]) is None


def test_gpus_of_the_kernel():
    lines = ["Model: \t\t NVIDIA A100", "GPU UUID: \t GPU-1", "Bus Location: \t 0000:3b:00.0", "Device Minor: \t 3"]
    assert (
        read_information([*lines, *lines])
        == [{"Model": "NVIDIA A100", "GPU UUID": "GPU-1", "Bus Location": "0000:3b:00.0", "Device Minor": "3"}] * 2
    )


@settings(deadline=None)
@given(st.lists(st.text(max_size=60), max_size=6))
def test_no_text_breaks_a_reader(lines):
    for read in (read_clock, read_cpus, read_disk, read_information, read_memory, read_network, read_process):
        read(lines)
