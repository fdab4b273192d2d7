"""What is sampled by cron does not grow for ever."""

import pytest
from msgspec.structs import replace

from gpualloc.engine.context import Settings
from gpualloc.engine.sample import sample
from gpualloc.model.sample import Sample, SeriesKey, SeriesKind

DAY_S = 86_400
SETTINGS = Settings(history_retention_s=14 * DAY_S, history_minutes_s=DAY_S, history_hours_s=DAY_S)
GONE = SeriesKey(SeriesKind.NODE, "gone", "")


@pytest.mark.parametrize(("days", "kept"), [(13.99, True), (14.01, False)])
def test_a_single_tick_drops_what_is_too_old(ctx, days, kept):
    world = replace(ctx, settings=SETTINGS)
    world.history.append([Sample(GONE, int(world.clock.now_s() - days * DAY_S), {})])
    assert sample(world) > 0
    oldest, newest = world.history.span()
    assert (oldest < newest) is kept
