"""Cordons on the command line: shown in words wherever nodes are, and in the answers of the verbs that make them."""

import json

import pytest
from fakes import sample_world
from fakes.memory_context import MemoryJournal, memory_context

from gpualloc.model.desired import Cordon

CORDONS = (
    Cordon("gpu01", None, "new disks", "ann", sample_world.NOW_S - 60, drain=True),
    Cordon("gpu01", sample_world.DEVICES[0].uuid, "fan noise", "bob", sample_world.NOW_S - 60),
)


@pytest.fixture
def cordoned(world):
    world.context = memory_context(journal=MemoryJournal(cordons=CORDONS))


def test_nodes_and_status_say_it_in_words(run, cordoned):
    shown = run("nodes").out
    assert "cordoned (new disks)" in shown
    assert "gpu 0: cordoned (fan noise)" in shown
    shown = run("status").out
    assert "draining:   gpu01: new disks" in shown
    assert f"cordoned:   {sample_world.DEVICES[0].uuid} on gpu01: fan noise" in shown


def test_the_answers_have_it_too(run, cordoned):
    (node, *_) = json.loads(run("nodes", "--json").out)["data"]["nodes"]
    assert (node["cordon"], node["devices"][0]["cordon"], node["devices"][1]["cordon"]) == (
        "new disks",
        "fan noise",
        None,
    )
    cordons = json.loads(run("status", "--json").out)["data"]["cordons"]
    assert [(each["node"], each["device"], each["state"], each["reason"]) for each in cordons] == [
        ("gpu01", None, "draining", "new disks"),
        ("gpu01", sample_world.DEVICES[0].uuid, "cordoned", "fan noise"),
    ]


def test_free_leaves_it_out(run, cordoned):
    assert json.loads(run("free", "--json").out)["data"]["gpus"] == 0


@pytest.mark.parametrize("verb", ["cordon", "uncordon", "drain"])
def test_a_node_has_to_be_named_and_known_and_the_lock_free(run, verb):
    assert run(verb).code == 2
    assert run(verb, "gpu09").code == 2
    assert run(verb, "gpu01", "--device", "9").code == 2
    assert run(verb, "gpu01", "--json").code == 7
