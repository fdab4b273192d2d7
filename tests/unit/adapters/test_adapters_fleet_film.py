"""Films of the fleet bench: what they play is what a node told, round and round."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from gpualloc.adapters.picture import Picture
from gpualloc.model.inventory import NodeSpec, NodeState

BENCH = Path(__file__).parents[3] / "bench"
STREAM = b'{"id":1,"verb":"stream","args":{"every_s":10,"delay_s":4}}'


@pytest.fixture(scope="module")
def bench():
    """The modules of the bench, found by their names only while they are imported."""
    sys.path.insert(0, str(BENCH))
    try:
        import fleet_film
        import fleet_player
    finally:
        sys.path.remove(str(BENCH))
    return fleet_film, fleet_player


@pytest.fixture(scope="module")
def film(bench):
    return bench[0].record("mixed", 10.0)


@pytest.fixture
def play(bench, film):
    """Makes players of the film by their number."""
    return lambda number: bench[1].Player(json.loads(film.text()), number)


@pytest.fixture
def ticks(bench):
    """How many ticks a film has."""
    return bench[0].TICKS


def test_a_player_tells_whole_nodes_with_the_time_of_now(play, ticks):
    player = play(7)
    picture = Picture(NodeSpec("n", "p", "ssh"))
    answer, whole = player.answer(STREAM, 1000.0).splitlines()
    assert json.loads(answer) == {"id": 1, "ok": {}}
    picture.take(json.loads(whole))
    powers = []
    for tick in range(2 * ticks):
        node = picture.node(1000.0 + 10 * tick)
        assert (node.state, node.clock_offset_s, len(node.devices)) == (NodeState.OK, 0.0, 8)
        assert all(device.unavailable == {} for device in node.devices)
        powers.append(node.devices[0].power_w)
        assert player.due_s == 1004.0 + 10 * tick
        picture.take(json.loads(player.change(1010.0 + 10 * tick)))
    assert powers[:ticks] == powers[ticks:]
    assert len(set(powers)) > ticks / 2


def test_players_of_one_film_are_different_nodes(play):
    uuids = set()
    for number in range(20):
        player = play(number)
        whole = json.loads(player.answer(STREAM, 1000.0).splitlines()[1])["full"]
        uuids |= {row["uuid"] for row in whole["inventory"]["devices"]}
        assert uuids >= {row["device"] for row in whole["processes"]["processes"]}
    assert len(uuids) == 20 * 8


def test_a_farewell_has_no_answer(play):
    assert play(0).answer(b'{"verb":"bye"}', 1.0) == b""
