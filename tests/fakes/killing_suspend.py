"""Suspend or resume in this process, and die by SIGKILL at a named point of a step of a named kind.

Run as a script: `killing_suspend.py POINT KIND suspend|resume ID [DEVICE]`; the points are those of `killing`.
"""

from __future__ import annotations

import sys

from fakes.killing import POINTS, KillingFleet, KillingJournal
from msgspec.structs import replace

from gpualloc.engine.suspend import resume, suspend
from gpualloc.wiring import Options, open_context


def main(point: str, kind: str, verb: str, identity: str, *devices: str) -> None:
    assert point in POINTS
    with open_context(Options()) as ctx:
        fleet, journal = KillingFleet(ctx.fleet, point, kind), KillingJournal(ctx.journal, point, kind)
        killing = replace(ctx, fleet=fleet, journal=journal)
        if verb == "suspend":
            suspend(killing, identity)
        else:
            resume(killing, identity, devices)


if __name__ == "__main__":
    main(*sys.argv[1:])
