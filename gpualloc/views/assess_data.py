"""The report of `gpualloc assess` as JSON."""

from __future__ import annotations

from gpualloc.model.assessment import Assessment, Holding, Ledger, Saving, Sized, Span, Waits


def assessment_data(report: Assessment) -> dict[str, object]:
    """`data` of `assess --json`."""
    return {
        "simulated": report.simulated,
        "at_s": report.at_s,
        "asked_s": report.asked_s,
        "from_s": report.from_s,
        "to_s": report.to_s,
        "tick_s": report.step_s,
        "days_seen": report.days_seen,
        "devices": report.devices,
        "time": _ledger_data(report.total),
        "nodes": [
            {"node": one.node, "pool": one.pool, "devices": one.devices, **_ledger_data(one.ledger)}
            for one in report.nodes
        ],
        "timeline": [
            {
                "at_s": one.at_s,
                "used": one.used,
                "held_idle": one.held_idle,
                "free": one.free,
                "unknown": one.unknown,
                "use_ratio": one.use_ratio,
            }
            for one in report.moments
        ],
        "waits": _waits_data(report.waits),
        "holders": [_holder_data(one) for one in report.holdings],
        "owners": [
            {
                "owner": one.owner,
                "holders": one.holders,
                "held_h": one.held_h,
                "idle_h": one.idle_h,
                "use_ratio": one.use_ratio,
                "idle_cost": one.idle_cost,
            }
            for one in report.owners
        ],
        "right_sizes": [size_data(one) for one in report.sizes],
        "savings": [_saving_data(one) for one in report.savings],
        "at_most_gpu_h": report.at_most_h,
        "unknown": list(report.unknown),
    }


def _waits_data(waits: Waits) -> dict[str, object]:
    return {
        "workloads": waits.workloads,
        "hours": waits.wait_h,
        "longest_h": waits.longest_h,
        "fitted_h": waits.fitted_h,
        "scattered_h": waits.scattered_h,
        "full_h": waits.full_h,
        "unknown_h": waits.unknown_h,
    }


def size_data(one: Sized) -> dict[str, object]:
    """A request that is far from its use."""
    return {
        "id": one.id,
        "name": one.name,
        "owner": one.owner,
        "observed_h": one.observed_h,
        "asked": one.asked,
        "proposed": one.proposed,
        "why": list(one.why),
        "saved_gpu_h": one.saved_gpu_h,
    }


def _ledger_data(ledger: Ledger) -> dict[str, object]:
    powered, priced = ledger.energy_known_h > 0, ledger.priced_h > 0
    return {
        "all_h": ledger.all_h,
        "used_h": ledger.used_h,
        "held_idle_h": ledger.held_idle_h,
        "free_h": ledger.free_h,
        "unknown_h": ledger.unknown_h,
        "use_ratio": ledger.use_ratio,
        "idle_memory_gib_h": ledger.idle_memory_gib_h,
        "held_idle_while_waited_h": ledger.held_idle_waited_h,
        "free_while_waited_h": ledger.free_waited_h,
        "energy": {
            "known_h": ledger.energy_known_h,
            "kwh": ledger.energy_kwh if powered else None,
            "held_idle_kwh": ledger.held_idle_kwh if powered else None,
            "free_kwh": ledger.free_kwh if powered else None,
        },
        "cost": {
            "priced_h": ledger.priced_h,
            "all": ledger.cost if priced else None,
            "held_idle": ledger.held_idle_cost if priced else None,
            "free": ledger.free_cost if priced else None,
        },
    }


def _holder_data(one: Holding) -> dict[str, object]:
    return {
        "kind": one.kind.value,
        "id": one.id,
        "name": one.name,
        "owner": one.owner,
        "devices": one.devices,
        "held_h": one.held_h,
        "idle_h": one.idle_h,
        "use_ratio": one.use_ratio,
        "idle_memory_gib_h": one.idle_memory_gib_h,
        "idle_cost": one.idle_cost,
    }


def _saving_data(one: Saving) -> dict[str, object]:
    return {
        "lever": one.lever.value,
        "gpu_h": _span_data(one.gpu_h),
        "kwh": _span_data(one.kwh),
        "cost": _span_data(one.cost),
        "a_week": _span_data(one.a_week),
        "assumes": list(one.assumes),
    }


def _span_data(span: Span | None) -> dict[str, float] | None:
    return None if span is None else {"low": span.low, "high": span.high}
