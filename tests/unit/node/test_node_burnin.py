"""What a node takes as a question about its memory, and that nothing that is used is tested."""

import pytest

from gpualloc.node.server import Server

GPU = {"part": "gpu", "device": "GPU-1", "mib": 1024, "seconds": 5.0, "round": 0}
HOST = {**GPU, "part": "host-memory", "device": None}


class Machine:
    def __init__(self):
        self.asked = []
        self.used = []

    def processes(self):
        return {"processes": self.used}

    def records(self):
        return []

    def burnin(self, asked):
        self.asked.append(asked)
        return {"errors": 0}


class Ledger:
    def __init__(self):
        self.all = []

    def claims(self):
        return self.all


@pytest.fixture
def node():
    machine, ledger = Machine(), Ledger()
    machine.ledger = ledger
    machine.ask = lambda args: Server(machine, ledger).handle({"id": 1, "verb": "burnin", "args": args})
    return machine


def test_a_device_that_nobody_has_is_tested(node):
    assert node.ask(GPU) == {"id": 1, "ok": {"errors": 0}}
    assert node.ask(HOST)["ok"]
    assert node.asked == [GPU, HOST]


def test_a_device_with_a_process_is_left_alone(node):
    node.used = [{"device": "GPU-1", "pid": 7, "user": None}]
    assert node.ask(GPU)["error"] == {"reason": "in-use", "message": "process 7 of somebody uses it"}
    assert node.ask({**GPU, "device": "GPU-2"})["ok"]


def test_a_device_that_was_given_away_is_left_alone(node):
    node.ledger.all = [{"device": "GPU-1", "workload": "w00000001", "attempt": 1}]
    assert node.ask(GPU)["error"]["reason"] == "in-use"
    assert node.asked == []


@pytest.mark.parametrize(
    "changes",
    [
        {"part": "disk"},
        {"device": None},
        {"part": "host-memory"},
        {"device": "../x"},
        {"mib": 0},
        {"mib": 1.5},
        {"seconds": 21},
        {"seconds": -1},
        {"round": -1},
        {"round": None},
    ],
)
def test_what_makes_no_sense_is_refused(node, changes):
    assert node.ask({**GPU, **changes})["error"]["reason"] == "bad-request"
    assert node.asked == []
