"""What a reboot leaves of a simulated node: its memory of workloads, and MIG mode where the generation keeps it."""

from __future__ import annotations

from gpualloc.sim.gpu import device_uuid
from gpualloc.sim.host import SimulatedHost

_UNKNOWN_EXIT_CODE = 125
"""As a node program tells the end of work that it did not see."""


def reboot(host: SimulatedHost) -> None:
    """End all work, forget claims and groups, load the driver anew, and begin another boot."""
    for work in host.work.values():
        if work.end is None:
            work.end = {
                "exit_code": _UNKNOWN_EXIT_CODE,
                "signal": None,
                "oom": False,
                "at_s": host.now_s,
                "reason": "rebooted",
            }
    host.groups.clear()
    host.ledger.claimed = []
    for gpu in host.gpus:
        gpu.reload_driver()
    host.boot_id = device_uuid("boot", host.boot_id)
    host.booted_s = host.now_s
