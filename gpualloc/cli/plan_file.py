"""Plans on disk: written whole or not at all, read only when nobody edited them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from gpualloc.errors import BrokenInputError, GpuallocError
from gpualloc.model.plan import Plan
from gpualloc.planning.document import dump, load

MAX_BYTES = 64 * 1024 * 1024
"""A larger file is no plan."""


def write_plan(plan: Plan, path: Path) -> None:
    """Write the plan beside its place and move it there.

    Raises:
        GpuallocError: the file cannot be written; an older one of that name is as it was.
    """
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(dump(plan))
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise GpuallocError(f"the plan cannot be written to {path}: {error.strerror}") from error


def read_plan(path: Path) -> Plan:
    """Read a plan that `write_plan` wrote.

    Raises:
        BrokenInputError: the file cannot be read, or is edited, truncated or no plan.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("ascii")
    except OSError as error:
        raise BrokenInputError(f"the plan file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BrokenInputError(f"{path} is not a plan file") from error
    if len(content) > MAX_BYTES:
        raise BrokenInputError(f"{path} is too large to be a plan file")
    try:
        return load(text)
    except BrokenInputError as error:
        raise BrokenInputError(f"{path}: {error.message}", hint=error.hint) from error
