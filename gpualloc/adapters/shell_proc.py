"""What a node's /proc says, as text that came over a shell: the host's size and load, and whose a process is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

MAX_COMMAND = 4096
_MEMORY = re.compile(r"(MemTotal|MemAvailable):\s+([0-9]{1,18}) kB\s*")
_CPU = re.compile(r"cpu[0-9]+ ")
_COUNTER = re.compile(r"[0-9]{1,20}")
_NETWORK = re.compile(r"\s*([^:]{1,64}):((?:\s+[0-9]{1,20}){16})\s*")
_DISK = re.compile(r".*\s([0-9]{1,18})\s+([0-9]{1,18})\s+[0-9]{1,18}\s+[0-9]{1,3}%\s.*")
_STAT = re.compile(r"[0-9]{1,10} \((.{0,32})\) ([A-Za-z](?: -?[0-9]{1,20}){20,60}) *(?:\n|$)", re.DOTALL)
"""The name in parentheses may itself hold anything, a parenthesis and a line feed included."""
_OWNER = re.compile(r"d\S+\s+[0-9]+\s+(\S{1,64})\s.*")
_INFORMATION = re.compile(r"\s*(Model|GPU UUID|Bus Location|Device Minor):\s+(\S.{0,199}?)\s*")


class Clock(Struct, frozen=True):
    """The node's time."""

    epoch_s: float
    uptime_s: float


class Counters(Struct, frozen=True):
    """What rates are made of, since the boot. None was not told."""

    uptime_s: float
    cpu: tuple[int, int] | None = None
    """Busy and all ticks."""
    received: int | None = None
    """Bytes of all interfaces but loopback."""
    sent: int | None = None
    errors: int | None = None
    """Errors and drops in both directions."""


class Known(Struct, frozen=True):
    """A process by its /proc folder."""

    user: str | None
    command: str | None
    start_ticks: int
    parent: int


def read_clock(lines: Sequence[str]) -> Clock | None:
    """`date +%s` and /proc/uptime."""
    words = " ".join(lines).split()
    try:
        return Clock(float(words[0]), float(words[1]))
    except (IndexError, ValueError):
        return None


def read_memory(lines: Sequence[str]) -> Mapping[str, int]:
    """`MemTotal` and `MemAvailable` of /proc/meminfo in MiB, as far as they are there."""
    found = filter(None, map(_MEMORY.fullmatch, lines))
    return {match[1]: int(match[2]) >> 10 for match in found}


def read_cpus(lines: Sequence[str]) -> tuple[int | None, tuple[int, int] | None]:
    """Number of CPUs, and their busy and all ticks, of /proc/stat."""
    cpus = sum(1 for line in lines if _CPU.match(line)) or None
    words = lines[0].split()[1:9] if lines and lines[0].startswith("cpu ") else []
    if len(words) < 8 or not all(map(_COUNTER.fullmatch, words)):
        return cpus, None
    ticks = [int(word) for word in words]
    return cpus, (sum(ticks) - ticks[3] - ticks[4], sum(ticks))


def read_network(lines: Sequence[str]) -> tuple[int, int, int] | None:
    """Bytes received and sent, and errors with drops, over all interfaces but loopback, of /proc/net/dev."""
    found = [match for match in map(_NETWORK.fullmatch, lines) if match]
    if not found:
        return None
    counts = [[int(word) for word in match[2].split()] for match in found if match[1] != "lo"]
    errors = sum(row[2] + row[3] + row[10] + row[11] for row in counts)
    return sum(row[0] for row in counts), sum(row[8] for row in counts), errors


def read_disk(lines: Sequence[str]) -> tuple[int, int] | None:
    """Size and used space of the root file system in MiB, of `df -P -k`."""
    found = [match for match in map(_DISK.fullmatch, lines[1:]) if match]
    return (int(found[0][1]) >> 10, int(found[0][2]) >> 10) if found else None


def read_process(lines: Sequence[str]) -> Known | None:
    """`ls -ld /proc/<pid>`, its `stat` and its `cmdline`; None when it is gone."""
    owner = _OWNER.fullmatch(lines[0]) if lines else None
    told = "\n".join(lines[1:] if owner else lines)
    match = _STAT.match(told)
    if match is None:
        return None
    fields = match[2].split()
    command = told[match.end() :].rstrip("\0").replace("\0", " ")[:MAX_COMMAND]
    return Known(owner[1] if owner else None, command or f"[{match[1]}]", int(fields[19]), int(fields[1]))


def read_information(lines: Sequence[str]) -> list[dict[str, str]]:
    """The `information` files of the driver's /proc folder, one dictionary for each GPU, in the order of the bus."""
    found: list[dict[str, str]] = []
    for match in filter(None, map(_INFORMATION.fullmatch, lines)):
        if match[1] == "Model" or not found:
            found.append({})
        found[-1][match[1]] = match[2]
    return found
