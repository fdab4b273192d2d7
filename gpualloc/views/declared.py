"""A declared profile in words."""

from __future__ import annotations

from collections.abc import Sequence

from gpualloc.model.declared import DeclaredPhase
from gpualloc.views.text import duration, escape, memory, percent

_MOST_SHOWN = 8


def declared_facts(declared: Sequence[DeclaredPhase]) -> list[tuple[str, str]]:
    """A fact for each declared phase, the first one labelled; of many only the first ones, and how many more."""
    told = [_phase_text(phase) for phase in declared[:_MOST_SHOWN]]
    if len(declared) > _MOST_SHOWN:
        told.append(f"and {len(declared) - _MOST_SHOWN} more")
    return [("" if number else "declared", text) for number, text in enumerate(told)]


def _phase_text(phase: DeclaredPhase) -> str:
    parts = ["to the end" if phase.for_s is None else f"for {duration(phase.for_s)}"]
    if phase.gpu is not None:
        parts.append(f"{percent(phase.gpu)} of each GPU")
    if phase.memory_mib is not None:
        parts.append(f"{memory(phase.memory_mib)} GPU memory")
    name = "" if phase.phase is None else f"{escape(phase.phase)}: "
    return name + ", ".join(parts)
