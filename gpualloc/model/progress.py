"""How far a workload says it is. Its own word: shown, and never a reason to act."""

from __future__ import annotations

from itertools import combinations, pairwise

from msgspec import Struct

_SILENT_INTERVALS = 5.0
"""A job that told nothing for that many of its longest intervals is not known to go on."""


class Progress(Struct, frozen=True):
    """What the end of a workload's progress file says."""

    step: float | None
    of: float | None
    """How many steps it will be, above 0."""
    loss: float | None
    phase: str | None
    """In the job's own words; untrusted text."""
    age_s: float
    """Seconds since it last told anything."""
    points: tuple[tuple[float, float], ...] = ()
    """(seconds ago, step), oldest first, since it last began or was resumed; empty where it tells no times."""

    @property
    def ratio(self) -> float | None:
        """Part that is done, 0..1; None when it does not tell both numbers."""
        return None if self.step is None or self.of is None else min(1.0, self.step / self.of)

    @property
    def seconds_per_step(self) -> float | None:
        """The middle one of what the pairs of its points say; None with fewer than two, or when it stands."""
        from statistics import median  # slow to load, and few look at work that tells

        paces = [
            (first[0] - later[0]) / (later[1] - first[1])
            for first, later in combinations(self.points, 2)
            if later[1] > first[1]
        ]
        return median(paces) if paces else None

    @property
    def eta_s(self) -> float | None:
        """Seconds until it will have made its last step; None when that cannot be told, or it has gone silent."""
        pace_s = self.seconds_per_step
        if pace_s is None or self.step is None or self.of is None:
            return None
        longest_s = max(one[0] - later[0] for one, later in pairwise(self.points))
        if self.age_s > _SILENT_INTERVALS * longest_s:
            return None
        return max(0.0, (self.of - self.step) * pace_s - self.age_s)
