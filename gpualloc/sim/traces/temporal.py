"""What plans over time came to."""

from __future__ import annotations

from msgspec import Struct

from gpualloc.sim.traces.demand import Demand
from gpualloc.sim.traces.demand_referee import Verdict


class MoveTold(Struct, frozen=True):
    """A move and why it was made."""

    at_s: float
    item: str
    source: int
    """Number of the GPU that it leaves."""
    target: int
    """Number of the GPU that it goes to."""
    cause: str
    """overload, memory, emptied, room or cheaper."""
    forecast: str | None
    """Item whose forecast is the reason; None when the reason is not what a single item is expected to do."""
    when_s: float
    """Time in which the reason shows."""
    load: float
    """Compute that would be asked of the source then if the item stayed, in GPUs; of `emptied` and `cheaper` what is
    asked of the target with it."""


class Played(Struct, frozen=True, eq=False):
    """What one policy came to."""

    policy: str
    verdict: Verdict
    seconds: float
    """How long it thought."""
    complete: bool = True
    """False when the deadline cut its search short."""


class TemporalResult(Struct, frozen=True, eq=False):
    """What a policy came to, and what stands beside it."""

    demand: Demand
    gpu_memory_gib: float
    forecast: str
    """What was known beforehand: `perfect`, or the name of the forecaster."""
    seed: int
    played: Played
    peers: tuple[Played, ...]
    """Simpler packings, which know all peaks."""
    bound: int
    """GPUs that any plan needs at least, whatever it moves and whatever it knows."""
    bound_kind: str
    bound_at_s: float
    moves: tuple[MoveTold, ...]
    plans: int = 1
    """How many times a plan was made."""

    @property
    def saved_ratio(self) -> float:
        """Part of the GPUs of `peak` that the policy does without, 0..1; below 0 when it needs more."""
        peak = next(peer.verdict.needed for peer in self.peers if peer.policy == "peak")
        return 1 - self.played.verdict.needed / peak
