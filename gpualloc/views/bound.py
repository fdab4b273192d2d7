"""How little any policy could leave idle."""

from __future__ import annotations

from typing import Protocol

from gpualloc.model.shapes import GPU_MILLI
from gpualloc.policies.bound import Bound
from gpualloc.views.look import Look, Role
from gpualloc.views.text import plural


class Packed(Protocol):
    """What a policy made of all that has arrived, at once."""

    @property
    def unallocated_pct(self) -> float:
        """What is left idle, in percent of all GPUs."""
        ...

    @property
    def left(self) -> int:
        """Tasks without a place."""
        ...

    @property
    def violations(self) -> int:
        """Answers that broke the cluster's limits."""
        ...


def bound_data(bound: Bound, at_pct: float, packed: Packed | None = None) -> dict[str, object]:
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
        "batch": None
        if packed is None
        else {
            "unallocated_pct": round(packed.unallocated_pct, 6),
            "left": packed.left,
            "violations": packed.violations,
        },
    }


def bound_text(bound: Bound, at_pct: float, label: str, look: Look, packed: Packed | None = None) -> str:
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
    if packed is not None:
        told = look.paint(f"{packed.unallocated_pct:.2f} %", Role.STRONG)
        lines.append(f"batch, given all of it at once, leaves {told} idle and {plural(packed.left, 'task')} out.")
    return "\n".join([*lines, f"linear programme of {bound.variables:,} variables in {bound.rows:,} rows"])
