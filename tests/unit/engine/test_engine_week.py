"""The week of `bench/week.py`, for a day of a small cluster: promises hold in every arm, and equal seeds are equal."""

import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[3] / "bench"


@pytest.fixture(scope="module")
def week():
    """The modules of the bench, found by their names only while they are imported."""
    sys.path.insert(0, str(BENCH))
    try:
        import week_run
        import week_work
        import week_world
    finally:
        sys.path.remove(str(BENCH))
    return week_run, week_work, week_world


@pytest.fixture(scope="module")
def played(week):
    """A function that plays the first half day of a fifth of the work on a quarter of the devices."""
    run, work, world = week

    def play(name):
        arm = next(arm for arm in world.ARMS if arm.name == name)
        small = [one for one in work.arrivals(4, 0.5, 0.2) if one.request.gpus <= 2]
        return run.play(arm, world.cluster(2), small, 0.5, 4)

    return play


def check(figures):
    assert (figures.broken, figures.failed) == ([], [])
    assert figures.values["ended"] > 5
    assert 0 < figures.values["in use %"] <= figures.values["held %"] <= 100
    assert figures.values["energy, MWh"] > 0


@pytest.mark.parametrize("name", ["static", "reactive"])
def test_promises_hold_and_no_step_fails(played, name):
    check(played(name))


def test_a_week_can_be_played_again(played):
    one, other = played("predictive"), played("predictive")
    check(one)
    assert (one.values, one.course) == (other.values, other.course)
