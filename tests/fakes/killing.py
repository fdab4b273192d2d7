"""gpualloc that dies by SIGKILL at a named point of a step of a named kind.

Run as a script it has everything imported and carries out each command line that it reads (JSON lines) in a fork of
itself. The points are the gaps of intent, do, read back and result.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from gpualloc import wiring
from gpualloc.cli.app import main as gpualloc
from gpualloc.model.plan import Step, StepState

POINTS = ("before-intent", "after-intent", "mid-effect", "after-effect", "after-read-back", "before-done", "after-done")


class KillServer:
    """A process of this script that is asked to run command lines; see the module."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env={**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(__file__))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def run(self, point: str, kind: str, args: list[str], env: dict[str, str]) -> int:
        """The exit status of `gpualloc` with these arguments, negative for a signal."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"point": point, "kind": kind, "args": args, "env": env}) + "\n")
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def meant(step: Step, kind: str) -> bool:
    """Whether it is a step of that kind; `start@n2` is one of that kind on that node."""
    return kind in (step.kind.value, f"{step.kind.value}@{step.node}")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


class KillingFleet:
    """Passes everything on to the real fleet until the point is reached."""

    def __init__(self, fleet, point, kind):
        self._fleet, self._point, self._kind = fleet, point, kind

    def __getattr__(self, name):
        return getattr(self._fleet, name)

    def do(self, call):
        if not meant(call.step, self._kind):
            return self._fleet.do(call)
        if self._point == "mid-effect":
            threading.Thread(target=self._fleet.do, args=(call,), daemon=True).start()
            time.sleep(0.02)  # long enough to be sent, too short to be answered
            die()
        result = self._fleet.do(call)
        if self._point == "after-effect":
            die()
        return result

    def verify(self, call):
        result = self._fleet.verify(call)
        if meant(call.step, self._kind) and self._point == "after-read-back":
            die()
        return result


class KillingWriter:
    """Passes everything on to the real writer until the point is reached."""

    def __init__(self, writer, point, kind):
        self._writer, self._point, self._kind = writer, point, kind

    def __getattr__(self, name):
        return getattr(self._writer, name)

    def record_step(self, run, step, state, **more):
        here = meant(step, self._kind)
        if here and (self._point, state) in (("before-intent", StepState.INTENT), ("before-done", StepState.DONE)):
            die()
        self._writer.record_step(run, step, state, **more)
        if here and (self._point, state) in (("after-intent", StepState.INTENT), ("after-done", StepState.DONE)):
            die()


class KillingJournal:
    def __init__(self, journal, point, kind):
        self._journal, self._point, self._kind = journal, point, kind

    def __getattr__(self, name):
        return getattr(self._journal, name)

    @contextmanager
    def write(self, purpose, wait_s=0.0) -> Iterator[KillingWriter]:
        with self._journal.write(purpose, wait_s) as writer:
            yield KillingWriter(writer, self._point, self._kind)


def main(point: str, kind: str, *args: str) -> int:
    """Run gpualloc with these arguments and a deadly world."""
    assert point in POINTS
    opened = wiring.open_context

    @contextmanager
    def open_context(*more, **named):
        with opened(*more, **named) as ctx:
            fleet, journal = KillingFleet(ctx.fleet, point, kind), KillingJournal(ctx.journal, point, kind)
            yield replace(ctx, fleet=fleet, journal=journal)

    wiring.open_context = open_context
    return gpualloc(args)


def serve() -> None:
    """Answer each request with the exit status of a fork that carried it out."""
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                os.dup2(os.open(os.devnull, os.O_RDWR), 0)
                os.dup2(0, 1)
                os.dup2(0, 2)
                os.environ.update(request["env"])
                os._exit(main(request["point"], request["kind"], *request["args"]))
            os._exit(120)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    # What a command imports only when it needs it.
    from gpualloc.adapters import crew, fleet, local, simulated  # noqa: F401
    from gpualloc.cli import apply, rebalance, recover, release, resume, suspend  # noqa: F401
    from gpualloc.config import schema, simfile  # noqa: F401
    from gpualloc.store import state_migrations  # noqa: F401

    serve()
