"""The energy counter of a simulated GPU."""

from __future__ import annotations

from msgspec import Struct

_GRID_S = 10.0
"""Energy is summed up in steps of this length, so that looking alone does not change what is stored."""


class EnergyMeter(Struct):
    """What was taken since the driver was loaded. It goes by mean power, so that it never falls."""

    taken_j: float = 0.0
    until_s: float | None = None
    """Epoch seconds up to which it is summed up; None until time passes for the first time."""

    def let_pass(self, until_s: float, power_w: float) -> None:
        """Sum up until then, in whole steps; to be called before the power changes."""
        if self.until_s is None:
            self.until_s = until_s
        whole_s = (until_s - self.until_s) // _GRID_S * _GRID_S
        if whole_s > 0:
            self.taken_j += power_w * whole_s
            self.until_s += whole_s

    def at(self, at_s: float, power_w: float) -> float:
        """Joules until then."""
        return round(self.taken_j + power_w * max(0.0, at_s - (at_s if self.until_s is None else self.until_s)), 3)
