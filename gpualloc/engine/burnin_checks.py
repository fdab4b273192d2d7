"""The checks of a burn-in that need no test: what a node tells of itself, before and after it was put under load."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gpualloc.model.burnin import BurninPart, BurninSlice, Check, Outcome
from gpualloc.model.health import Trouble
from gpualloc.model.inventory import Device, DeviceState, Node
from gpualloc.model.readings import Throttle

APPLICATION_XIDS = frozenset({13, 31, 43, 45})
"""Xids that a program causes by itself; before the test they say nothing of the GPU."""
HELD_DOWN = frozenset({Throttle.HW_SLOWDOWN, Throttle.HW_THERMAL, Throttle.POWER_BRAKE})
"""Reasons for low clocks that a healthy, cooled and powered GPU does not have."""
LEAST_FREE_RATIO = 0.1
"""Part of the host's memory that must be free."""
LEAST_DISK_RATIO = 0.05
LEAST_BUS_RATIO = 0.4
"""Part of what the bus could carry that a copy must reach."""
MAX_SKEW_S = 30.0

_LANE_BYTES_PER_S = {1: 0.25e9, 2: 0.5e9, 3: 0.985e9, 4: 1.969e9, 5: 3.938e9, 6: 7.563e9}
"""What one lane of a PCIe generation carries."""


def node_checks(node: Node) -> Iterator[Check]:
    """Checks of the node as a whole."""
    yield _gpus(node)
    yield _driver(node)
    yield _host_memory_free(node)
    yield _disk(node)


def device_checks(before: Device, after: Device) -> Iterator[Check]:
    """Checks of a device; what it told before the test, and after."""
    uuid = before.uuid
    if after.state is not DeviceState.OK:
        yield Check("state", Outcome.FAIL, f"{after.state.value}: {after.reason or 'no reason told'}", uuid)
        return
    yield Check("state", Outcome.PASS, "it answers", uuid)
    yield _pcie(after)
    yield _ecc(after)
    yield _remapping(after)
    yield _nvlink(before, after)
    yield _clocks(after)


def kernel_log(before: Node, after: Node, only: str | None = None) -> Check:
    """Whether the kernel told of faults of GPUs: since the boot, or, of those a program may cause, in the test.

    Args:
        before: the node before the test.
        after: the same after it.
        only: PCI address of the one device that counts; None is all.
    """
    if after.kernel_log_reason is not None:
        return Check("xid", Outcome.SKIP, f"the kernel log cannot be read: {after.kernel_log_reason}")
    known = {message.seq for message in before.kernel_messages} if before.boot_id == after.boot_id else set()
    for message in after.kernel_messages:
        if message.trouble not in (Trouble.XID, Trouble.SXID):
            continue
        if only is not None and message.pci_bus_id not in (None, only):
            continue
        fresh = message.seq not in known
        if fresh or message.trouble is Trouble.SXID or message.code not in APPLICATION_XIDS:
            when = "during the test" if fresh else "since the boot"
            return Check("xid", Outcome.FAIL, f"{message.trouble.value} {message.code} {when}: {message.text}")
    return Check("xid", Outcome.PASS, "the kernel told of no fault of a GPU since the boot")


def clock(at_s: float, now_s: float) -> Check:
    """Whether the node's clock agrees with ours."""
    skew_s = at_s - now_s
    outcome = Outcome.PASS if abs(skew_s) <= MAX_SKEW_S else Outcome.FAIL
    return Check("clock", outcome, f"off by {skew_s:+.1f} s", numbers={"skew_s": round(skew_s, 3)})


def memory_checks(part: BurninPart, slices: Sequence[BurninSlice], device: Device | None) -> Iterator[Check]:
    """What the slices of one test came to."""
    uuid = None if device is None else device.uuid
    name = "host-memory" if part is BurninPart.HOST_MEMORY else "gpu-memory"
    numbers = {
        "memory_mib": float(max(each.memory_mib for each in slices)),
        "compared_mib": float(sum(each.compared_mib for each in slices)),
        "errors": float(sum(each.errors for each in slices)),
        "seconds": round(sum(each.seconds for each in slices), 1),
    }
    wrong = next((each.first_error for each in slices if each.first_error is not None), None)
    compared = f"{numbers['compared_mib']:.0f} MiB compared in {numbers['seconds']:.0f} s"
    if numbers["errors"]:
        yield Check(name, Outcome.FAIL, f"memory did not hold what was written: {wrong}; {compared}", uuid, numbers)
    else:
        yield Check(name, Outcome.PASS, f"{compared}, no error", uuid, numbers)
    if device is not None:
        yield _bus(device, slices)


def _gpus(node: Node) -> Check:
    told = {"configured": node.spec.gpus, "on its PCI bus": node.host.gpus_on_bus}
    expected = {why: count for why, count in told.items() if count is not None}
    seen = len(node.devices)
    numbers = {"gpus": float(seen)}
    if not expected:
        return Check("gpus", Outcome.SKIP, f"{seen} seen; nothing says how many there should be", numbers=numbers)
    why, count = max(expected.items(), key=lambda each: each[1])
    if seen < count:
        return Check("gpus", Outcome.FAIL, f"{seen} seen, {count} {why}", numbers=numbers)
    return Check("gpus", Outcome.PASS, f"{seen} seen, {count} {why}", numbers=numbers)


def _driver(node: Node) -> Check:
    if node.nvml_reason is not None:
        return Check("driver", Outcome.FAIL, node.nvml_reason)
    version = node.driver_version or "of an unknown version"
    return Check("driver", Outcome.PASS, f"driver {version} and its library agree")


def _host_memory_free(node: Node) -> Check:
    return _free("host-memory-free", node.host.memory_available_mib, node.host.memory_total_mib, LEAST_FREE_RATIO)


def _disk(node: Node) -> Check:
    used, total = node.host.disk_used_mib, node.host.disk_total_mib
    return _free("disk-free", None if used is None or total is None else total - used, total, LEAST_DISK_RATIO)


def _free(name: str, free_mib: int | None, total_mib: int | None, least_ratio: float) -> Check:
    if free_mib is None or not total_mib:
        return Check(name, Outcome.SKIP, "not told")
    outcome = Outcome.PASS if free_mib >= total_mib * least_ratio else Outcome.FAIL
    what = f"{free_mib} of {total_mib} MiB are free, {least_ratio:.0%} wanted"
    return Check(name, outcome, what, numbers={"free_mib": float(free_mib), "total_mib": float(total_mib)})


def _pcie(device: Device) -> Check:
    """The width of the link; its generation goes down on an idle GPU, and its speed is measured."""
    width, most = device.pcie.width, device.pcie.width_max
    if width is None or most is None:
        return _untold("pcie", device, "pcie.width")
    outcome = Outcome.PASS if width >= most else Outcome.FAIL
    highest = device.pcie.generation_max
    generation = "" if highest is None else f", up to generation {highest}"
    return Check("pcie", outcome, f"{width} of {most} lanes{generation}", device.uuid, {"lanes": float(width)})


def _ecc(device: Device) -> Check:
    errors = device.ecc.volatile_uncorrected
    if errors is None:
        return _untold("ecc", device, "ecc.volatile_uncorrected")
    outcome = Outcome.FAIL if errors else Outcome.PASS
    what = f"{errors} uncorrected errors since the driver was loaded"
    return Check("ecc", outcome, what, device.uuid, {"uncorrected": float(errors)})


def _remapping(device: Device) -> Check:
    pending, failed = device.ecc.remap_pending, device.ecc.remap_failed
    if pending is None and failed is None:
        return _untold("row-remap", device, "ecc.remap_pending")
    if failed:
        return Check("row-remap", Outcome.FAIL, "a row of its memory could not be replaced", device.uuid)
    if pending:
        return Check("row-remap", Outcome.FAIL, "a row of its memory waits for a reset to be replaced", device.uuid)
    return Check("row-remap", Outcome.PASS, "no row of its memory waits to be replaced", device.uuid)


def _nvlink(before: Device, after: Device) -> Check:
    if not after.nvlinks:
        return _untold("nvlink", after, "nvlinks", "it has no NVLink")
    down = [link.index for link in after.nvlinks if link.up is False]
    if down:
        return Check("nvlink", Outcome.FAIL, f"down: {', '.join(map(str, down))}", after.uuid)
    errors = {link.index: link.errors for link in before.nvlinks}
    grown = [link.index for link in after.nvlinks if (link.errors or 0) > (errors.get(link.index) or 0)]
    if grown:
        return Check("nvlink", Outcome.FAIL, f"errors came up in the test on: {', '.join(map(str, grown))}", after.uuid)
    up = sum(link.up is True for link in after.nvlinks)
    return Check("nvlink", Outcome.PASS, f"{up} of {len(after.nvlinks)} up", after.uuid, {"up": float(up)})


def _clocks(device: Device) -> Check:
    if device.throttles is None:
        return _untold("clocks", device, "throttles")
    held = [reason.value for reason in device.throttles if reason in HELD_DOWN]
    what = f"held down: {', '.join(held)}" if held else "nothing holds them down"
    numbers = {} if device.temperature_c is None else {"temperature_c": float(device.temperature_c)}
    return Check("clocks", Outcome.FAIL if held else Outcome.PASS, what, device.uuid, numbers)


def _bus(device: Device, slices: Sequence[BurninSlice]) -> Check:
    """The speed of copies, against what link and slot can carry together."""
    to_gpu = max((each.to_gpu_bytes_per_s or 0.0 for each in slices), default=0.0)
    from_gpu = max((each.from_gpu_bytes_per_s or 0.0 for each in slices), default=0.0)
    numbers = {"to_gpu_bytes_per_s": to_gpu, "from_gpu_bytes_per_s": from_gpu}
    what = f"{to_gpu / 1e9:.1f} GB/s to it, {from_gpu / 1e9:.1f} GB/s from it"
    lane = _LANE_BYTES_PER_S.get(device.pcie.generation_max or 0)
    if lane is None or not device.pcie.width_max:
        return Check("bus", Outcome.SKIP, f"{what}; what its link could carry is not told", device.uuid, numbers)
    least = lane * device.pcie.width_max * LEAST_BUS_RATIO
    outcome = Outcome.PASS if min(to_gpu, from_gpu) >= least else Outcome.FAIL
    return Check("bus", outcome, f"{what}; {least / 1e9:.1f} GB/s wanted", device.uuid, numbers)


def _untold(name: str, device: Device, field: str, else_: str = "not told") -> Check:
    reason = device.unavailable.get(field)
    return Check(name, Outcome.SKIP, f"not told: {reason}" if reason else else_, device.uuid)
