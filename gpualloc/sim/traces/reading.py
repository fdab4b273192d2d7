"""Nodes and tasks from a text: published openb tables and gpualloc's own, known by the header (docs/traces.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gpualloc.model.shapes import GPU_MILLI, Shape
from gpualloc.model.units import MAX_MEMORY_MIB
from gpualloc.model.workload import MAX_CPUS, MAX_GPUS
from gpualloc.sim.traces.cells import WrongCell, milli, model, models, name, seconds, shown, whole
from gpualloc.sim.traces.rows import Layout, Table
from gpualloc.sim.traces.trace import TraceNode, TraceTask

MAX_NODES = 100_000
MAX_GPUS_PER_NODE = 1024
_MAX_CPU_MILLI = int(MAX_CPUS) * 1000
_MAX_SHAPES_KNOWN = 65_536
"""How many shapes are remembered to be shared, so that memory is bounded even when all tasks differ."""

OPENB_NODES = Layout("openb nodes", ("sn", "cpu_milli", "memory_mib", "gpu", "model"))
OWN_NODES = Layout("nodes", ("name", "cpus", "memory_mib", "gpus"), ("gpu_model", "gpu_memory_mib"))
OPENB_TASKS = Layout(
    "openb tasks",
    ("cpu_milli", "memory_mib", "num_gpu", "gpu_milli"),
    ("gpu_spec", "name", "creation_time", "deletion_time"),
    ("qos", "pod_phase", "scheduled_time"),
)
OWN_TASKS = Layout("tasks", ("cpus", "memory_mib", "gpus"), ("fraction", "gpu_models", "name", "arrives_s", "leaves_s"))
_TASK_CELLS = 5
"""How many cells of a task, the first ones in both layouts, make its shape: CPU, memory, GPUs, part, models."""


def read_nodes(lines: Iterable[str], source: str) -> Iterator[TraceNode]:
    """The nodes of a text, in its order.

    Args:
        lines: the text; `lines.text_lines` gives that of a file.
        source: how errors name it, such as the path.

    Raises:
        BrokenInputError: a column is missing or unknown, a size is out of range, a name comes twice, there are no rows
            or too many: names source, row (from 0) and line, and what was expected.
    """
    table = Table(lines, source, (OPENB_NODES, OWN_NODES))
    make = _openb_node if table.layout is OPENB_NODES else _own_node
    names: set[str] = set()
    for row in table:
        try:
            node = make(row.cells)
        except WrongCell as wrong:
            raise table.wrong(row, str(wrong)) from None
        if node.name in names:
            raise table.wrong(row, f"a node {shown(node.name)} came before, and every node needs a name of its own")
        if row.number == MAX_NODES:
            raise table.wrong(row, f"a trace has at most {MAX_NODES} nodes")
        names.add(node.name)
        yield node


def read_tasks(lines: Iterable[str], source: str) -> Iterator[TraceTask]:
    """The tasks of a text, in its order, streamed: memory does not grow with their number.

    Args:
        lines: the text; `lines.text_lines` gives that of a file.
        source: how errors name it, such as the path.

    Raises:
        BrokenInputError: a column is missing or unknown, a size is out of range, a part of several GPUs is asked for, a
            task leaves before it arrives, there are no rows: names source, row (from 0) and line, and what was
            expected.
    """
    table = Table(lines, source, (OPENB_TASKS, OWN_TASKS))
    make = _openb_shape if table.layout is OPENB_TASKS else _own_shape
    arrives_column, leaves_column = table.layout.optional[-2:]
    known: dict[tuple[str, ...], Shape] = {}
    for row in table:
        asked = row.cells[:_TASK_CELLS]
        called, arrives, leaves = row.cells[_TASK_CELLS:]
        try:
            shape = known.get(asked)
            if shape is None:
                if len(known) >= _MAX_SHAPES_KNOWN:
                    known.clear()
                shape = known[asked] = make(*asked)
            arrives_s = seconds(arrives_column, arrives) if arrives else None
            leaves_s = seconds(leaves_column, leaves) if leaves else None
            task = TraceTask(row.number, name("name", called or f"task-{row.number}"), shape, arrives_s, leaves_s)
        except WrongCell as wrong:
            raise table.wrong(row, str(wrong)) from None
        if arrives_s is not None and leaves_s is not None and leaves_s < arrives_s:
            raise table.wrong(row, f"{leaves_column} {leaves} lies before {arrives_column} {arrives}")
        yield task


def _openb_node(cells: tuple[str, ...]) -> TraceNode:
    called, cpu, memory, gpus, kind = cells
    count = whole("gpu", gpus, 0, MAX_GPUS_PER_NODE)
    return TraceNode(
        name=name("sn", called),
        cpu_milli=whole("cpu_milli", cpu, 1, _MAX_CPU_MILLI),
        memory_mib=whole("memory_mib", memory, 1, MAX_MEMORY_MIB),
        gpus=count,
        model=_model_of("model", kind, count),
    )


def _own_node(cells: tuple[str, ...]) -> TraceNode:
    called, cpu, memory, gpus, kind, gpu_memory = cells
    count = whole("gpus", gpus, 0, MAX_GPUS_PER_NODE)
    if gpu_memory and not count:
        raise WrongCell("gpu_memory_mib is told of a node without GPU")
    return TraceNode(
        name=name("name", called),
        cpu_milli=milli("cpus", cpu, 1, _MAX_CPU_MILLI),
        memory_mib=whole("memory_mib", memory, 1, MAX_MEMORY_MIB),
        gpus=count,
        model=_model_of("gpu_model", kind, count),
        gpu_memory_mib=whole("gpu_memory_mib", gpu_memory, 1, MAX_MEMORY_MIB) if gpu_memory else None,
    )


def _model_of(column: str, kind: str, gpus: int) -> str:
    if gpus:
        return model(column, kind)
    if kind:
        raise WrongCell(f"{column} is {shown(kind)}, of a node without GPU")
    return ""


def _openb_shape(cpu: str, memory: str, gpus: str, part: str, spec: str) -> Shape:
    count = whole("num_gpu", gpus, 0, MAX_GPUS)
    low, high = (0, 0) if count == 0 else (1, GPU_MILLI) if count == 1 else (GPU_MILLI, GPU_MILLI)
    if not low <= whole("gpu_milli", part, 0, GPU_MILLI) <= high:
        wanted = str(low) if low == high else f"{low} to {high}"
        raise WrongCell(f"gpu_milli is {shown(part)} with num_gpu {count}, which takes {wanted}")
    return Shape(
        cpu_milli=whole("cpu_milli", cpu, 0, _MAX_CPU_MILLI),
        memory_mib=whole("memory_mib", memory, 0, MAX_MEMORY_MIB),
        gpus=count,
        milli=int(part),
        models=_models_of("gpu_spec", spec, count),
    )


def _own_shape(cpu: str, memory: str, gpus: str, fraction: str, kinds: str) -> Shape:
    count = whole("gpus", gpus, 0, MAX_GPUS)
    part = milli("fraction", fraction, 1, GPU_MILLI) if fraction else GPU_MILLI
    if fraction and not count:
        raise WrongCell(f"fraction is {shown(fraction)}, of a task without GPU")
    if count > 1 and part < GPU_MILLI:
        raise WrongCell(f"fraction is {shown(fraction)} of each of {count} GPUs; a part is of one GPU")
    return Shape(
        cpu_milli=milli("cpus", cpu, 0, _MAX_CPU_MILLI),
        memory_mib=whole("memory_mib", memory, 0, MAX_MEMORY_MIB),
        gpus=count,
        milli=part if count else 0,
        models=_models_of("gpu_models", kinds, count),
    )


def _models_of(column: str, kinds: str, gpus: int) -> tuple[str, ...]:
    if kinds and not gpus:
        raise WrongCell(f"{column} is {shown(kinds)}, of a task without GPU")
    return models(column, kinds)
