"""What several views say of a device: who holds it, and what of it is not as it should be."""

from __future__ import annotations

from collections.abc import Iterator

from gpualloc.model.inventory import Device, Node
from gpualloc.model.readings import NO_THROTTLE, Throttle


def holders(node: Node, device: str, instance: str | None) -> tuple[str, ...]:
    """Ids of the workloads that claim a device, or an instance of it, in the order of their claims."""
    return tuple(
        dict.fromkeys(
            claim.workload
            for claim in node.claims
            if claim.device == device and (instance is None or claim.mig_instance == instance)
        )
    )


def throttled_by(device: Device) -> tuple[Throttle, ...]:
    """Why its clocks are held down, without what is somebody's wish or want of work; empty when unknown too."""
    return tuple(throttle for throttle in device.throttles or () if throttle not in NO_THROTTLE)


def is_throttled(device: Device) -> bool:
    """Whether something holds its clocks down that is neither a setting nor want of work."""
    return bool(throttled_by(device))


def marks(device: Device) -> Iterator[str]:
    """One sentence for each reading that is not as it should be."""
    throttles = throttled_by(device)
    if throttles:
        yield f"clocks held down: {', '.join(throttle.value for throttle in throttles)}"
    pcie, ecc = device.pcie, device.ecc
    if pcie.width is not None and pcie.width_max is not None and pcie.width < pcie.width_max:
        yield f"PCIe runs with {pcie.width} of {pcie.width_max} lanes"
    if ecc.volatile_uncorrected:
        yield f"uncorrected memory errors since the driver was loaded: {ecc.volatile_uncorrected}"
    if ecc.remap_pending:
        yield "a memory row waits for a reset to be replaced"
    if ecc.remap_failed:
        yield "a memory row could not be replaced: the board is for exchange"
    down = [str(link.index) for link in device.nvlinks if link.up is False]
    if down:
        yield f"NVLink {', '.join(down)} down"
