"""The one wire between gpualloc and its node programs: JSON lines, each operation with its own end record.

The same messages travel over the pipes of a local child, over ssh, and in process for simulated nodes.
docs/wire.md describes every message; this module holds the words and the framing.
"""

import json
from typing import Any

WIRE_VERSION = 3
START_MARK = "GPUALLOC-NODE"
"""First word of the line that ends a login shell's noise: `GPUALLOC-NODE <wire version> <nonce>`."""

MAX_LINE_BYTES = 8 * 1024 * 1024
"""A longer line is refused: remote text is untrusted."""

MAX_PATHS = 256
"""Most paths that one `inventory` may ask for."""

VERBS = (
    "hello",
    "inventory",
    "sample",
    "processes",
    "process",
    "claims",
    "kernel",
    "cost",
    "burnin",
    "events",
    "preflight",
    "do",
    "verify",
    "undo",
    "logs",
)

STREAM = "stream"
"""The verb that is not answered by an end record alone: pictures of the node follow, until the connection ends."""

BYE = "bye"
"""The verb of `{"verb":"bye"}`, which is not answered: the connection is ended on purpose, nothing is to be kept."""

WORKLOAD_KINDS = (
    "claim",
    "limit",
    "start",
    "adopt",
    "stop",
    "unlimit",
    "unclaim",
    "let-go",
    "suspend",
    "resume",
    "resize",
    "mps-start",
    "mps-stop",
)
DEVICE_KINDS = ("mig-mode", "mig-create", "mig-destroy", "set", "evict")
PROCESS_KINDS = ("signal",)
STEP_KINDS = WORKLOAD_KINDS + DEVICE_KINDS + PROCESS_KINDS

REASONS = (
    "bad-request",  # the message makes no sense to this node program
    "locked",  # the node's lock is held by someone else for too long
    "fenced",  # a newer run was obeyed already
    "claimed",  # the device is given to another workload
    "gone",  # the device, MIG instance or workload does not exist here
    "memory",  # too little free GPU memory
    "stranger",  # a process nobody booked is on an exclusive target
    "no-command",  # the command does not exist, or the working directory does not (exit code 127)
    "not-executable",  # the command exists and cannot be executed (exit code 126)
    "no-user",  # the account to run as does not exist, or may not be used
    "no-cgroup",  # the limit cannot be set on this node
    "not-permitted",  # the node program lacks the privilege
    "unhealthy",  # the device does not answer
    "in-use",  # a process holds the device or MIG instance that would have to change; the message names it
    "not-supported",  # the driver, device or kernel cannot do this at all
    "busy",  # not now: a kernel still runs, or another change is under way; the same may work later
    "disk",  # the node's state folder cannot be written
    "failed",  # anything else; the message says what
)
"""Every reason an error record may carry."""

UNAVAILABLE = (
    "not supported",
    "no permission",
    "mig",
    "lost",
    "hung",
    "vanished",
    "implausible",  # the driver told something that cannot be
    "not yet",  # it is a rate or a mean, and there was no look before
    "not seen",  # the way in which this node is read does not tell it
    "failed",
)
"""Why a reading is null."""

SIGNALS = ("TERM", "KILL", "INT", "HUP", "STOP", "CONT", "USR1", "USR2", "QUIT")
"""Names of the signals that the step `signal` sends."""
WORK_SIGNALS = ("HUP", "USR1", "USR2")
"""Those of them that a process of a workload may get: what would end, stop or wake it is its keeper's to do."""

KERNEL_KINDS = ("xid", "sxid", "driver")
"""What a line of the kernel log is: one with a code of a GPU, of an NVSwitch, or another one of the driver."""


class WireError(Exception):
    """The other side sent something that is not a message of this wire."""


class Refused(Exception):
    """A node will not or cannot do what it was asked; becomes an error record."""

    def __init__(self, reason: str, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.facts = facts


def encode(message: "dict[str, Any]") -> bytes:
    """One message as one line of ASCII JSON."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"


def decode(line: bytes) -> "dict[str, Any]":
    """One line as a message; raises WireError."""
    if len(line) > MAX_LINE_BYTES:
        raise WireError("a line of %d bytes is longer than the wire allows" % len(line))
    try:
        message = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise WireError("not JSON: %s" % error) from error
    if not isinstance(message, dict):
        raise WireError("not a JSON object")
    return message


def request(number: int, verb: str, args: "dict[str, Any] | None" = None) -> "dict[str, Any]":
    """A request record."""
    return {"id": number, "verb": verb, "args": args or {}}


def answer(number: "int | None", result: "dict[str, Any]") -> "dict[str, Any]":
    """The end record of an operation that worked."""
    return {"id": number, "ok": result}


def refusal(number: "int | None", reason: str, message: str, facts: "dict[str, Any] | None" = None) -> "dict[str, Any]":
    """The end record of an operation that did not."""
    error: "dict[str, Any]" = {"reason": reason, "message": message}
    error.update(facts or {})
    return {"id": number, "error": error}
