"""A context that only looks: every way to change something is refused, and nothing is changed by trying."""

import inspect

import pytest
from msgspec.structs import replace

from gpualloc.engine import read_only
from gpualloc.engine.adopt import Wanted, adopt
from gpualloc.engine.alerting import silence
from gpualloc.engine.apply import apply
from gpualloc.engine.health_look import look_at_health
from gpualloc.engine.observe import look, observe
from gpualloc.engine.plan import make_plan
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.release import release
from gpualloc.engine.sample import sample
from gpualloc.engine.settle import catch_up
from gpualloc.engine.signalling import Chosen, address, send
from gpualloc.engine.status import status
from gpualloc.engine.submit import submit
from gpualloc.errors import ReadOnlyError, StateError
from gpualloc.model.signals import ProcessSignal
from gpualloc.model.workload import Request
from gpualloc.ports import Alerts, Events, Fleet, History, Hooks, Journal, Messenger, ScaleHook

WHY = "--read-only was given"
WRITES = {
    Fleet: {"do", "undo", "verify", "burnin"},
    Journal: {"submit", "withdraw", "save_plan", "write", "watching", "sampling"},
    History: {"append", "keep", "prune"},
    Events: {"note", "keep", "forget"},
    Alerts: {"keep", "silence", "unsilence", "ended"},
    Messenger: {"begin", "ended", "rest", "attempt"},
    Hooks: {"run"},
    ScaleHook: {"run"},
}
READS = {
    Fleet: read_only.FLEET_READS,
    Journal: read_only.JOURNAL_READS,
    History: read_only.HISTORY_READS,
    Events: read_only.EVENTS_READS,
    Alerts: read_only.ALERTS_READS,
}
FIELDS = {
    Fleet: "fleet",
    Journal: "journal",
    History: "history",
    Events: "events",
    Alerts: "alerts",
    Messenger: "messenger",
    Hooks: "hooks",
    ScaleHook: "scale_hook",
}


class Anything:
    """Stands for a port that does whatever it is asked."""

    def __getattr__(self, name):
        return lambda *given, **named: (name, given, named)


def members(port):
    return {name for name, _ in inspect.getmembers(port) if not name.startswith("_")}


@pytest.fixture
def looking(ctx):
    return read_only.read_only(ctx, WHY)


@pytest.mark.parametrize("port", WRITES, ids=lambda port: port.__name__)
def test_somebody_has_decided_on_every_method_of_a_port(port):
    reads = READS.get(port, frozenset())
    assert members(port) | {"close"} == WRITES[port] | reads | {"close"}
    assert not WRITES[port] & reads


@pytest.mark.parametrize(
    ("port", "name"),
    [(port, name) for port, names in WRITES.items() for name in sorted(names)],
    ids=lambda one: one if isinstance(one, str) else one.__name__,
)
def test_what_changes_something_is_refused(ctx, port, name):
    anything = replace(ctx, **{field: Anything() for field in FIELDS.values()})
    guarded = getattr(read_only.read_only(anything, WHY), FIELDS[port])
    with pytest.raises(ReadOnlyError, match="nothing can be changed here: --read-only was given") as refused:
        getattr(guarded, name)(1, more=2)
    assert (refused.value.exit_code, refused.value.code) == (1, "read-only")
    assert isinstance(refused.value, StateError), "who can do without writing goes on"


def test_a_way_to_write_that_nobody_knows_yet_is_refused_and_what_is_not_there_is_not_made_up(ctx):
    class Newer:
        def wipe(self):
            raise AssertionError

    guarded = read_only.read_only(replace(ctx, journal=Newer()), WHY).journal
    with pytest.raises(ReadOnlyError):
        guarded.wipe()
    assert not hasattr(guarded, "wipe_all")


def test_nodes_keep_nothing_for_who_only_looks(ctx):
    guarded = read_only.read_only(replace(ctx, fleet=Anything()), WHY)
    assert guarded.fleet.watch(2.0, ["n1"], "c" * 32) == ("watch", (2.0, ["n1"]), {})


def test_everything_can_be_looked_at(ctx, looking):
    work = submit(ctx, "work", Request(("python", "train.py"), gpus=1, memory_mib=1024)).workload
    assert [node.name for node in look(looking).nodes] == [node.name for node in look(ctx).nodes]
    assert [step.workload for step in make_plan(looking).steps] == [work.id] * 3
    assert looking.journal.find("work") == work
    assert catch_up(looking, observe(looking)) == (work,)
    assert status(looking) == status(ctx)
    assert {each.node for each in look_at_health(looking).conditions} == {
        each.node for each in look_at_health(ctx).conditions
    }
    assert looking.journal.controller == ctx.journal.controller


def test_nothing_changes_whatever_is_tried(ctx, looking):
    submit(ctx, "runs", Request(("python", "train.py"), gpus=1, memory_mib=1024))
    rebalance(ctx)
    submit(ctx, "waits", Request(("python", "train.py"), gpus=1, memory_mib=1024))
    plan = make_plan(looking)
    (node, stranger) = next(
        (node.name, one) for node in look(ctx).nodes for one in node.processes if one.workload is None
    )
    before = (ctx.journal.data_version(), ctx.journal.workloads(), ctx.journal.audit(), ctx.history.span())
    order = address(looking, ProcessSignal.KILL, [Chosen(node, stranger.pid)])
    for act in (
        lambda: submit(looking, "more", Request(("true",), gpus=1)),
        lambda: apply(looking, plan),
        lambda: rebalance(looking),
        lambda: release(looking, ["runs"]),
        lambda: release(looking, ["waits"]),
        lambda: send(looking, order),
        lambda: adopt(looking, Wanted(node, stranger.pid)),
        lambda: sample(looking),
        lambda: silence(looking, None, node, 60.0, "why"),
    ):
        with pytest.raises(ReadOnlyError):
            act()
    assert (ctx.journal.data_version(), ctx.journal.workloads(), ctx.journal.audit(), ctx.history.span()) == before
    assert ctx.fleet.process(node, stranger.pid).pid == stranger.pid


def test_two_layers_are_as_one(looking):
    with pytest.raises(ReadOnlyError, match="nothing can be changed here: a second reason"):
        read_only.read_only(looking, "a second reason").journal.write("apply")
