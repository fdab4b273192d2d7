"""What a simulated node remembers for all who give its devices away; a `node.server.Ledger` but for its lock."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field


class SimulatedLedger(Struct):
    """Fences and claims of one simulated node."""

    fences: dict[str, int] = field(default_factory=dict)
    """Highest fence seen, by controller."""
    claimed: list[dict[str, Any]] = field(default_factory=list)

    def fence(self, controller: str) -> int:
        """The highest fence seen from that controller; 0 when none was."""
        return self.fences.get(controller, 0)

    def set_fence(self, controller: str, fence: int) -> None:
        """Remember a fence."""
        self.fences[controller] = fence

    def claims(self) -> list[dict[str, Any]]:
        """Every claim written down."""
        return list(self.claimed)

    def add_claims(self, new: list[dict[str, Any]]) -> None:
        """Write claims of one workload down, in place of any it had."""
        workloads = {claim["workload"] for claim in new}
        self.claimed = [*(claim for claim in self.claimed if claim["workload"] not in workloads), *new]

    def remove_claims(self, workload: str, up_to_attempt: int | None = None) -> None:
        """Forget the claims of a workload: all of them, or those of attempts up to one."""
        self.claimed = [
            claim
            for claim in self.claimed
            if claim["workload"] != workload or (up_to_attempt is not None and claim["attempt"] > up_to_attempt)
        ]
