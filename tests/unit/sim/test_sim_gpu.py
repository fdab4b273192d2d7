"""One simulated GPU: MIG changes, ids, readings, faults, plain JSON."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.errors import ConfigError
from gpualloc.sim.catalog import find
from gpualloc.sim.gpu import FaultKind, GpuModel, GpuProcess, GpuRefusal
from gpualloc.sim.rows import inventory_row, sample_row
from gpualloc.sim.use import Pattern, utilization


def gpu(model: str = "A100-40GB", *, mig: bool = True, **fields: Any) -> GpuModel:
    return GpuModel(find(model), "GPU-1", 0, mig_enabled=mig, mig_pending=mig, **fields)


def process(pid: int = 7, memory_mib: int = 1000, instance: str | None = None) -> GpuProcess:
    return GpuProcess(pid, "ann", "python", 0.0, memory_mib, Pattern.STEADY, instance)


def reason(raised: pytest.ExceptionInfo[GpuRefusal]) -> str:
    return raised.value.reason


def test_instances_are_made_and_destroyed() -> None:
    model = gpu()
    made = model.create_instance("3g.20gb")
    assert (made.start, made.profile.size) == (4, 4)
    assert model.create_instance("3g.20gb", start=0).uuid != made.uuid
    with pytest.raises(GpuRefusal) as raised:
        model.create_instance("1g.5gb")
    assert reason(raised) == "insufficient resources"
    model.destroy_instance(made.uuid)
    assert model.free_instances()["1g.5gb"] == 3
    with pytest.raises(GpuRefusal) as raised:
        model.destroy_instance(made.uuid)
    assert reason(raised) == "not found"


@pytest.mark.parametrize(
    ("mig", "profile", "start", "expected"),
    [
        (False, "1g.5gb", None, "not supported"),
        (True, "9g.99gb", None, "not supported"),
        (True, "2g.10gb", 1, "invalid argument"),
    ],
)
def test_impossible_instances_are_refused(mig: bool, profile: str, start: int | None, expected: str) -> None:
    with pytest.raises(GpuRefusal) as raised:
        gpu(mig=mig).create_instance(profile, start)
    assert reason(raised) == expected


def test_an_instance_made_again_has_its_old_uuid_and_a_new_generation() -> None:
    model = gpu()
    first = model.create_instance("7g.40gb")
    model.destroy_instance(first.uuid)
    again = model.create_instance("7g.40gb")
    assert (again.uuid, again.generation) == (first.uuid, first.generation + 1)


@pytest.mark.parametrize("scrambled", [False, True])
def test_instance_ids_tell_nothing_of_the_place(scrambled: bool) -> None:
    model = gpu(scrambled_ids=scrambled, seed=3)
    ids = [model.create_instance("1g.5gb").gi for _ in range(7)]
    assert len(set(ids)) == 7
    assert (ids == sorted(ids)) is not scrambled


def test_a_used_instance_is_not_destroyed() -> None:
    model = gpu()
    made = model.create_instance("1g.5gb")
    model.processes.append(process(instance=made.uuid))
    with pytest.raises(GpuRefusal) as raised:
        model.destroy_instance(made.uuid)
    assert reason(raised) == "in use"
    assert model.memory_used_mib(made.uuid) == 1000


def test_mig_mode_stays_pending_while_the_gpu_is_used() -> None:
    model = gpu(mig=False)
    model.processes.append(process())
    assert model.set_mig_mode(True) == "in use"
    assert (model.mig_enabled, model.mig_pending) == (False, True)
    model.reset()
    assert (model.mig_enabled, model.processes) == (True, [])


@pytest.mark.parametrize(("model", "activation"), [("A100-40GB", "in use"), ("H100-80GB", "ok")])
def test_a_monitor_blocks_the_mode_change_only_where_it_needs_a_reset(model: str, activation: str) -> None:
    assert gpu(model, mig=False).set_mig_mode(True, clients=True) == activation


@pytest.mark.parametrize(("model", "kept"), [("A100-40GB", True), ("H100-80GB", False)])
def test_a_driver_reload_drops_instances_and_on_hopper_the_mode(model: str, kept: bool) -> None:
    reloaded = gpu(model)
    reloaded.create_instance(reloaded.kind.mig.profiles[0].name)  # type: ignore[union-attr]
    reloaded.reload_driver()
    assert (reloaded.instances, reloaded.mig_enabled) == ([], kept)


def test_mig_mode_of_a_model_without_mig_is_refused() -> None:
    with pytest.raises(ConfigError, match="no MIG"):
        gpu("T4", mig=False).set_mig_mode(True)


def test_cuda_work_runs_on_instances_only_in_mig_mode() -> None:
    model = gpu()
    made = model.create_instance("1g.5gb")
    assert (model.can_run(None), model.can_run(made.uuid), model.can_run("MIG-x")) == (False, True, False)
    assert (gpu(mig=False).can_run(None), gpu(mig=False).can_run("MIG-x")) == (True, False)


def test_readings_follow_the_processes() -> None:
    idle, busy = gpu(mig=False), gpu(mig=False)
    busy.processes.append(process(memory_mib=30_000))
    quiet, loaded = idle.readings(100.0), busy.readings(100.0)
    assert quiet.gpu_utilization_ratio == 0.0
    assert loaded.gpu_utilization_ratio is not None
    assert 0.8 <= loaded.gpu_utilization_ratio <= 0.95
    assert loaded.memory_used_mib - quiet.memory_used_mib == 30_000
    assert (loaded.power_w or 0) > (quiet.power_w or 0) > 0
    assert loaded.temperature_c > quiet.temperature_c


def test_what_a_mode_or_model_does_not_tell_is_null_with_its_reason() -> None:
    in_mig = sample_row(gpu(), None, 0.0)
    assert {name for name, why in in_mig["unavailable"].items() if why == "mig"} == {
        "gpu_utilization_ratio",
        "memory_utilization_ratio",
        "encoder_utilization_ratio",
        "decoder_utilization_ratio",
        "ecc.remapped_corrected",
        "ecc.remapped_uncorrected",
        "ecc.remap_pending",
        "ecc.remap_failed",
    }
    unknown_power = sample_row(gpu("B300", mig=False), None, 0.0)
    assert unknown_power["power_w"] is None
    assert unknown_power["unavailable"]["power_w"] == "not supported"
    assert inventory_row(gpu("T4", mig=False), None)["mig_enabled"] is None


@pytest.mark.parametrize(
    ("kind", "state", "why"),
    [
        (FaultKind.HUNG, "driver not answering", "hung"),
        (FaultKind.LOST, "GPU lost", "lost"),
        (FaultKind.NEEDS_RESET, "needs reset", "failed"),
        (FaultKind.NO_PERMISSION, "no permission", "no permission"),
    ],
)
def test_a_sick_gpu_tells_its_state_and_no_readings(kind: FaultKind, state: str, why: str) -> None:
    row = sample_row(gpu(mig=False), (kind, 60.0), 90.0)
    assert (row["state"], row["reason"]) == (state, "simulated fault since 1970-01-01T00:01:00Z")
    assert (row["memory_used_mib"], row["power_limit_w"]) == (None, None)
    assert set(row["unavailable"].values()) == {why}


@settings(deadline=None)
@given(st.sampled_from(Pattern), st.integers(0, 2**32), st.floats(0, 1e8))
def test_use_is_a_fixed_ratio_at_every_age(pattern: Pattern, seed: int, age_s: float) -> None:
    ratio = utilization(pattern, seed, age_s)
    assert 0.0 <= ratio <= 1.0
    assert utilization(pattern, seed, age_s) == ratio


def test_a_training_epoch_ends_with_validation() -> None:
    assert utilization(Pattern.TRAINING, 1, 590.0) < 0.4 < 0.85 < utilization(Pattern.TRAINING, 1, 300.0)


def test_plain_json_gives_the_same_gpu_back() -> None:
    model = gpu(seed=5)
    model.processes.append(process(instance=model.create_instance("2g.10gb").uuid))
    model.create_instance("1g.5gb+me")
    assert GpuModel.from_plain(json.loads(json.dumps(model.to_plain()))) == model


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20), st.none() | st.integers(0, 7)), max_size=30))
def test_no_sequence_of_changes_overlaps_or_repeats_an_id(changes: list[tuple[bool, int, int | None]]) -> None:
    model = gpu("A100-40GB")
    profiles = model.kind.mig.profiles  # type: ignore[union-attr]
    for create, number, start in changes:
        with suppress(GpuRefusal):
            if create:
                model.create_instance(profiles[number % len(profiles)].name, start)
            elif model.instances:
                model.destroy_instance(model.instances[number % len(model.instances)].uuid)
        units = [unit for each in model.instances for unit in range(each.start, each.start + each.profile.size)]
        assert len(units) == len(set(units))
        assert len({each.uuid for each in model.instances}) == len({each.gi for each in model.instances})
        assert len({each.gi for each in model.instances}) == len(model.instances)


@settings(deadline=None)
@given(st.sampled_from(["A100-40GB", "A30-24GB", "RTX-PRO-6000-96GB"]), st.data())
def test_a_layout_with_explicit_places_can_be_made_in_any_order(model: str, data: st.DataObject) -> None:
    first, again = gpu(model), gpu(model)
    names = [profile.name for profile in first.kind.mig.profiles]  # type: ignore[union-attr]
    for name in data.draw(st.lists(st.sampled_from(names), max_size=10)):
        with suppress(GpuRefusal):
            first.create_instance(name)
    for instance in data.draw(st.permutations(first.instances)):
        again.create_instance(instance.profile.name, instance.start)
    assert {(each.profile.name, each.start) for each in again.instances} == {
        (each.profile.name, each.start) for each in first.instances
    }
