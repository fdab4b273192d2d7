"""Rules for processes on devices that they were not given."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class EnforceMode(StrEnum):
    """What is done about such a process; the words are part of the configuration and of the JSON contract."""

    REPORT = "report"
    """It is shown and entered in the audit trail."""
    NOTIFY = "notify"
    """The operator's hook is told as well."""
    SUSPEND = "suspend"
    """Its GPU memory moves to host memory and it stands still."""
    TERMINATE = "terminate"
    """TERM, grace, KILL."""


class Rules(Struct, frozen=True):
    """What is done, when, and to whom not. Exemptions are shell globs."""

    mode: EnforceMode = EnforceMode.REPORT
    after_sightings: int = 2
    """How often a process must have been seen there, 2 or more: never on first sight."""
    grace_s: float = 10.0
    """Time between TERM and KILL."""
    exempt_users: tuple[str, ...] = ()
    exempt_commands: tuple[str, ...] = ()
    """Match the name of the program, or the whole command line; both are what the process says of itself."""
    exempt_devices: tuple[str, ...] = ()
    """UUIDs of devices."""
    exempt_nodes: tuple[str, ...] = ()


NO_RULES = Rules()
"""What is in force when nothing is configured: report."""


class Offence(Struct, frozen=True):
    """A process seen on a device that it was not given."""

    node: str
    boot_id: str | None
    device: str
    """UUID."""
    mig_instance: str | None
    pid: int
    started_at_s: float | None
    """Epoch seconds; None when the node cannot tell, and then nothing can be done to it."""
    user: str | None
    command: str | None
    """Untrusted text."""
    workload: str | None
    """Id of the workload it belongs to; None for a stranger."""
    holders: tuple[str, ...]
    """Ids of the workloads to which the device, or the MIG instance, is given; empty when nobody holds it."""

    @property
    def why(self) -> str:
        """In words, what was not given to it."""
        target = self.mig_instance or self.device
        if self.workload is None:
            return f"{target} is given to {', '.join(self.holders)}"
        held = f", which is given to {', '.join(self.holders)}" if self.holders else ""
        return f"workload {self.workload} was not given {target}{held}"


class Sighting(Struct, frozen=True):
    """How often an offence was seen, and since when."""

    node: str
    boot_id: str | None
    device: str
    mig_instance: str | None
    pid: int
    started_at_s: float | None
    first_seen_s: float
    last_seen_s: float
    count: int = 1
