"""What a node says of the processes on its devices, turned into the model's nouns."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import zip_longest
from typing import Any

from gpualloc.adapters.decode_again import Again
from gpualloc.adapters.decode_device import DEVICE_UUID, MIG_UUID
from gpualloc.adapters.fields import MAX_NAME, Fields, clean
from gpualloc.model.inventory import Process
from gpualloc.model.workload import ID_PATTERN

_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SLURM_JOB = re.compile(r"[0-9]{1,12}([._][A-Za-z0-9]{1,16}){0,2}")
_MAX_PID = 4_194_304
_MAX_MIB = 1 << 40

_READINGS: Mapping[str, Callable[[Fields], object]] = {
    "gpu_memory_used_mib": lambda row: row.integer_or_none("gpu_memory_used_mib", 0, _MAX_MIB),
    "gpu_utilization_ratio": lambda row: row.number_or_none("gpu_utilization_ratio", 0, 1),
    "cpu_utilization_ratio": lambda row: row.number_or_none("cpu_utilization_ratio", 0, 1 << 20),
    "host_memory_mib": lambda row: row.integer_or_none("host_memory_mib", 0, _MAX_MIB),
}
"""What a process uses: told anew all the time, where the rest stays the same for as long as it lives."""

_AGAIN = Again(Process, _READINGS)


class DecodedProcesses:
    """Decodes the processes of one node, again and again: what is the same as before is not decoded again."""

    def __init__(self) -> None:
        self._kept: list[tuple[Mapping[str, object], Process]] = []

    def of(self, result: object) -> tuple[Process, ...]:
        """The processes of an answer to `processes`, in its order; raises MalformedError."""
        rows = Fields(result, "processes").records("processes")
        pairs = zip_longest(rows, self._kept[: len(rows)])
        self._kept = [(row.told, _again(row, *kept) if kept else _process(row)) for row, kept in pairs]
        return tuple(process for _, process in self._kept)


def _again(row: Fields, before: Mapping[str, object], process: Process) -> Process:
    return _AGAIN.made(process, before, row) or _process(row)


def _process(row: Fields) -> Process:
    readings: dict[str, Any] = {name: read(row) for name, read in _READINGS.items()}
    return Process(
        pid=row.integer("pid", 0, _MAX_PID),
        device=row.text("device", DEVICE_UUID),
        mig_instance=row.text_or_none("mig_instance", MIG_UUID),
        user=row.text_or_none("user"),
        command=row.text_or_none("command"),
        started_at_s=row.number_or_none("started_at_s"),
        workload=row.text_or_none("workload", ID_PATTERN),
        container=row.text_or_none("container", _CONTAINER),
        pod=_named(row, "pod"),
        slurm_job=row.text_or_none("slurm_job", _SLURM_JOB),
        parent=row.integer_or_none("parent", 0, _MAX_PID),
        **readings,
    )


def _named(row: Fields, key: str) -> str | None:
    text = row.text_or_none(key)
    return None if text is None else clean(text, MAX_NAME)
