"""The list of work that runs, waits or ended lately."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from gpualloc.model.allocation import HeldBy, Hold
from gpualloc.model.progress import Progress
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.tui.cells import Cell, Role, cell, number
from gpualloc.tui.fields import Field, Unit, Value
from gpualloc.tui.listing import Listing
from gpualloc.tui.rows import Moment
from gpualloc.tui.text import age_text, plain
from gpualloc.views.progress import progress_brief

_ORDER = {
    state: at
    for at, state in enumerate(
        (
            WorkloadState.PENDING,
            WorkloadState.LOST,
            WorkloadState.FAILED,
            WorkloadState.RUNNING,
            WorkloadState.SUSPENDED,
            WorkloadState.FINISHED,
            WorkloadState.RELEASED,
        )
    )
}
_ROLES = {
    WorkloadState.PENDING: Role.WARN,
    WorkloadState.LOST: Role.BAD,
    WorkloadState.FAILED: Role.BAD,
    WorkloadState.RUNNING: Role.GOOD,
    WorkloadState.FINISHED: Role.DIM,
    WorkloadState.RELEASED: Role.DIM,
}
_NOW_S = 1.0
"""A start that is no further away than this could be now."""


class WorkRow(Struct, frozen=True):
    """A workload with what is known of it elsewhere."""

    workload: Workload
    gpus: tuple[int | None, ...]
    """Indices of its devices, for display."""
    progress: Progress | None
    start_s: float | None
    """When it is likely to start, epoch seconds; None when it does not wait, or nobody can tell."""


def work_rows(
    workloads: Sequence[Workload],
    indices: Mapping[str, int],
    progress: Mapping[str, Progress],
    starts: Mapping[str, float],
) -> tuple[WorkRow, ...]:
    """What wants attention first, then by age; `indices` of devices by UUID, the others by workload id."""
    ordered = sorted(workloads, key=lambda one: (_ORDER[one.state], one.submitted_at_s, one.id))
    return tuple(
        WorkRow(
            one,
            () if one.allocation is None else tuple(indices.get(grant.device) for grant in one.allocation.grants),
            progress.get(one.id),
            starts.get(one.id) if one.state is WorkloadState.PENDING else None,
        )
        for one in ordered
    )


def weakest_first(held: HeldBy) -> str:
    """The words for what holds the limits, each once, such as `soft, hard`."""
    found = {held.gpu, held.cpu, held.memory, held.pids}
    return ", ".join(hold.value for hold in Hold if hold in found)


def start_text(row: WorkRow, moment: Moment) -> str:
    """When it is likely to start, in words; empty when it does not wait."""
    if row.workload.state is not WorkloadState.PENDING:
        return ""
    if row.start_s is None:
        return "n/a"
    away_s = row.start_s - moment.now_s
    return "now" if away_s <= _NOW_S else f"in {age_text(away_s)}"


def _role(row: WorkRow) -> Role:
    return Role.DIM if row.workload.state.ended else Role.PLAIN


def _drawn(text: Callable[[WorkRow], str]) -> Callable[[WorkRow, Moment, int], Cell]:
    return lambda row, _moment, _width: cell(text(row), _role(row))


def _state_cell(row: WorkRow, _: Moment, __: int) -> Cell:
    state = row.workload.state
    return cell(state.value, _ROLES.get(state, Role.PLAIN))


def _where(row: WorkRow) -> str:
    allocation = row.workload.allocation
    if allocation is None or not allocation.nodes:
        return ""
    nodes = allocation.nodes
    return plain(nodes[0]) + (f" +{len(nodes) - 1}" if len(nodes) > 1 else "")


def _gpus(row: WorkRow) -> str:
    if row.workload.allocation is None:
        return f"want {row.workload.request.gpus}"
    if row.workload.state is WorkloadState.SUSPENDED:
        return "none"
    return ",".join("?" if index is None else str(index) for index in row.gpus)


def _start_cell(row: WorkRow, moment: Moment, _: int) -> Cell:
    text = start_text(row, moment)
    return cell(text, Role.DIM if text == "n/a" else Role.GOOD if text == "now" else Role.PLAIN)


def _ran_s(row: WorkRow, moment: Moment) -> Value:
    work = row.workload
    if work.started_at_s is None:
        return None
    return max(0.0, (moment.now_s if work.ended_at_s is None else work.ended_at_s) - work.started_at_s)


def _ran_cell(row: WorkRow, moment: Moment, width: int) -> Cell:
    ran_s = _ran_s(row, moment)
    return number(age_text(ran_s), width) if isinstance(ran_s, float) else ()


def _progress_cell(row: WorkRow, _: Moment, __: int) -> Cell:
    return cell(progress_brief(row.progress))


FIELDS: tuple[Field[WorkRow], ...] = (
    Field(
        "id",
        "ID",
        "its id",
        lambda row, _: row.workload.id,
        draw=_drawn(lambda row: row.workload.id),
        least=9,
        most=9,
        priority=6,
    ),
    Field(
        "name",
        "NAME",
        "its name",
        lambda row, _: row.workload.name,
        draw=_drawn(lambda row: plain(row.workload.name)),
        least=14,
        most=24,
        priority=0,
    ),
    Field(
        "owner",
        "OWNER",
        "whose it is",
        lambda row, _: row.workload.owner,
        draw=_drawn(lambda row: plain(row.workload.owner)),
        least=6,
        most=12,
        priority=5,
    ),
    Field(
        "state",
        "STATE",
        "how it stands",
        lambda row, _: row.workload.state.value,
        draw=_state_cell,
        rank=lambda row, _: _ORDER[row.workload.state],
        least=9,
        most=9,
        priority=1,
    ),
    Field(
        "start",
        "STARTS",
        "when it is likely to start; `now` with the next plan",
        lambda row, _: row.start_s,
        Unit.EPOCH,
        draw=_start_cell,
        least=7,
        most=7,
        priority=2,
    ),
    Field(
        "node",
        "NODE",
        "where it is",
        lambda row, _: () if row.workload.allocation is None else tuple(row.workload.allocation.nodes),
        draw=_drawn(_where),
        least=8,
        most=18,
        priority=3,
    ),
    Field(
        "gpus",
        "GPUS",
        "its GPUs, or how many it wants",
        lambda row, _: row.workload.request.gpus,
        Unit.COUNT,
        draw=_drawn(_gpus),
        least=7,
        most=9,
        priority=3,
    ),
    Field(
        "ran",
        "RAN",
        "for how long it ran",
        _ran_s,
        Unit.SECONDS,
        draw=_ran_cell,
        least=5,
        most=5,
        priority=7,
        descends=True,
    ),
    Field(
        "progress",
        "PROGRESS",
        "how far it says it is",
        lambda row, _: progress_brief(row.progress) or None,
        draw=_progress_cell,
        least=10,
        most=16,
        priority=8,
    ),
    Field(
        "held",
        "HELD BY",
        "what holds its limits: booked, soft, hard",
        lambda row, _: weakest_first(row.workload.held_by) or None,
        draw=_drawn(lambda row: weakest_first(row.workload.held_by)),
        least=10,
        most=18,
        priority=9,
    ),
    Field(
        "reason",
        "REASON",
        "why it waits, or how it ended",
        lambda row, _: row.workload.reason,
        draw=lambda row, _moment, _width: cell(plain(row.workload.reason or ""), Role.DIM),
        least=18,
        most=120,
        priority=4,
    ),
    Field(
        "priority",
        "PRIO",
        "its priority",
        lambda row, _: row.workload.request.priority,
        Unit.COUNT,
        least=4,
        most=5,
        shown=False,
        descends=True,
    ),
    Field(
        "submitted",
        "SINCE",
        "how long ago it was submitted",
        lambda row, _: row.workload.submitted_at_s,
        Unit.EPOCH,
        least=5,
        most=6,
        shown=False,
    ),
    Field(
        "share",
        "SHARE",
        "how it shares its GPUs",
        lambda row, _: row.workload.request.share.value,
        least=9,
        most=10,
        shown=False,
    ),
    Field(
        "command",
        "COMMAND",
        "what it runs",
        lambda row, _: " ".join(row.workload.request.command),
        least=12,
        most=80,
        shown=False,
    ),
)

WORKLOADS: Listing[WorkRow] = Listing(
    "workloads",
    FIELDS,
    key=lambda row: row.workload.id,
    sorts=(),
    absent="no work runs or waits; `:submit` leaves some, `gpualloc submit -h` tells more",
)
"""Work, what wants attention first."""
