"""Until the node program runs: marks with our nonce are answered, whatever a login shell prints around them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.adapters.handshake import MAX_NOISE_BYTES, Handshake
from gpualloc.adapters.link import Failure
from gpualloc.adapters.loader import STUB_MARK
from gpualloc.node.wire import START_MARK, WIRE_VERSION

NONCE = "0123456789abcdef"
OTHER = "fedcba9876543210"
PIECES = [START_MARK, STUB_MARK, NONCE, OTHER, "shell", "5", str(WIRE_VERSION), "x", " ", " ", " ", "\t", "é", ""]


class Said:
    """What marks were answered."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def greeting(self, nonce: str) -> bytes:
        return nonce.encode()

    def reply(self, word: str, detail: str) -> bytes | Failure:
        self.heard.append((word, detail))
        return b"answer"


def test_marks_of_the_loader_are_answered_and_the_node_program_ends_it() -> None:
    said = Said()
    handshake = Handshake(NONCE, said)
    assert handshake.hear(b"Welcome!") == b""
    assert handshake.hear(f"{STUB_MARK} shell {NONCE}\r".encode()) == b"answer"
    assert handshake.hear(f"{STUB_MARK} no-python {NONCE}  python3 3.5".encode()) == b"answer"
    assert (handshake.last_mark, handshake.done) == ("no-python", False)
    assert said.heard == [("shell", ""), ("no-python", " python3 3.5")]
    assert handshake.hear(f"{START_MARK} {WIRE_VERSION} {NONCE}".encode()) == b""
    assert (handshake.last_mark, handshake.done) == (START_MARK, True)


def test_a_node_program_of_another_version_is_refused() -> None:
    refused = Handshake(NONCE, Said()).hear(f"{START_MARK} 0 {NONCE}".encode())
    assert isinstance(refused, Failure)
    assert "wire version 0" in refused.reason


@pytest.mark.parametrize("line", [f"{STUB_MARK} shell {OTHER}", f"{STUB_MARK} shell {NONCE}0", f"shell {NONCE}", NONCE])
def test_what_does_not_carry_our_nonce_is_noise(line: str) -> None:
    said = Said()
    handshake = Handshake(NONCE, said)
    assert handshake.hear(line.encode()) == b""
    assert (said.heard, handshake.last_mark) == ([], None)


def test_noise_has_an_end() -> None:
    handshake = Handshake(NONCE, Said())
    line = b"x" * 65_535
    heard = [handshake.hear(line) for _ in range(MAX_NOISE_BYTES // 65_536 + 1)]
    assert [isinstance(each, Failure) for each in heard] == [False] * (len(heard) - 1) + [True]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_a_mark_is_found_wherever_it_stands_in_a_line(line: str) -> None:
    said = Said()
    handshake = Handshake(NONCE, said)
    handshake.hear(line.encode("ascii", "replace"))
    wanted = re.search(
        rf"({START_MARK}|{STUB_MARK}) ([a-z0-9-]+) {NONCE}(?: (.*))?$",
        line.encode("ascii", "replace").decode().rstrip(),
    )
    if wanted is None:
        assert (handshake.last_mark, said.heard) == (None, [])
    elif wanted[1] == START_MARK:
        assert (handshake.last_mark, said.heard) == (START_MARK, [])
    else:
        assert said.heard == [(wanted[2], wanted[3] or "")]
