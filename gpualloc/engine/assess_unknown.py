"""What a report cannot tell, and why, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from gpualloc.engine.assess_days import LEAST_DAYS
from gpualloc.engine.assess_rows import HOUR_S, UNKNOWN, Row, Ticks
from gpualloc.model.assessment import HolderKind, Holding, Ledger
from gpualloc.model.inventory import Snapshot

_MUCH_RATIO = 0.01
"""A part of the time smaller than this is not worth a sentence."""


class Facts(Struct, frozen=True):
    """What the sentences are made of."""

    snapshot: Snapshot
    asked_s: float
    ticks: Ticks
    total: Ledger
    rows: Sequence[Row]
    """Settled."""
    holdings: Sequence[Holding]
    projected: bool
    """Whether a week could be told of."""


def not_known(facts: Facts) -> tuple[str, ...]:
    """One sentence for each thing that is not known."""
    return (*_of_time(facts), *_of_devices(facts), *_of_holders(facts))


def _of_time(facts: Facts) -> Iterator[str]:
    ticks, total = facts.ticks, facts.total
    before_s = facts.asked_s - ticks.count * ticks.step_s
    if before_s > ticks.step_s:
        yield f"the first {_hours(before_s)} of the {_hours(facts.asked_s)} asked for: the first sample is later"
    if total.unknown_h > _MUCH_RATIO * total.all_h:
        part = 100 * total.unknown_h / total.all_h
        yield f"{part:.0f} % of the GPU time since then: not sampled, or the readings do not tell"
    if not facts.projected:
        yield f"how much days differ: fewer than {LEAST_DAYS} of them are known well enough, so no week is projected"


def _of_devices(facts: Facts) -> Iterator[str]:
    total, rows = facts.total, facts.rows
    sampled = {row.uuid for row in rows}
    devices = [device for node in facts.snapshot.reached for device in node.devices]
    mute = sum(1 for row in rows if row.states.count(UNKNOWN) == len(row.states))
    if mute:
        partitioned = sum(1 for device in devices if device.mig_enabled and device.uuid in sampled)
        why = f" ({partitioned} in MIG mode, of which the driver tells no use)" if partitioned else ""
        yield f"what {mute} of {len(rows)} GPUs did at any time{why}"
    absent = sum(1 for device in devices if device.uuid not in sampled)
    if absent:
        yield f"anything of {absent} GPUs that are there now and were never sampled in this time"
    unpowered_h = total.all_h - total.unknown_h - total.energy_known_h
    if unpowered_h > _MUCH_RATIO * total.all_h:
        yield f"the power of {100 * unpowered_h / total.known_h:.0f} % of the known GPU time"
    unpriced = sum(1 for row in rows if row.price is None)
    if unpriced:
        yield f"the cost of {unpriced} of {len(rows)} GPUs: their pools have no price_per_gpu_hour"


def _of_holders(facts: Facts) -> Iterator[str]:
    unseen_h = sum(one.held_h for one in facts.holdings if one.kind is HolderKind.UNSEEN)
    if unseen_h > 0:
        yield f"who had GPUs for {unseen_h:.1f} GPU-hours: processes that were gone before anybody looked"
    foreign = [node.name for node in facts.snapshot.reached if not node.manageable]
    if foreign:
        yield f"what may be changed on {', '.join(foreign)}: another controller owns it, gpualloc only observes"
    away = [node.name for node in facts.snapshot.nodes if node not in facts.snapshot.reached]
    if away:
        yield f"who has the GPUs of {', '.join(away)} now: no answer"


def _hours(seconds: float) -> str:
    hours = seconds / HOUR_S
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"
