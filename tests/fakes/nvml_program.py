"""A node program in a process of its own over the C driver library, asked over its pipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]


class NodeProgram:
    """One node program.

    Args:
        environment: what it finds the driver library by.
        folder: its state folder.
        deadline_s: seconds a GPU gets to answer; None is the program's own choice.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path, deadline_s: float | None = None) -> None:
        limit = {} if deadline_s is None else {"GPUALLOC_NVML_DEADLINE_S": str(deadline_s)}
        here = {"GPUALLOC_NODE_STATE_DIR": str(folder), "PYTHONPATH": str(REPOSITORY)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gpualloc.node", "serve", "--nonce", "n"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            env={**os.environ, **environment, **here, **limit},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._stdin, self._stdout = self.process.stdin, self.process.stdout
        self._stdout.readline()

    def request(self, verb: str, **args: Any) -> Any:
        """The end record of a request; None when the program died over it."""
        self._stdin.write(json.dumps({"id": 1, "verb": verb, "args": args}).encode() + b"\n")
        self._stdin.flush()
        line = self._stdout.readline()
        if not line:
            self.process.wait(60)
            return None
        return json.loads(line)

    def ask(self, verb: str) -> Any:
        """What it answers."""
        return self.request(verb)["ok"]

    def devices(self, verb: str) -> list[dict[str, Any]]:
        """The rows of its devices."""
        rows: list[dict[str, Any]] = self.ask(verb)["devices"]
        return rows

    def look(self) -> tuple[Any, Any, Any]:
        """All that one look at the devices asks for: inventory, sample, processes."""
        return self.ask("inventory"), self.ask("sample"), self.ask("processes")

    def close(self) -> None:
        """End it and wait."""
        self._stdin.close()
        self._stdout.close()
        self.process.wait(60)


@contextmanager
def running(environment: Mapping[str, str], folder: Path, deadline_s: float | None = None) -> Iterator[NodeProgram]:
    """A node program for as long as the block lasts."""
    program = NodeProgram(environment, folder, deadline_s)
    try:
        yield program
    finally:
        program.close()


def counted(log: Path) -> Counter[str]:
    """How often each function was called, and from now on anew."""
    names = log.read_text().split() if log.exists() else []
    log.write_text("")
    return Counter(names)
