"""`[pools.NAME.scaling]`: read, told about when wrong, kept in the cache, shown."""

import pytest

from gpualloc.config.load import load
from gpualloc.config.schedule import read_hours
from gpualloc.config.show import entries
from gpualloc.errors import ConfigError
from gpualloc.model.scaling import Hours, ScalingName, ScalingSettings, SpotRules

EVERYTHING = """
[pools.train]
nodes = "gpu[01-03]"
[pools.train.scaling]
policy = "scheduled"
min = 2
max = 20
up = 0.8
down = 0.25
up_cooldown = "2m"
down_cooldown = "20m"
warmup = "7m"
horizon = "2h"
risk = 0.05
steps = [[1.2, 4], [0.8, 1]]
schedule = ["Mon-Fri 08:00-20:30 = 6", "Sat,Sun 22:00-06:00 = 3"]
up_hook = ["/usr/local/bin/buy", "--fast"]
down_hook = ["/usr/local/bin/return"]
hook_timeout = "10m"
evict = true
spot = true
max_interruptions_per_hour = 0.1
spread = 2
prices = "/var/lib/prices.csv"
"""
SETTINGS = ScalingSettings(
    policy=ScalingName.SCHEDULED,
    min_nodes=2,
    max_nodes=20,
    up_ratio=0.8,
    down_ratio=0.25,
    up_cooldown_s=120.0,
    down_cooldown_s=1200.0,
    warmup_s=420.0,
    horizon_s=7200.0,
    risk=0.05,
    steps=((0.8, 1), (1.2, 4)),
    hours=(Hours((0, 1, 2, 3, 4), 28_800, 73_800, 6), Hours((5, 6), 79_200, 21_600, 3)),
    up_hook=("/usr/local/bin/buy", "--fast"),
    down_hook=("/usr/local/bin/return",),
    hook_timeout_s=600.0,
    evict=True,
    spot=SpotRules(0.1, 2),
    prices="/var/lib/prices.csv",
)


@pytest.fixture
def read(tmp_path):
    def read(text):
        file = tmp_path / "config.toml"
        file.write_text(text)
        return load(file, {}, {}, tmp_path / "cache", host="head")

    return read


def test_every_key_is_read_and_kept(read):
    for _ in ("checked", "from the cache"):
        (pool,) = read(EVERYTHING).config.pools
        assert pool.scaling == SETTINGS


def test_an_empty_table_is_the_shipped_preset_and_none_is_none(read):
    for _ in ("checked", "from the cache"):
        one, other = read('[pools.a]\nnodes = "a1"\n[pools.a.scaling]\n[pools.b]\nnodes = "b1"\n').config.pools
        assert (one.scaling, other.scaling) == (ScalingSettings(), None)
    preset = one.scaling
    assert (preset.up_ratio, preset.down_ratio, preset.up_cooldown_s, preset.down_cooldown_s) == (0.7, 0.3, 300, 600)
    assert (preset.min_nodes, preset.max_nodes, preset.horizon_s) == (1, 10, 3600)


def test_it_is_shown_as_it_is_written(read):
    shown = {entry.key: entry.value for entry in entries(read(EVERYTHING))}
    assert shown["pools.train.scaling.policy"] == "scheduled"
    assert shown["pools.train.scaling.steps"] == [[0.8, 1], [1.2, 4]]
    assert [read_hours(text) for text in shown["pools.train.scaling.schedule"]] == list(SETTINGS.hours)
    assert shown["pools.train.scaling.spot"] is True


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('policy = "clever"', "threshold"),
        ("min = -1", "pools.p.scaling.min"),
        ("min = 11", "min is 11"),
        ("up = 0.2", "down is 0.3"),
        ("risk = 1.0", "pools.p.scaling.risk"),
        ("steps = [[0.5]]", "pools.p.scaling.steps"),
        ("steps = [[0.5, 0]]", "pools.p.scaling.steps"),
        ("steps = []", "pools.p.scaling.steps"),
        ('schedule = ["weekdays 8-20 = 6"]', "Mon-Fri 08:00-20:00 = 6"),
        ('schedule = ["Mon 25:00-26:00 = 6"]', "24:00"),
        ('schedule = ["Mon-Day 08:00-20:00 = 6"]', "Day"),
        ("up_hook = [3]", "pools.p.scaling.up_hook"),
        ("uphook = []", "up_hook"),
        ("spread = 0", "pools.p.scaling.spread"),
        ('prices = ""', "pools.p.scaling.prices"),
    ],
)
def test_what_is_wrong_is_told(read, line, said):
    with pytest.raises(ConfigError) as caught:
        read(f'[pools.p]\nnodes = "a1"\n[pools.p.scaling]\n{line}\n')
    assert said in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("text", "days", "from_s", "until_s"),
    [
        ("Mon-Sun 00:00-24:00 = 1", tuple(range(7)), 0, 86_400),
        ("Fri-Mon 22:00-06:00=4", (0, 4, 5, 6), 79_200, 21_600),
        (" Wed,Mon 08:15-09:00  =  10 ", (0, 2), 29_700, 32_400),
    ],
)
def test_timetables(text, days, from_s, until_s):
    hours = read_hours(text)
    assert (hours.days, hours.from_s, hours.until_s) == (days, from_s, until_s)
    assert read_hours(str(hours)) == hours
