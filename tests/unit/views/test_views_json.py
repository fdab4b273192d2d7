"""The JSON that scripts rely on, key by key. A key may be added; none may go or change its meaning."""

import json

import pytest
from fakes import sample_world as world
from msgspec.structs import replace

from gpualloc.errors import UnreachableError
from gpualloc.policies.free import FreeRoom
from gpualloc.views.audit import audit_data
from gpualloc.views.envelope import envelope, line, unreached
from gpualloc.views.free import free_data
from gpualloc.views.history import history_csv, history_data
from gpualloc.views.nodes_data import nodes_data
from gpualloc.views.plan import plan_data
from gpualloc.views.submission import starter_text, submission_data
from gpualloc.views.why import Account, why_data
from gpualloc.views.workloads import workload_in_full, workloads_data


def test_the_envelope():
    document = json.loads(envelope("nodes", {"a": 1}, ["said"], [UnreachableError("m", hint="h", node="gpu02")]))
    assert document == {
        "schema": "gpualloc.nodes/1",
        "data": {"a": 1},
        "messages": ["said"],
        "errors": [{"code": "unreachable", "message": "m", "hint": "h", "node": "gpu02"}],
    }


def test_the_envelope_is_ascii():
    assert envelope("ps", {"name": "\x1b日\udc80"}).isascii()


def test_a_record_is_one_line():
    assert json.loads(line("logs", {"text": "a\nb"})) == {"schema": "gpualloc.logs/1", "text": "a\nb"}
    assert "\n" not in line("logs", {"text": "a\nb"})


def test_unreached_nodes_become_errors():
    assert [(error.code, error.node) for error in unreached(world.SNAPSHOT)] == [("unreachable", "gpu02")]


def test_nodes():
    nodes = nodes_data(world.SNAPSHOT)["nodes"]
    assert [(node["name"], node["state"], node["simulated"]) for node in nodes] == [
        ("gpu01", "ok", False),
        ("gpu02", "unreachable", False),
        ("sim01", "ok", True),
    ]
    free, busy, hung, mig = nodes[0]["devices"]
    assert {
        "uuid", "index", "model", "memory_total_mib", "memory_used_mib", "gpu_utilization_ratio", "power_w",
        "temperature_c", "state", "unavailable", "mig_instances",
    } <= set(free)  # fmt: skip
    assert (busy["memory_used_mib"], busy["workloads"]) == (79000, ["w00000001"])
    assert (hung["memory_used_mib"], hung["unavailable"]["memory_used_mib"]) == (None, "hung")
    assert [
        {key: instance[key] for key in ("uuid", "profile", "start", "size", "workload")}
        for instance in mig["mig_instances"]
    ] == [
        {"uuid": "MIG-0001", "profile": "3g.40gb", "start": 0, "size": 4, "workload": "w00000002"},
        {"uuid": "MIG-0002", "profile": "2g.20gb", "start": 4, "size": 2, "workload": None},
    ]


def test_ps():
    data = workloads_data(world.WORKLOADS, simulated=True)
    assert data["simulated"] is True
    running, on_mig, pending, failed = data["workloads"]
    assert {key: running[key] for key in ("id", "name", "owner", "state", "reason", "node", "pid", "exit_code")} == {
        "id": "w00000001",
        "name": world.HOSTILE,
        "owner": "ann",
        "state": "running",
        "reason": None,
        "node": "gpu01",
        "pid": 4712,
        "exit_code": None,
    }
    assert running["held_by"] == {"gpu": "soft", "cpu": "hard", "memory": "hard", "pids": None}
    assert running["devices"] == [world.GRANT.device]
    assert on_mig["devices"] == ["MIG-0001"]
    assert (pending["node"], pending["devices"]) == (None, [])
    assert (failed["state"], failed["exit_code"]) == ("failed", 137)


def test_show_keeps_secrets():
    data = workload_in_full(world.WORKLOADS[0], simulated=False)
    assert data["request"]["env"] == {"TOKEN": "(hidden)"}
    assert world.SECRET not in json.dumps(data)


def test_show_has_the_constraints():
    asked = replace(world.WORKLOADS[0].request, labels=(("rack", "r1"),), near=("/data",), numa=True)
    data = workload_in_full(replace(world.WORKLOADS[0], request=asked), simulated=False)["request"]
    assert (data["labels"], data["near"], data["numa"]) == ({"rack": "r1"}, ["/data"], True)


def test_plan():
    data = plan_data(world.PLAN)
    assert {key: data[key] for key in ("id", "base_digest", "applyable", "simulated")} == {
        "id": "p00000001",
        "base_digest": "d" * 64,
        "applyable": True,
        "simulated": False,
    }
    assert data["rejections"] == [
        {
            "workload": "w00000003",
            "reason": "no capacity",
            "detail": "8 GPUs wanted on one node; gpu01 has 1 free of 4",
        }
    ]
    stop = data["steps"][3]
    assert {key: stop[key] for key in ("seq", "kind", "node", "target", "reason")} == {
        "seq": 4,
        "kind": "stop",
        "node": "gpu01",
        "target": "pid 4712",
        "reason": "released by operator",
    }
    assert stop["blast_radius"] == {
        "workloads": ["w00000001", "w00000002"],
        "users": ["ann", "bob"],
        "resets": ["GPU-1"],
    }
    assert plan_data(world.EMPTY_PLAN)["applyable"] is False


def test_history():
    data = history_data(world.METRIC, [world.series([0.5, None])], simulated=True)
    assert data["simulated"] is True
    one = data["series"][0]
    assert {key: one[key] for key in ("device", "node", "metric", "unit", "points")} == {
        "device": "GPU-1",
        "node": "gpu01",
        "metric": "gpu_utilization_ratio",
        "unit": "ratio",
        "points": [[world.NOW_S, 0.5], [world.NOW_S + 10, None]],
    }


def test_history_as_csv_leaves_unknown_empty():
    rows = history_csv(world.METRIC, [world.series([0.5, None])], simulated=True).splitlines()
    assert rows == [
        "at_s,node,kind,key,gpu_utilization_ratio,simulated",
        "1800000000.0,gpu01,device,GPU-1,0.5,true",
        "1800000010.0,gpu01,device,GPU-1,,true",
    ]


@pytest.mark.parametrize(
    ("verify", "broken_at", "verified"), [(False, None, None), (True, None, True), (True, 2, False)]
)
def test_audit(verify, broken_at, verified):
    data = audit_data(world.AUDIT, simulated=False, broken_at=broken_at, verified=verify)
    assert data["verified"] is verified
    assert {key: data["entries"][1][key] for key in ("kind", "workload", "node", "at_s")} == {
        "kind": "start",
        "workload": "w00000001",
        "node": "gpu01",
        "at_s": world.NOW_S + 1,
    }


def test_submit():
    data = submission_data(world.WORKLOADS[2], "nobody", starter_text("nobody", None), ("gpu02",), simulated=True)
    assert (data["id"], data["simulated"], data["unseen"]) == ("w00000003", True, ["gpu02"])
    assert "never" in data["starter_text"]


def test_free_says_none_for_what_is_not_known():
    data = free_data(FreeRoom(0, (), None, None, (), None, None), simulated=False)
    assert (data["gpus"], data["largest_on_one_node"], data["gpu_memory_largest_mib"]) == (0, None, None)


def test_why():
    waits = why_data(Account(world.WORKLOADS[2], world.NOW_S, True, "best-fit 1", explanation=world.WAITS))
    assert list(waits) == [
        *("simulated", "at_s", "id", "name", "owner", "state", "reason", "node", "policy", "explanation", "placed")
    ]
    told = waits["explanation"]
    assert list(told) == [
        *("workload", "reason", "detail", "node", "devices", "layouts", "ahead", "nodes"),
        *("ranking", "objective", "overruled", "obstacles", "remedies"),
    ]
    assert (told["reason"], told["node"], told["devices"], waits["placed"]) == ("no capacity", None, [], None)
    assert told["obstacles"][1]["reasons"] == ["GPUs of another model", "too few GPUs"]
    assert [each["commands"] for each in told["remedies"]] == [
        [],
        ["gpualloc uncordon gpu41", "gpualloc uncordon gpu41 --device GPU-1"],
        [],
        [],
        ["gpualloc release w00000001"],
    ]
    fits = why_data(Account(world.WORKLOADS[2], world.NOW_S, True, "best-fit 1", explanation=world.FITS))["explanation"]
    assert (fits["reason"], fits["node"], fits["devices"]) == (None, "gpu01", [world.GRANT.device])
    first = {"node": "gpu01", "score": 0.125, "devices": [world.GRANT.device], "objective": None}
    assert fits["ranking"][0] == first
    runs = why_data(Account(world.WORKLOADS[0], world.NOW_S, True, "best-fit 1", placed=world.PLACED))
    assert (runs["explanation"], runs["node"]) == (None, "gpu01")
    placed = {"at_s": world.NOW_S - 7200, "actor": "ann", "plan": "p00000001", "policy": "best-fit 1"}
    assert runs["placed"] == {**placed, "objective": "balanced"}


def test_a_gang_is_one_workload_with_its_members():
    row, alone = workloads_data((world.GANG, world.WORKLOADS[0]), simulated=False)["workloads"]
    assert (row["node"], len(row["devices"]), row["state"]) == ("gpu01", 3, "running")
    assert row["members"] == [
        {"rank": 0, "node": "gpu01", "devices": row["devices"][:2], "pid": 11, "state": "running", "exit_code": None},
        {"rank": 1, "node": "gpu02", "devices": row["devices"][2:], "pid": 12, "state": "failed", "exit_code": 3},
    ]
    assert alone["members"] is None
    full = workload_in_full(world.GANG, simulated=False)
    assert full["allocation"]["gang"] == {"size": 2, "gpus": 3, "address": "10.0.0.1", "port": 29007}
    assert (full["request"]["gang"], full["request"]["per_node"]) == (True, None)
