"""A finished run taken back by a plan of its own, over the simulated cluster and the real databases."""

import pytest
from msgspec.structs import replace

from gpualloc.engine.apply import apply, failure
from gpualloc.engine.mig import Wish, layout_of_device, layout_plan
from gpualloc.engine.observe import observe
from gpualloc.engine.plan import make_plan, release_plan
from gpualloc.engine.release import release
from gpualloc.engine.settings import settings_plan
from gpualloc.engine.submit import submit
from gpualloc.engine.suspend import resume, suspend
from gpualloc.engine.undo import finished_run, undo_plan
from gpualloc.errors import NotFoundError, UsageError
from gpualloc.model.desired import DeviceSettings, Repartition
from gpualloc.model.inventory import NodeState
from gpualloc.model.mig import parse_layout
from gpualloc.model.plan import StepKind, StepReason, StepState
from gpualloc.model.workload import Preemption, Request, WorkloadState
from gpualloc.planning.settings import SettingsChange

FOREVER = ("python", "train.py")


def started(ctx, name="work", **more):
    """Work that was submitted, planned and started; its id and the run."""
    request = Request(FOREVER, **{"gpus": 1, "memory_mib": 1024, "nodes": ("fir01",), **more})
    workload = submit(ctx, name, request).workload.id
    report = apply(ctx, make_plan(ctx))
    assert failure(report) is None
    assert ctx.journal.find(workload).state is WorkloadState.RUNNING
    return workload, report.run_id


def taken_back(ctx, undo):
    """What the nodes hold and what the workloads are once the undo is applied."""
    assert failure(apply(ctx, undo.plan)) is None
    snapshot = observe(ctx)
    return {claim.workload for node in snapshot.nodes for claim in node.claims}


def device_of(ctx, node, index):
    found = observe(ctx, [node]).node(node)
    return found, next(each for each in found.devices if each.index == index)


def test_work_that_a_run_started_waits_again_and_holds_nothing(ctx):
    workload, run = started(ctx)
    undo = undo_plan(ctx)
    assert undo.run.id == run
    assert undo.stays == ()
    assert [step.kind for step in undo.plan.steps] == [StepKind.STOP, StepKind.UNCLAIM, StepKind.UNLIMIT]
    assert {step.reason for step in undo.plan.steps} == {StepReason.UNDO}
    assert ctx.journal.find(workload).state is WorkloadState.RUNNING
    assert taken_back(ctx, undo) == set()
    work = ctx.journal.find(workload)
    assert (work.state, work.reason) == (WorkloadState.PENDING, "taken back from fir01 by ann")
    assert failure(apply(ctx, make_plan(ctx))) is None
    assert ctx.journal.find(workload).state is WorkloadState.RUNNING


def test_the_newest_work_is_taken_back_first(ctx):
    for name in ("one", "two"):
        submit(ctx, name, Request(FOREVER, gpus=1, nodes=("fir01",)))
    report = apply(ctx, make_plan(ctx))
    order = [step.workload for step in report.done if step.kind is StepKind.START]
    undo = undo_plan(ctx, report.run_id)
    assert [step.workload for step in undo.plan.steps if step.kind is StepKind.STOP] == order[::-1]


def test_a_gang_is_taken_back_on_all_its_nodes(ctx):
    gang = submit(ctx, "gang", Request(FOREVER, gpus=10, gang=True)).workload.id
    assert failure(apply(ctx, make_plan(ctx))) is None
    assert len(ctx.journal.find(gang).allocation.nodes) > 1
    assert taken_back(ctx, undo_plan(ctx)) == set()
    assert ctx.journal.find(gang).state is WorkloadState.PENDING


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda ctx, work: release(ctx, [work]), "nothing is left of it"),
        (suspend, "was suspended since"),
    ],
)
def test_what_changed_since_stays_as_it_is(ctx, change, why):
    workload, run = started(ctx, preempt=Preemption.SUSPEND)
    change(ctx, workload)
    undo = undo_plan(ctx, run)
    assert undo.plan.steps == ()
    assert [(one.step.kind, one.step.workload) for one in undo.stays] == [(StepKind.START, workload)]
    assert why in undo.stays[0].why


def test_a_later_start_is_not_the_one_of_the_run(ctx):
    workload, run = started(ctx)
    taken_back(ctx, undo_plan(ctx))
    apply(ctx, make_plan(ctx))
    assert ctx.journal.find(workload).state is WorkloadState.RUNNING
    undo = undo_plan(ctx, run)
    assert undo.plan.steps == ()
    assert "started anew since" in undo.stays[0].why


def test_work_that_never_gives_way_stays_and_the_command_that_ends_it_is_told(ctx):
    workload, _ = started(ctx, preempt=Preemption.NEVER)
    undo = undo_plan(ctx)
    assert undo.plan.steps == ()
    assert f"gpualloc release {workload}" in undo.stays[0].why


def test_work_that_a_run_ended_cannot_be_brought_back(ctx):
    workload, _ = started(ctx)
    snapshot = observe(ctx)
    apply(ctx, release_plan(ctx, [ctx.journal.find(workload)], snapshot))
    undo = undo_plan(ctx)
    assert undo.plan.steps == ()
    assert undo.stays[0].step.kind is StepKind.STOP
    assert undo.stays[0].why == "stop cannot be taken back"


def test_what_was_suspended_goes_on_and_what_was_resumed_is_suspended(ctx):
    workload, _ = started(ctx)
    suspend(ctx, workload)
    undo = undo_plan(ctx)
    assert [step.kind for step in undo.plan.steps] == [StepKind.CLAIM, StepKind.RESUME]
    assert failure(apply(ctx, undo.plan)) is None
    assert ctx.journal.find(workload).state is WorkloadState.RUNNING
    suspend(ctx, workload)
    resume(ctx, workload)
    undo = undo_plan(ctx)
    assert [step.kind for step in undo.plan.steps] == [StepKind.SUSPEND, StepKind.UNCLAIM]
    assert failure(apply(ctx, undo.plan)) is None
    assert ctx.journal.find(workload).state is WorkloadState.SUSPENDED


def test_a_layout_becomes_what_it_was(ctx):
    node, device = device_of(ctx, "yew01", 0)
    before = layout_of_device(device)
    wish = Wish(node, device_of(ctx, "yew01", 1)[1], parse_layout("2g.12gb@0,2g.12gb@2"))
    assert failure(apply(ctx, layout_plan(ctx, [wish], observe(ctx)))) is None
    undo = undo_plan(ctx)
    assert [step.kind for step in undo.plan.steps] == [StepKind.MIG_DESTROY, StepKind.MIG_DESTROY]
    assert failure(apply(ctx, undo.plan)) is None
    assert layout_of_device(device_of(ctx, "yew01", 1)[1]) == ()
    assert layout_of_device(device_of(ctx, "yew01", 0)[1]) == before


def test_work_on_a_layout_of_the_same_run_ends_before_the_layout_changes(ctx):
    changing = replace(ctx, settings=replace(ctx.settings, repartition=Repartition.INSTANCES))
    work = submit(changing, "part", Request(FOREVER, gpus=1, mig_profile="2g.12gb", nodes=("yew01",)))
    made = make_plan(changing)
    assert StepKind.MIG_CREATE in {step.kind for step in made.steps}
    assert failure(apply(changing, made)) is None
    undo = undo_plan(changing)
    assert undo.stays == ()
    kinds = [step.kind for step in undo.plan.steps]
    assert kinds.index(StepKind.STOP) < kinds.index(StepKind.MIG_DESTROY)
    assert taken_back(changing, undo) == set()
    assert ctx.journal.find(work.workload.id).state is WorkloadState.PENDING
    assert layout_of_device(device_of(ctx, "yew01", 1)[1]) == ()


def test_a_layout_in_use_by_other_work_stays(ctx):
    node, device = device_of(ctx, "yew01", 1)
    layout = layout_plan(ctx, [Wish(node, device, parse_layout("2g.12gb@0"))], observe(ctx))
    run = apply(ctx, layout).run_id
    workload, _ = started(ctx, memory_mib=None, mig_profile="2g.12gb", nodes=("yew01",))
    undo = undo_plan(ctx, run)
    assert undo.plan.steps == ()
    assert f"is in use by {workload}" in undo.stays[0].why


def test_a_layout_that_was_changed_since_stays(ctx):
    node, device = device_of(ctx, "yew01", 1)
    run = apply(ctx, layout_plan(ctx, [Wish(node, device, parse_layout("2g.12gb@0"))], observe(ctx))).run_id
    node, device = device_of(ctx, "yew01", 1)
    apply(ctx, layout_plan(ctx, [Wish(node, device, parse_layout(""))], observe(ctx)))
    assert undo_plan(ctx, run).stays[0].why == "the layout of GPU 1 was changed since"


def test_settings_become_what_they_were(ctx):
    before = device_of(ctx, "fir01", 0)[1].power_limit_w
    change = SettingsChange(DeviceSettings(power_limit_w=250.0))
    run = apply(ctx, settings_plan(ctx, ["fir01"], "0", change)).run_id
    assert device_of(ctx, "fir01", 0)[1].power_limit_w == 250.0
    undo = undo_plan(ctx)
    assert [step.kind for step in undo.plan.steps] == [StepKind.SET]
    assert failure(apply(ctx, undo.plan)) is None
    assert device_of(ctx, "fir01", 0)[1].power_limit_w == before
    assert undo_plan(ctx, run).stays[0].why == "the settings of GPU 0 were changed since"


def test_a_node_that_does_not_answer_keeps_what_is_on_it(ctx):
    workload, run = started(ctx)
    two, _ = started(ctx, "other", nodes=("oak01",))
    quiet = replace(ctx, fleet=Quiet(ctx.fleet))
    both = undo_plan(quiet, run)
    assert both.plan.steps == ()
    assert both.stays[0].why == "fir01 does not answer"
    assert {workload, two} == {work.id for work in ctx.journal.workloads([WorkloadState.RUNNING])}


class Quiet:
    """The real fleet, in which fir01 does not answer any more and another node is always looked at."""

    def __init__(self, fleet):
        self._fleet = fleet

    def __getattr__(self, name):
        return getattr(self._fleet, name)

    def observe(self, names=None, near=()):
        for node in self._fleet.observe(None if names is None else [*names, "oak01"], near):
            yield replace(node, state=NodeState.UNREACHABLE, devices=()) if node.name == "fir01" else node


def test_only_steps_that_were_done_are_taken_back(ctx):
    bad = submit(ctx, "bad", Request(("/nonexistent/train",), gpus=1, nodes=("fir01",))).workload.id
    good = submit(ctx, "good", Request(FOREVER, gpus=1, nodes=("fir01",))).workload.id
    report = apply(ctx, make_plan(ctx))
    assert failure(report) is not None
    undo = undo_plan(ctx, report.run_id)
    assert {step.workload for step in undo.plan.steps} == {good}
    assert bad not in {one.step.workload for one in undo.stays}


def test_a_run_is_found_by_its_id_or_as_the_last(ctx):
    with pytest.raises(NotFoundError, match="no run that could be taken back"):
        undo_plan(ctx)
    _, first = started(ctx, "first")
    _, second = started(ctx, "second")
    assert finished_run(ctx).id == second
    assert finished_run(ctx, first).id == first
    with pytest.raises(NotFoundError, match="no run 'r-none'"):
        finished_run(ctx, "r-none")


def test_a_run_that_has_not_ended_is_not_taken_back(ctx):
    for name in ("one", "two"):
        submit(ctx, name, Request(FOREVER, gpus=1, nodes=("fir01",)))
    done = []

    def on_step(_step, state, _error, _total):
        if state is StepState.DONE:
            done.append(state)

    report = apply(replace(ctx, stopped=lambda: bool(done)), make_plan(ctx), on_step=on_step)
    with pytest.raises(UsageError, match="has not ended: it is open"):
        undo_plan(ctx, report.run_id)
