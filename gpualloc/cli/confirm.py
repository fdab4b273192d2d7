"""Asking before something is changed."""

from __future__ import annotations

import sys

from gpualloc.errors import UsageError


def confirmed() -> bool:
    """Ask on stderr; no answer is no.

    Raises:
        UsageError: nobody is there to answer.
    """
    need_somebody()
    sys.stderr.write("Carry this out? Only `yes` does: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip() == "yes"


def need_somebody() -> None:
    """Raise UsageError when nobody is there to answer."""
    if not sys.stdin.isatty():
        raise UsageError("apply asks before it changes anything, and nobody is there to answer", hint="add --yes")
