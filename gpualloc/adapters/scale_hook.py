"""The operator's programs that add nodes and take them away: an order on stdin, an answer on stdout, bounded."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import IO

from gpualloc.adapters.fields import Fields, MalformedError, clean
from gpualloc.adapters.program import begun
from gpualloc.model.scaling import ScaleAnswer, ScaleOrder

FORMAT = 1
"""Version of the order."""
MAX_ANSWER_BYTES = 64 * 1024
MAX_OUTPUT_BYTES = 4096
"""What is kept of stderr; the rest is read and dropped."""
_POLL_S = 0.05
_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


class ProgramScaleHook:
    """`ports.ScaleHook` that runs a program, never through a shell."""

    def run(self, command: Sequence[str], timeout_s: float, order: ScaleOrder) -> ScaleAnswer:
        """Run the program and read its answer; never raises for what it does."""
        began = time.monotonic()
        try:
            problem, answer, said = _run(command, timeout_s, order)
        except OSError as error:
            problem, answer, said = f"{command[0]} cannot be run: {error.strerror}", b"", b""
        nodes, wrong = _read(answer, order)
        output = clean(said.decode("utf-8", "replace"))
        return ScaleAnswer(nodes, problem or wrong, output, time.monotonic() - began)


def order_document(order: ScaleOrder) -> dict[str, object]:
    """The order as the program reads it."""
    return {
        "format": FORMAT,
        "order": order.id,
        "pool": order.pool,
        "direction": "up" if order.up else "down",
        "count": order.count,
        "why": order.why,
        "offers": [
            {
                "purchase": lot.offer.purchase.value,
                "zone": lot.offer.zone,
                "nodes": lot.nodes,
                "price_per_gpu_hour": lot.offer.per_gpu_hour,
                "interruptions_per_hour": lot.offer.interruptions_per_hour,
            }
            for lot in order.lots
        ],
        "nodes": list(order.nodes),
    }


def _run(command: Sequence[str], timeout_s: float, order: ScaleOrder) -> tuple[str | None, bytes, bytes]:
    """The problem, if there was one, its answer, and the beginning of its stderr; raises OSError."""
    with begun(command, json.dumps(order_document(order)).encode(), stderr=subprocess.PIPE) as process:
        return _watch(process, timeout_s)


def _watch(process: subprocess.Popen[bytes], timeout_s: float) -> tuple[str | None, bytes, bytes]:
    assert process.stdout is not None
    assert process.stderr is not None
    answer, said = _Kept(process.stdout, MAX_ANSWER_BYTES + 1), _Kept(process.stderr, MAX_OUTPUT_BYTES)
    deadline = time.monotonic() + timeout_s
    while process.poll() is None and time.monotonic() < deadline:
        _hear((answer, said), _POLL_S)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        return f"no answer in {timeout_s:g} s", bytes(answer.data), bytes(said.data)
    # What it left running may hold the pipes open for ever: only what is there now is read.
    while time.monotonic() < deadline and _hear((answer, said), 0):
        pass
    status = process.returncode
    if status:
        return (
            f"exit code {status}" if status > 0 else f"ended by signal {-status}",
            bytes(answer.data),
            bytes(said.data),
        )
    if len(answer.data) > MAX_ANSWER_BYTES:
        return f"its answer is longer than {MAX_ANSWER_BYTES} bytes", b"", bytes(said.data)
    return None, bytes(answer.data), bytes(said.data)


class _Kept:
    """The beginning of what comes through a pipe."""

    def __init__(self, pipe: IO[bytes], limit: int) -> None:
        self.pipe = pipe
        self.data = bytearray()
        self.ended = False
        self._limit = limit

    def read(self) -> None:
        """Take what is there."""
        chunk = os.read(self.pipe.fileno(), 65536)
        self.ended = not chunk
        self.data += chunk[: self._limit - len(self.data)]


def _hear(pipes: Sequence[_Kept], wait_s: float) -> bool:
    """Read what comes within the time; False when nothing did."""
    with selectors.DefaultSelector() as selector:
        for kept in pipes:
            if not kept.ended:
                selector.register(kept.pipe, selectors.EVENT_READ, kept)
        if not selector.get_map():
            time.sleep(wait_s)
            return False
        ready = selector.select(wait_s)
        for key, _ in ready:
            key.data.read()
        return bool(ready)


def _read(answer: bytes, order: ScaleOrder) -> tuple[tuple[str, ...], str | None]:
    """The nodes that the answer names, and what is wrong with it."""
    key = "added" if order.up else "removed"
    try:
        fields = Fields(json.loads(answer), "its answer")
        error = fields.text_or_none("error")
        nodes = fields.texts(key) if fields.has(key) or error is None else ()
    except (ValueError, RecursionError) as wrong:
        return (), str(wrong) if isinstance(wrong, MalformedError) else "its answer is not JSON"
    if not all(_NODE.fullmatch(node) for node in nodes) or len(set(nodes)) < len(nodes):
        return (), f"its answer names nodes in {key} that no node can be called, or one twice"
    if order.up and len(nodes) > order.count:
        return nodes, error or f"{len(nodes)} nodes were added, and {order.count} were asked for"
    strange = sorted(set(nodes).difference(order.nodes)) if not order.up else []
    if strange:
        return tuple(node for node in nodes if node in order.nodes), f"{strange[0]} was not asked for"
    return nodes, error
