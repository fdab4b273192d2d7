"""Phases are named from what was measured: where they lie, how long they last, how evenly they come."""

import math
from array import array
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.forecast.phases import MEMORY, POWER, USE, PhaseName, find_phases
from gpualloc.model.forecast import Grid
from gpualloc.sim.use import Pattern, utilization

STEP_S = 10.0


def grid(**series):
    """Series by short name on one grid from second 1000."""
    names = {"use": USE, "memory": MEMORY, "power": POWER}
    values = [float(value) for column in series.values() for value in column]
    ticks = len(next(iter(series.values())))
    return Grid(tuple(names[name] for name in series), 1000.0, STEP_S, ticks, array("d", values))


def use_of(*parts, seed=2):
    """(level, ticks) one after the other, with noise."""
    clean = np.repeat([level for level, _ in parts], [ticks for _, ticks in parts])
    return np.clip(clean + np.random.default_rng(seed).normal(0, 0.02, len(clean)), 0, 1)


def names(found):
    return [phase.name.value for phase in found.phases]


def test_training_begins_slowly_and_has_even_epoch_boundaries():
    use = use_of((0.02, 30), *[(0.9, 60), (0.3, 6)] * 5, (0.9, 40))
    found = find_phases(grid(use=use, memory=np.full(len(use), 4e4)), from_start=True)
    assert names(found) == ["warm-up", *["steady", "epoch boundary"] * 5, "steady"]
    assert found.period_s == 660.0
    assert found.phases[1].start_s == 1000.0 + 300.0
    assert found.phases[1].use == pytest.approx(0.9, abs=0.02)
    assert found.phases[0].effect is None
    assert found.phases[1].effect > 10


def test_a_slow_beginning_is_no_warm_up_when_the_series_begin_later():
    use = use_of((0.3, 30), (0.9, 200))
    assert names(find_phases(grid(use=use), from_start=False)) == ["steady", "steady"]


def test_one_boundary_that_was_missed_does_not_break_the_row():
    use = use_of((0.9, 60), (0.3, 6), (0.9, 60), (0.3, 6), (0.9, 126), (0.3, 6), (0.9, 60), (0.3, 6), (0.9, 30))
    found = find_phases(grid(use=use), from_start=False)
    assert names(found).count("epoch boundary") == 4
    assert found.period_s == 660.0


def test_uneven_dips_to_nothing_are_stalls_only_while_the_memory_stays():
    use = use_of((0.9, 50), (0.01, 8), (0.9, 200), (0.01, 15), (0.9, 90), (0.01, 5), (0.9, 300))
    kept = np.full(len(use), 3e4)
    freed = np.where(use < 0.5, 1e4, 3e4)
    assert names(find_phases(grid(use=use, memory=kept), from_start=True)).count("data stall") == 3
    assert names(find_phases(grid(use=use, memory=freed), from_start=True)).count("dip") == 3
    assert names(find_phases(grid(use=use), from_start=True)).count("dip") == 3


def test_an_uneven_dip_that_still_computes_is_only_a_dip():
    use = use_of((0.9, 150), (0.4, 8), (0.9, 150))
    found = find_phases(grid(use=use, memory=np.full(len(use), 3e4)), from_start=True)
    assert names(found) == ["steady", "dip", "steady"]


def test_low_to_the_end_is_a_tail_and_nothing_at_all_is_idle():
    tail = use_of((0.9, 300), (0.3, 150))
    idle = use_of((0.9, 300), (0.0, 150))
    assert names(find_phases(grid(use=tail), from_start=True)) == ["steady", "tail"]
    assert names(find_phases(grid(use=idle), from_start=True)) == ["steady", "idle"]


def test_a_time_in_which_the_use_was_not_measured_has_no_other_name():
    use = use_of((0.9, 100), (0.9, 100))
    use[100:] = np.nan
    memory = np.repeat([2e4, 5e4], 100)
    found = find_phases(grid(use=use, memory=memory), from_start=True)
    assert names(found) == ["steady", "unknown"]
    assert (found.phases[1].use, found.phases[1].memory_mib, found.phases[1].power_w) == (None, 5e4, None)


def test_nothing_is_said_of_nothing():
    assert find_phases(grid(use=[]), from_start=True).phases == ()
    assert find_phases(Grid(("other",), 0.0, 10.0, 1, array("d", [1.0])), from_start=True).phases == ()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [(Pattern.IDLE, {"idle"}), (Pattern.STEADY, {"steady"}), (Pattern.INFERENCE, {"steady"})],
)
def test_simulated_work_that_does_not_change_is_one_phase(pattern, expected):
    use = [utilization(pattern, 7, at * STEP_S) for at in range(2160)]
    found = find_phases(grid(use=use), from_start=True)
    assert set(names(found)) == expected
    assert len(found.phases) == 1


def test_simulated_training_shows_its_validations():
    use = [utilization(Pattern.TRAINING, 7, at * STEP_S) for at in range(2160)]
    found = find_phases(grid(use=use), from_start=True)
    assert names(found).count("epoch boundary") == 36
    assert found.period_s == 600.0


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 400), st.booleans())
def test_phases_cover_the_time_without_a_gap(seed, ticks, from_start):
    random = np.random.default_rng(seed)
    series = {name: random.choice([0.0, 0.5, 0.95, math.nan], ticks) for name in ("use", "power")}
    found = find_phases(grid(**series), from_start=from_start).phases
    if ticks:
        assert found[0].start_s == 1000.0
        assert found[-1].end_s == 1000.0 + ticks * STEP_S
    assert all(one.end_s == later.start_s for one, later in pairwise(found))
    assert all((one.use is None) == (one.name is PhaseName.UNKNOWN) for one in found)
