"""Model values survive the trip through JSON, and nothing wrong gets in."""

import json
import types
import typing
from collections.abc import Mapping
from enum import Enum

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpualloc.errors import BrokenInputError
from gpualloc.model.allocation import (
    Allocation,
    Claim,
    Gang,
    Grant,
    HeldBy,
    Member,
    Share,
    WorkloadEnd,
    WorkloadRecord,
)
from gpualloc.model.audit import AuditEntry
from gpualloc.model.codec import from_plain, to_plain
from gpualloc.model.decision import Decision, Rejection
from gpualloc.model.inventory import Device, Node, NodeSpec, Process, Snapshot
from gpualloc.model.plan import Plan, Run, Step, StepKind, StepReason, StepRecord
from gpualloc.model.sample import SeriesKey
from gpualloc.model.workload import Request, Workload, WorkloadState

SAVED = (Workload, Request, Plan, Step, StepRecord, Run, AuditEntry, Allocation, Decision, Rejection, SeriesKey)
SEEN = (Node, NodeSpec, Device, Process, Claim, WorkloadRecord, WorkloadEnd, Snapshot, HeldBy)
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | INT64 | FINITE | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
ATOMS = {str: st.text(max_size=8), bool: st.booleans(), int: INT64, float: FINITE, object: JSON}


def values_of(kind):
    """Any value of a type of the model."""
    if kind in ATOMS:
        return ATOMS[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return st.none() | values_of(arguments[0])
    if origin is Mapping:
        return st.dictionaries(st.text(max_size=4), values_of(arguments[1]), max_size=2)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values_of(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values_of, arguments))
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{name: values_of(hints[name]) for name in kind.__struct_fields__})


def through_json(value):
    return json.loads(json.dumps(to_plain(value), allow_nan=False))


@pytest.mark.parametrize("kind", SAVED + SEEN, ids=lambda kind: kind.__name__)
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(data=st.data())
def test_a_value_comes_back_equal(kind, data):
    value = data.draw(values_of(kind))
    back = from_plain(kind, through_json(value))
    assert back == value
    assert type(back) is kind


def plan():
    allocation = Allocation("w12345678", "n1", (Grant("GPU-1", Share.EXCLUSIVE),), cpus=2.0)
    steps = tuple(
        Step(seq, kind, "n1", "w12345678", "GPU 0", StepReason.WAITING, "fits", allocation, 1, 3)
        for seq, kind in enumerate((StepKind.CLAIM, StepKind.LIMIT, StepKind.START), start=1)
    )
    return Plan("p1", 1.5, "first-fit", "1", 0, simulated=False, base={"n1.boot_id": "b"}, base_digest="d", steps=steps)


def set_at(document, path, value):
    *way, last = path
    for part in way:
        document = document[part]
    document[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("steps", 2, "kind"), "explode", "steps[2].kind: 'explode' is none of: claim, limit, start, adopt, stop"),
        (("steps", 2, "kind"), ["claim"], "steps[2].kind: a list is none of"),
        (("steps", 0, "seq"), True, "steps[0].seq: expected a whole number, not true"),
        (("steps", 0, "seq"), 1.0, "steps[0].seq: expected a whole number, not a fraction"),
        (("steps", 0, "seq"), 1 << 63, "steps[0].seq: the number does not fit 64 bits"),
        (("steps", 0, "needs"), [1, "2"], "steps[0].needs[1]: expected a whole number, not text"),
        (("steps", 1, "allocation", "cpus"), float("nan"), "steps[1].allocation.cpus: expected a finite number"),
        (("steps", 1, "allocation", "cpus"), float("inf"), "steps[1].allocation.cpus: expected a finite number"),
        (("steps", 1, "allocation", "cpus"), "2", "steps[1].allocation.cpus: expected a number, not text"),
        (("steps", 1, "allocation", "cpus"), False, "steps[1].allocation.cpus: expected a number, not false"),
        (("steps", 1, "allocation", "grants"), {}, "steps[1].allocation.grants: expected a list, not an object"),
        (("steps", 1, "color"), "red", "steps[1]: unknown key 'color'"),
        (("steps", 1), None, "steps[1]: expected an object, not null"),
        (("base", "n1.boot_id"), 3, "base['n1.boot_id']: expected text, not a whole number"),
        (("simulated",), 0, "simulated: expected true or false, not a whole number"),
        (("id",), None, "id: expected text, not null"),
    ],
)
def test_a_wrong_field_is_named_with_its_path(path, value, message):
    document = through_json(plan())
    set_at(document, path, value)
    with pytest.raises(BrokenInputError) as caught:
        from_plain(Plan, document)
    assert caught.value.message.startswith(message)


def test_a_missing_key_is_refused_unless_it_has_a_default():
    document = through_json(plan())
    del document["rejections"], document["steps"][0]["needs"]
    assert from_plain(Plan, document) == plan()
    del document["steps"][0]["node"]
    with pytest.raises(BrokenInputError, match=r"^steps\[0\].node: is missing$"):
        from_plain(Plan, document)


def test_a_wrong_document_names_the_type():
    with pytest.raises(BrokenInputError, match=r"^Plan: expected an object, not a list$"):
        from_plain(Plan, [])


def test_pairs_have_two_items():
    document = through_json(Request(command=("true",), env=(("A", "1"),)))
    assert from_plain(Request, document).env == (("A", "1"),)
    document["env"][0].append("2")
    with pytest.raises(BrokenInputError, match=r"^env\[0\]: expected 2 items, not 3$"):
        from_plain(Request, document)


def test_secrets_do_not_enter_messages():
    document = through_json(Request(command=("true",), env=(("TOKEN", "hunter2"),)))
    document["env"] = {"TOKEN": "hunter2"}
    document["cpus"] = "hunter2"
    for key in ("env", "cpus"):
        with pytest.raises(BrokenInputError) as caught:
            from_plain(Request, {"command": ["true"], key: document[key]})
        assert "hunter2" not in caught.value.message


def test_a_key_in_a_message_is_bounded_and_escaped():
    with pytest.raises(BrokenInputError) as caught:
        from_plain(Request, {"command": [], "\x1b[2J" + "x" * 5000: 1})
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 100


def test_a_whole_number_counts_as_a_float():
    read = from_plain(Request, {"command": ["true"], "cpus": 2})
    assert isinstance(read.cpus, float)


def test_json_inside_a_mapping_is_checked_to_the_bottom():
    entry = through_json(AuditEntry(1.0, "start", "ann", None, None, {"a": [{"b": 1}]}))
    entry["detail"]["a"][0]["b"] = float("nan")
    with pytest.raises(BrokenInputError, match=r"^detail\['a'\]\[0\]\['b'\]: expected a finite number"):
        from_plain(AuditEntry, entry)


@pytest.mark.parametrize("value", [{1: "one"}, object(), {"a": {2, 3}}])
def test_what_is_not_of_the_model_cannot_be_written(value):
    with pytest.raises(TypeError):
        to_plain(value)


def test_what_is_not_of_the_model_cannot_be_read():
    with pytest.raises(TypeError, match="unions with None"):
        from_plain(typing.cast(type, int | str), 1)
    with pytest.raises(TypeError, match="not a type the model is made of"):
        from_plain(set, [])


def test_state_words_are_the_json_contract():
    assert [to_plain(state) for state in WorkloadState][:2] == ["pending", "running"]


def test_what_was_stored_before_there_were_gangs_can_be_read():
    allocation = Allocation("w00000001", "n1", (Grant("GPU-1", Share.EXCLUSIVE),))
    work = Workload("w00000001", "x", "ann", Request(("train",)), WorkloadState.RUNNING, 1.0, allocation=allocation)
    old = through_json(work)
    del old["allocation"]["gang"]
    for name in ("gang", "per_node"):
        del old["request"][name]
    assert from_plain(Workload, old) == work


def test_a_gang_is_read_as_it_was_written():
    member = Member(1, "n2", (Grant("GPU-2", Share.EXCLUSIVE),), "0-3", "ib0", 7, 2.0, end=WorkloadEnd(3, 5.0))
    allocation = Allocation("w00000001", "n2", member.grants, gang=Gang(2, 2, (member,), "n1", 29000))
    assert from_plain(Allocation, through_json(allocation)) == allocation
