"""A plan as a document: the round trip, and everything that is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fakes import scenes
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.errors import BrokenInputError
from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Decision, Rejection
from gpualloc.model.plan import Plan, StepKind
from gpualloc.planning.document import dump, load
from gpualloc.planning.plan import build
from gpualloc.planning.steps import cleanup_steps
from gpualloc.policies.best_fit import BestFit

SECRET = "hunter2"
NODES = [
    scenes.node("gpu01", devices=2, claims=[{"device": 1, "workload": "gone"}]),
    scenes.node("gpu02", devices=[{"mig": ["1g.10gb"]}]),
]
WORKS = [
    scenes.workload("w1", cpus=2.0, name="näme\n", env=(("TOKEN", SECRET),)),
    scenes.workload("w2", mig_profile="1g.10gb"),
    scenes.workload("w3", gpus=8),
]


def _plan() -> Plan:
    problem = scenes.problem(NODES, WORKS)
    answers = scenes.decided(BestFit(), problem).values()
    decision = Decision(
        "best-fit",
        "1",
        0,
        tuple(answer for answer in answers if isinstance(answer, Allocation)),
        tuple(answer for answer in answers if isinstance(answer, Rejection)),
    )
    works = {work.id: work for work in WORKS}
    extra = cleanup_steps(problem.snapshot, WORKS, "ours")
    return build(decision, problem.snapshot, works, plan_id="p1", created_at_s=1.5, simulated=True, extra_steps=extra)


PLAN = _plan()
TEXT = dump(PLAN)


def test_a_plan_has_its_parts() -> None:
    kinds = [StepKind.UNCLAIM, StepKind.CLAIM, StepKind.LIMIT, StepKind.START, StepKind.CLAIM, StepKind.START]
    assert [step.kind for step in PLAN.steps] == kinds
    assert [step.seq for step in PLAN.steps] == [1, 2, 3, 4, 5, 6]
    assert [rejection.workload for rejection in PLAN.rejections] == ["w3"]
    assert PLAN.applyable
    assert PLAN.simulated
    assert any(name.startswith("node/gpu02/device/") for name in PLAN.base)
    assert SECRET not in TEXT


def test_round_trip() -> None:
    assert load(TEXT) == PLAN
    assert dump(load(TEXT)) == TEXT
    assert TEXT.isascii()


@settings(deadline=None)
@given(st.integers(0, len(TEXT) - 2))
def test_truncated_anywhere_is_refused(length: int) -> None:
    with pytest.raises(BrokenInputError):
        load(TEXT[:length])


@settings(deadline=None)
@given(st.integers(0, len(TEXT) - 1), st.sampled_from('0a9}"x,'))
def test_one_edited_character_is_refused_or_changes_nothing(place: int, character: str) -> None:
    edited = TEXT[:place] + character + TEXT[place + 1 :]
    try:
        assert load(edited) == PLAN
    except BrokenInputError:
        assert edited != TEXT


def _without_digest(change: Callable[[dict[str, Any]], None]) -> str:
    document = json.loads(TEXT)
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (TEXT[:200], "is truncated or not JSON"),
        ("[" * 100_000, "is truncated or not JSON"),
        ("[1]", "is not a plan"),
        ('{"schema": "gpualloc.plan/1"}', "is not a plan"),
        (_without_digest(lambda doc: doc.update(format=3)), "has format 3; this gpualloc reads 4"),
        (_without_digest(lambda doc: doc.update(format=True)), "has format True"),
        (_without_digest(lambda doc: doc.pop("format")), "has format None"),
        (_without_digest(lambda doc: doc.pop("sha256")), "was edited"),
        (_without_digest(lambda doc: doc.update(extra=1)), "was edited"),
        (_without_digest(lambda doc: doc["plan"]["steps"].pop()), "was edited"),
        (_without_digest(lambda doc: doc["plan"].update(seed=float("nan"))), "was edited"),
        (dump(replace(PLAN, base={**PLAN.base, "node/gpu01/boot": "other"})), "contradicts itself"),
    ],
)
def test_what_is_wrong_is_told(text: str, message: str) -> None:
    with pytest.raises(BrokenInputError, match=message) as caught:
        load(text)
    assert caught.value.exit_code == 2
    assert caught.value.hint is not None
