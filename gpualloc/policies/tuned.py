"""What a search for a better profile found."""

from __future__ import annotations

from msgspec import Struct

from gpualloc.policies.profile import Profile


class Standing(Struct, frozen=True):
    """How good a policy is on some orders; all figures are means over them."""

    score: float
    """Percentage points that stay unallocated above the reference's, mean of the loads, and what starving costs."""
    unallocated_pct: dict[str, float]
    """By load in percent."""
    failed_gangs_pct: float
    """Part of the gangs that got no place."""
    failed_cpu_only_pct: float
    """Part of the CPU-only tasks that got no place."""


class Pair(Struct, frozen=True):
    """The same policy on both kinds of orders."""

    training: Standing
    validation: Standing


class Tuned(Struct, frozen=True):
    """What a search found."""

    profile: Profile | None
    """The best by validation; None when nothing was validated."""
    reference: Pair
    before: Pair
    """By what the policy decides already."""
    after: Pair | None
    generations: int
    candidates: int
    ended: str
    """Why: `budget`, `patience`, `time`, `interrupted` or `exhausted` (no more to propose)."""

    @property
    def better(self) -> bool:
        """Whether it beats, on the validation orders, what the policy decides by already."""
        return self.after is not None and self.after.validation.score < self.before.validation.score - 1e-9
