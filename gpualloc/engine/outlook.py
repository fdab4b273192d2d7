"""What is expected of demand and of running work, and how old the inputs of that are."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from gpualloc.model.forecast import QUANTILES, Band

SNAPSHOT, HISTORY, DEMAND, RUN_TIMES = "snapshot", "history", "demand", "run times"
"""Names of the inputs that a move may rest on, as keys of `Outlook.ages`."""


class Outlook(Struct, frozen=True):
    """The hours ahead as far as they can be told; what is missing cannot."""

    horizons_s: tuple[float, ...] = ()
    """Ascending."""
    demand: Mapping[str, tuple[Band | None, ...]] = field(default_factory=dict)
    """GPUs wanted, held and waited for together, by pool, at each horizon."""
    remaining_s: Mapping[str, Band] = field(default_factory=dict)
    """How long running work goes on yet, by workload id."""
    use: Mapping[str, Band] = field(default_factory=dict)
    """Highest compute use of running work until the last horizon, 0..1 of one device, by workload id."""
    idle_s: Mapping[str, float] = field(default_factory=dict)
    """For how long running work was measured, without a gap, to use none of its devices, by workload id."""
    idle_devices: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """UUIDs of the devices of running work that it was measured, without a gap, to use for nothing for
    `rebalance.idle_after`, by workload id."""
    instances: Mapping[str, Band] = field(default_factory=dict)
    """Requests for MIG instances expected until the last horizon, by profile."""
    ages: Mapping[str, float | None] = field(default_factory=dict)
    """Age in seconds of each input; None where it is not known."""

    def forecast(self, pool: str) -> tuple[tuple[float, Band], ...]:
        """Horizon and band of the pool's demand, without those that cannot be told."""
        bands = self.demand.get(pool, ())
        return tuple((at_s, band) for at_s, band in zip(self.horizons_s, bands, strict=False) if band is not None)


def expected_excess(band: Band, level: float) -> float:
    """By how much the value exceeds the level in the mean.

    The distribution is taken as straight lines between the known quantiles, and as ending at the outer ones: what
    lies beyond the band is not counted, so that this errs to the low side.
    """
    edges = (band.low, band.median, band.high)
    excess = 0.0
    for low, high, share in zip(edges[:-1], edges[1:], _SHARES, strict=True):
        if level <= low:
            excess += share * ((low + high) / 2 - level)
        elif level < high:
            excess += share * (high - level) ** 2 / (2 * (high - low))
    return excess


_SHARES = (QUANTILES[1] - QUANTILES[0], QUANTILES[2] - QUANTILES[1])
