"""A recording as a fleet: it follows its clock, ends as it stood, and cannot be changed."""

import threading

import pytest
from fakes import fleet_readings as fleet
from fakes import sample_world
from msgspec.structs import replace

from gpualloc.adapters.recorded import RecordedFleet
from gpualloc.adapters.recorded_nodes import Recording
from gpualloc.adapters.recording import Recorder
from gpualloc.errors import NotFoundError, StepError, UnreachableError
from gpualloc.model.inventory import NodeState
from gpualloc.ports import StepCall

TICKS = 6
EVERY_S = 10.0


class Ticking:
    """Seconds that a test lets pass."""

    def __init__(self):
        self.at = 100.0

    def __call__(self):
        return self.at


def told(number):
    return replace(fleet.FULL_NODE, at_s=fleet.NOW_S + number * EVERY_S, user=f"tick {number}")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.rec"
    specs = [fleet.FULL_NODE.spec, fleet.DOWN_NODE.spec, fleet.SNAPSHOT.nodes[3].spec]
    recorder = Recorder(path, specs, began_s=fleet.NOW_S, every_s=EVERY_S, commands=True)
    for number in range(TICKS):
        recorder.tick(fleet.NOW_S + number * EVERY_S, [told(number), *([fleet.DOWN_NODE] if number == 0 else [])])
    recorder.close()
    return path


@pytest.fixture
def opened(path):
    """Open the recording with a clock that a test moves."""
    fleets = []

    def opened(**options):
        ticking = Ticking()
        fleets.append(RecordedFleet(Recording(path), ticks_s=ticking, **options))
        return fleets[-1], ticking

    yield opened
    for one in fleets:
        one.close()


def user(fleet_, name="full"):
    (node,) = fleet_.observe([name])
    return node.user


def test_it_begins_at_its_first_tick_and_follows_its_clock(opened):
    played, ticking = opened()
    assert user(played) == "tick 0"
    assert played.clock.now_s() == fleet.NOW_S
    ticking.at += 19
    assert user(played) == "tick 1"
    ticking.at += 1
    assert user(played) == "tick 2"
    assert played.clock.now_s() == fleet.NOW_S + 20


def test_it_can_be_taken_up_later_and_faster(opened):
    played, ticking = opened(at_s=25.0, speed=10.0)
    assert user(played) == "tick 2"
    ticking.at += 1
    assert user(played) == "tick 3"
    assert played.clock.now_s() == fleet.NOW_S + 35


def test_at_its_end_the_last_picture_stays_and_says_so(opened):
    played, ticking = opened(at_s=3600.0)
    (node,) = played.observe(["full"])
    assert (node.state, node.user) == (NodeState.OK, f"tick {TICKS - 1}")
    assert played.clock.now_s() == fleet.NOW_S + (TICKS - 1) * EVERY_S
    ticking.at += EVERY_S + 1
    (node,) = played.observe(["full"])
    assert (node.state, node.user) == (NodeState.STALE, f"tick {TICKS - 1}")
    assert "end of the recording at 2027-01-15 08:00:50Z" in node.reason
    (down,) = played.observe(["down"])
    assert (down.state, down.reason) == (NodeState.UNREACHABLE, "connection refused")


def test_nodes_are_recorded_ones_and_all_that_there_should_be(opened):
    played, _ = opened()
    assert [spec.name for spec in played.specs()] == ["down", "full", "late"]
    nodes = {node.name: node for node in played.observe()}
    assert all(node.simulated and node.spec.transport == "recorded" for node in nodes.values())
    assert (nodes["late"].state, nodes["late"].devices) == (NodeState.UNREACHABLE, ())
    assert "nothing yet" in nodes["late"].reason


def test_names_and_paths(opened):
    played, _ = opened()
    with pytest.raises(NotFoundError, match="no node 'other' in the recording"):
        list(played.observe(["other"]))
    (node,) = played.observe(["full", "full"], near=("/data",))
    assert node.near == {"/data": None}


def test_nothing_can_be_changed(opened):
    played, _ = opened()
    call = StepCall("r00000001", 1, 1, "c" * 32, sample_world.PLAN.steps[0], None)
    for verb in (played.preflight, played.do, played.verify, played.undo):
        with pytest.raises(StepError, match="a recording can only be looked at"):
            verb(call)
    for ask in (lambda: played.cost("full"), lambda: played.process("full", 1), lambda: played.logs("full", "w", 0)):
        with pytest.raises(UnreachableError, match="recorded"):
            ask()
    with pytest.raises(NotFoundError):
        played.cost("other")


def test_watching_tells_each_node_when_it_told_something(opened):
    played, ticking = opened()
    watch = played.watch(EVERY_S)
    assert {node.name for node in watch.hear(1.0)} == {"down", "full", "late"}
    assert watch.hear(0.0) == []
    ticking.at += EVERY_S
    assert [node.user for node in watch.hear(1.0)] == ["tick 1"]
    ticking.at += 10 * EVERY_S
    assert [node.state for node in watch.hear(1.0)] == [NodeState.STALE]
    assert watch.hear(0.0) == []
    assert (watch.figures().streaming, watch.figures().failing, watch.figures().messages) == (0, 3, 5)
    assert watch.late() == ()
    waiting = threading.Thread(target=watch.hear, args=(60.0,))
    waiting.start()
    watch.close()
    waiting.join(20)
    assert not waiting.is_alive()
    with pytest.raises(NotFoundError):
        played.watch(EVERY_S, ["other"])


def test_waiting_ends_when_it_is_closed(opened):
    played, _ = opened()
    assert played.wait_for_event(0.0) is False
    waiting = threading.Thread(target=played.wait_for_event, args=(60.0,))
    waiting.start()
    played.close()
    waiting.join(20)
    assert not waiting.is_alive()


def test_who_looks_after_the_end_sees_what_was_played(opened):
    played, ticking = opened()
    played.close()
    ticking.at += 3 * EVERY_S
    assert user(played) == "tick 0"


def test_two_who_look_at_once_see_the_same(opened):
    played, ticking = opened()
    seen = []

    def look():
        seen.extend(node.user for node in played.observe(["full"]))

    ticking.at += 2 * EVERY_S
    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["tick 2"] * 8
