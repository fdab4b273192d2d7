"""Release a workload in this process, and die by SIGKILL at a named point: `killed_release.py POINT KIND ID`."""

from __future__ import annotations

import sys
from dataclasses import replace

from killed_apply import KillingFleet, KillingJournal

from gpualloc.engine.release import release
from gpualloc.wiring import Options, open_context


def main(point: str, kind: str, identity: str) -> None:
    with open_context(Options()) as ctx:
        killing = replace(
            ctx, fleet=KillingFleet(ctx.fleet, point, kind), journal=KillingJournal(ctx.journal, point, kind)
        )
        release(killing, [identity])


if __name__ == "__main__":
    main(*sys.argv[1:])
