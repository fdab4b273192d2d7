"""The list of users: who holds how much, and who waits."""

from __future__ import annotations

import math
from collections.abc import Iterable

from msgspec import Struct, field

from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.fields import Field, Unit, Value
from gpualloc.tui.listing import Listing, Sort
from gpualloc.tui.listings.processes import owner_of
from gpualloc.tui.rows import BUSY_RATIO, FleetRow, Moment
from gpualloc.tui.state import State
from gpualloc.tui.text import plain
from gpualloc.tui.values import UNKNOWN


class UserRow(Struct):
    """What one user has, over the whole fleet; a GPU that several share counts for each of them."""

    user: str
    gpus: dict[str, FleetRow] = field(default_factory=dict)
    """Devices with work or processes of this user, by UUID."""
    idle: int = 0
    """How many of them do nothing."""
    memory_mib: int = 0
    memory_unknown: bool = False
    """Whether the driver does not tell the memory of some of the processes."""
    ratios: list[float] = field(default_factory=list)
    """Utilization of the devices of which it is known."""
    powers_w: list[float] = field(default_factory=list)
    """Power of the devices of which it is known."""
    processes: set[tuple[str, int]] = field(default_factory=set)
    """Node and process number: one may be on several devices."""
    strangers: set[tuple[str, int]] = field(default_factory=set)
    """Those that nobody booked."""
    running: int = 0
    waiting: int = 0

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes of these devices, each once."""
        return tuple(sorted({row.node.name for row in self.gpus.values()}))

    @property
    def oldest(self) -> FleetRow | None:
        """The device that was not heard for the longest time; None without any."""
        return min(self.gpus.values(), key=lambda row: -math.inf if row.heard_s is None else row.heard_s, default=None)

    def is_silent(self, node: str, moment: Moment) -> bool:
        """Whether of a device on that node that is shown that was seen last."""
        return any(row.node.name == node and moment.is_stale(row) for row in self.gpus.values())


def user_rows(state: State) -> tuple[UserRow, ...]:
    """Every user with processes on devices, or with work that is not ended."""
    found: dict[str, UserRow] = {}
    devices = {row.device.uuid: row for row in state.rows if row.device is not None}
    _add_processes(found, state, devices)
    _add_work(found, state.workloads, devices)
    return tuple(found[name] for name in sorted(found))


def _add_processes(found: dict[str, UserRow], state: State, devices: dict[str, FleetRow]) -> None:
    for node in state.seen.nodes:
        for process in node.processes:
            name = owner_of(process, state.owners) or UNKNOWN
            one = found.get(name) or found.setdefault(name, UserRow(name))
            one.processes.add((node.name, process.pid))
            if process.workload is None:
                one.strangers.add((node.name, process.pid))
            if process.gpu_memory_used_mib is None:
                one.memory_unknown = True
            else:
                one.memory_mib += process.gpu_memory_used_mib
            _add_device(one, devices.get(process.device))


def _add_work(found: dict[str, UserRow], workloads: Iterable[Workload], devices: dict[str, FleetRow]) -> None:
    for workload in workloads:
        if workload.state.ended:
            continue
        one = found.setdefault(workload.owner, UserRow(workload.owner))
        one.waiting += workload.state is WorkloadState.PENDING
        one.running += workload.state is WorkloadState.RUNNING
        if workload.allocation is not None and workload.state is WorkloadState.RUNNING:
            for grant in workload.allocation.grants:
                _add_device(one, devices.get(grant.device))


def _add_device(one: UserRow, row: FleetRow | None) -> None:
    if row is None or row.device is None or row.device.uuid in one.gpus:
        return
    one.gpus[row.device.uuid] = row
    ratio = row.device.gpu_utilization_ratio
    if ratio is not None:
        one.ratios.append(ratio)
        one.idle += ratio < BUSY_RATIO
    if row.device.power_w is not None:
        one.powers_w.append(row.device.power_w)


def _mean(row: UserRow, _: Moment) -> Value:
    return sum(row.ratios) / len(row.ratios) if row.ratios else None


def _power(row: UserRow, _: Moment) -> Value:
    """Nobody's GPUs draw none; it is unknown where no driver tells it."""
    return sum(row.powers_w) if row.powers_w or not row.gpus else None


def _age(row: UserRow, moment: Moment) -> Value:
    return None if row.oldest is None else moment.age_s(row.oldest.heard_s)


def _age_cell(row: UserRow, moment: Moment, _: int) -> Cell:
    oldest = row.oldest
    if oldest is None:
        return ()
    return cell(moment.age_words(oldest), Role.WARN if moment.is_stale(oldest) else Role.DIM)


def _nodes_cell(row: UserRow, moment: Moment, _: int) -> Cell:
    """Those that are silent come first: what is shown of them was seen last."""
    silent = [name for name in row.nodes if row.is_silent(name, moment)]
    others = ", ".join(plain(name) for name in row.nodes if name not in silent)
    told = f"last seen: {', '.join(plain(name) for name in silent)}" if silent else ""
    return (Span(told, Role.WARN), Span("; " if told and others else ""), Span(others))


def _idle_cell(row: UserRow, _: Moment, width: int) -> Cell:
    return cell(str(row.idle).rjust(width), Role.WARN if row.idle else Role.DIM)


def _strangers_cell(row: UserRow, _: Moment, width: int) -> Cell:
    return cell(str(len(row.strangers)).rjust(width), Role.WARN if row.strangers else Role.DIM)


FIELDS: tuple[Field[UserRow], ...] = (
    Field("user", "USER", "whose it is", lambda row, _: row.user, least=10, most=24, priority=0),
    Field(
        "gpus",
        "GPUS",
        "GPUs with work or processes of this user",
        lambda row, _: len(row.gpus),
        Unit.COUNT,
        least=4,
        most=6,
        priority=1,
        descends=True,
    ),
    Field(
        "idle",
        "IDLE",
        "how many of them do nothing",
        lambda row, _: row.idle,
        Unit.COUNT,
        draw=_idle_cell,
        least=4,
        most=6,
        priority=2,
        descends=True,
    ),
    Field(
        "util", "UTIL", "mean utilization of these GPUs", _mean, Unit.RATIO, least=5, most=6, priority=3, descends=True
    ),
    Field(
        "mem",
        "GPU MEM",
        "GPU memory of the processes; unknown when the driver does not tell that of one",
        lambda row, _: None if row.memory_unknown else row.memory_mib,
        Unit.MIB,
        least=7,
        most=9,
        priority=4,
        descends=True,
    ),
    Field(
        "power",
        "POWER",
        "power of these GPUs",
        _power,
        Unit.WATT,
        least=6,
        most=8,
        priority=9,
        descends=True,
    ),
    Field(
        "run",
        "RUN",
        "work that runs",
        lambda row, _: row.running,
        Unit.COUNT,
        least=4,
        most=6,
        priority=5,
        descends=True,
    ),
    Field(
        "wait",
        "WAIT",
        "work that waits",
        lambda row, _: row.waiting,
        Unit.COUNT,
        least=4,
        most=6,
        priority=6,
        descends=True,
    ),
    Field(
        "procs",
        "PROCS",
        "processes on GPUs",
        lambda row, _: len(row.processes),
        Unit.COUNT,
        least=5,
        most=6,
        priority=10,
        descends=True,
    ),
    Field(
        "strangers",
        "UNBOOKED",
        "processes that nobody booked",
        lambda row, _: len(row.strangers),
        Unit.COUNT,
        draw=_strangers_cell,
        least=8,
        most=8,
        priority=8,
        descends=True,
    ),
    Field(
        "age",
        "AGE",
        "the longest time since readings of these GPUs were true",
        _age,
        Unit.SECONDS,
        draw=_age_cell,
        least=5,
        most=5,
        priority=7,
        descends=True,
        keeps=True,
    ),
    Field(
        "node",
        "NODES",
        "nodes of these GPUs; those that do not answer first",
        lambda row, _: row.nodes,
        draw=_nodes_cell,
        least=8,
        most=60,
        priority=11,
        keeps=True,
    ),
)

USERS: Listing[UserRow] = Listing(
    "users",
    FIELDS,
    key=lambda row: row.user,
    sorts=(Sort("gpus", descends=True), Sort("user")),
    stale=lambda row, moment: bool(row.gpus) and all(moment.is_stale(one) for one in row.gpus.values()),
    absent="nobody uses a GPU and no work waits",
)
"""Every user, the one with most GPUs first."""
