"""The Prometheus text format 0.0.4: families of samples, their labels and numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

from msgspec import Struct

from gpualloc.views.text import escape

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MIB, MHZ = 1 << 20, 1_000_000
"""What readings are multiplied by, to be in base units."""
MAX_LABEL = 256
"""Characters of a label's value; a longer one ends in `…`."""

Labels = tuple[tuple[str, str | None], ...]
"""Names and values. One without a value is left out, which to Prometheus is the same as an empty one."""


class Family(Struct, frozen=True, eq=False):
    """A metric: its samples differ in their labels."""

    name: str
    """With the unit, in the base units of Prometheus: seconds, bytes, watts, joules, celsius, hertz, ratio."""
    kind: str
    """`gauge` or `counter`."""
    help: str
    labels: tuple[str, ...]
    """Names of the labels that its samples may have."""

    @property
    def header(self) -> str:
        """What stands before its samples."""
        return f"# HELP {self.name} {self.help}\n# TYPE {self.name} {self.kind}\n"


Reader = Callable[[Any], float | None]
"""Takes a value out of what it is read from; None when it is not known."""
_Row = tuple[str, str | Reader, str] | tuple[str, str | Reader, str, int]


def family(name: str, about: str, labels: tuple[str, ...] = ()) -> Family:
    """A metric of ours; one whose name ends in `_total` is a counter."""
    return Family(f"gpualloc_{name}", "counter" if name.endswith("_total") else "gauge", about, labels)


def readers(labels: tuple[str, ...], *rows: _Row) -> Mapping[Family, Reader]:
    """Metrics with the same labels.

    Args:
        labels: their names.
        rows: name, path of the reading or what takes it, help, and what it is multiplied by.
    """
    return {family(row[0], row[2], labels): _reader(row[1], *row[3:]) for row in rows}


def _reader(what: str | Reader, times: int = 1) -> Reader:
    read: Reader = attrgetter(what) if isinstance(what, str) else what
    if times == 1:
        return read

    def scaled(of: object) -> float | None:
        value = read(of)
        return None if value is None else value * times

    return scaled


def label_text(labels: Labels) -> str:
    """The labels between braces, nothing where there are none; foreign text in them is made harmless."""
    shown = ",".join(f'{name}="{_value(value)}"' for name, value in labels if value)
    return f"{{{shown}}}" if shown else ""


def sample(family: Family, labels: str, value: float) -> str:
    """One line; `labels` come from `label_text`."""
    return f"{family.name}{labels} {number(value)}\n"


def number(value: float) -> str:
    """A number as Go reads it; a flag is 1 or 0."""
    return repr(int(value)) if isinstance(value, bool) else repr(value)


def group(family: Family, samples: Iterable[tuple[Labels, float | None]]) -> str:
    """A whole family; a value that is not known has no line, and a family without lines no header."""
    lines = [sample(family, label_text(labels), value) for labels, value in samples if value is not None]
    return family.header + "".join(lines) if lines else ""


def _value(text: str) -> str:
    if len(text) > MAX_LABEL:
        text = text[:MAX_LABEL] + "…"
    shown = escape(text)
    return shown if '"' not in shown and "\\" not in shown else shown.replace("\\", "\\\\").replace('"', '\\"')
