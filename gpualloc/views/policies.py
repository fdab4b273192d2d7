"""The installed policies."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from gpualloc.views.look import Look
from gpualloc.views.table import Column, table
from gpualloc.views.text import escape


@dataclass(frozen=True, slots=True)
class PolicyFound:
    """A policy as its package brings it."""

    name: str
    version: str | None
    """None when it cannot be loaded."""
    about: str
    """What it does in one line, or what is wrong with it."""


def policies_data(found: Sequence[PolicyFound]) -> dict[str, object]:
    """`data` of `policies --json`."""
    return {"policies": [{"name": one.name, "version": one.version, "about": one.about} for one in found]}


def policies_text(found: Sequence[PolicyFound], look: Look) -> str:
    """A line for each policy, and below it what it does."""
    rows = [[escape(one.name), escape(one.version or "broken")] for one in found]
    titles, *lines = table([Column("policy"), Column("version")], rows, look).splitlines()
    for one, line in zip(found, lines, strict=True):
        about = textwrap.wrap(escape(one.about), look.width, initial_indent="    ", subsequent_indent="    ")
        titles = "\n".join([titles, line, *about])
    return titles
