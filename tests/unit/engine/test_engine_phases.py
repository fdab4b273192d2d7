"""Phases and demand of a workload from samples in a real history."""

import math

import pytest
from fakes import sample_world as world
from fakes.memory_context import MemoryJournal, memory_context
from msgspec.structs import replace

from gpualloc.engine.phases import HORIZONS_S, demand_of, phases_of
from gpualloc.errors import NotFoundError
from gpualloc.forecast.profile import Source
from gpualloc.model.declared import DeclaredPhase
from gpualloc.model.sample import Sample, SeriesKey, SeriesKind
from gpualloc.model.workload import WorkloadState
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths

WORK = world.WORKLOADS[0]
BEGAN_S = WORK.started_at_s


@pytest.fixture
def history(tmp_path):
    opened = SqliteHistory(StatePaths(tmp_path))
    yield opened
    opened.close()


def keep(history, use_at, workload=WORK, node="gpu01", from_s=None, to_s=world.NOW_S, step_s=10):
    """A sample each `step_s`: use as told for the seconds since its start, None where it tells None."""
    begin_s = workload.started_at_s if from_s is None else from_s
    for at_s in range(int(begin_s // step_s * step_s), int(to_s), step_s):
        use = use_at(at_s - workload.started_at_s)
        values = {"gpu_utilization_ratio": use, "gpu_memory_used_mib": 3e4, "power_w": 300.0}
        key = SeriesKey(SeriesKind.WORKLOAD, node, workload.id)
        history.append([Sample(key, at_s, values)])


def training(age_s):
    return 0.05 if age_s < 300 else 0.3 if (age_s - 300) % 600 >= 540 else 0.9


def names(found):
    return [phase.name.value for phase in found.found.phases]


def test_a_run_is_seen_from_its_start(history):
    keep(history, training)
    found = phases_of(memory_context(history=history), WORK.id)
    assert found.from_start
    assert names(found)[:3] == ["warm-up", "steady", "epoch boundary"]
    assert found.found.period_s == 600.0
    assert [demand.end_s for demand in found.demand] == list(HORIZONS_S)
    assert found.demand[0].use_source is Source.OWN
    assert found.demand[0].memory_mib.high == 30_000.0


def test_only_the_newest_part_is_looked_at_when_asked(history):
    keep(history, training)
    found = phases_of(memory_context(history=history), WORK.id, since_s=1800)
    assert not found.from_start
    assert found.grid.ticks * found.grid.step_s == pytest.approx(1800, abs=20)
    assert "warm-up" not in names(found)


def test_ticks_without_a_sample_are_gaps(history):
    keep(history, training, to_s=BEGAN_S + 1000)
    keep(history, lambda _: None, from_s=BEGAN_S + 3000, to_s=BEGAN_S + 3500)
    keep(history, training, from_s=BEGAN_S + 5000)
    grid = phases_of(memory_context(history=history), WORK.id).grid
    assert (grid.step_s, grid.ticks) == (10.0, 720)
    assert math.isnan(grid.values[200])
    assert math.isnan(grid.values[310])
    assert grid.values[700] == pytest.approx(0.9)
    assert (math.isnan(grid.values[720 + 200]), grid.values[720 + 310]) == (True, 30_000.0)


def test_of_several_nodes_the_mean_and_the_sum_are_told_where_all_are_known(history):
    keep(history, lambda _: 0.9)
    keep(history, lambda age_s: 0.5 if age_s < 3600 else None, node="gpu02")
    grid = phases_of(memory_context(history=history), WORK.id).grid
    assert grid.values[100] == pytest.approx(0.7)
    assert math.isnan(grid.values[500])
    assert grid.values[720 + 100] == 60_000.0


def test_earlier_runs_of_the_same_owner_and_name_speak(history):
    earlier = replace(
        WORK, id="w0000000a", state=WorkloadState.FINISHED, started_at_s=BEGAN_S - 40_000, ended_at_s=BEGAN_S - 4000
    )
    stranger = replace(earlier, id="w0000000b", owner="eve")
    fresh = replace(WORK, started_at_s=world.NOW_S - 60)
    keep(history, lambda age_s: 0.8, earlier, to_s=earlier.started_at_s + 4000)
    keep(history, lambda age_s: 0.1, stranger, to_s=stranger.started_at_s + 4000)
    keep(history, lambda age_s: 0.05, fresh)
    ctx = memory_context(history=history, journal=MemoryJournal((earlier, stranger, fresh)))
    found = phases_of(ctx, fresh.id)
    assert found.others == 1
    assert found.demand[0].use_source is Source.OTHERS
    assert found.demand[0].use.median == pytest.approx(0.8)


def test_ended_work_has_phases_and_no_demand(history):
    ended = replace(WORK, state=WorkloadState.FINISHED, ended_at_s=world.NOW_S - 600)
    keep(history, training, to_s=ended.ended_at_s)
    found = phases_of(memory_context(history=history, journal=MemoryJournal((ended,))), ended.id)
    assert names(found)[0] == "warm-up"
    assert found.demand == ()


def test_one_sample_is_one_phase_and_none_is_an_error(history):
    ctx = memory_context(history=history)
    with pytest.raises(NotFoundError, match="nothing was sampled of w00000001"):
        phases_of(ctx, WORK.id)
    with pytest.raises(NotFoundError, match="there is no workload"):
        phases_of(ctx, "nobody")
    keep(history, training, to_s=BEGAN_S + 10)
    assert len(phases_of(ctx, WORK.id).found.phases) == 1


def test_waiting_work_is_expected_to_do_as_earlier_runs_did_and_as_declared(history):
    earlier = replace(WORK, id="w0000000a", state=WorkloadState.FINISHED, ended_at_s=BEGAN_S + 3600)
    declared = replace(WORK.request, declared=(DeclaredPhase(None, 0.4, 1000),))
    waits = replace(WORK, state=WorkloadState.PENDING, started_at_s=None, allocation=None, request=declared)
    keep(history, lambda age_s: 0.8, earlier, to_s=BEGAN_S + 3600)
    ctx = memory_context(history=history, journal=MemoryJournal((earlier, waits)))
    soon, later = demand_of(ctx, waits, (1800.0, 4 * 3600.0))
    assert (soon.use_source, soon.use.median) == (Source.OTHERS, pytest.approx(0.8))
    assert soon.memory_mib.high == 30_000.0
    assert (later.use_source, later.use.median) == (Source.OTHERS, pytest.approx(0.8)), "as far as it ran"
    assert demand_of(memory_context(history=history), waits, (1800.0,))[0].use_source is Source.DECLARED
