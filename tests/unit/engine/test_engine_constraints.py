"""Labels, paths and NUMA nodes from the request to the start, over simulated nodes."""

import pytest
from msgspec.structs import replace

from gpualloc.engine.apply import apply
from gpualloc.engine.plan import make_plan
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.submit import submit
from gpualloc.errors import InfeasibleError, StalePlanError
from gpualloc.model.decision import RejectionReason
from gpualloc.model.workload import Request
from gpualloc.sim.cluster import ClusterSpec, Fault, HostSpec
from gpualloc.sim.gpu import FaultKind

GPUS = ("H100-80GB",) * 4
CLUSTER = ClusterSpec(
    "racks",
    (
        HostSpec("n1", GPUS, labels={"rack": "r1"}),
        HostSpec("n2", GPUS, labels={"rack": "r2"}, paths=("/data/set", "/scratch")),
        HostSpec("n3", GPUS, labels={"rack": "r2"}, numa_nodes=2),
    ),
)
SLEEP = ("sleep", "600")


def placed(ctx, **asked):
    """Where the request runs after a rebalance, as node and indices of devices."""
    workload = submit(ctx, "work", Request(command=SLEEP, **asked)).workload
    rebalance(ctx)
    allocation = ctx.journal.find(workload.id).allocation
    (node,) = ctx.fleet.observe([allocation.node])
    uuids = [device.uuid for device in node.devices]
    return allocation.node, [uuids.index(grant.device) for grant in allocation.grants]


@pytest.mark.parametrize("policy", ["first-fit", "best-fit", "spread"])
def test_work_starts_where_its_label_and_its_data_are(made_context, policy):
    ctx = made_context(policy, CLUSTER)
    assert placed(ctx, gpus=2, near=("/data/set", "/data"))[0] == "n2"
    assert placed(ctx, gpus=4, labels=(("rack", "r2"),))[0] == "n3"
    assert placed(ctx, gpus=0, labels=(("rack", "r1"),)) == ("n1", [])


def test_gpus_near_one_numa_node_are_given_together(made_context):
    ctx = made_context(cluster=CLUSTER)
    assert placed(ctx, nodes=("n3",)) == ("n3", [0])
    assert placed(ctx, gpus=2, nodes=("n3",), numa=True, cpuset="near") == ("n3", [2, 3])
    assert ctx.journal.workloads()[-1].allocation.cpuset == "32-63"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"labels": (("rack", "r9"),)}, "no node has the label rack=r9; there are r1, r2"),
        ({"near": ("/data/other",)}, "/data/other is on no node that answers"),
        ({"gpus": 3, "nodes": ("n3",), "numa": True}, "2 near another NUMA node"),
    ],
)
def test_what_can_never_be_is_refused_at_once(made_context, asked, said):
    with pytest.raises(InfeasibleError, match=said):
        submit(made_context(cluster=CLUSTER), "work", Request(command=SLEEP, **asked))


def test_work_waits_for_the_node_that_has_its_data(made_context):
    ctx = made_context(cluster=replace(CLUSTER, faults=(Fault("n2", FaultKind.UNREACHABLE),)))
    submit(ctx, "work", Request(command=SLEEP, near=("/data/set",)))
    (rejection,) = make_plan(ctx).rejections
    assert rejection.reason is RejectionReason.NODE_DOWN
    assert "no answer from n2 (unreachable)" in rejection.detail


def test_a_plan_is_stale_when_the_data_went_away(made_context):
    ctx = made_context(cluster=CLUSTER)
    submit(ctx, "work", Request(command=SLEEP, near=("/data/set",)))
    plan = make_plan(ctx)

    class Unmounted:
        """The fleet without the data."""

        def __getattr__(self, name):
            return getattr(ctx.fleet, name)

        def observe(self, names=None, near=()):
            for node in ctx.fleet.observe(names, near):
                yield replace(node, near=dict.fromkeys(node.near, False))

    with pytest.raises(StalePlanError, match="n2: /data/set is gone"):
        apply(replace(ctx, fleet=Unmounted()), plan)
    assert apply(ctx, plan).done
