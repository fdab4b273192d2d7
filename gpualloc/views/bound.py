"""How little any policy could leave idle."""

from __future__ import annotations

from gpualloc.model.shapes import GPU_MILLI
from gpualloc.policies.bound import Bound
from gpualloc.views.look import Look, Role
from gpualloc.views.text import plural


def bound_data(bound: Bound, at_pct: float) -> dict[str, object]:
    """`data` of `simulate bound --json`."""
    return {
        "simulated": True,
        "at_pct": at_pct,
        "unallocated_pct": round(bound.unallocated_pct, 6),
        "allocated_milli": bound.allocated_milli,
        "capacity_milli": bound.capacity_milli,
        "cpu_only_left": bound.cpu_only_left,
        "variables": bound.variables,
        "rows": bound.rows,
    }


def bound_text(bound: Bound, at_pct: float, label: str, look: Look) -> str:
    """The bound in words; `label` tells the order of arrival."""
    least = look.paint(f"{bound.unallocated_pct:.2f} %", Role.STRONG)
    gpus = f"{bound.capacity_milli / GPU_MILLI:,.0f} GPUs"
    lines = [
        f"{label}, {look.paint('simulated', Role.WARN)}: at load {at_pct:g} no policy can leave less idle than {least}",
        f"of the {gpus}: not with migration, refusals and full knowledge of what comes,",
        "as long as all CPU-only tasks are served.",
    ]
    if bound.cpu_only_left:
        lines.append(f"{plural(bound.cpu_only_left, 'CPU-only task')} cannot be served at all.")
    return "\n".join([*lines, f"linear programme of {bound.variables:,} variables in {bound.rows:,} rows"])
