"""What is out of date or unlike its neighbours in the fleet: drivers, firmware, persistence, kernel logs; pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from gpualloc.engine.doctor_finding import Finding, Verdict
from gpualloc.model.health import MAX_CLOCK_OFF_S
from gpualloc.model.inventory import Device, Node, NodeState

END_OF_LIFE: Mapping[int, tuple[int, int]] = {
    418: (2022, 3),
    440: (2020, 11),
    450: (2023, 7),
    460: (2022, 1),
    535: (2026, 6),
    570: (2026, 2),
    580: (2028, 6),
    595: (2027, 3),
    610: (2026, 8),
}
"""Year and month in which branches of NVIDIA's data-centre driver reach their end of life.

From the page "Supported Drivers and CUDA Toolkit Versions" of NVIDIA's documentation of data-centre drivers (its
editions of 2021, 2025 and 2026).
"""
ENDED = frozenset({410, 455, 465, 495, 510, 515, 525, 550, 560, 565, 575})
"""Branches that its edition of August 2025 calls ended without a date."""

_VERSION = re.compile(r"[0-9]+(\.[0-9]+)+")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def fleet_findings(nodes: Sequence[Node], now_s: float) -> dict[str, list[Finding]]:
    """What is out of date or unlike its neighbours, by node; nothing where all is well.

    Args:
        nodes: all that were looked at.
        now_s: epoch seconds, for the ends of life.
    """
    reached = [node for node in nodes if node.state is NodeState.OK]
    newest = _newest_by_pool(reached)
    usual = _usual_firmware(reached)
    return {
        node.name: [
            *_older_than_its_pool(node, newest.get(node.spec.pool)),
            *_end_of_life(node, now_s),
            *_firmware(node, usual),
            *_persistence(node),
            *_kernel_log(node),
            *_limited(node),
            *_clock(node),
        ]
        for node in reached
    }


def _newest_by_pool(nodes: Sequence[Node]) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in nodes:
        version = node.driver_version
        if version and _VERSION.fullmatch(version):
            found[node.spec.pool] = max(found.get(node.spec.pool, version), version, key=_numbers)
    return found


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _older_than_its_pool(node: Node, newest: str | None) -> Iterator[Finding]:
    version = node.driver_version
    if newest and version and _VERSION.fullmatch(version) and _numbers(version) < _numbers(newest):
        what = f"its driver {version} is older than {newest} on others of pool {node.spec.pool}"
        yield Finding("driver-version", Verdict.WARNING, what, "bring the pool to one version", node.name)


def _end_of_life(node: Node, now_s: float) -> Iterator[Finding]:
    branch = int((node.driver_version or "").partition(".")[0] or 0) if _is_version(node.driver_version) else 0
    ended = END_OF_LIFE.get(branch)
    now = datetime.fromtimestamp(now_s, UTC)
    if branch in ENDED:
        when = "before August 2025"
    elif ended is not None and (now.year, now.month) > ended:
        when = f"in {_MONTHS[ended[1] - 1]} {ended[0]}"
    else:
        return
    what = f"its driver {node.driver_version} is of branch R{branch}, which reached its end of life {when}"
    yield Finding("driver-support", Verdict.WARNING, what, "NVIDIA mends nothing in it any more: update", node.name)


def _is_version(text: str | None) -> bool:
    return text is not None and _VERSION.fullmatch(text) is not None


Firmware = tuple[str | None, str | None]
"""VBIOS and InfoROM version."""


def _usual_firmware(nodes: Sequence[Node]) -> dict[str, Firmware]:
    """Of each model what most of its boards have; of those that are equally many the highest."""
    counts: dict[str, Counter[Firmware]] = {}
    for node in nodes:
        for device in node.devices:
            if _firmware_of(device) != (None, None):
                counts.setdefault(device.model, Counter())[_firmware_of(device)] += 1
    return {
        model: max(counter, key=lambda firmware: (counter[firmware], [part or "" for part in firmware]))
        for model, counter in counts.items()
    }


def _firmware_of(device: Device) -> Firmware:
    return (device.board.vbios_version, device.board.inforom_version)


def _firmware(node: Node, usual: Mapping[str, Firmware]) -> Iterator[Finding]:
    for model in sorted({device.model for device in node.devices}):
        names = ("VBIOS", "InfoROM")
        for place, name in enumerate(names):
            expected = usual.get(model, (None, None))[place]
            others: dict[str, list[int]] = {}
            for device in node.devices:
                version = _firmware_of(device)[place]
                if device.model == model and expected and version and version != expected:
                    others.setdefault(version, []).append(device.index)
            for version, indices in sorted(others.items()):
                which = ", ".join(map(str, sorted(indices)))
                what = f"{name} {version} on GPU {which}; most boards of {model} in the fleet have {expected}"
                yield Finding("firmware", Verdict.WARNING, what, "bring boards of one model to one version", node.name)


def _persistence(node: Node) -> Iterator[Finding]:
    off = [device.index for device in node.devices if device.settings.persistence is False]
    if off:
        what = (
            f"persistence mode is off on GPU {', '.join(map(str, off))}: its first user waits for it to start each time"
        )
        hint = "run nvidia-persistenced, or `nvidia-smi -pm 1`"
        yield Finding("persistence", Verdict.WARNING, what, hint, node.name)


def _kernel_log(node: Node) -> Iterator[Finding]:
    if node.kernel_log_reason is not None and (node.devices or node.host.gpus_on_bus):
        what = f"its kernel log cannot be read, so no Xid is seen: {node.kernel_log_reason}"
        hint = "let the account read it: root's node program, group adm, or kernel.dmesg_restrict=0"
        yield Finding("kernel-log", Verdict.WARNING, what, hint, node.name)


def _limited(node: Node) -> Iterator[Finding]:
    if node.limited is not None:
        hint = "install python3, 3.6 or newer, on the node"
        yield Finding("limited", Verdict.WARNING, node.limited, hint, node.name)


def _clock(node: Node) -> Iterator[Finding]:
    ahead_s = node.clock_offset_s
    if ahead_s is not None and abs(ahead_s) > MAX_CLOCK_OFF_S:
        what = f"its clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine's"
        yield Finding("clock", Verdict.WARNING, what, "start a time service on both", node.name)
