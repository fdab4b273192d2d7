"""What nodes say: healthy answers in full, and nothing but a clear refusal for anything else."""

from __future__ import annotations

import base64
import copy
import json

import pytest
from fakes.scripted_node import ANSWERS, GPU, MIG
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.adapters.decode import OBSERVED, decode_changed, decode_hello, decode_logs, decode_node, decode_step
from gpualloc.adapters.fields import MAX_TEXT, MalformedError
from gpualloc.model.allocation import Claim, HeldBy, Hold, Limits, Share, WorkloadEnd, WorkloadRecord
from gpualloc.model.inventory import Device, DeviceState, MigInstance, Node, NodeSpec, NodeState, Process
from gpualloc.model.progress import Progress

SPEC = NodeSpec("n1", "pool", "ssh")


def look(answers, near=()) -> Node:
    hello = decode_hello(answers["hello"])
    return decode_node(SPEC, 5000.0, hello, {verb: answers[verb] for verb in OBSERVED}, near)


@pytest.fixture
def answers():
    return copy.deepcopy(dict(ANSWERS))


def test_a_healthy_node_comes_through_whole(answers):
    node = look(answers)
    assert (node.name, node.state, node.reason, node.at_s) == ("n1", NodeState.OK, None, 5000.0)
    assert (node.hostname, node.driver_version, node.nvml_reason) == ("scripted", "550.54", None)
    assert node.cgroup.controllers == ("cpu", "memory")
    assert node.devices == (
        Device(
            uuid=GPU,
            index=0,
            model="NVIDIA H100 80GB HBM3",
            memory_total_mib=81559,
            memory_used_mib=512,
            gpu_utilization_ratio=None,
            memory_utilization_ratio=0.25,
            power_w=101.5,
            power_limit_w=700.0,
            temperature_c=41,
            sm_clock_mhz=1980,
            mig_enabled=True,
            mig_pending=True,
            mig_instances=(MigInstance(MIG, "1g.10gb", 0, 1, 9984, 12),),
            minor=3,
            unavailable={"gpu_utilization_ratio": "mig"},
        ),
    )
    assert node.processes == (Process(4242, GPU, None, 500, "ada", "python \x1b[31mtrain.py", 900.0, "w0123abcd"),)
    assert node.claims == (Claim(GPU, "w0123abcd", "c" * 32, Share.EXCLUSIVE, None, 1.0, None, 899.0),)
    end = WorkloadEnd(137, 950.0, signal=9, oom=True)
    held_by = HeldBy(gpu=Hold.SOFT, cpu=Hold.HARD)
    assert node.workloads == (WorkloadRecord("w0123abcd", "c" * 32, 1, 4242, 900.0, end, held_by, 77),)


def test_limits_in_force_come_through_and_may_be_left_out(answers):
    answers["claims"]["workloads"][0]["bound"] = {"cpus": 2.5, "cpuset": "0-3,8", "memory_mib": 64, "rule": True}
    (record,) = look(answers).workloads
    assert record.bound == Limits(cpus=2.5, cpuset="0-3,8", memory_mib=64, rule=True)


def test_of_each_path_asked_for_it_is_known_whether_it_is_there_or_not(answers):
    assert look(answers, ["/data"]).near == {"/data": None}, "an older program does not tell"
    answers["inventory"]["near"] = {"/data": True, "/none": False, "/hung": None, "/etc": True}
    assert look(answers, ["/data", "/none", "/hung"]).near == {"/data": True, "/none": False, "/hung": None}
    answers["inventory"]["near"] = {"/data": "yes"}
    with pytest.raises(MalformedError):
        look(answers, ["/data"])


def test_the_numa_node_comes_through(answers):
    assert look(answers).devices[0].numa_node is None
    answers["inventory"]["devices"][0]["numa_node"] = 1
    assert look(answers).devices[0].numa_node == 1


def test_ages_rest_on_our_clock_whatever_the_node_thinks_the_time_is(answers):
    answers["sample"]["at_s"] = 9e9
    assert look(answers).at_s == 5000.0


def test_every_unknown_reading_has_a_reason(answers):
    reading = answers["sample"]["devices"][0]
    for name in ("memory_used_mib", "power_w", "temperature_c"):
        reading[name] = None
    reading["unavailable"] = {"power_w": "not supported", "temperature_c": "because"}
    device = look(answers).devices[0]
    assert device.unavailable == {
        "memory_used_mib": "failed",
        "gpu_utilization_ratio": "failed",
        "power_w": "not supported",
        "temperature_c": "failed",
    }


def test_a_device_without_a_sample_has_readings_that_vanished(answers):
    answers["sample"]["devices"] = []
    device = look(answers).devices[0]
    assert device.memory_used_mib is None
    assert device.unavailable["memory_used_mib"] == "vanished"


@pytest.mark.parametrize("where", ["inventory", "sample"])
def test_a_sick_device_is_sick_whichever_answer_says_so(answers, where):
    answers[where]["devices"][0].update(state="GPU lost", reason="gone since 12:00")
    device = look(answers).devices[0]
    assert (device.state, device.reason) == (DeviceState.LOST, "gone since 12:00")


def test_an_unknown_state_word_takes_no_work(answers):
    answers["sample"]["devices"][0]["state"] = "on fire"
    device = look(answers).devices[0]
    assert device.state is DeviceState.FAILED
    assert "on fire" in (device.reason or "")


def test_devices_are_ordered_by_index(answers):
    first = answers["inventory"]["devices"][0]
    second = copy.deepcopy(first) | {"uuid": GPU[:-1] + "9", "index": 1, "mig_instances": []}
    answers["inventory"]["devices"] = [second, first]
    assert [device.index for device in look(answers).devices] == [0, 1]


@pytest.mark.parametrize(("state", "reason", "shown"), [("absent", None, "library"), ("mismatch", "535 vs 550", "535")])
def test_a_node_without_nvml_says_why(answers, state, reason, shown):
    answers["hello"]["nvml"].update(state=state, reason=reason)
    assert shown in (look(answers).nvml_reason or "")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("hello", "privileged"), "yes"),
        (("hello", "nvml"), None),
        (("hello", "cgroup", "controllers"), "cpu"),
        (("inventory", "devices"), {}),
        (("inventory", "devices", 0, "uuid"), "GPU-../../etc"),
        (("inventory", "devices", 0, "uuid"), GPU + "\n"),
        (("inventory", "devices", 0, "index"), -1),
        (("inventory", "devices", 0, "index"), True),
        (("inventory", "devices", 0, "memory_total_mib"), 1.5),
        (("inventory", "devices", 0, "memory_total_mib"), 1 << 60),
        (("inventory", "devices", 0, "unavailable"), {"power_w": 3}),
        (("sample", "devices", 0, "gpu_utilization_ratio"), 1.01),
        (("sample", "devices", 0, "power_w"), "101"),
        (("sample", "devices", 0, "power_w"), float("inf")),
        (("sample", "host"), []),
        (("processes", "processes", 0, "pid"), "4242"),
        (("processes", "processes", 0, "workload"), "../../etc"),
        (("claims", "claims", 0, "workload"), "w0123abcd/.."),
        (("claims", "claims", 0, "share"), "stolen"),
        (("claims", "claims", 0, "fraction"), float("nan")),
        (("claims", "workloads", 0, "held_by"), {"gpu": "magic"}),
        (("claims", "workloads", 0, "bound"), {"cpuset": "0-3; rm"}),
        (("claims", "workloads", 0, "bound"), {"memory_mib": -1}),
        (("claims", "workloads", 0, "bound"), {"rule": "yes"}),
        (("claims", "workloads", 0, "end"), {"exit_code": 256}),
        (("claims", "workloads"), None),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(answers, path, value):
    target = answers
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value
    name = next(str(part) for part in reversed(path) if isinstance(part, str))
    with pytest.raises(MalformedError, match=rf"^{path[0]}\..*{name}"):
        look(answers)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


_PLACES = [path for path in places(dict(ANSWERS)) if path]


@given(st.sampled_from(_PLACES), _JSON)
def test_whatever_stands_anywhere_gives_a_node_or_a_refusal(path, value):
    answers = json.loads(json.dumps(ANSWERS))
    target = answers
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value
    try:
        node = look(answers)
    except MalformedError:
        return
    assert all(
        getattr(device, name) is not None or name in device.unavailable
        for device in node.devices
        for name in ("memory_used_mib", "power_w", "gpu_utilization_ratio", "memory_total_mib")
    )


def test_long_texts_are_cut(answers):
    answers["processes"]["processes"][0]["command"] = "x" * (3 * MAX_TEXT)
    assert len(look(answers).processes[0].command or "") == MAX_TEXT


def test_halves_of_characters_do_not_come_through(answers):
    answers["processes"]["processes"][0]["command"] = "caf\udce9 \ud83d"
    assert look(answers).processes[0].command == "caf? ?"


def test_step_answers_keep_their_facts():
    result = decode_step({"holds": False, "pid": 7, "held_by": {"gpu": "soft"}, "visible": "GPU-1", "ratio": 0.5})
    assert not result.holds
    assert result.facts == {"pid": 7, "held_by": {"gpu": "soft"}, "visible": "GPU-1", "ratio": 0.5}
    assert decode_step({}).holds


@pytest.mark.parametrize(
    "result", [None, [], {"holds": "no"}, {"a": [[[[[1]]]]]}, {"a": list(range(2000))}, {"a": float("nan")}]
)
def test_step_answers_are_bounded(result):
    with pytest.raises(MalformedError):
        decode_step(result)


def test_logs_are_bytes():
    chunk = decode_logs({"data": base64.b64encode(b"\0\xff").decode(), "next_offset": 9, "ended": True}, 10)
    assert (chunk.data, chunk.next_offset, chunk.ended) == (b"\0\xff", 9, True)


@pytest.mark.parametrize(
    "result",
    [
        {"data": "not base64!", "next_offset": 0, "ended": False},
        {"data": None, "next_offset": 0, "ended": False},
        {"data": base64.b64encode(b"x" * 11).decode(), "next_offset": 0, "ended": False},
        {"data": "", "next_offset": -1, "ended": False},
        {"data": "", "next_offset": 0},
    ],
)
def test_logs_that_make_no_sense_are_refused(result):
    with pytest.raises(MalformedError):
        decode_logs(result, 10)


def test_events():
    assert decode_changed({"changed": True})
    with pytest.raises(MalformedError):
        decode_changed({"changed": 1})


PROGRESS = {
    "step": 40,
    "of": 100,
    "loss": -0.5,
    "phase": "train",
    "age_s": 2.0,
    "points": [{"age_s": 12.0, "step": 39}, {"age_s": 2.0, "step": 40}],
}


def test_progress_comes_through_and_may_be_left_out(answers):
    record = answers["claims"]["workloads"][0]
    assert look(answers).workloads[0].progress is None, "an older program does not tell"
    record["progress"] = PROGRESS
    told = Progress(40.0, 100.0, -0.5, "train", 2.0, ((12.0, 39.0), (2.0, 40.0)))
    assert look(answers).workloads[0].progress == told
    record["progress"] = {"age_s": 1, "points": []}
    assert look(answers).workloads[0].progress == Progress(None, None, None, None, 1.0)


@pytest.mark.parametrize(
    "wrong", [{"step": -1}, {"of": 0}, {"loss": "nan"}, {"age_s": None}, {"points": [[1, 2]]}, {"phase": 7}]
)
def test_progress_that_makes_no_sense_is_refused(answers, wrong):
    answers["claims"]["workloads"][0]["progress"] = {**PROGRESS, **wrong}
    with pytest.raises(MalformedError):
        look(answers)
