"""The installed policies."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from gpualloc.policies.catalog import Listed
from gpualloc.views.look import Look
from gpualloc.views.table import Column, table
from gpualloc.views.text import escape


def policies_data(found: Sequence[Listed]) -> dict[str, object]:
    """`data` of `policies --json`."""
    return {
        "policies": [
            {
                "name": one.name,
                "kind": one.kind,
                "source": one.source,
                "parameters": None if one.parameters is None else dict(one.parameters),
                "about": one.about,
            }
            for one in found
        ]
    }


def policies_text(found: Sequence[Listed], look: Look) -> str:
    """A line for each policy, and below it what it does and where it comes from."""
    rows = [[escape(one.name), escape(one.kind)] for one in found]
    titles, *lines = table([Column("policy"), Column("kind")], rows, look).splitlines()
    for one, line in zip(found, lines, strict=True):
        titles = "\n".join([titles, line, *_below(one.about, look), *_below(one.source, look)])
    return titles


def _below(text: str | None, look: Look) -> list[str]:
    return textwrap.wrap(escape(text or ""), look.width, initial_indent="    ", subsequent_indent="    ")
