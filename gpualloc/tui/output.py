"""The end of what a workload prints, read on from where it was left."""

from __future__ import annotations

from msgspec import Struct

from gpualloc.ports import Fleet
from gpualloc.tui.cells import Cell, cell
from gpualloc.tui.text import clip, plain

KEPT_LINES = 500
"""So many lines are kept; `gpualloc logs` has all."""
_MOST_CHUNKS = 200
"""So many pieces are read at once; the rest the next time."""
_MAX_LINE = 4000


class Output(Struct, frozen=True):
    """The newest lines, and where to read on."""

    kept: tuple[str, ...] = ()
    """Without line ends; untrusted."""
    rest: bytes = b""
    """A line that is not ended yet."""
    offset: int = 0
    ended: bool = False
    dropped: bool = False
    """Whether there were lines before these."""

    def lines(self, width: int) -> list[Cell]:
        """As cells, the newest last."""
        shown = [*self.kept, *([_text(self.rest)] if self.rest else [])]
        head = [cell(f"(the last {KEPT_LINES} lines)")] if self.dropped else []
        return [*head, *(cell(clip(plain(line, _MAX_LINE), max(1, width))) for line in shown)]


def read_output(fleet: Fleet, node: str, workload: str, before: Output) -> Output:
    """What is new since `before`, with what was kept of it; raises NotFoundError, UnreachableError."""
    kept, rest, offset, dropped, ended = list(before.kept), before.rest, before.offset, before.dropped, False
    for _ in range(_MOST_CHUNKS):
        chunk = fleet.logs(node, workload, offset)
        *whole, rest = (rest + chunk.data).split(b"\n")
        kept += [_text(line) for line in whole]
        if len(kept) > KEPT_LINES:
            kept, dropped = kept[-KEPT_LINES:], True
        rest = rest[-_MAX_LINE:]
        over = not chunk.data and chunk.next_offset == offset
        offset, ended = chunk.next_offset, chunk.ended
        if over:
            break
    return Output(tuple(kept), rest, offset, ended and over, dropped)


def _text(line: bytes) -> str:
    # A progress bar draws over its own line: what it drew last is what a terminal would show.
    return line[-_MAX_LINE:].decode(errors="replace").rstrip("\r").rsplit("\r", 1)[-1]
