"""In which order tasks arrive: as a file tells, or drawn from a seed by the published protocol.

An order is an array of rows of the task table, counted from 0; a row may come more than once.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterable
from difflib import get_close_matches
from lzma import LZMAError
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gpualloc.errors import BrokenInputError, UsageError
from gpualloc.sim.traces.cells import shown
from gpualloc.sim.traces.trace import Tasks

MAX_ARRIVALS = 100_000_000
MAX_LOAD = 100.0
_MAX_MEMBER_BYTES = 8 * MAX_ARRIVALS + 1024
_BLOCK = 4096
"""How many draws are made at once."""
_MEMBER = ".npy"
_HEAD = re.compile(
    rb"\x93NUMPY(?:\x01\x00..|[\x02\x03]\x00....)\{'descr': *'([<>|][iu][1248])', *'fortran_order': *(?:True|False),"
    rb" *'shape': *\(([0-9]{1,12}),\),? *\} *\n",
    re.DOTALL,
)
"""Head of an array of one dimension of whole numbers; nothing else is looked into."""
_DAMAGE = (zipfile.BadZipFile, zlib.error, LZMAError, NotImplementedError, RuntimeError, ValueError, EOFError, OSError)
"""What a zip archive that is damaged, encrypted or packed in an unknown way raises."""

Order = NDArray[np.int64]
"""Rows of the task table in the order of arrival."""


def check_order(rows: NDArray[Any], tasks: int, source: str) -> Order:
    """Accept an order of arrival over that many tasks.

    Raises:
        BrokenInputError: it is empty, too long, no list of whole numbers, or names a row that is not there: tells the
            position (from 0).
    """
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise BrokenInputError(
            f"{source}: an array of {rows.ndim} dimensions of {rows.dtype}, not one of whole numbers"
        )
    if not 0 < len(rows) <= MAX_ARRIVALS:
        raise BrokenInputError(f"{source}: {len(rows)} arrivals, and 1 to {MAX_ARRIVALS} are expected")
    wrong = np.flatnonzero((rows < 0) | (rows >= tasks))
    if len(wrong):
        raise BrokenInputError(
            f"{source}: arrival {wrong[0]} names row {rows[wrong[0]]} of {tasks} tasks, counted from 0",
            hint="is it the order of another trace?",
        )
    return rows.astype(np.int64)


def read_order(lines: Iterable[str], source: str, tasks: int) -> Order:
    """The order of a text with one row number on each line that is not empty; `tasks` is how many there are.

    Raises:
        BrokenInputError: names the line that holds something else, or the position of a row that is not there.
    """
    numbered = ((number, line.strip()) for number, line in enumerate(lines, 1))
    rows = np.fromiter((_row(text, source, number) for number, text in numbered if text), np.int64)
    return check_order(rows, tasks, source)


def read_arrivals(stream: BinaryIO, key: str, source: str, tasks: int) -> Order:
    """The order that a numpy archive (.npz) holds under a key.

    Args:
        stream: the archive, opened as bytes, such that it can be sought.
        key: name of the array, such as `default_42`.
        source: how errors name it.
        tasks: how many tasks there are.

    Raises:
        BrokenInputError: it is no archive or damaged, has no such array (names the nearest), or the array is no order
            of these tasks.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            rows = _array(archive, key, source)
    except _DAMAGE as error:
        raise BrokenInputError(f"{source}: not a numpy archive (.npz), or damaged: {error}") from error
    return check_order(rows, tasks, f"{source}, {key}")


def arrival_keys(stream: BinaryIO, source: str) -> tuple[str, ...]:
    """The names of the arrays that a numpy archive (.npz) holds; none of them is read.

    Raises:
        BrokenInputError: it is no archive, or damaged.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            return _keys(archive)
    except _DAMAGE as error:
        raise BrokenInputError(f"{source}: not a numpy archive (.npz), or damaged: {error}") from error


def inflate(tasks: Tasks, capacity_milli: int, load: float, seed: int) -> Order:
    """An order drawn from the seed, up to a load: all tasks in a random order, then tasks drawn again and again.

    As in the published runs, drawing ends before the first drawn task one of whose GPU parts would bring the arrived
    GPU demand above load x capacity; what is added is its whole demand, so a task of 8 GPUs may go over by up to 7.
    When the trace asks for more than that load by itself, tasks are taken out at random until it does not.

    The numbers are the raw 64 bits of numpy's PCG64, whose stream does not change with the version of numpy: the order
    is that of their sorted values, a drawn row is the remainder by the number of tasks.

    Args:
        tasks: the trace.
        capacity_milli: compute of all GPUs of the cluster, in 1/1000 of a GPU.
        load: GPU demand to arrive, as a part of the capacity; 1.3 is the published one.
        seed: 0 or more.

    Raises:
        UsageError: the load or the seed is out of range.
        BrokenInputError: the cluster has no GPU, no task asks for one, or the load would take too many arrivals.
    """
    if not 0 < load <= MAX_LOAD:
        raise UsageError(f"a load of {load:g} is out of range", hint=f"above 0 and at most {MAX_LOAD:g}; 1.3 is 130%")
    if not 0 <= seed < 1 << 64:
        raise UsageError(f"the seed {seed} is out of range", hint="a seed is 0 to 2^64 - 1")
    demand = tasks.gpu_milli
    total, goal = int(demand.sum()), round(load * capacity_milli)
    if capacity_milli <= 0 or total <= 0:
        lacking = "the nodes have no GPU" if capacity_milli <= 0 else "no task asks for a GPU"
        raise BrokenInputError(f"{tasks.source}: {lacking}, so no load can be reached")
    if (goal / total) * len(tasks) > MAX_ARRIVALS:
        raise BrokenInputError(
            f"{tasks.source}: a load of {load:g} would take more than {MAX_ARRIVALS} arrivals",
            hint="are these the nodes that belong to the tasks?",
        )
    numbers = np.random.PCG64(seed)
    order = _shuffled(numbers, len(tasks))
    if total > goal:
        return _thinned(numbers, order, demand, total - goal)
    return np.concatenate([order, *_drawn(numbers, tasks, total, goal)]) if total < goal else order


def _row(text: str, source: str, number: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise BrokenInputError(f"{source}, line {number}: {shown(text)} is not the number of a row, counted from 0")
    return int(text)


def _keys(archive: zipfile.ZipFile) -> tuple[str, ...]:
    return tuple(name.removesuffix(_MEMBER) for name in archive.namelist() if name.endswith(_MEMBER))


def _array(archive: zipfile.ZipFile, key: str, source: str) -> NDArray[Any]:
    names = _keys(archive)
    if key not in names:
        near = get_close_matches(key, names, n=3, cutoff=0.3)
        raise BrokenInputError(
            f"{source}: has no array {shown(key)}, of {len(names)}",
            hint=f"nearest: {', '.join(near)}" if near else "name one with --key",
        )
    if archive.getinfo(key + _MEMBER).file_size > _MAX_MEMBER_BYTES:
        raise BrokenInputError(f"{source}, {key}: more than {MAX_ARRIVALS} arrivals")
    content = archive.read(key + _MEMBER)
    head = _HEAD.match(content)
    wanted = int(head[2]) * int(head[1][-1:]) if head else 0
    if head is None or len(content) != head.end() + wanted:
        raise BrokenInputError(f"{source}, {key}: not an array of whole numbers in one dimension")
    return np.frombuffer(content, head[1].decode(), offset=head.end())


def _shuffled(numbers: np.random.PCG64, count: int) -> Order:
    return np.argsort(numbers.random_raw(count), kind="stable").astype(np.int64)


def _thinned(numbers: np.random.PCG64, order: Order, demand: NDArray[np.int64], surplus: int) -> Order:
    """The order without tasks taken out at random until the surplus is gone."""
    leaving = _shuffled(numbers, len(order))
    gone = np.cumsum(demand[order[leaving]])
    kept = np.ones(len(order), np.bool_)
    kept[leaving[: int(np.searchsorted(gone, surplus)) + 1]] = False
    return order[kept]


def _drawn(numbers: np.random.PCG64, tasks: Tasks, total: int, goal: int) -> list[Order]:
    """The rows drawn with replacement after the whole list."""
    demand, part = tasks.gpu_milli, tasks.milli
    blocks: list[Order] = []
    while True:
        rows = (numbers.random_raw(_BLOCK) % len(tasks)).astype(np.int64)
        before = total + np.cumsum(demand[rows]) - demand[rows]
        over = np.flatnonzero(before + part[rows] > goal)
        if len(over):
            return [*blocks, rows[: over[0]]]
        blocks.append(rows)
        total += int(demand[rows].sum())
