"""From loads to the plan that others read: in the order and with the numbers of the problem."""

from __future__ import annotations

import numpy as np

from gpualloc.policies.temporal.bill import costs_of, moved_of
from gpualloc.policies.temporal.case import TINY, alike
from gpualloc.policies.temporal.explain import explain
from gpualloc.policies.temporal.loads import Loads
from gpualloc.policies.temporal.numbering import renumbered
from gpualloc.policies.temporal.plan import TemporalPlan
from gpualloc.policies.temporal.problem import NOWHERE


def finish(loads: Loads, *, complete: bool) -> TemporalPlan:
    """The plan of these loads."""
    case = loads.case
    if alike(case):
        loads = renumbered(loads)
    ids = np.append(case.device_ids, NOWHERE)
    place = np.empty_like(loads.place)
    place[case.item_ids] = ids[loads.place]
    lost = (case.alive & (loads.place == NOWHERE)).any(axis=1)
    short = (loads.memory > case.device_memory + TINY).any(axis=0)
    return TemporalPlan(
        place=place,
        costs=costs_of(loads),
        moves=explain(loads, moved_of(loads)),
        unplaced=tuple(sorted(case.item_ids[lost].tolist())),
        short=tuple(case.device_ids[short].tolist()),
        complete=complete,
    )
