"""Device rules in the devices controller of version 1: a list of everything that is allowed.

The controller tells what it allows and never what it denies, so the rule is written as what is left: read back, it is
the whole truth. It has some 500 entries, one for each major that Linux can give to a character device.
"""

import os
from typing import TYPE_CHECKING

from gpualloc.node.group_files import read_value, write_value

if TYPE_CHECKING:
    from gpualloc.node.device_rule import DeviceRule

_MAJORS = 512
"""Character majors are below this in every kernel since 4.9."""

_ALL = "a *:* rwm"


def entries(rule: "DeviceRule") -> "set[str]":
    """The lines that a group under this rule has."""
    denied = dict(rule.majors)
    allowed = {"b *:* rwm"}
    allowed.update("c %d:* rwm" % major for major in range(_MAJORS) if major not in denied)
    allowed.update("c %d:%d rwm" % (major, minor) for major, minors in rule.majors for minor in minors)
    return allowed


def identity(allowed: "set[str]") -> str:
    """16 hexadecimal digits, the same for the same lines."""
    import hashlib  # readings need not wait for it

    return hashlib.sha256("\n".join(sorted(allowed)).encode("ascii")).hexdigest()[:16]


def restrict(folder: str, rule: "DeviceRule") -> None:
    """Put a rule in force on a group without groups below it. Raises OSError.

    In place of an older rule, what is given comes before what is taken. A group that had none should be empty:
    until the last line is written it opens less than it will.
    """
    wanted, found = entries(rule), _lines(folder) or set()
    if _ALL in found:
        write_value(os.path.join(folder, "devices.deny"), "a")
        found = set()
    for line in sorted(wanted - found):
        write_value(os.path.join(folder, "devices.allow"), line)
    for line in sorted(found - wanted):
        write_value(os.path.join(folder, "devices.deny"), line)


def restricted(folder: str) -> "str | None":
    """Identity of what the group allows; None when that is everything, or there is no group."""
    found = _lines(folder)
    return None if found is None or _ALL in found else identity(found)


def unrestrict(folder: str) -> None:
    """Allow everything again; no group is fine. Raises OSError."""
    if os.path.isdir(folder):
        write_value(os.path.join(folder, "devices.allow"), "a")


def _lines(folder: str) -> "set[str] | None":
    text = read_value(os.path.join(folder, "devices.list"))
    return None if text is None else set(text.splitlines())
