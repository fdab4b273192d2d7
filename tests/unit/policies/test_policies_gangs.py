"""Where gangs go: fewest nodes, one rack, one model, even members, near CPUs; and why they wait."""

import pytest
from fakes import scenes
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Rejection
from gpualloc.policies.best_fit import BestFit
from gpualloc.policies.feasibility import feasible
from gpualloc.policies.gangs import place_gang
from gpualloc.policies.offer import offer
from gpualloc.policies.overcommit import wrong_places
from gpualloc.policies.survey import survey

A100 = "NVIDIA A100-SXM4-80GB"


def node(name, devices, rack=None, **said):
    made = scenes.node(name, devices=devices, **said)
    return replace(made, spec=replace(made.spec, labels={"rack": rack} if rack else {}))


def placed(nodes, gpus, **said):
    """The members as `{node: indices}` in the order of their ranks; None when there is no room."""
    request = scenes.request(gpus=gpus, gang=True, **said)
    rooms = survey(scenes.problem(nodes, []))
    found = place_gang({name: offer(room, request) for name, room in rooms.items()}, request)
    if found is None:
        return None
    return {each.room.node.name: [target.room.device.index for target in each.chosen] for each in found}


def sizes(nodes, gpus, **said):
    found = placed(nodes, gpus, **said)
    return found and {name: len(indices) for name, indices in found.items()}


def test_one_node_where_it_fits_and_the_tightest_of_those():
    assert sizes([node("n1", 8), node("n2", 4), node("n3", 6)], 4) == {"n2": 4}


def test_else_the_fewest_nodes_as_even_as_can_be():
    assert sizes([node("n1", 8), node("n2", 8), node("n3", 4), node("n4", 4)], 12) == {"n1": 6, "n2": 6}
    assert sizes([node("n1", 8), node("n2", 4)], 10) == {"n1": 6, "n2": 4}
    assert sizes([node("n1", 4), node("n2", 4)], 7) == {"n1": 4, "n2": 3}


def test_one_rack_before_less_left_over():
    nodes = [node("n1", 4, "a"), node("n2", 4, "b"), node("n3", 6, "a"), node("n4", 5, "c")]
    assert sizes(nodes, 8) == {"n1": 4, "n3": 4}


def test_fewer_nodes_before_one_rack():
    nodes = [node("n1", 8, "a"), node("n2", 8, "b"), *(node(f"r{index}", 4, "a") for index in range(4))]
    assert sizes(nodes, 16) == {"n1": 8, "n2": 8}


def test_the_fewest_racks_and_ranks_by_rack():
    nodes = [node("n1", 4, "b"), node("n2", 4, "a"), node("n3", 4, "b"), node("n4", 4, "c"), node("n5", 4, "a")]
    assert list(sizes(nodes, 12)) == ["n2", "n5", "n1"]


def test_one_model_before_fewer_nodes_and_mixed_ones_when_it_must_be():
    nodes = [
        node("n1", [{"count": 4, "model": A100}]),
        node("n2", [{"count": 2}]),
        node("n3", [{"count": 2}]),
    ]
    assert sizes(nodes, 4) == {"n1": 4}
    assert sizes([*nodes[1:], node("n1", [{"count": 3, "model": A100}])], 4) == {"n2": 2, "n3": 2}
    assert sizes(nodes, 8) == {"n1": 4, "n2": 2, "n3": 2}
    mixed = node("n1", [{"count": 2, "model": A100}, {"count": 4}])
    assert placed([mixed], 4) == {"n1": [2, 3, 4, 5]}


def test_so_many_on_each_node():
    nodes = [node("n1", 8), node("n2", 2), node("n3", 4), node("n4", 3)]
    assert sizes(nodes, 6, per_node=3) == {"n3": 3, "n4": 3}
    assert sizes(nodes, 4, per_node=4) == {"n3": 4}
    assert sizes(nodes, 15, per_node=3) is None


def test_on_a_node_those_near_the_same_cpus():
    near = [{"cpus": "0-31"}] * 4 + [{"cpus": "32-63"}] * 4
    assert placed([node("n1", [{**of, "state": "GPU lost"} if i == 0 else of for i, of in enumerate(near)])], 3) == {
        "n1": [1, 2, 3]
    }
    assert placed([node("n1", near)], 4) == {"n1": [0, 1, 2, 3]}
    lost = [{**of, "state": "GPU lost"} if i in (0, 1) else of for i, of in enumerate(near)]
    assert placed([node("n1", lost)], 4) == {"n1": [4, 5, 6, 7]}
    assert placed([node("n1", lost)], 5) == {"n1": [2, 4, 5, 6, 7]}


def test_what_a_member_needs_of_the_host_counts_on_every_node():
    nodes = [node("n1", 4, cpus=64), node("n2", 4, cpus=8), node("n3", 4, cpus=32)]
    assert sizes(nodes, 8, cpus=16) == {"n1": 4, "n3": 4}
    assert sizes(nodes, 12, cpus=16) is None


@given(data=st.data())
def test_all_or_nothing_whatever_the_order_of_the_nodes(data):
    counts = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=6))
    nodes = [
        node(f"n{index}", count, data.draw(st.sampled_from([None, "a", "b"])), cpus=data.draw(st.sampled_from([4, 16])))
        for index, count in enumerate(counts)
    ]
    asked = {"gpus": data.draw(st.integers(1, 16)), "cpus": data.draw(st.sampled_from([None, 8]))}
    if data.draw(st.booleans()):
        asked["per_node"] = data.draw(st.sampled_from([each for each in (1, 2, 3, 4) if asked["gpus"] % each == 0]))
    work = scenes.workload(gang=True, **asked)
    problem = scenes.problem(nodes, [work])
    answer = BestFit().begin(problem).place(work)
    assert BestFit().begin(scenes.problem(nodes[::-1], [work])).place(work) == answer
    assert (feasible(problem.snapshot, work.request) is None) is isinstance(answer, Allocation)
    room = [len(each.devices) for each in nodes if asked["cpus"] is None or each.host.cpus >= asked["cpus"]]
    if "per_node" in asked:
        possible = sum(each >= asked["per_node"] for each in room) >= asked["gpus"] // asked["per_node"]
    else:
        possible = sum(room) >= asked["gpus"]
    assert isinstance(answer, Allocation) is possible
    if isinstance(answer, Allocation):
        assert wrong_places(problem, [answer]) == []
        least = next(count for count in range(1, len(room) + 1) if sum(sorted(room)[::-1][:count]) >= asked["gpus"])
        assert answer.gang.size == (asked["gpus"] // asked["per_node"] if "per_node" in asked else least)


def rejected(nodes, **said):
    work = scenes.workload(gang=True, **said)
    answer = BestFit().begin(scenes.problem(nodes, [work])).place(work)
    assert isinstance(answer, Rejection)
    return answer.reason.value, answer.detail


BUSY = {"claims": [{"device": 0}, {"device": 1}]}


@pytest.mark.parametrize(
    ("nodes", "said", "reason", "detail"),
    [
        (
            [node("n1", 4, **BUSY), node("n2", 4)],
            {"gpus": 8},
            "no capacity",
            "needs 8 free GPUs in a gang; 6 free on 2 nodes",
        ),
        (
            [node("n1", 4, **BUSY), node("n2", 4), node("n3", 4, **BUSY)],
            {"gpus": 8, "per_node": 4},
            "fragmented",
            "needs 8 free GPUs in a gang, 4 on each node; 4 free on n2, 4 more where no member fits",
        ),
        (
            [node("n1", 4, cordon="new disks"), node("n2", 4)],
            {"gpus": 8},
            "reserved",
            "needs 8 free GPUs in a gang; 4 free on n2; but for cordons it would fit",
        ),
        (
            [node("n1", 4, other_controllers=["slurmd"]), node("n2", 4)],
            {"gpus": 8},
            "policy",
            "needs 8 free GPUs in a gang; it would need n1, which gpualloc just observes",
        ),
        (
            [node("n1", 0, state="unreachable"), node("n2", 4)],
            {"gpus": 8},
            "node down",
            "needs 8 free GPUs in a gang; no answer from n1 (unreachable)",
        ),
        (
            [node("n1", 4), node("n2", 3)],
            {"gpus": 8, "memory_mib": 1024},
            "infeasible",
            "needs 8 free GPUs in a gang and 1024 MiB of free memory for each member; 7 free on 2 nodes even when all "
            "is free",
        ),
    ],
)
def test_a_gang_that_waits_says_why(nodes, said, reason, detail):
    assert rejected(nodes, **said) == (reason, detail)


def test_submit_says_what_comes_closest():
    snapshot = scenes.snapshot(node("n1", 4), node("n2", 3))
    asked = scenes.request(gang=True, gpus=8)
    assert feasible(snapshot, asked).detail == "it needs 8 free GPUs in a gang; 7 free on 2 nodes even when all is free"
    assert "no GPU matches 'B300'" in feasible(snapshot, replace(asked, gpu_model="B300")).detail


def test_room_of_a_gang_is_taken_on_every_node_and_given_back():
    nodes = [node("n1", 2), node("n2", 2)]
    first, second = scenes.workload("a", gang=True, gpus=3), scenes.workload("b", gpus=1)
    session = BestFit().begin(scenes.problem(nodes, [first, second]))
    gang = session.place(first)
    assert gang.nodes == ("n1", "n2")
    assert session.place(second).node == "n2"
    assert isinstance(session.place(replace(second, id="c")), Rejection)
    session.free(gang)
    assert isinstance(session.place(replace(first, id="d", request=replace(first.request, gpus=3))), Allocation)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda gang: replace(gang, members=gang.members[::-1]), "not those of a gang of 2"),
        (lambda gang: replace(gang, gpus=5), "not those of a gang of 2"),
        (lambda gang: replace(gang, members=(gang.members[0], replace(gang.members[1], node="n1"))), "of their own"),
        (
            lambda gang: replace(gang, members=(gang.members[0], replace(gang.members[1], grants=()))),
            "its members have [2, 0] GPUs",
        ),
        (lambda gang: replace(gang, size=0, gpus=0, members=()), "its members have [] GPUs"),
        (lambda _gang: None, "no gang, against its request"),
    ],
)
def test_the_checker_sees_what_is_wrong_with_a_gang(change, told):
    work = scenes.workload(gang=True, gpus=4)
    problem = scenes.problem([node("n1", 2), node("n2", 2)], [work])
    right = BestFit().begin(problem).place(work)
    assert wrong_places(problem, [right]) == []
    wrong = wrong_places(problem, [replace(right, gang=change(right.gang))])
    assert any(told in sentence for sentence in wrong), wrong


def test_the_checker_sees_a_device_of_a_gang_given_twice():
    one, two = scenes.workload("a", gang=True, gpus=4), scenes.workload("b", gpus=1)
    problem = scenes.problem([node("n1", 2), node("n2", 2)], [one, two])
    gang = BestFit().begin(problem).place(one)
    assert any(
        "promised more than once" in each or "twice" in each
        for each in wrong_places(problem, [gang, scenes.allocation("b", "n2", "1")])
    )
