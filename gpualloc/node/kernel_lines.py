"""Lines of the kernel log that are about GPUs and NVSwitches. Pure: text in, fields out; texts are untrusted."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_TEXT = 500
"""Characters of a line that are looked at and told."""

_WORDS = (b"NVRM: ", b"nvidia", b"AER: ", b"PCIe Bus Error", b"power state", b"failed with error")
_RECORD = re.compile(rb"\d{1,10},\d{1,20},(\d{1,18}),[^;\n]{0,200};([^\n]*)")
_ESCAPED = re.compile(rb"\\x([0-9a-fA-F]{2})")

_ADDRESS = r"([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}):([0-9a-fA-F]{2})(?:\.([0-7]))?"
_ANY_ADDRESS = re.compile(r"(?<![0-9a-fA-F])" + _ADDRESS + r"(?![0-9a-fA-F.])")

# Matched from the beginning: the name of a program or of a USB device within a line may say anything.
_XID = re.compile(r"NVRM: Xid(?: \(([^)]{0,64})\))?: (\d{1,6})\b")
_SXID = re.compile(r"nvidia-nvswitch\d{1,4}: SXid \(([^)]{0,64})\): (\d{1,6})\b(.{0,16})")
_SXID_DETAIL = re.compile(r", (?:Severity \d|Data \{)")
"""Goes on about the SXid of the line before, with what registers held."""

_DRIVER = re.compile(
    r"NVRM: .{0,400}?(?:\bXid\b|fallen off the bus|\bGPU\b.{0,60}\blost\b|RmInitAdapter.{0,8}failed"
    r"|rm_init_adapter.{0,8}failed|API mismatch|No NVIDIA (?:GPU|graphics adapter) found"
    r"|None of the NVIDIA \w{1,20} were initialized|probe routine (?:failed|was not called)"
    r"|requires use of the NVIDIA open|PCI I/O region .{0,60}invalid|BAR\d is 0M|GPU crash dump"
    r"|likely in a bad state|needs? to be reset)",
    re.IGNORECASE,
)
_MODULE = re.compile(
    r"nvidia-(?:nvlink|nvswitch\d{0,4}|peermem|uvm|modeset|fs)[: ].{0,400}?"
    r"\b(?:error|fatal|fail|failed|failure|fault|timed out)\b",
    re.IGNORECASE,
)
_DEVICE = re.compile(r"([\w-]{1,40}) " + _ADDRESS + r": (.+)")
"""A line that the kernel writes for a device: driver, address, what is said."""
_BUS_ERROR = re.compile(r"(?:AER: )?(?:PCIe Bus Error: |.{0,40}\berror (?:message )?received|can't recover)")
_DEVICE_TROUBLE = re.compile(r"probe .{0,40}failed with error|(?:Unable to|can't) change power state")
_OLD_PROBE = re.compile(r"nvidia: probe of " + _ADDRESS + r" failed with error")


def may_matter(data: bytes) -> bool:
    """Whether some line in there may be about a GPU: quick, so that a flood of other lines costs little."""
    return any(word in data for word in _WORDS)


def record(line: bytes) -> "tuple[int, str] | None":
    """Microseconds since the boot and text of one line of /dev/kmsg; None when it is none, or goes on another.

    Lines that the driver wrote as one record are joined.
    """
    found = _RECORD.match(line)
    if found is None:
        return None
    raw = _ESCAPED.sub(lambda escaped: bytes([int(escaped.group(1), 16)]), found.group(2))
    return int(found.group(1)), joined(raw.decode("utf-8", "replace"))


def joined(text: str) -> str:
    """The lines of one record as a single one, in which the driver's name stands once."""
    first, *rest = [part.strip() for part in text.split("\n")]
    bare = [part[6:] if part.startswith("NVRM: ") else part for part in rest]
    return " ".join(" ".join([first, *bare]).split())


def message(text: str, gpus: "Collection[str]" = ()) -> "dict[str, Any] | None":
    """`kind`, `code`, `pci_bus_id` and `text` as `kernel` of docs/wire.md tells; None for what is no trouble of a GPU.

    Args:
        text: a line without its time.
        gpus: bus addresses of this host's GPUs, by which an error of the bus is known to be theirs.
    """
    text = text[:MAX_TEXT]
    found = _XID.match(text)
    if found is not None:
        return _row("xid", int(found.group(2)), _first(found.group(1) or ""), text)
    found = _SXID.match(text)
    if found is not None:
        detail = _SXID_DETAIL.match(found.group(3)) is not None
        return None if detail else _row("sxid", int(found.group(2)), _first(found.group(1)), text)
    if _DRIVER.match(text) or _MODULE.match(text) or _OLD_PROBE.match(text):
        return _row("driver", None, _first(text), text)
    theirs = _of_gpu(text, gpus)
    return None if theirs is None else _row("driver", None, theirs, text)


def addresses(text: str) -> "list[str]":
    """Each PCI bus address in the text, as the kernel writes it: `0000:3b:00.0`, function 0 where it tells none."""
    return [
        "%04x:%s:%s.%s" % (int(domain, 16), bus.lower(), slot.lower(), function or "0")
        for domain, bus, slot, function in _ANY_ADDRESS.findall(text)
    ]


def _of_gpu(text: str, gpus: "Collection[str]") -> "str | None":
    """Address of the GPU whose trouble with the bus the line tells; a port tells it of a device below it, too."""
    found = _DEVICE.match(text)
    if found is None:
        return None
    said = found.group(6)
    if not (_BUS_ERROR.match(said) or _DEVICE_TROUBLE.match(said)):
        return None
    if found.group(1) == "nvidia":
        return _first(text)
    return next((one for one in reversed(addresses(text)) if one in gpus), None)


def _first(text: str) -> "str | None":
    return next(iter(addresses(text)), None)


def _row(kind: str, code: "int | None", pci_bus_id: "str | None", text: str) -> "dict[str, Any]":
    return {"kind": kind, "code": code, "pci_bus_id": pci_bus_id, "text": text}
