"""Which processes are on devices they were not given, how often they were seen there, and what is done about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from msgspec import Struct

from gpualloc.model.allocation import Claim, Share
from gpualloc.model.enforcement import EnforceMode, Offence, Rules, Sighting
from gpualloc.model.inventory import Node, Process, Snapshot
from gpualloc.model.plan import BlastRadius, EvictAction, ProcessTarget, Step, StepKind, StepReason

SAME_START_S = 2.0
"""Between two looks a node's clock may have been corrected by that much."""

_SYSTEM_USERS = frozenset({"root", "gdm", "sddm", "lightdm", "nvidia-persistenced", "dcgm", "nvidia-dcgm"})
_SYSTEM_COMMANDS = (
    "Xorg", "X", "Xwayland", "gdm*", "gnome-shell", "kwin*", "sddm*", "weston",
    "nvidia-persistenced", "nv-hostengine", "dcgm*", "nvidia-cuda-mps-*", "nvidia-smi", "nv-fabricmanager",
)  # fmt: skip
"""Graphics and monitoring of the system's own accounts: that anybody else calls a program so exempts nothing."""

_ACTIONS = {EnforceMode.SUSPEND: EvictAction.SUSPEND, EnforceMode.TERMINATE: EvictAction.TERMINATE}


class Finding(Struct, frozen=True):
    """An offence, how often it was seen, and what the rules say."""

    offence: Offence
    sighting: Sighting
    """This look included."""
    exempt: str | None
    """Why nothing is done about it; None when it is not exempt."""
    due: bool
    """Whether it was seen often enough for the rules to act."""


def offences(snapshot: Snapshot) -> tuple[Offence, ...]:
    """The processes on devices they were not given, on the nodes that gpualloc may change, by node, device and pid."""
    found = [offence for node in snapshot.nodes if node.manageable for offence in _offences_of(node)]
    return tuple(sorted(found, key=lambda one: (one.node, one.device, one.pid)))


def seen(before: Sequence[Sighting], found: Sequence[Offence], snapshot: Snapshot) -> tuple[Sighting, ...]:
    """The sightings after this look: offences counted once more, and what is over forgotten.

    A node that was not reached, or tells of no claims, says nothing: what was seen there stays as it was.
    """
    known = {(one.node, one.device, one.pid): one for one in before}
    counted = tuple(_counted(known.get((one.node, one.device, one.pid)), one, snapshot.at_s) for one in found)
    reached = {node.name for node in snapshot.reached if node.limited is None}
    return (*(one for one in before if one.node not in reached), *counted)


def judge(rules: Rules, found: Sequence[Offence], sightings: Sequence[Sighting]) -> tuple[Finding, ...]:
    """What the rules say of each offence; `sightings` are those after this look."""
    by_key = {(one.node, one.device, one.pid): one for one in sightings}
    findings = []
    for offence in found:
        sighting = by_key[offence.node, offence.device, offence.pid]
        exempt = _exempt(rules, offence)
        due = exempt is None and offence.started_at_s is not None and sighting.count >= max(2, rules.after_sightings)
        findings.append(Finding(offence, sighting, exempt, due))
    return tuple(findings)


def evict_steps(rules: Rules, findings: Sequence[Finding], snapshot: Snapshot) -> tuple[Step, ...]:
    """A step for each process that is due, on the first of its devices; none unless the mode suspends or terminates."""
    action = _ACTIONS.get(rules.mode)
    if action is None:
        return ()
    due = {(one.offence.node, one.offence.pid): one for one in reversed(findings) if one.due}
    ordered = sorted(due.values(), key=lambda one: (one.offence.node, one.offence.device, one.offence.pid))
    return tuple(_evict(seq, one, action, rules, snapshot) for seq, one in enumerate(ordered, start=1))


def _offences_of(node: Node) -> Iterator[Offence]:
    seen_once = {(process.device, process.mig_instance, process.pid): process for process in node.processes}
    for process in seen_once.values():
        there = [claim for claim in node.claims if _covers(claim, process)]
        if process.workload is None:
            holders = [claim for claim in there if claim.share in (Share.EXCLUSIVE, Share.MIG)]
            wrong = bool(holders)
        else:
            holders = [claim for claim in there if claim.workload != process.workload]
            wrong = len(holders) == len(there)
        if wrong:
            yield Offence(
                node=node.name,
                boot_id=node.boot_id,
                device=process.device,
                mig_instance=process.mig_instance,
                pid=process.pid,
                started_at_s=process.started_at_s,
                user=process.user,
                command=process.command,
                workload=process.workload,
                holders=tuple(sorted({claim.workload for claim in holders})),
            )


def _covers(claim: Claim, process: Process) -> bool:
    if claim.device != process.device:
        return False
    return claim.share is not Share.MIG or claim.mig_instance == process.mig_instance


def _counted(before: Sighting | None, offence: Offence, now_s: float) -> Sighting:
    again = before is not None and before.boot_id == offence.boot_id and _same_start(before, offence)
    return Sighting(
        node=offence.node,
        boot_id=offence.boot_id,
        device=offence.device,
        mig_instance=offence.mig_instance,
        pid=offence.pid,
        started_at_s=offence.started_at_s,
        first_seen_s=before.first_seen_s if before is not None and again else now_s,
        last_seen_s=now_s,
        count=before.count + 1 if before is not None and again else 1,
    )


def _same_start(before: Sighting, offence: Offence) -> bool:
    if before.started_at_s is None or offence.started_at_s is None:
        return False
    return abs(before.started_at_s - offence.started_at_s) <= SAME_START_S


def _exempt(rules: Rules, offence: Offence) -> str | None:
    command = offence.command or ""
    program = (command.split() or [""])[0].rpartition("/")[2]
    if offence.user in _SYSTEM_USERS and any(fnmatchcase(program, pattern) for pattern in _SYSTEM_COMMANDS):
        return f"{program} of {offence.user} belongs to the system"
    for words, patterns, values in (
        ("exempt_nodes", rules.exempt_nodes, (offence.node,)),
        ("exempt_devices", rules.exempt_devices, (offence.device,)),
        ("exempt_users", rules.exempt_users, (offence.user or "",)),
        ("exempt_commands", rules.exempt_commands, (program, command)),
    ):
        for pattern in patterns:
            if any(fnmatchcase(value, pattern) for value in values):
                return f"enforce.{words} has {pattern}"
    return None


def _evict(seq: int, finding: Finding, action: EvictAction, rules: Rules, snapshot: Snapshot) -> Step:
    offence = finding.offence
    assert offence.started_at_s is not None
    node = snapshot.node(offence.node)
    index = next((device.index for device in node.devices if device.uuid == offence.device), None) if node else None
    return Step(
        seq=seq,
        kind=StepKind.EVICT,
        node=offence.node,
        workload=None,
        target=f"process {offence.pid} on {offence.device if index is None else f'GPU {index}'}",
        reason=StepReason.ENFORCE,
        detail=f"{offence.why}; seen {finding.sighting.count} times",
        allocation=None,
        attempt=0,
        revision=0,
        blast_radius=BlastRadius(
            (offence.workload,) if offence.workload else (), (offence.user,) if offence.user else ()
        ),
        device=offence.device,
        process=ProcessTarget(offence.pid, offence.started_at_s, action, rules.grace_s),
    )
