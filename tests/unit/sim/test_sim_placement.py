"""The placement axis: golden traces of real drivers, and what no sequence may break."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.sim.catalog import GpuKind, MigTable, find, keys, mig_table
from gpualloc.sim.placement import Held, default_start, free_count, legal_starts

TRACES = json.loads((Path(__file__).parent / "golden_traces.json").read_text())
FITTING = [trace for trace in TRACES if trace.get("fits_rule", True)]
MIG_KINDS = [kind for kind in map(find, keys()) if kind.mig is not None]


def replay(table: MigTable, ids: list[int]) -> list[int | None]:
    held: list[Held] = []
    starts: list[int | None] = []
    for number in ids:
        profile = table.profile_by_id(number)
        start = default_start(table, held, profile)
        starts.append(start)
        if start is not None:
            held.append((profile, start))
    return starts


@pytest.mark.parametrize("trace", FITTING, ids=lambda trace: f"{trace['source']}-{trace['create_without_placement']}")
def test_default_places_are_those_of_real_drivers(trace: dict[str, Any]) -> None:
    assert replay(mig_table(find(trace["model"])), trace["create_without_placement"]) == trace["starts"]


def test_the_misfit_trace_is_reproduced_with_explicit_starts() -> None:
    (trace,) = [trace for trace in TRACES if not trace.get("fits_rule", True)]
    table = mig_table(find(trace["model"]))
    held: list[Held] = []
    for number, start in zip(trace["create_without_placement"], trace["starts"], strict=True):
        profile = table.profile_by_id(number)
        assert start in legal_starts(table, held, profile)
        held.append((profile, start))


def test_free_counts_are_those_of_a_real_driver() -> None:
    (trace,) = [trace for trace in TRACES if "free_counts_after_each" in trace]
    table = mig_table(find(trace["model"]))
    seen: list[dict[str, int]] = []
    held: list[Held] = []
    for number, start in [(None, None), *zip(trace["create_without_placement"], trace["starts"], strict=True)]:
        if number is not None:
            held.append((table.profile_by_id(number), start))
        seen.append({str(profile.id): free_count(table, held, profile) for profile in table.profiles})
    assert seen == list(trace["free_counts_after_each"].values())


def test_media_engines_are_shared_out_on_a_gpu_that_counts_them() -> None:
    table = mig_table(find("RTX-PRO-6000-96GB"))
    everything = (table.profile("1g.24gb+me.all"), 0)
    assert legal_starts(table, [everything], table.profile("1g.24gb")) == ()
    assert legal_starts(table, [everything], table.profile("1g.24gb-me")) == (3, 6, 9)


@settings(deadline=None)
@given(st.sampled_from(MIG_KINDS), st.data())
def test_no_sequence_of_creates_and_destroys_overlaps_or_leaves_the_axis(kind: GpuKind, data: st.DataObject) -> None:
    table = mig_table(kind)
    held: list[Held] = []
    for _ in range(data.draw(st.integers(1, 15))):
        if held and data.draw(st.booleans()):
            held.pop(data.draw(st.integers(0, len(held) - 1)))
            continue
        profile = data.draw(st.sampled_from(table.profiles))
        before = free_count(table, held, profile)
        start = default_start(table, held, profile)
        assert (start is None) == (before == 0)
        if start is None:
            continue
        held.append((profile, start))
        assert free_count(table, held, profile) < before
        units = [unit for member, begin in held for unit in range(begin, begin + member.size)]
        assert len(units) == len(set(units))
        assert max(units) < table.units
        assert sum(member.holds_media_extension for member, _ in held) <= 1
