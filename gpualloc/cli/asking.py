"""Asking before something is changed."""

from __future__ import annotations

import sys

from gpualloc.errors import UsageError


def confirmed(verb: str) -> bool:
    """Ask on stderr whether to carry out what was shown; no answer is no.

    Raises:
        UsageError: nobody is there to answer.
    """
    need_somebody(verb)
    sys.stderr.write("Carry this out? Only `yes` does: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip() == "yes"


def need_somebody(verb: str) -> None:
    """Refuse to go on without a terminal.

    Raises:
        UsageError: stdin is none.
    """
    if not sys.stdin.isatty():
        raise UsageError(f"{verb} asks before it changes anything, and nobody is there to answer", hint="add --yes")
