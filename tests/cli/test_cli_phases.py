"""The phases of a workload on one screen, and as data."""

import json

import pytest
from fakes import sample_world as world

from gpualloc.model.sample import METRICS, Series, SeriesKey, SeriesKind

WORK = world.WORKLOADS[1]


class ThreeSeries:
    """A workload that trains in epochs, sampled every ten seconds from ten hours ago."""

    def read(self, metric, since_s, until_s, *, node=None, key=None):
        levels = {"gpu_utilization_ratio": (0.9, 0.2), "gpu_memory_used_mib": (3e4, 3e4), "power_w": (600.0, 150.0)}
        busy, dip = levels[metric.name]
        points = tuple((since_s + 10 * at, dip if at % 60 >= 54 else busy) for at in range(3600))
        yield Series(SeriesKey(SeriesKind.WORKLOAD, "gpu01", key), METRICS[metric.name], points)


@pytest.fixture
def sampled(world, monkeypatch):
    """The world with such a history."""
    monkeypatch.setattr(world, "context", type(world.context)(**{
        name: getattr(world.context, name) for name in ("fleet", "journal", "clock", "policy", "actor")
    }, history=ThreeSeries()))  # fmt: skip


@pytest.mark.usefixtures("sampled")
def test_it_fits_one_screen_and_says_all_in_words(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ran = run("phases", WORK.id)
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert len(lines) <= 24
    assert [line for line in lines if len(line) > 80] == []
    assert "epoch boundary" in ran.out
    assert "an epoch is 10m00s" in ran.out
    assert "own past" in ran.out
    assert "\x1b" not in ran.out


@pytest.mark.usefixtures("sampled")
def test_the_data_has_every_phase(run):
    data = json.loads(run("phases", WORK.id, "--json").out)["data"]
    assert (data["id"], data["simulated"], data["period_s"], data["step_s"]) == (WORK.id, False, 600.0, 10.0)
    assert [phase["phase"] for phase in data["phases"]].count("epoch boundary") == 60
    first, second = data["phases"][:2]
    assert (first["effect"], first["to_s"]) == (None, second["from_s"])
    assert second["gpu_utilization_ratio"] == 0.2
    assert second["effect"] > 5
    demand = data["demand"][0]
    assert (demand["says"], demand["memory_say"]) == ("own past", ["own past"])
    assert demand["gpu_memory_used_mib"]["high"] == 30_000.0


def test_work_that_was_never_sampled_is_told_so(run, world):
    world.context.history._series = ()
    ran = run("phases", WORK.id)
    assert ran.code == 2
    assert "nothing was sampled" in ran.err
    assert "gpualloc sample" in ran.err


def test_how_far_back_must_be_a_duration(run):
    assert run("phases", WORK.id, "--since", "long").code == 2
