"""Plans on disk: written whole or not at all, read only when nobody edited them."""

from __future__ import annotations

from pathlib import Path

from gpualloc.cli.whole_file import whole_file
from gpualloc.errors import BrokenInputError
from gpualloc.model.plan import Plan
from gpualloc.planning.document import dump, load

MAX_BYTES = 64 * 1024 * 1024
"""A larger file is no plan."""


def write_plan(plan: Plan, path: Path) -> None:
    """Write the plan beside its place and move it there.

    Raises:
        GpuallocError: the file cannot be written; an older one of that name is as it was.
    """
    with whole_file(path) as put:
        put(dump(plan))


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
