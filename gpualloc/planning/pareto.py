"""Which of several plans are worth a look: those that no other is better than. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from gpualloc.model.objective import Objective
from gpualloc.model.plan import Plan
from gpualloc.planning.figures import Figures

Tolls = Sequence[float | None]
"""What one choice costs in several ways, lower is better; None is not known."""


class Choice(Struct, frozen=True):
    """A plan that could be applied, in figures."""

    plan: Plan
    figures: Figures
    also: tuple[tuple[Objective, str], ...] = ()
    """Other objectives, each with a policy, whose plan comes to the same figures."""


def dominates(one: Tolls, other: Tolls) -> bool:
    """Whether the one is nowhere worse than the other and somewhere better.

    Only what is known of the other is compared, and all of that must be known of the one: what nobody knows of a choice
    speaks neither for nor against leaving another one out. So nothing dominates itself in a circle.
    """
    better = False
    for mine, its in zip(one, other, strict=True):
        if its is None:
            continue
        if mine is None or mine > its:
            return False
        better = better or mine < its
    return better


def front(choices: Sequence[Tolls]) -> tuple[tuple[int, ...], ...]:
    """Indices of the choices that no other dominates; those that cost the same are together, in the order given."""
    same: dict[tuple[float | None, ...], list[int]] = {}
    for index, tolls in enumerate(choices):
        same.setdefault(tuple(tolls), []).append(index)
    return tuple(tuple(group) for tolls, group in same.items() if not any(dominates(other, tolls) for other in same))
