"""Nodes to add to a cluster, as a person writes them: `8xH100`, `4x8xH100`, `8xH100:cpus=128,memory=1024`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gpualloc.errors import UsageError
from gpualloc.model.units import parse_memory_mib
from gpualloc.sim.traces.cells import MAX_NAME_CHARS
from gpualloc.sim.traces.trace import TraceNode

MAX_NODES = 100_000
MAX_GPUS = 1024
_WRITTEN = re.compile(r"(?:(\d{1,6})x)?(\d{1,4})x([^:x][^:]*)(?::(.+))?")
_HINT = "8xH100 is one node of 8 GPUs, 4x8xH100 are four; :cpus=N,memory=SIZE behind it say what a node has beside them"


def added_nodes(text: str, nodes: Sequence[TraceNode], number: int = 0) -> tuple[TraceNode, ...]:
    """The nodes that a text stands for.

    CPUs and memory that it does not tell are by GPU as on the nodes of that model; of a model that is new, as in the
    mean of all nodes with GPUs.

    Args:
        text: GPUSxMODEL, or NODESxGPUSxMODEL, and what a node has beside them.
        nodes: those that are there.
        number: makes the names differ from those of another text.

    Raises:
        UsageError: it is no such text, or may mean several models; tells what is expected.
    """
    match = _WRITTEN.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--add {text!r} does not name nodes", hint=_HINT)
    count, gpus = int(match[1] or 1), int(match[2])
    if not 0 < count <= MAX_NODES or not 0 < gpus <= MAX_GPUS:
        raise UsageError(f"--add {text!r}: 1 to {MAX_NODES} nodes of 1 to {MAX_GPUS} GPUs", hint=_HINT)
    model = _model(match[3].strip(), nodes)
    told = _told(match[4] or "", text)
    like = [node for node in nodes if node.gpus and node.model == model] or [node for node in nodes if node.gpus]
    there = sum(node.gpus for node in like)
    cpu_milli = told.get("cpus", sum(node.cpu_milli for node in like) * gpus // there if there else 0)
    memory_mib = told.get("memory", sum(node.memory_mib for node in like) * gpus // there if there else 0)
    if not cpu_milli or not memory_mib:
        raise UsageError(f"--add {text!r}: nothing tells its CPUs and memory", hint=_HINT)
    memory_of_gpu = {node.gpu_memory_mib for node in like if node.model == model}
    gpu_memory_mib = memory_of_gpu.pop() if len(memory_of_gpu) == 1 else None
    return tuple(
        TraceNode(f"added-{number + 1}-{one + 1}", cpu_milli, memory_mib, gpus, model, gpu_memory_mib)
        for one in range(count)
    )


def _model(written: str, nodes: Sequence[TraceNode]) -> str:
    """The model as the cluster writes it, the one with these words in its name too; else as it is written."""
    known = sorted({node.model for node in nodes if node.gpus})
    same = [model for model in known if model.casefold() == written.casefold()]
    words = re.compile(rf"(?<![a-z0-9]){re.escape(written.casefold())}(?![a-z0-9])")
    found = same or [model for model in known if words.search(model.casefold())]
    if len(found) > 1:
        raise UsageError(f"--add: {written!r} may be {', '.join(found)}", hint="write the whole name")
    if not found and (set(written) & set("*?[]!|") or not written.isprintable() or len(written) > MAX_NAME_CHARS):
        raise UsageError(f"--add: {written!r} is not the name of a model", hint=_HINT)
    return found[0] if found else written


def _told(text: str, whole: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in text.split(",") if text else []:
        key, _, value = part.partition("=")
        if key == "cpus" and value.isascii() and value.isdigit() and 0 < int(value[:7]) <= 65_536:
            found[key] = int(value) * 1000
        elif key == "memory":
            found[key] = parse_memory_mib(value)
        else:
            raise UsageError(f"--add {whole!r}: {part!r} is neither cpus=N nor memory=SIZE", hint=_HINT)
    return found
