"""The command of this machine's node program, and its start before the rest of gpualloc is imported.

Imports nothing of the model: what is gained is the time that takes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import gpualloc
from gpualloc.adapters.child import Child
from gpualloc.adapters.loader import installed_program
from gpualloc.adapters.nvml_file import nvml_file

_START = """\
import sys
sys.path += sys.argv[1:3]
from gpualloc.node.__main__ import main
main(["serve", "--nonce", sys.argv[3]])
"""
"""Without site and with only the two folders that are needed, a start takes half the time."""

_begun: list[tuple[Child, str]] = []


def local_command(nonce: str, python: str = sys.executable) -> tuple[list[str], str | None]:
    """The command of the node program of this installation, or of the privileged one where it may be used.

    Returns:
        The command, and why an installed privileged node program is not used (None when there is none or it is).
    """
    privileged = installed_program(nonce)
    if isinstance(privileged, list):
        return privileged, None
    nvml = nvml_file()
    folders = [str(Path(gpualloc.__file__).parent.parent), str(nvml.parent) if nvml is not None else ""]
    return [python, "-I", "-S", "-c", _START, *folders, nonce], privileged


def begin() -> None:
    """Start it for a link that is made later; one that nobody takes ends with this process, when its input does."""
    nonce = os.urandom(8).hex()
    try:
        _begun.append((Child(local_command(nonce)[0]), nonce))
    except OSError:
        return  # The link tries for itself, and says what is wrong.


def taken() -> tuple[Child, str] | None:
    """The child that was begun, and its nonce; None when there is none or another link took it."""
    return _begun.pop() if _begun else None
