"""`why` over the demo cluster: waiting, running, suspended and ended work, in turn, with any policy."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gpualloc.engine.apply import apply
from gpualloc.engine.cordon import cordon
from gpualloc.engine.plan import make_plan
from gpualloc.engine.release import release
from gpualloc.engine.submit import submit
from gpualloc.engine.why import explained_plan, why
from gpualloc.errors import NotFoundError
from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Rejection, RejectionReason
from gpualloc.model.workload import Request, WorkloadState
from gpualloc.policies.first_fit import FirstFit
from gpualloc.policies.remedies import RemedyKind


def asked(ctx, name, **said):
    return submit(ctx, name, Request(command=("sleep", "10000"), **said)).workload.id


class PlainSession:
    """What another package may bring: it places and frees, and no more."""

    def __init__(self, inner):
        self.place = inner.place
        self.free = inner.free


class PlainPolicy:
    """First fit that does not rank."""

    name = "plain"
    version = "7"

    def begin(self, problem):
        return PlainSession(FirstFit().begin(problem))


def test_work_that_fits_nowhere_is_told_what_is_in_the_way_and_what_helps(ctx):
    found = why(ctx, asked(ctx, "big", gpus=8, gpu_model="H100")).explanation
    assert isinstance(found.answer, Rejection)
    assert found.answer.reason is RejectionReason.NO_CAPACITY
    assert sum(len(each.nodes) for each in found.obstacles) == found.nodes == 6
    told = {each.reasons: each.nodes for each in found.obstacles}
    assert told["GPUs used by a process nobody booked",] == ("birch01",)
    assert [(each.kind, each.node, each.detail) for each in found.remedies] == [
        (RemedyKind.ASK, "birch01", "with 4 GPUs instead of 8")
    ]
    assert found.ranked == ()


def test_work_that_fits_is_told_the_best_places(ctx):
    answer = why(ctx, asked(ctx, "two", gpus=2))
    found = answer.explanation
    assert isinstance(found.answer, Allocation)
    assert found.ranked[0].node == found.answer.node
    assert (found.fitting, found.remedies) == (5, ())
    assert answer.starter.kind == "nobody"


def test_it_says_what_the_plan_says(ctx):
    for number in range(3):
        asked(ctx, f"w{number}", gpus=4)
    asked(ctx, "mig", mig_profile="1g.10gb")
    plan, told, _ = explained_plan(ctx)
    placed = {step.workload: step.allocation.node for step in plan.steps if step.kind == "start"}
    rejected = {each.workload: each for each in plan.rejections}
    assert {each.workload.id for each in told} == placed.keys() | rejected.keys()
    for each in told:
        one = why(ctx, each.workload.id).explanation
        assert one == each
        if isinstance(each.answer, Allocation):
            assert each.answer.node == placed[each.workload.id]
        else:
            assert each.answer == rejected[each.workload.id]


def test_places_given_to_work_that_goes_first_count_as_given(ctx):
    first = asked(ctx, "first", gpus=4, gpu_model="A100-SXM4-40GB", priority=1)
    found = why(ctx, asked(ctx, "second", gpus=4, gpu_model="A100-SXM4-40GB")).explanation
    assert found.ahead == (first,)
    assert {each.reasons: each.nodes for each in found.obstacles}["GPUs given to other work",] == ("fir01",)
    (remedy,) = [each for each in found.remedies if each.kind is RemedyKind.GO_FIRST]
    assert (remedy.node, remedy.workloads) == ("fir01", (first,))


def test_a_policy_that_only_places_is_enough(ctx):
    plain = replace(ctx, policy=PlainPolicy())
    fits, waits = asked(plain, "two", gpus=2), asked(plain, "big", gpus=8)
    found = why(plain, fits).explanation
    assert isinstance(found.answer, Allocation)
    assert found.ranked == ()
    found = why(plain, waits).explanation
    assert isinstance(found.answer, Rejection)
    assert found.obstacles
    assert found.remedies


def test_an_instance_that_is_made_for_it_is_said(ctx):
    found = why(ctx, asked(ctx, "mig", mig_profile="1g.10gb")).explanation
    assert isinstance(found.answer, Allocation)
    assert found.layouts == ("GPU 4: layout 1g.10gb@4 holds work that waits",)
    assert found.remedies == ()


def test_running_work_that_is_in_the_way_is_named_and_a_cordon_too(ctx):
    there = asked(ctx, "there", gpus=4, gpu_model="A100-SXM4-40GB")
    apply(ctx, make_plan(ctx))
    cordon(ctx, ["birch01"], None, "fans")
    found = why(ctx, asked(ctx, "next", gpus=4, gpu_model="H100|A100-SXM4-40GB")).explanation
    helps = {each.kind: each for each in found.remedies}
    assert helps[RemedyKind.UNCORDON].node == "birch01"
    assert helps[RemedyKind.RELEASE].workloads == (there,)
    assert RemedyKind.MIGRATE not in helps  # it asks for that model, and no other node has four of them


def test_running_and_ended_work_is_told_who_placed_it(ctx):
    one = asked(ctx, "one")
    plan = make_plan(ctx)
    apply(ctx, plan)
    answer = why(ctx, one)
    assert answer.workload.state is WorkloadState.RUNNING
    assert answer.explanation is None
    assert (answer.placed.plan, answer.placed.policy, answer.placed.actor) == (
        plan.id,
        f"best-fit {ctx.policy.version}",
        "ann",
    )
    release(ctx, [one])
    answer = why(ctx, one)
    assert answer.workload.state is WorkloadState.RELEASED
    assert answer.placed.plan == plan.id


def test_work_that_never_began_has_no_place_to_tell_of(ctx):
    one = asked(ctx, "one")
    release(ctx, [one])
    answer = why(ctx, one)
    assert (answer.explanation, answer.placed) == (None, None)


def test_unknown_work_is_not_found(ctx):
    with pytest.raises(NotFoundError):
        why(ctx, "nothing")


def test_a_gang_is_told_what_keeps_a_member_out(ctx):
    gang = asked(ctx, "gang", gpus=12, gpu_model="A100|H100", gang=True, per_node=4)
    found = why(ctx, gang).explanation
    assert isinstance(found.answer, Rejection)
    told = {each.reasons: each.nodes for each in found.obstacles}
    assert told["GPUs used by a process nobody booked",] == ("cedar01",)
    assert found.remedies == ()


def test_places_of_every_member_of_a_gang_count_as_given(ctx):
    gang = asked(ctx, "gang", gpus=8, gpu_model="A100|H100", gang=True, per_node=4, priority=1)
    found = why(ctx, gang).explanation
    assert isinstance(found.answer, Allocation)
    assert found.answer.nodes == ("birch01", "fir01")
    behind = why(ctx, asked(ctx, "behind", gpus=4, gpu_model="A100|H100")).explanation
    given = [each.nodes for each in behind.obstacles if "GPUs given to other work" in each.reasons]
    assert sorted(name for names in given for name in names) == ["birch01", "fir01"]
