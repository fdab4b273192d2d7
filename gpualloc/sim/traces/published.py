"""Figures that others published for the same runs, to stand beside our own."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec import Struct

from gpualloc.errors import BrokenInputError
from gpualloc.sim.traces.cells import WrongCell, milli, name, whole
from gpualloc.sim.traces.curve import REPORTED_PCT
from gpualloc.sim.traces.rows import Layout, Table

_LOADS = tuple(map(str, REPORTED_PCT))
PUBLISHED = Layout("published figures", ("trace", "policy", "seed", *_LOADS))
_ALL_MILLI_PCT = 100_000


class Published(Struct, frozen=True):
    """One published run."""

    policy: str
    seed: int
    unallocated_pct: dict[str, float | None]
    """By load in percent; None where it was not published."""


def read_published(lines: Iterable[str], source: str, trace: str, seeds: Collection[int]) -> tuple[Published, ...]:
    """The published runs on one trace with some seeds, in the order of the text.

    Args:
        lines: the text: `trace,policy,seed,90,95,100,110,130`, the unallocated percent at each load.
        source: how errors name it.
        trace: as the column `trace` has it.
        seeds: as the column `seed` has them.

    Raises:
        BrokenInputError: a column is missing or unknown, a cell is wrong (names row and line), or nothing was published
            for the trace and these seeds.
    """
    table = Table(lines, source, (PUBLISHED,))
    found: list[Published] = []
    for row in table:
        of, policy, seed, *parts = row.cells
        try:
            values = {
                load: milli(load, part, 0, _ALL_MILLI_PCT) / 1000 if part else None
                for load, part in zip(_LOADS, parts, strict=True)
            }
            run = Published(name("policy", policy), whole("seed", seed, 0, (1 << 64) - 1), values)
        except WrongCell as wrong:
            raise table.wrong(row, str(wrong)) from None
        if of == trace and run.seed in seeds:
            found.append(run)
    if not found:
        raise BrokenInputError(f"{source}: nothing was published for the trace {trace} and these seeds")
    return tuple(found)
