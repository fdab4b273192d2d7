"""Trace files on disk: nodes, tasks, orders of arrival and saved profiles, opened and read (docs/traces.md)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from gpualloc.errors import BrokenInputError, UsageError
from gpualloc.model.shapes import GPU_MILLI
from gpualloc.model.units import whole_number
from gpualloc.policies.profile import MAX_PROFILE_BYTES, Profile, read_profile
from gpualloc.sim.traces.arrivals import Order, inflate, read_arrivals, read_order
from gpualloc.sim.traces.lines import text_lines
from gpualloc.sim.traces.models import check_models, refuse_unknown
from gpualloc.sim.traces.reading import read_nodes, read_tasks
from gpualloc.sim.traces.trace import Tasks, TraceNode, gather


class Trace(Struct, frozen=True):
    """A cluster and the tasks that may come to it."""

    nodes: tuple[TraceNode, ...]
    tasks: Tasks
    messages: tuple[str, ...] = ()
    """What is odd about it, but wrong figures do not come of it."""

    @property
    def capacity_milli(self) -> int:
        """Compute of all GPUs, 1/1000 of a GPU."""
        return sum(node.gpus for node in self.nodes) * GPU_MILLI


class OrderWanted(Struct, frozen=True):
    """How the command line names the order of arrival; None where an option was not given."""

    arrivals: str | None = None
    key: str | None = None
    order: str | None = None
    seed: int | None = None
    """Draws the order when no file tells it; else it is for the policy alone."""
    load: float = 1.3

    def __post_init__(self) -> None:
        """Refuse what has no meaning together."""
        if self.arrivals is not None and self.order is not None:
            raise UsageError("--arrivals and --order both tell the order of arrival", hint="give one of them")
        if (self.arrivals is None) != (self.key is None):
            raise UsageError("--arrivals and --key belong together", hint="--key names one order of the archive")
        if self.arrivals is None and self.order is None and self.seed is None:
            raise UsageError(
                "nothing tells the order of arrival", hint="--arrivals FILE --key NAME, --order FILE, or --seed N"
            )

    @property
    def label(self) -> str:
        """How people tell it from others."""
        return self.key or (Path(self.order).name if self.order else f"seed {self.seed}")


def read_trace(nodes: str, tasks: str) -> Trace:
    """Read both files of a trace.

    Raises:
        BrokenInputError: a file cannot be read or is wrong, there is no GPU, or tasks ask only for models that no node
            has: names file, row and line.
    """
    with opened(nodes) as stream:
        cluster = tuple(read_nodes(text_lines(stream, nodes), nodes))
    if not any(node.gpus for node in cluster):
        raise BrokenInputError(f"{nodes}: the nodes have no GPU, so there is nothing to measure")
    with opened(tasks) as stream:
        table = gather(read_tasks(text_lines(stream, tasks), tasks), tasks)
    refuse_unknown(cluster, table)
    unknown = check_models(cluster, table)
    return Trace(cluster, table, tuple(f"{tasks}: no node has the GPU model {one}; others will do" for one in unknown))


def read_wanted(trace: Trace, wanted: OrderWanted) -> Order:
    """The order of arrival that the command line names, read or drawn.

    Raises:
        BrokenInputError: the file cannot be read or is no order of these tasks.
        UsageError: the load or seed is out of range.
    """
    count = len(trace.tasks)
    if wanted.arrivals is not None and wanted.key is not None:
        with opened(wanted.arrivals) as stream:
            return read_arrivals(stream, wanted.key, wanted.arrivals, count)
    if wanted.order is not None:
        with opened(wanted.order) as stream:
            return read_order(text_lines(stream, wanted.order), wanted.order, count)
    return inflate(trace.tasks, trace.capacity_milli, wanted.load, wanted.seed or 0)


def read_profile_file(path: str) -> Profile:
    """The profile that a file holds.

    Raises:
        BrokenInputError: it cannot be read, or is no profile.
    """
    with opened(path) as stream:
        content = stream.read(MAX_PROFILE_BYTES + 1)
    try:
        return read_profile(content.decode("utf-8"), path)
    except UnicodeDecodeError as error:
        raise BrokenInputError(f"{path}: not a profile: not UTF-8") from error


def seed_of(text: str | None) -> int | None:
    """`--seed` as a number.

    Raises:
        UsageError: it is none, or out of range.
    """
    if text is None:
        return None
    seed = whole_number("--seed", text)
    if not 0 <= seed < 1 << 64:
        raise UsageError(f"the seed {seed} is out of range", hint="a seed is 0 to 2^64 - 1")
    return seed


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """The file, as bytes.

    Raises:
        BrokenInputError: it cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            yield stream
    except OSError as error:
        raise BrokenInputError(f"{path} cannot be read: {error.strerror or error}") from error
