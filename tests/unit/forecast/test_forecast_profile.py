"""What work will use next: as it was for as long as it was so, then as earlier runs were, then as declared."""

from array import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.forecast.phases import MEMORY, USE
from gpualloc.forecast.profile import Source, demand_profile
from gpualloc.forecast.regime import Past
from gpualloc.model.declared import DeclaredPhase
from gpualloc.model.forecast import Grid

STEP_S = 10.0
HOUR = 3600.0


def past(*parts, memory=40_000.0, seed=1, noise=0.02):
    """A run of (use, seconds) one after the other; None is not measured."""
    use = np.concatenate([
        np.full(round(seconds / STEP_S), np.nan if level is None else level) for level, seconds in parts
    ])  # fmt: skip
    use = np.clip(use + np.random.default_rng(seed).normal(0, noise, len(use)), 0, 1)
    held = np.broadcast_to(memory, len(use))
    return Past(Grid((USE, MEMORY), 0.0, STEP_S, len(use), array("d", [*use, *held])))


def epochs(count, busy_s=540.0, dip_s=60.0):
    return [part for _ in range(count) for part in ((0.9, busy_s), (0.2, dip_s))]


def test_steady_work_goes_on():
    (demand,) = demand_profile(past((0.8, 2 * HOUR)), (), (), [HOUR])
    assert demand.use_source is Source.OWN
    assert demand.use.low <= demand.use.median <= demand.use.high
    assert demand.use.median == pytest.approx(0.8, abs=0.02)
    assert (demand.memory_mib.high, demand.memory_sources) == (40_000.0, (Source.OWN,))


def test_what_was_before_the_last_lasting_change_does_not_count():
    run = past((0.05, 600), (0.3, 2 * HOUR), (0.9, HOUR))
    assert demand_profile(run, (), (), [1800.0])[0].use.low > 0.8


def test_epochs_go_on_where_they_are():
    run = past(*epochs(6))
    busy, dip = demand_profile(run, (), (), [530.0, 590.0])
    assert busy.use.median == pytest.approx(0.9, abs=0.03)
    assert dip.use.median == pytest.approx(0.2, abs=0.15)
    (long,) = demand_profile(run, (), (), [HOUR])
    assert long.use.median == pytest.approx(0.83, abs=0.03)


def test_the_peak_of_the_memory_is_kept_in_mind():
    memory = np.full(720, 30_000.0)
    memory[5:8] = 70_000.0
    (demand,) = demand_profile(past((0.9, 2 * HOUR), memory=memory), (), (), [HOUR])
    assert (demand.memory_mib.median, demand.memory_mib.high) == (30_000.0, 70_000.0)


def test_before_it_starts_earlier_runs_speak_at_their_age():
    runs = [past((0.1, 600), (0.9, HOUR), seed=seed, memory=10_000.0 * seed) for seed in (1, 2, 3)]
    first, later = demand_profile(None, runs, (), [600.0, 1800.0])
    assert first.use.median == pytest.approx(0.1, abs=0.05)
    assert later.use.median == pytest.approx(0.9, abs=0.02)
    assert (first.use_source, first.memory_sources) == (Source.OTHERS, (Source.OTHERS,))
    assert (first.memory_mib.median, first.memory_mib.high) == (20_000.0, 30_000.0)


def test_runs_that_were_over_by_then_say_nothing():
    assert demand_profile(None, [past((0.9, HOUR))], (), [HOUR, 3 * HOUR])[1].use is None


def test_further_ahead_than_it_was_so_earlier_runs_know_better():
    own = past((0.9, 1800))
    runs = [past((0.9, HOUR), (0.3, 3 * HOUR), seed=seed) for seed in (4, 5, 6)]
    near, far = demand_profile(own, runs, (), [900.0, 2 * HOUR])[0], demand_profile(own, runs, (), [HOUR, 3 * HOUR])[1]
    assert (near.use_source, far.use_source) == (Source.OWN, Source.OTHERS)
    assert far.use.median == pytest.approx(0.3, abs=0.02)
    assert demand_profile(own, (), (), [HOUR, 3 * HOUR])[1].use_source is Source.OWN, "nobody else knows"


DECLARED = (DeclaredPhase(600.0, 0.1, 5000), DeclaredPhase(HOUR, 0.9, 20_000), DeclaredPhase(None, 0.4))


def test_what_was_declared_counts_where_nothing_was_measured():
    found = demand_profile(None, (), DECLARED, [600.0, HOUR, 2 * HOUR], gpus=2)
    assert [demand.use.median for demand in found] == [0.1, 0.9, 0.4]
    assert {demand.use_source for demand in found} == {Source.DECLARED}
    assert [demand.memory_mib and demand.memory_mib.high for demand in found] == [10_000.0, 40_000.0, None]


def test_the_own_past_speaks_for_its_phase_and_the_declared_for_the_next_one():
    own = past((0.1, 600), (0.6, 1800))
    now, next_phase = demand_profile(own, (), DECLARED, [1200.0, 2 * HOUR])
    assert (now.use_source, next_phase.use_source) == (Source.OWN, Source.DECLARED)
    assert now.use.median == pytest.approx(0.6, abs=0.02)
    assert next_phase.use.median == 0.4
    assert now.memory_mib.high == 40_000.0, "measured more than declared"


def test_a_declared_profile_that_is_over_says_nothing():
    assert demand_profile(None, (), DECLARED[:1], [600.0, 1200.0])[1].use is None


def test_work_that_only_warms_up_does_not_speak_for_itself():
    own = past((0.02, 300), (0.9, 60))
    assert demand_profile(own, (), DECLARED, [600.0])[0].use_source is Source.DECLARED


def test_what_nobody_knows_is_unknown():
    (demand,) = demand_profile(past((None, HOUR), memory=np.nan), (), (), [HOUR])
    assert (demand.use, demand.use_source, demand.memory_mib, demand.memory_sources) == (None, None, None, ())
    assert demand_profile(None, (), (), []) == ()


@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 300),
    st.lists(st.floats(1.0, 20_000.0), max_size=5, unique=True),
)
def test_bands_are_in_order_and_the_peak_is_never_below_the_own_one(seed, ticks, horizons):
    random = np.random.default_rng(seed)
    use, memory = random.choice([0.0, 0.5, 0.95, np.nan], ticks), random.choice([1e4, 5e4, np.nan], ticks)
    own = Past(Grid((USE, MEMORY), 0.0, STEP_S, ticks, array("d", [*use, *memory])))
    found = demand_profile(own, [own], DECLARED, sorted(horizons))
    assert [demand.end_s for demand in found] == sorted(horizons)
    for demand in found:
        for band in (demand.use, demand.memory_mib):
            assert band is None or band.low <= band.median <= band.high
        if not np.isnan(memory).all():
            assert demand.memory_mib.high >= np.nanmax(memory)
