"""What every engine function takes first: the ports, and a few settings."""

from __future__ import annotations

from dataclasses import dataclass, field

from gpualloc.model.desired import Repartition
from gpualloc.model.identity import RANDOM_BYTES, new_id
from gpualloc.ports import Clock, Fleet, History, Journal, Policy


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the loop that come from the configuration."""

    grace_s: float = 10.0
    """Time between TERM and KILL when a workload is stopped."""
    sample_every_s: float = 10.0
    """Width of the sampling grid."""
    history_retention_s: float = 14 * 86400.0
    """Samples older than this are dropped."""
    repartition: Repartition = Repartition.MODE


@dataclass(frozen=True, slots=True)
class Context:
    """One gpualloc: its world, its state, its policy, and who runs it."""

    fleet: Fleet
    journal: Journal
    history: History
    clock: Clock
    policy: Policy
    actor: str
    """Unix account on whose behalf the command runs."""
    simulated: bool = False
    settings: Settings = field(default_factory=Settings)

    def fresh_id(self, prefix: str) -> str:
        """A new id: `w` for a workload, `p` for a plan, `r` for a run."""
        import secrets  # It brings the whole of OpenSSL, and commands that only look need no id.

        return new_id(prefix, secrets.token_bytes(RANDOM_BYTES))
