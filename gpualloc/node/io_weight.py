"""The share of a busy disk that a group gets, in whichever file this kernel has for it."""

import errno
import os

from gpualloc.node.group_files import read_value, write_value

_FILES = ("io.weight", "io.bfq.weight", "blkio.bfq.weight", "blkio.weight")
"""Of both versions; several can be there, and which one counts depends on each disk's scheduler."""

_EVERYBODY = 100
"""The weight of a group that asked for none; up to here all scales agree."""

_STEP = 11
"""Above it, 100..10000 lies on the 100..1000 of every file but the first: eleven to one."""


def set_weight(folder: str, weight: int) -> None:
    """Set a weight of 1..10000. Raises OSError: ENOTSUP when the kernel has none."""
    files = [name for name in _FILES if os.path.exists(os.path.join(folder, name))]
    if not files:
        raise OSError(errno.ENOTSUP, "this kernel has no weights for disks", folder)
    for name in files:
        value = weight if name == "io.weight" or weight <= _EVERYBODY else _EVERYBODY + (weight - _EVERYBODY) // _STEP
        write_value(os.path.join(folder, name), str(value))


def weight(folder: str) -> "int | None":
    """The weight in force, on the scale 1..10000 (above 100 rounded down by less than 11); None when there is none."""
    for name in _FILES:
        text = read_value(os.path.join(folder, name))
        if text:
            # `default 100`, then perhaps lines of single disks; version 1 has the number alone.
            value = int(text.splitlines()[0].split()[-1])
            coarse = name != "io.weight" and value > _EVERYBODY
            return _EVERYBODY + (value - _EVERYBODY) * _STEP if coarse else value
    return None
