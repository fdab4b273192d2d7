"""The node program as a process, under this Python and, where one is found, under 3.6."""

from __future__ import annotations

import base64
import glob
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
CONTROLLER = "c" * 32
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
NO_LIMITS = {"cpus": None, "cpuset": None, "memory_mib": None, "pids": None, "grants": []}


def oldest_python() -> str | None:
    """A Python 3.6: on PATH, or where pyenv keeps its versions."""
    roots = [os.environ.get("PYENV_ROOT", ""), str(Path.home() / ".pyenv")]
    found = [
        shutil.which("python3.6"),
        *(path for root in roots for path in glob.glob(f"{root}/versions/3.6*/bin/python3")),
    ]
    for path in filter(None, found):
        told = subprocess.run([path, "-c", "import sys; print(sys.version_info[1])"], capture_output=True, check=False)
        if told.stdout.strip() == b"6":
            return path
    return None


class Program:
    """One running node program and the requests made of it."""

    def __init__(self, state_dir: Path, python: str = sys.executable, command: list[str] | None = None) -> None:
        environment = dict(os.environ, GPUALLOC_NODE_STATE_DIR=str(state_dir), PYTHONPATH=str(REPOSITORY))
        self.process = subprocess.Popen(
            command or [python, "-m", "gpualloc.node", "serve", "--nonce", "n"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd="/",
        )
        self._number = 0

    def send(self, verb: str, **args: object) -> None:
        self._number += 1
        self.process.stdin.write(json.dumps({"id": self._number, "verb": verb, "args": args}).encode() + b"\n")
        self.process.stdin.flush()

    def receive(self) -> dict:
        line = self.process.stdout.readline()
        if line.startswith(b"GPUALLOC-NODE"):
            line = self.process.stdout.readline()
        return json.loads(line)

    def ask(self, verb: str, **args: object) -> dict:
        self.send(verb, **args)
        return self.receive()

    def call(self, verb: str, kind: str, workload: str, *, attempt: int = 1, fence: int = 1, **more: object) -> dict:
        return self.ask(verb, call=call(kind, workload, attempt=attempt, fence=fence, **more))

    def record(self, workload: str) -> dict | None:
        records = self.ask("claims")["ok"]["workloads"]
        return next((one for one in records if one["workload"] == workload), None)

    def end(self, workload: str) -> dict:
        """Wait for the end of a workload."""
        return until(lambda: (self.record(workload) or {}).get("end"))

    def output(self, workload: str) -> str:
        told = self.ask("logs", workload=workload, offset=0, limit=1 << 20)["ok"]
        return base64.b64decode(told["data"]).decode()

    def close(self) -> int:
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)


def call(kind: str, workload: str, *, attempt: int = 1, fence: int = 1, **more: object) -> dict:
    step = {"kind": kind, "workload": workload, "attempt": attempt, **more}
    return {"run": "r", "seq": 1, "fence": fence, "controller": CONTROLLER, "step": step}


def until(condition: Callable[[], object], seconds: float = 60) -> object:
    """What the condition gives once it is true."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "it did not become true in time"
        time.sleep(0.02)
    return result


class Node:
    """A node's state folder, the programs on it and the workloads of a test."""

    def __init__(self, state_dir: Path, python: str) -> None:
        self.state_dir = state_dir
        self.python = python
        self.until = until
        self._programs: list[Program] = []
        self._workloads: list[str] = []
        self.at_end: list[Callable[[], object]] = []
        """Called when the test is over."""

    def program(self, command: list[str] | None = None) -> Program:
        self._programs.append(Program(self.state_dir, self.python, command))
        return self._programs[-1]

    def workload(self) -> str:
        self._workloads.append("w" + "".join(secrets.choice(ALPHABET) for _ in range(8)))
        return self._workloads[-1]

    def start(self, program: Program, *command: str, workload: str | None = None, **more: object) -> tuple[str, dict]:
        """Start a command; answers its workload id and the end record of `do start`."""
        workload = workload or self.workload()
        fields = dict(NO_LIMITS, grants=[], env={}, cwd=None, user=None, at_most_s=None, name="a name")
        fields.update(more)
        return workload, program.call("do", "start", workload, command=list(command), **fields)

    def file(self, workload: str, name: str) -> dict:
        return json.loads((self.state_dir / "workloads" / workload / name).read_text())

    def groups(self, workload: str) -> list[str]:
        return glob.glob(f"/sys/fs/cgroup/*/gpualloc/{workload}")

    def close(self) -> None:
        for action in self.at_end:
            action()
        for program in self._programs:
            if program.process.poll() is None:
                program.kill()
            program.process.stdin.close()
            program.process.stdout.close()
        cleaner = Program(self.state_dir)
        for workload in self._workloads:
            cleaner.call("do", "stop", workload, fence=1000, grace_s=0)
            cleaner.call("do", "unlimit", workload, fence=1000)
        assert cleaner.close() == 0
        assert [path for workload in self._workloads for path in self.groups(workload)] == []


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node of this Python."""
    made = Node(tmp_path / "state", sys.executable)
    yield made
    made.close()


PYTHONS = [path for path in (sys.executable, oldest_python()) if path]


@pytest.fixture(params=PYTHONS, ids=["this", "3.6"][: len(PYTHONS)])
def any_node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    """A node of each Python that can be found: this one, and 3.6."""
    made = Node(tmp_path / "state", request.param)
    yield made
    made.close()
