"""The list of processes on devices, alone or gathered by what they belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.model.inventory import Process
from gpualloc.tui.cells import Cell, Role, Span, cell, number
from gpualloc.tui.fields import Field, Unit, Value
from gpualloc.tui.listing import Listing, Sort, Tree
from gpualloc.tui.rows import Moment
from gpualloc.tui.seen import SeenNode
from gpualloc.tui.text import age_text, plain


class Gathering(StrEnum):
    """What processes are gathered by."""

    NOTHING = "nothing"
    PARENT = "parent"
    """Each under the process that started it, where that one is on a GPU too."""
    NODE = "node"
    USER = "user"
    WORKLOAD = "workload"
    CONTAINER = "container"
    POD = "pod"
    JOB = "job"

    @property
    def following(self) -> Gathering:
        """The next one in the cycle."""
        all_of_them = list(Gathering)
        return all_of_them[(all_of_them.index(self) + 1) % len(all_of_them)]


class ProcessRow(Struct, frozen=True):
    """A process with what is known of it elsewhere."""

    process: Process
    node: str
    gpu: int | None
    """Index of its device; None when that device is not listed."""
    workload: str | None
    """Name of its workload, safe to draw; None for a stranger."""
    owner: str | None
    """Whose workload it belongs to, else whose account it runs as; None when unknown."""
    key: str
    """Names it: a process may be on several devices, and its number may be used again."""
    above: str | None = None
    """Key of the row that it stands under."""
    depth: int = 0
    heard_s: float | None = None
    """Ticks at which its node told of it."""
    failing: bool = False
    """Whether its node fails to answer since."""


class GroupRow(Struct, frozen=True):
    """Processes that belong together."""

    name: str
    """What they belong to, safe to draw."""
    key: str
    members: tuple[ProcessRow, ...]


Row = ProcessRow | GroupRow
_MOST_DEPTH = 20
"""Deeper ones are not indented further."""


def process_rows(
    nodes: Iterable[SeenNode],
    indices: Mapping[str, int],
    names: Mapping[str, str],
    device: str | None = None,
    owners: Mapping[str, str] | None = None,
) -> tuple[ProcessRow, ...]:
    """Processes of the nodes, or those on one device.

    Args:
        nodes: where they run.
        indices: of devices by UUID.
        names: of workloads by id.
        device: UUID of the only device that counts; None for all.
        owners: of workloads by id; None when whose work it is does not matter.
    """
    return tuple(
        ProcessRow(
            process,
            node.name,
            indices.get(process.device),
            None if process.workload is None else plain(names.get(process.workload, process.workload)),
            owner_of(process, owners or {}),
            f"{node.name}/{process.device}/{process.mig_instance}/{process.started_at_s}/{process.pid}",
            heard_s=node.heard_s,
            failing=node.failing,
        )
        for node in nodes
        for process in node.processes
        if device is None or process.device == device
    )


def owner_of(process: Process, owners: Mapping[str, str]) -> str | None:
    """Whose workload a process belongs to, else whose account it runs as; None when unknown."""
    booked = None if process.workload is None else owners.get(process.workload)
    return process.user if booked is None else booked


def _of(
    process: Callable[[ProcessRow], Value], group: Callable[[GroupRow], Value] = lambda _: None
) -> Callable[[Row, Moment], Value]:
    return lambda row, _moment: group(row) if isinstance(row, GroupRow) else process(row)


def _sum(value: Callable[[ProcessRow], float | None]) -> Callable[[GroupRow], Value]:
    """The sum over the members; None when it is unknown of one of them."""

    def total(group: GroupRow) -> Value:
        found = [value(row) for row in group.members]
        known = [one for one in found if one is not None]
        return sum(known) if len(known) == len(found) else None

    return total


def _sum_once(value: Callable[[ProcessRow], float | None]) -> Callable[[GroupRow], Value]:
    """As `_sum`, each process once although it is on several devices."""

    def total(group: GroupRow) -> Value:
        each = {(row.node, row.process.pid): row for row in group.members}
        return _sum(value)(GroupRow(group.name, group.key, tuple(each.values())))

    return total


def _all(value: Callable[[ProcessRow], str | None]) -> Callable[[GroupRow], Value]:
    return lambda group: tuple(dict.fromkeys(text for row in group.members if (text := value(row)) is not None))


def _is_stale(row: Row, moment: Moment) -> bool:
    """Whether it is what was seen last, on nodes that do not answer."""
    rows = row.members if isinstance(row, GroupRow) else (row,)
    return all(moment.is_past(one.heard_s, failing=one.failing) for one in rows)


def _node_cell(row: Row, moment: Moment, width: int) -> Cell:
    if isinstance(row, GroupRow):
        return cell(", ".join(plain(name) for name in dict.fromkeys(one.node for one in row.members)))
    if not _is_stale(row, moment):
        return cell(plain(row.node))
    name, silent = plain(row.node), f" silent {age_text(moment.age_s(row.heard_s))}"
    return (Span(name), Span(silent if len(name) + len(silent) <= width else " !", Role.WARN))


def _gpus(group: GroupRow) -> Value:
    return len({row.process.device for row in group.members})


def _workload(row: ProcessRow) -> str:
    return row.workload or "stranger"


def _workload_cell(row: Row, _: Moment, __: int) -> Cell:
    if isinstance(row, GroupRow):
        return ()
    return cell("stranger", Role.WARN) if row.workload is None else cell(row.workload)


def _memory(row: ProcessRow) -> int | None:
    return row.process.gpu_memory_used_mib


def _memory_cell(row: Row, moment: Moment, width: int) -> Cell:
    used = _of(_memory, _sum(_memory))(row, moment)
    return number(f"{used:,.0f}" if isinstance(used, float | int) else None, width)


def _pid_cell(row: Row, _: Moment, width: int) -> Cell:
    if isinstance(row, GroupRow):
        return number(f"({len(row.members)})", width)
    return number(str(row.process.pid), width)


def _gpu_cell(row: Row, _: Moment, width: int) -> Cell:
    if isinstance(row, GroupRow):
        return number(f"x{_gpus(row)}", width)
    return number(None if row.gpu is None else str(row.gpu), width)


def _command_cell(row: Row, _: Moment, __: int) -> Cell:
    if isinstance(row, GroupRow):
        return cell(row.name, Role.NAME)
    command = row.process.command
    if command is None:
        return cell("n/a", Role.DIM)
    return cell("  " * row.depth + plain(command))


def _cpus(value: float) -> str:
    return f"{value * 100:.0f}%"


def _cpu_cell(row: Row, moment: Moment, width: int) -> Cell:
    found = _of(_cpu, _sum_once(_cpu))(row, moment)
    return number(_cpus(found) if isinstance(found, float | int) else None, width)


def _cpu(row: ProcessRow) -> float | None:
    return row.process.cpu_utilization_ratio


def _host_memory(row: ProcessRow) -> int | None:
    return row.process.host_memory_mib


FIELDS: tuple[Field[Row], ...] = (
    Field(
        "node",
        "NODE",
        "its node",
        _of(lambda row: row.node, _all(lambda row: row.node)),
        draw=_node_cell,
        least=8,
        most=20,
        priority=7,
        keeps=True,
    ),
    Field(
        "gpu",
        "GPU",
        "index of its GPU",
        _of(lambda row: row.gpu, _gpus),
        Unit.COUNT,
        draw=_gpu_cell,
        least=3,
        most=3,
        priority=5,
    ),
    Field(
        "pid",
        "PID",
        "process number",
        _of(lambda row: row.process.pid),
        Unit.COUNT,
        draw=_pid_cell,
        least=7,
        most=7,
        priority=0,
    ),
    Field(
        "user",
        "USER",
        "whose it is",
        _of(lambda row: row.process.user, _all(lambda row: row.process.user)),
        least=8,
        most=12,
        priority=1,
    ),
    Field(
        "mem",
        "MEM MiB",
        "GPU memory used",
        _of(_memory, _sum(_memory)),
        Unit.MIB,
        draw=_memory_cell,
        least=8,
        most=9,
        priority=2,
        descends=True,
    ),
    Field(
        "util",
        "UTIL",
        "share of the driver's last window in which its kernels ran",
        _of(lambda row: row.process.gpu_utilization_ratio),
        Unit.RATIO,
        least=4,
        most=5,
        priority=8,
        descends=True,
    ),
    Field(
        "cpu",
        "CPU",
        "CPUs it keeps busy; 200% is two",
        _of(_cpu, _sum_once(_cpu)),
        Unit.RATIO,
        draw=_cpu_cell,
        least=5,
        most=6,
        priority=9,
        descends=True,
    ),
    Field(
        "ram",
        "RAM",
        "host memory",
        _of(_host_memory, _sum_once(_host_memory)),
        Unit.MIB,
        least=6,
        most=6,
        priority=10,
        descends=True,
    ),
    Field(
        "since",
        "SINCE",
        "how long it runs",
        _of(lambda row: row.process.started_at_s),
        Unit.EPOCH,
        least=5,
        most=5,
        priority=6,
    ),
    Field(
        "workload",
        "WORKLOAD",
        "the workload it belongs to, or `stranger`",
        _of(_workload, _all(_workload)),
        draw=_workload_cell,
        least=12,
        most=18,
        priority=4,
    ),
    Field(
        "command",
        "COMMAND",
        "command line",
        _of(lambda row: row.process.command, lambda group: group.name),
        draw=_command_cell,
        least=12,
        most=200,
        priority=3,
    ),
    Field(
        "owner",
        "OWNER",
        "who booked it, else whose it is",
        _of(lambda row: row.owner, _all(lambda row: row.owner)),
        least=8,
        most=12,
        shown=False,
    ),
    Field(
        "container",
        "CONTAINER",
        "id of its container",
        _of(lambda row: row.process.container),
        least=12,
        most=12,
        absent="",
        shown=False,
    ),
    Field(
        "pod",
        "POD",
        "its Kubernetes pod",
        _of(lambda row: row.process.pod),
        least=12,
        most=30,
        absent="",
        shown=False,
    ),
    Field(
        "job",
        "JOB",
        "its Slurm job",
        _of(lambda row: row.process.slurm_job),
        least=8,
        most=12,
        absent="",
        shown=False,
    ),
    Field("uuid", "DEVICE", "UUID of its GPU", _of(lambda row: row.process.device), least=12, most=40, shown=False),
)

PROCESSES: Listing[Row] = Listing(
    "processes",
    FIELDS,
    key=lambda row: row.key,
    sorts=(Sort("mem", descends=True), Sort("pid")),
    tree=Tree(
        parent=lambda row: None if isinstance(row, GroupRow) else row.above,
        heading=lambda row: isinstance(row, GroupRow),
    ),
    stale=_is_stale,
    absent="no process is on a GPU",
)
"""Processes, the largest first."""
ON_NODE = PROCESSES.without("node")
"""Those of one node."""
ON_DEVICE = PROCESSES.without("node", "gpu")
"""Those of one device."""


def gathered(rows: Sequence[ProcessRow], by: Gathering) -> tuple[Row, ...]:
    """The processes under what they belong to, each group before its members."""
    if by is Gathering.NOTHING:
        return tuple(rows)
    if by is Gathering.PARENT:
        return _under_parents(rows)
    groups: dict[str, list[ProcessRow]] = {}
    for row in rows:
        groups.setdefault(_BELONGS[by](row) or f"no {by.value}", []).append(row)
    found: list[Row] = []
    for name, members in groups.items():
        key = f"{by.value}:{name}"
        found.append(GroupRow(plain(name), key, tuple(members)))
        found += [_under(row, key, 1) for row in members]
    return tuple(found)


_BELONGS: Mapping[Gathering, Callable[[ProcessRow], str | None]] = {
    Gathering.NODE: lambda row: row.node,
    Gathering.USER: lambda row: row.process.user,
    Gathering.WORKLOAD: lambda row: row.workload,
    Gathering.CONTAINER: lambda row: row.process.container,
    Gathering.POD: lambda row: row.process.pod,
    Gathering.JOB: lambda row: row.process.slurm_job,
}


def _under_parents(rows: Sequence[ProcessRow]) -> tuple[Row, ...]:
    by_pid = {(row.node, row.process.pid): row for row in reversed(rows)}
    above: dict[str, ProcessRow] = {}
    for row in rows:
        parent = None if row.process.parent is None else by_pid.get((row.node, row.process.parent))
        if parent is not None and parent.process.pid != row.process.pid:
            above[row.key] = parent
    found: list[Row] = []
    for row in rows:
        parent = above.get(row.key)
        found.append(_under(row, None if parent is None else parent.key, _depth(row, above)))
    return tuple(found)


def _depth(row: ProcessRow, above: Mapping[str, ProcessRow]) -> int:
    """How many are above it; what a node tells may go round in a circle."""
    depth = 0
    while depth < _MOST_DEPTH and (parent := above.get(row.key)) is not None:
        row, depth = parent, depth + 1
    return depth


def _under(row: ProcessRow, above: str | None, depth: int) -> ProcessRow:
    return replace(row, above=above, depth=depth)
