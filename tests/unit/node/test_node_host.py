"""The host's load: what one look cannot know, and what the look before makes known."""

import json
import time

import pytest

from gpualloc.node.host import Host

RATES = ("cpu_utilization_ratio", "network_rx_bytes_per_s", "network_tx_bytes_per_s")


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "state" / "host.json"


def rates(host):
    sample = host.sample()
    return [sample[name] for name in RATES]


def let_ticks_pass():
    until = time.monotonic() + 0.12
    while time.monotonic() < until:
        pass


def test_a_first_look_has_no_rates_and_no_made_up_zero(kept):
    assert rates(Host(str(kept))) == [None, None, None]
    assert Host(str(kept)).sample()["memory_available_mib"] > 0


def test_the_next_program_tells_the_mean_since_the_look_before(kept):
    Host(str(kept)).sample()
    let_ticks_pass()
    cpu, received, sent = rates(Host(str(kept)))
    assert 0 < cpu <= 1
    assert received >= 0
    assert sent >= 0


def test_one_program_goes_on_from_its_own_looks(kept):
    host = Host()
    let_ticks_pass()
    assert rates(host)[0] > 0
    assert not kept.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"boot_id": "another boot"},
        {"at_s": -1e9},
        {"at_s": 1e18},
        {"cpu": "many"},
        {"network": []},
        {"cpu": None},
    ],
)
def test_counters_that_do_not_fit_are_not_used(kept, change):
    Host(str(kept)).sample()
    kept.write_text(json.dumps({**json.loads(kept.read_text()), **change}))
    assert rates(Host(str(kept))) == [None, None, None]


def test_a_file_that_cannot_be_read_or_written_costs_only_the_rates(kept):
    kept.parent.write_text("a file where the folder should be")
    assert rates(Host(str(kept))) == [None, None, None]
