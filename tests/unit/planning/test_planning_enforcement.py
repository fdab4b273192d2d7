"""Who is on a device that was not given to them, and when something may be done about it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.model.allocation import Claim, Share
from gpualloc.model.enforcement import EnforceMode, Rules
from gpualloc.model.inventory import Node, NodeSpec, NodeState, Process, Snapshot
from gpualloc.model.plan import EvictAction, StepKind
from gpualloc.planning.enforcement import evict_steps, judge, offences, seen

ONE, TWO, MIG = "GPU-1", "GPU-2", "MIG-1"


def process(pid=100, device=ONE, workload=None, **more):
    fields = {"mig_instance": None, "gpu_memory_used_mib": 1, "user": "eve", "command": "/opt/bin/miner --fast"}
    return Process(pid=pid, device=device, workload=workload, started_at_s=50.0, **{**fields, **more})


def claim(workload="w00000001", device=ONE, share=Share.EXCLUSIVE, mig_instance=None):
    return Claim(device, workload, "c" * 32, share, mig_instance, 1.0, None, 0.0)


def snapshot(*processes, claims=(), at_s=100.0, **node):
    spec = NodeSpec("n1", "pool", "local", manage=node.pop("manage", None))
    fields = {"state": NodeState.OK, "boot_id": "b1", "processes": tuple(processes), "claims": tuple(claims)}
    return Snapshot(at_s, (Node(spec, at_s=at_s, **{**fields, **node}),))


@pytest.mark.parametrize(
    ("one", "claims", "wrong"),
    [
        (process(), [], False),
        (process(), [claim()], True),
        (process(), [claim(device=TWO)], False),
        (process(), [claim(share=Share.TIME_SLICE)], False),
        (process(), [claim(share=Share.MPS)], False),
        (process(mig_instance=MIG), [claim(share=Share.MIG, mig_instance=MIG)], True),
        (process(mig_instance="MIG-2"), [claim(share=Share.MIG, mig_instance=MIG)], False),
        (process(workload="w00000001"), [claim()], False),
        (process(workload="w00000002"), [claim()], True),
        (process(workload="w00000002"), [claim(share=Share.TIME_SLICE)], True),
        (process(workload="w00000001", device=TWO), [claim()], True),
        (process(workload="w00000001", mig_instance="MIG-2"), [claim(share=Share.MIG, mig_instance=MIG)], True),
    ],
)
def test_what_counts(one, claims, wrong):
    assert [found.pid for found in offences(snapshot(one, claims=claims))] == ([100] if wrong else [])


def test_nodes_that_are_only_looked_at_are_left_alone():
    for node in ({"manage": False}, {"other_controllers": ("slurmd",)}, {"state": NodeState.UNREACHABLE}):
        assert offences(snapshot(process(), claims=[claim()], **node)) == ()


def looks(rules, *shots):
    sightings, findings = (), ()
    for shot in shots:
        found = offences(shot)
        sightings = seen(sightings, found, shot)
        findings = judge(rules, found, sightings)
    return findings


def test_a_node_that_tells_of_no_claims_leaves_what_was_seen_there():
    rules = Rules(EnforceMode.TERMINATE)
    first, again = (snapshot(process(), claims=[claim()], at_s=at_s) for at_s in (100.0, 400.0))
    limited = snapshot(process(), at_s=200.0, limited="no python3 there")
    (due,) = looks(rules, first, limited, again)
    assert (due.due, due.sighting.count) == (True, 2)


def test_never_on_first_sight_and_only_the_same_process():
    rules = Rules(EnforceMode.TERMINATE)
    first, again = (snapshot(process(), claims=[claim()], at_s=at_s) for at_s in (100.0, 400.0))
    assert [one.due for one in looks(rules, first)] == [False]
    (due,) = looks(rules, first, again)
    assert (due.due, due.sighting.count, due.sighting.first_seen_s) == (True, 2, 100.0)
    reused = replace(again, nodes=(replace(again.nodes[0], processes=(replace(process(), started_at_s=300.0),)),))
    assert [one.due for one in looks(rules, first, reused)] == [False]
    rebooted = replace(again, nodes=(replace(again.nodes[0], boot_id="b2"),))
    assert [one.due for one in looks(rules, first, rebooted)] == [False]
    nameless = replace(process(), started_at_s=None)
    both = (snapshot(nameless, claims=[claim()]), snapshot(nameless, claims=[claim()]))
    assert [one.due for one in looks(rules, *both)] == [False]
    assert [one.due for one in looks(Rules(after_sightings=3), first, again)] == [False]
    assert [one.due for one in looks(Rules(after_sightings=3), first, again, again)] == [True]


def test_a_look_without_it_forgets_it_and_an_unreached_node_does_not():
    rules = Rules(EnforceMode.TERMINATE)
    there, away = snapshot(process(), claims=[claim()]), snapshot(claims=[claim()])
    lost = snapshot(state=NodeState.UNREACHABLE)
    assert [one.due for one in looks(rules, there, away, there)] == [False]
    assert [one.due for one in looks(rules, there, lost, there)] == [True]


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        (Rules(exempt_users=("e*",)), "enforce.exempt_users has e*"),
        (Rules(exempt_commands=("miner",)), "enforce.exempt_commands has miner"),
        (Rules(exempt_commands=("*--fast",)), "enforce.exempt_commands has *--fast"),
        (Rules(exempt_devices=(ONE,)), "enforce.exempt_devices has GPU-1"),
        (Rules(exempt_nodes=("n[12]",)), "enforce.exempt_nodes has n[12]"),
        (Rules(exempt_users=("ann",), exempt_commands=("train",)), None),
    ],
)
def test_exemptions(rules, why):
    there = snapshot(process(), claims=[claim()])
    (finding,) = looks(rules, there, there)
    assert (finding.exempt, finding.due) == (why, why is None)


@pytest.mark.parametrize(
    ("user", "command", "exempt"),
    [
        ("root", "/usr/lib/xorg/Xorg :0 -core", True),
        ("nvidia-persistenced", "/usr/bin/nvidia-persistenced", True),
        ("root", "nvidia-cuda-mps-server", True),
        ("eve", "Xorg", False),
        ("root", "/opt/bin/miner", False),
        (None, "Xorg", False),
    ],
)
def test_the_systems_own_programs_count_only_as_the_systems_own_accounts(user, command, exempt):
    there = snapshot(process(user=user, command=command), claims=[claim()])
    assert [one.exempt is not None for one in looks(Rules(), there, there)] == [exempt]


def test_one_step_ends_a_process_on_several_devices():
    rules = Rules(EnforceMode.TERMINATE, grace_s=3.0)
    there = snapshot(process(device=TWO), process(), process(pid=7), claims=[claim(), claim("w00000002", TWO)])
    steps = evict_steps(rules, looks(rules, there, there), there)
    assert [(step.seq, step.kind, step.device, step.process.pid) for step in steps] == [
        (1, StepKind.EVICT, ONE, 7),
        (2, StepKind.EVICT, ONE, 100),
    ]
    assert len({step.chain for step in steps}) == 2
    assert (steps[0].process.action, steps[0].process.grace_s) == (EvictAction.TERMINATE, 3.0)
    assert steps[0].blast_radius.users == ("eve",)
    for mode in (EnforceMode.REPORT, EnforceMode.NOTIFY):
        assert evict_steps(replace(rules, mode=mode), looks(rules, there, there), there) == ()


PROCESSES = st.builds(
    lambda pid, device, workload, start: replace(process(pid, device, workload), started_at_s=start),
    st.integers(1, 4), st.sampled_from([ONE, TWO]), st.sampled_from([None, "w00000001", "w00000002"]),
    st.sampled_from([None, 50.0, 90.0]),
)  # fmt: skip
CLAIMS = st.builds(
    claim, st.sampled_from(["w00000001", "w00000002"]), st.sampled_from([ONE, TWO]),
    st.sampled_from([Share.EXCLUSIVE, Share.TIME_SLICE]),
)  # fmt: skip
SHOTS = st.builds(
    lambda processes, claims, state: snapshot(*processes, claims=claims, state=state),
    st.lists(PROCESSES, max_size=4), st.lists(CLAIMS, max_size=3),
    st.sampled_from([NodeState.OK, NodeState.OK, NodeState.UNREACHABLE]),
)  # fmt: skip


@given(st.lists(SHOTS, min_size=1, max_size=5), st.integers(0, 3))
def test_nobody_is_evicted_who_was_not_seen_there_as_often_as_the_rules_say(shots, after):
    rules = Rules(EnforceMode.TERMINATE, after_sightings=after)
    steps = evict_steps(rules, looks(rules, *shots), shots[-1])
    for step in steps:
        target = (step.process.pid, step.process.started_at_s)
        times = [
            any((one.pid, one.started_at_s) == target and one.device == step.device for one in offences(shot))
            for shot in shots
            if shot.nodes[0].state is NodeState.OK
        ]
        assert times[-1]
        assert sum(times) >= max(2, after)
