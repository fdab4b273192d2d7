"""Rebalance or release in this process, and die by SIGKILL at a named point of a step of a named kind.

Run as a script: `killing.py POINT KIND [ID to release]`. The points are the gaps of intent, do, read back, result.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.release import release
from gpualloc.model.plan import StepState
from gpualloc.wiring import Options, open_context

POINTS = ("before-intent", "after-intent", "mid-effect", "after-effect", "before-done", "after-done")


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
        if call.step.kind.value != self._kind:
            return self._fleet.do(call)
        if self._point == "mid-effect":
            threading.Thread(target=self._fleet.do, args=(call,), daemon=True).start()
            time.sleep(0.02)  # long enough to be sent, too short to be answered
            die()
        result = self._fleet.do(call)
        if self._point == "after-effect":
            die()
        return result


class KillingWriter:
    """Passes everything on to the real writer until the point is reached."""

    def __init__(self, writer, point, kind):
        self._writer, self._point, self._kind = writer, point, kind

    def __getattr__(self, name):
        return getattr(self._writer, name)

    def record_step(self, run, step, state, **more):
        here = step.kind.value == self._kind
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


def main(point: str, kind: str, released: str | None = None) -> None:
    assert point in POINTS
    with open_context(Options()) as ctx:
        killing = replace(
            ctx, fleet=KillingFleet(ctx.fleet, point, kind), journal=KillingJournal(ctx.journal, point, kind)
        )
        if released is None:
            rebalance(killing)
        else:
            release(killing, [released])


if __name__ == "__main__":
    main(*sys.argv[1:])
