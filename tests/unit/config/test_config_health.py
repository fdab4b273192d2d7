"""`[health]`, `gpus` of a pool, and Xids of a simulated cluster: read, refused, kept and shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpualloc.config.load import load
from gpualloc.config.show import entries
from gpualloc.config.simfile import load_cluster
from gpualloc.errors import ConfigError
from gpualloc.model.health import DEFAULT_HEALTH_RULES, HealthRules
from gpualloc.sim.cluster import check_cluster

SICK = Path(__file__).parents[3] / "docs" / "examples" / "sick.toml"


@pytest.fixture
def read(tmp_path):
    def read(text, env=None):
        file = tmp_path / "config.toml"
        file.write_text(text)
        return load(file, {"HOME": str(tmp_path), **(env or {})}, {}, tmp_path / "cache", host="head")

    return read


def test_every_key_is_read_kept_and_shown(read):
    text = """
        [health]
        ghost_busy_after = "2m"
        throttled_after = 30
        idle_after = "1h"
        swapping_after = "10m"
        held_memory = "4GiB"
        [pools.p]
        nodes = "gpu[1-2]"
        gpus = 8
    """
    rules = HealthRules(120.0, 30.0, 3600.0, 600.0, 4096)
    for _fresh_and_kept in range(2):
        loaded = read(text)
        assert loaded.config.health == rules
        assert [node.gpus for node in loaded.config.nodes] == [8, 8]
    shown = {entry.key: (entry.value, entry.unit) for entry in entries(loaded)}
    assert shown["health.idle_after"] == (3600.0, "s")
    assert shown["health.held_memory"] == (4096, "MiB")
    assert shown["pools.p.gpus"] == (8, None)


def test_without_any_of_it_the_defaults_hold(read):
    loaded = read('[pools.p]\nnodes = "gpu1"\n')
    assert loaded.config.health == DEFAULT_HEALTH_RULES
    assert [node.gpus for node in loaded.config.nodes] == [None]


def test_a_variable_sets_it(read):
    env = {"GPUALLOC_HEALTH__GHOST_BUSY_AFTER": "5m", "GPUALLOC_HEALTH__HELD_MEMORY": "2GiB"}
    rules = read("", env).config.health
    assert (rules.ghost_busy_after_s, rules.held_memory_mib) == (300.0, 2048)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[health]\nidle_after = "8d"', "health.idle_after: expected a duration of up to 7d"),
        ("[health]\nheld_memory = 5", "health.held_memory: expected a size with its unit"),
        ('[health]\nidel_after = "1h"', "health.idel_after: no such key"),
        ('[pools.p]\nnodes = "a"\ngpus = -1', "pools.p.gpus: expected a number, 0 to 1024"),
        ('[pools.p]\nnodes = "a"\ngpus = "8"', "pools.p.gpus: expected a number, 0 to 1024"),
    ],
)
def test_what_does_not_fit_is_refused(read, text, told):
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert told in caught.value.message


def test_the_sick_cluster_can_be_simulated():
    cluster = check_cluster(load_cluster(SICK))
    assert {fault.code for fault in cluster.faults} == {None, 13, 79}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ('kind = "xid"', "a fault of the kind xid has a code"),
        ('kind = "hung"\ncode = 79', "a fault of the kind xid has a code"),
        ('kind = "xid"\ncode = 0', "expected the number of an Xid, 1 to 9999"),
        ('kind = "xid"\ncode = "79"', "expected the number of an Xid, 1 to 9999"),
    ],
)
def test_a_code_that_does_not_fit_is_refused(tmp_path, keys, told):
    file = tmp_path / "cluster.toml"
    file.write_text(f'[[nodes]]\nname = "n"\ngpus = ["L4"]\n[[faults]]\nnode = "n"\ngpu = 0\n{keys}\n')
    with pytest.raises(ConfigError) as caught:
        load_cluster(file)
    assert told in caught.value.message
