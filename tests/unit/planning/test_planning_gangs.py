"""Gangs planned: everything is given before anything starts, where the members meet, and how they are ended."""

from fakes import scenes
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation, Gang, HeldBy, Hold, Member, WorkloadEnd
from gpualloc.model.decision import Decision
from gpualloc.model.gang import broken_by, gang_end, living_parts, weakest_hold, with_members
from gpualloc.model.plan import StepKind, StepReason
from gpualloc.planning.gangs import with_meeting_points
from gpualloc.planning.giving_way import Way, eviction_steps, way_out
from gpualloc.planning.steps import cleanup_steps, gang_end_steps, release_steps, steps_for
from gpualloc.planning.suspension import still_held

C, L, S = StepKind.CLAIM, StepKind.LIMIT, StepKind.START
PORTS = (29_000, 29_001)


def gang_on(identity, *nodes, limits=None, **told):
    """A gang with two devices on each of the nodes."""
    parts = [scenes.allocation(identity, name, "0", "1") for name in nodes]
    members = tuple(Member(rank, part.node, part.grants) for rank, part in enumerate(parts))
    allocation = Allocation(identity, "", (), **(limits or {}), gang=Gang(len(nodes), 2 * len(nodes), (), **told))
    return with_members(allocation, members)


def ended(allocation, **ends):
    """The allocation after members ended: `r1=WorkloadEnd(...)`."""
    members = [replace(each, end=ends.get(f"r{each.rank}", each.end)) for each in allocation.gang.members]
    return with_members(allocation, members)


def fleet(*names, **said):
    return scenes.snapshot(*(scenes.node(name, devices=2, **said) for name in names))


def work(identity="w1", **said):
    return scenes.workload(identity, gang=True, gpus=4, **said)


def test_all_is_given_to_all_members_before_one_starts_and_it_is_one_chain():
    steps = steps_for([gang_on("w1", "n2", "n1", limits={"cpus": 2.0})], {"w1": work(attempt=1)}, fleet("n1", "n2"))
    assert [(step.seq, step.kind, step.node, step.needs) for step in steps] == [
        (1, C, "n2", ()),
        (2, L, "n2", (1,)),
        (3, C, "n1", (2,)),
        (4, L, "n1", (3,)),
        (5, S, "n2", (4,)),
        (6, S, "n1", (5,)),
    ]
    assert {step.chain for step in steps} == {("", "w1")}
    assert [(step.member.rank, step.allocation.node) for step in steps] == [(0, "n2")] * 2 + [(1, "n1")] * 2 + [
        (0, "n2"),
        (1, "n1"),
    ]
    assert {step.attempt for step in steps} == {2}


def test_what_ends_members_are_chains_of_their_own():
    running = work(state="running", allocation=gang_on("w1", "n1", "n2"))
    steps = release_steps([running])
    assert [(step.kind, step.node) for step in steps] == [
        (StepKind.STOP, "n1"),
        (StepKind.UNCLAIM, "n1"),
        (StepKind.STOP, "n2"),
        (StepKind.UNCLAIM, "n2"),
    ]
    assert {step.chain for step in steps} == {("n1", "w1"), ("n2", "w1")}


def test_only_members_that_live_are_ended_or_hold_anything():
    allocation = ended(gang_on("w1", "n1", "n2"), r0=WorkloadEnd(0, 5.0))
    running = work(state="running", allocation=allocation)
    assert {step.node for step in release_steps([running])} == {"n2"}
    assert [part.node for part in living_parts(running)] == [part.node for part in still_held(running)] == ["n2"]
    assert gang_end_steps([running], fleet("n1", "n2")) == ()


def test_what_is_left_of_a_gang_that_failed_is_ended_where_nodes_answer():
    allocation = ended(gang_on("w1", "n1", "n2", "n3"), r1=WorkloadEnd(3, 5.0))
    running = work(state="running", allocation=allocation)
    nodes = [scenes.node("n1", devices=2), scenes.node("n2", devices=2), scenes.node("n3", state="unreachable")]
    steps = gang_end_steps([running], scenes.snapshot(*nodes))
    assert [(step.kind, step.node, step.reason) for step in steps] == [
        (StepKind.STOP, "n1", StepReason.GANG),
        (StepKind.UNCLAIM, "n1", StepReason.GANG),
    ]


def test_the_first_that_failed_by_itself_decides():
    allocation = gang_on("w1", "n1", "n2", "n3")
    members = ended(
        allocation,
        r0=WorkloadEnd(143, 4.0, signal=15, reason="released"),
        r1=WorkloadEnd(5, 9.0),
        r2=WorkloadEnd(7, 8.0),
    ).gang.members
    assert broken_by(members).rank == 2
    assert gang_end(members)[0].rank == 2
    same = ended(allocation, r0=WorkloadEnd(0, 1.0), r1=WorkloadEnd(5, 9.0), r2=WorkloadEnd(7, 9.0)).gang.members
    assert gang_end(same)[1].exit_code == 5
    fine = ended(allocation, **{f"r{rank}": WorkloadEnd(0, 9.0 - rank) for rank in range(3)}).gang.members
    assert (broken_by(fine), gang_end(fine)[1].at_s) == (None, 9.0)
    lost = ended(allocation, r0=WorkloadEnd(255, 1.0, reason="rebooted"), r1=WorkloadEnd(1, 3.0)).gang.members
    assert broken_by(lost).rank == 0


def test_members_meet_where_no_other_gang_of_ours_does():
    works = {name: work(name) for name in ("w1", "w2", "w3", "w4")}
    decided = [gang_on(name, *nodes) for name, nodes in (("w1", "ab"), ("w2", "ab"), ("w3", "ab"), ("w4", "ba"))]
    decision = Decision("p", "1", 0, tuple(decided), ())
    met = with_meeting_points(decision, works.values(), fleet("a", "b"), PORTS)
    assert {met.allocations[0].gang.port, met.allocations[1].gang.port} == set(PORTS)
    assert [(one.workload, one.reason.value) for one in met.rejections] == [("w3", "no capacity")]
    assert "every port of 29000-29001 on a" in met.rejections[0].detail
    assert met.allocations[2].node == "b"
    assert with_meeting_points(decision, works.values(), fleet("a", "b"), PORTS) == met
    again = replace(decision, allocations=tuple(decided[2:3]))
    running = work("w1", state="running", allocation=met.allocations[0])
    (third,) = with_meeting_points(again, [*works.values(), running], fleet("a", "b"), PORTS).allocations
    assert third.gang.port != met.allocations[0].gang.port


def test_a_gang_that_starts_again_meets_elsewhere():
    decision = Decision("p", "1", 0, (gang_on("w1", "a", "b"),), ())
    ports = {
        with_meeting_points(decision, [work(attempt=attempt)], fleet("a", "b"), (29_000, 29_499))
        .allocations[0]
        .gang.port
        for attempt in range(3)
    }
    assert len(ports) == 3


def test_the_address_is_as_configured_else_the_host_name_else_the_name():
    def address(*names, **said):
        nodes = [scenes.node(name, devices=2, hostname=said.get("hostname")) for name in names]
        specs = [replace(each, spec=replace(each.spec, address=said.get("address"), interface="ib0")) for each in nodes]
        decision = Decision("p", "1", 0, (gang_on("w1", *names),), ())
        (found,) = with_meeting_points(decision, [work()], scenes.snapshot(*specs), PORTS).allocations
        assert [each.interface for each in found.gang.members] == ["ib0"] * len(names)
        return found.gang.address

    assert address("a", "b", hostname="a.cluster", address="10.0.0.1") == "10.0.0.1"
    assert address("a", "b", hostname="a.cluster") == "a.cluster"
    assert address("a", "b", hostname="$(reboot)") == "a"
    assert address("a", "b") == "a"
    assert address("a", hostname="a.cluster", address="10.0.0.1") == "127.0.0.1"


def test_a_gang_gives_way_whole_and_is_never_suspended():
    running = work(state="running", allocation=gang_on("w1", "n1", "n2"), checkpoint_signal="USR1")
    snapshot = fleet("n1", "n2", available_mib=500_000)
    (way, *_) = way_out(running, snapshot.nodes[0])
    assert (way.way, "gang" in way.why) == (Way.CHECKPOINT, True)
    steps = eviction_steps([running], snapshot, "drained")
    stops = [step for step in steps if step.kind is StepKind.STOP]
    assert [(step.node, step.checkpoint, step.reason) for step in stops] == [
        ("n1", True, StepReason.DRAIN),
        ("n2", True, StepReason.DRAIN),
    ]


def test_claims_of_a_gang_belong_to_every_node_of_it():
    nodes = [scenes.node(name, devices=1, claims=[{"device": 0, "workload": "w1"}]) for name in ("n1", "n2", "n3")]
    running = work(state="running", allocation=gang_on("w1", "n1", "n2"))
    assert [step.node for step in cleanup_steps(scenes.snapshot(*nodes), [running], "ours")] == ["n3"]
    half = work(allocation=with_members(running.allocation, running.allocation.gang.members[:1]))
    assert cleanup_steps(scenes.snapshot(*nodes), [half], "ours") == ()


def test_of_holds_the_weakest_counts():
    held = [HeldBy(Hold.HARD, Hold.HARD, None), HeldBy(Hold.SOFT, Hold.BOOKED, None)]
    assert weakest_hold(held) == HeldBy(Hold.SOFT, Hold.BOOKED, None)
