"""The rules that every node keeps, over a machine and a ledger of dictionaries."""

from contextlib import contextmanager

import pytest

from gpualloc.node.server import Server
from gpualloc.node.wire import Refused

ONE, TWO = "1" * 32, "2" * 32


class DictMachine:
    def __init__(self):
        self.workloads = []
        self.done = []
        self.device = {"uuid": "GPU-1", "state": "ok", "reason": None, "mig_instances": []}

    def hello(self):
        return {"hostname": "here"}

    def inventory(self):
        return {"devices": [dict(self.device, memory_total_mib=1000, mig_enabled=None)], "host": {}}

    def present(self, paths):
        return {path: path == "/data" for path in paths}

    def sample(self):
        return {"at_s": 5.0, "devices": [dict(self.device, memory_used_mib=0)], "host": {}}

    def processes(self):
        return {"processes": []}

    def records(self):
        return self.workloads

    def preflight(self, step):
        if step.get("require_hard"):
            raise Refused("no-cgroup", "no")

    def do(self, step):
        self.done.append(step)
        return {"kind": step["kind"]}

    def verify(self, step):
        return {"holds": True}

    def undo(self, step):
        self.done.append(dict(step, undone=True))
        return {}

    def logs(self, workload, offset, limit):
        raise PermissionError(13, "denied", "/log")

    def events(self, timeout_s):
        raise ZeroDivisionError("a fault")


class DictLedger:
    def __init__(self):
        self.fences = {}
        self.all = []
        self.is_locked = False
        self.locks = []

    @contextmanager
    def locked(self, wait_s):
        self.is_locked = True
        yield
        self.is_locked = False

    def fence(self, controller):
        return self.fences.get(controller, 0)

    def set_fence(self, controller, fence):
        assert self.is_locked
        self.fences[controller] = fence

    def claims(self):
        return list(self.all)

    def add_claims(self, new):
        assert self.is_locked
        self.remove_claims(new[0]["workload"])
        self.all += new

    def remove_claims(self, workload):
        self.all = [claim for claim in self.all if claim["workload"] != workload]


@pytest.fixture
def machine():
    return DictMachine()


@pytest.fixture
def ledger():
    return DictLedger()


@pytest.fixture
def ask(machine, ledger):
    server = Server(machine, ledger)

    def send(verb, **args):
        return server.handle({"id": 1, "verb": verb, "args": args})

    def call(verb, kind, workload="w00000001", fence=1, controller=ONE, attempt=1, **more):
        step = dict(kind=kind, workload=workload, attempt=attempt, **more)
        return send(verb, call={"run": "r", "seq": 1, "fence": fence, "controller": controller, "step": step})

    send.call = call
    return send


GRANT = {"device": "GPU-1", "share": "exclusive", "mig_instance": None, "fraction": 1.0, "memory_mib": None}
TOLD = {"grants": [dict(GRANT, place=None)]}


def reason(record):
    return record["error"]["reason"]


def test_readings_pass_through_with_the_wire_version(ask):
    assert ask("hello") == {"id": 1, "ok": {"hostname": "here", "wire": 3}}


def test_a_claim_is_told_without_its_attempt_and_refused_to_others(ask):
    assert ask.call("preflight", "claim", grants=[GRANT]) == {"id": 1, "ok": {}}
    assert ask("claims")["ok"]["claims"] == []
    assert ask.call("do", "claim", grants=[GRANT])["ok"] == TOLD
    assert ask("claims")["ok"]["claims"] == [dict(GRANT, workload="w00000001", controller=ONE, at_s=5.0)]
    assert ask.call("verify", "claim", grants=[GRANT])["ok"] == {"holds": True, **TOLD}
    for verb in ("preflight", "do"):
        assert reason(ask.call(verb, "claim", workload="w00000002", controller=TWO, grants=[GRANT])) == "claimed"
    assert reason(ask.call("do", "unclaim", controller=TWO)) == "claimed"
    assert ask.call("undo", "claim", grants=[GRANT])["ok"] == {}
    assert ask.call("verify", "unclaim")["ok"] == {"holds": True}
    assert ask.call("verify", "claim", grants=[GRANT])["ok"] == {"holds": False, **TOLD}


def test_a_claim_that_is_there_is_not_checked_again(ask, machine):
    ask.call("do", "claim", grants=[GRANT])
    machine.device["state"] = "GPU lost"
    assert ask.call("do", "claim", grants=[GRANT]) == {"id": 1, "ok": TOLD}
    assert reason(ask.call("do", "claim", grants=[GRANT], attempt=2)) == "unhealthy"


def test_the_claim_of_an_ended_workload_is_free(ask, machine):
    ask.call("do", "claim", grants=[GRANT])
    machine.workloads = [{"workload": "w00000001", "attempt": 1, "end": {"exit_code": 0}}]
    assert ask("claims")["ok"]["claims"] == []
    assert ask.call("do", "claim", workload="w00000002", grants=[GRANT])["ok"] == TOLD


def test_an_older_fence_is_refused_per_controller(ask, ledger, machine):
    ask.call("do", "limit", fence=7, grants=[])
    for verb in ("preflight", "do", "undo", "verify"):
        assert reason(ask.call(verb, "limit", fence=6, grants=[])) == "fenced"
    assert ledger.fences == {ONE: 7}
    assert ask.call("do", "limit", fence=1, controller=TWO, grants=[])["ok"]
    assert len(machine.done) == 2


def test_preflight_remembers_no_fence(ask, ledger):
    ask.call("preflight", "limit", fence=9, grants=[])
    assert ledger.fences == {}


def test_stops_do_not_hold_the_lock(ask, ledger, machine):
    seen = []
    machine.do = machine.undo = lambda step: seen.append((step["kind"], ledger.is_locked)) or {}
    ask.call("do", "stop", grace_s=1)
    ask.call("do", "unlimit")
    ask.call("undo", "start", grants=[], command=["x"])
    assert seen == [("stop", False), ("unlimit", True), ("start", False)]


def test_faults_become_error_records(ask):
    assert reason(ask("logs", workload="w00000001", offset=0, limit=1)) == "disk"
    assert reason(ask("events", timeout_s=1)) == "failed"
    assert reason(ask("logs", workload="../x", offset=0, limit=1)) == "bad-request"
    assert reason(ask("reboot")) == "bad-request"
    assert reason(ask.call("undo", "stop")) == "bad-request"
    assert reason(ask.call("preflight", "limit", require="hard", grants=[])) == "no-cgroup"


@pytest.mark.parametrize("request_", [{}, {"id": "1", "verb": "hello", "args": {}}, {"id": True, "verb": "hello"}])
def test_a_request_without_a_number_is_refused(machine, ledger, request_):
    record = Server(machine, ledger).handle(request_)
    assert record["id"] is None
    assert reason(record) == "bad-request"


def test_paths_are_looked_at_only_when_asked_for():
    server = Server(DictMachine(), None)
    assert "near" not in server.handle({"id": 1, "verb": "inventory", "args": {}})["ok"]
    told = server.handle({"id": 1, "verb": "inventory", "args": {"near": ["/data", "/none"]}})
    assert told["ok"]["near"] == {"/data": True, "/none": False}


@pytest.mark.parametrize("near", ["/data", ["data"], [5], ["/a\0b"], ["/a\nb"], ["/\ud800"], ["/"] * 257, {}])
def test_paths_that_are_none_are_refused(near):
    answer = Server(DictMachine(), None).handle({"id": 1, "verb": "inventory", "args": {"near": near}})
    assert answer["error"]["reason"] == "bad-request"
