"""Questions to the shell program of a node without python3, and its framed answers."""

from __future__ import annotations

import time
from pathlib import Path

from msgspec import Struct

from gpualloc.adapters.stand_in import Talk
from gpualloc.model.readings import ReadingCost
from gpualloc.node.wire import MAX_LINE_BYTES, WireError

MARK = "GPUALLOC-SHELL"
"""First word of the lines around each answer: `GPUALLOC-SHELL <nonce> begin|end <word> [<status>]`."""
HUNG = "hung"
"""Status of an nvidia-smi that did not end in time."""
_SOURCE = Path(__file__).with_name("shell_node.sh")
_MAX_LINES = 500_000


class Told(Struct, frozen=True):
    """The answer to one word."""

    lines: tuple[str, ...]
    status: str
    """`0` when it went well; exit status of the command, or `HUNG`."""

    @property
    def well(self) -> bool:
        """Whether the command did what it was asked for."""
        return self.status == "0"


class Shell:
    """The shell program of one connection.

    Args:
        nonce: the connection's own; what other programs of the node print cannot be taken for an answer.
    """

    def __init__(self, nonce: str) -> None:
        self._nonce = nonce
        self._costs: dict[str, tuple[int, float, float]] = {}

    def begin(self, talk: Talk) -> None:
        """Send the program to the stub, which waits for it between two lines with the nonce."""
        talk.say(b"%s\n%s\n%s\n" % (self._nonce.encode(), _SOURCE.read_bytes(), self._nonce.encode()))

    def ask(self, talk: Talk, *words: str) -> list[Told]:
        """Ask all words at once and return their answers in the same order.

        Args:
            talk: to whom.
            words: those that the program knows, `process` with a pid behind it.

        Raises:
            WireError: what came is no answer.
        """
        talk.say("".join(f"{word}\n" for word in words).encode("ascii"))
        return [self._answer(talk, word.partition(" ")[0]) for word in words]

    def costs(self) -> tuple[ReadingCost, ...]:
        """What each word cost until now, with the way there and back."""
        return tuple(
            ReadingCost(word, None, calls, total_s / calls, max_s)
            for word, (calls, total_s, max_s) in self._costs.items()
        )

    def _answer(self, talk: Talk, word: str) -> Told:
        began_s = time.monotonic()
        first = talk.hear().decode("utf-8", "replace")
        if first != f"{MARK} {self._nonce} begin {word}":
            raise WireError(f"not the answer to {word}")
        end = f"{MARK} {self._nonce} end {word} "
        lines: list[str] = []
        size = 0
        while not (line := talk.hear().decode("utf-8", "replace")).startswith(end):
            size += len(line)
            lines.append(line)
            if size > MAX_LINE_BYTES or len(lines) > _MAX_LINES:
                raise WireError(f"an answer to {word} that does not end")
        # The program begins a new line before the end mark, wherever the output ended.
        if lines and not lines[-1]:
            lines.pop()
        self._count(word, time.monotonic() - began_s)
        return Told(tuple(lines), line.removeprefix(end).strip())

    def _count(self, word: str, seconds: float) -> None:
        calls, total_s, max_s = self._costs.get(word, (0, 0.0, 0.0))
        self._costs[word] = (calls + 1, total_s + seconds, max(max_s, seconds))
