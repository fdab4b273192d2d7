"""A recording is looked at anywhere in it: what is there is what playing it from its beginning comes to."""

import gzip
from contextlib import closing

import pytest
from fakes import fleet_readings as fleet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.adapters.recorded_nodes import Recording
from gpualloc.adapters.recorded_playback import RecordedPlayback
from gpualloc.adapters.recording import WHOLE_EVERY_TICKS, Recorder
from gpualloc.errors import BrokenInputError
from gpualloc.model.inventory import NodeState

TICKS = 2 * WHOLE_EVERY_TICKS + 25
EVERY_S = 10.0
OTHER = replace(fleet.FULL_NODE, spec=replace(fleet.FULL_NODE.spec, name="other"))


def at(number):
    return fleet.NOW_S + number * EVERY_S


def record(path, ticks=TICKS):
    specs = [fleet.FULL_NODE.spec, OTHER.spec, fleet.DOWN_NODE.spec]
    recorder = Recorder(path, specs, began_s=fleet.NOW_S, every_s=EVERY_S, commands=True)
    for number in range(ticks):
        told = [replace(fleet.FULL_NODE, at_s=at(number), user=f"tick {number}")]
        told += [replace(OTHER, at_s=at(number), user=f"tick {number}")] if number % 7 == 3 else []
        recorder.tick(at(number), told)
    recorder.close()
    return path


def plain(path):
    """{number of tick: nodes}, by playing it."""
    found = []
    with closing(Recording(path)) as recording:
        while recording.next_s is not None:
            recording.play()
            found.append(tuple(recording.told(spec) for spec in recording.header.specs))
    return found


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return record(tmp_path_factory.mktemp("recording") / "a.rec")


@pytest.fixture(scope="module")
def whole(path):
    return plain(path)


@pytest.fixture
def playback(path):
    with closing(RecordedPlayback(path)) as playback:
        yield playback


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, TICKS - 1), min_size=1, max_size=6))
def test_it_is_what_playing_comes_to(playback, whole, places):
    for place in places:
        assert playback.nodes_at(at(place) + 3) == whole[place]


def test_its_ticks(playback):
    assert playback.span() == (at(0), at(TICKS - 1))
    assert playback.every_s == EVERY_S
    assert playback.neighbours(at(5)) == (at(4), at(6))
    assert playback.neighbours(at(5) + 1) == (at(5), at(6))
    assert playback.neighbours(at(0)) == (None, at(1))
    assert playback.neighbours(at(TICKS - 1)) == (at(TICKS - 2), None)


def test_it_is_read_on_from_where_all_is_told_whole(path):
    with closing(RecordedPlayback(path)) as playback:
        assert [start.tick for start in playback._indexed().starts] == [0, WHOLE_EVERY_TICKS, 2 * WHOLE_EVERY_TICKS]


def test_however_little_is_remembered(path, whole, monkeypatch):
    """A fleet so large that of one tick alone is remembered what it told."""
    monkeypatch.setattr("gpualloc.adapters.recorded_playback._PAGES_BYTES", 1)
    with closing(RecordedPlayback(path)) as playback:
        for place in (70, 69, 68, 69, 130, 3, 70, 70):
            assert playback.nodes_at(at(place)) == whole[place]
            assert len(playback._pages) == 1


def test_what_was_not_told_yet_is_not_reached(playback):
    nodes = {node.name: node for node in playback.nodes_at(at(0) - 100)}
    assert (nodes["full"].user, nodes["other"].state) == ("tick 0", NodeState.UNREACHABLE)
    assert "nothing yet" in nodes["other"].reason


def repacked(path, target, members):
    """The same rows, packed anew by somebody else."""
    data = gzip.decompress(path.read_bytes())
    size = len(data) // members + 1
    target.write_bytes(b"".join(gzip.compress(data[begin : begin + size]) for begin in range(0, len(data), size)))
    return target


@pytest.mark.parametrize("members", [1, 40])
def test_whoever_packed_it(path, whole, tmp_path, members):
    with closing(RecordedPlayback(repacked(path, tmp_path / "b.rec", members))) as playback:
        for place in (TICKS - 1, 61, 3, 130):
            assert playback.nodes_at(at(place)) == whole[place]


def test_a_member_that_does_not_tell_all_is_no_place_to_begin(path, whole, tmp_path):
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    target = tmp_path / "c.rec"
    target.write_bytes(b"".join(gzip.compress(line) for line in lines))
    with closing(RecordedPlayback(target)) as playback:
        assert playback.nodes_at(at(100)) == whole[100]
        assert playback.nodes_at(at(70)) == whole[70]


def test_one_that_was_cut_off_has_what_was_written(path, whole, tmp_path):
    target = tmp_path / "d.rec"
    target.write_bytes(path.read_bytes()[:-900])
    with closing(RecordedPlayback(target)) as playback:
        last = round((playback.span()[1] - at(0)) / EVERY_S)
        assert 60 < last < TICKS - 1
        assert playback.nodes_at(at(TICKS)) == whole[last]
        assert playback.nodes_at(at(2)) == whole[2]


def test_one_that_is_damaged_is_shown_up_to_there(path, whole, tmp_path):
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    ticks = [number for number, line in enumerate(lines) if line.startswith(b'{"tick"')]
    lines[ticks[80]] = b'{"tick":null}\n'
    target = tmp_path / "e.rec"
    target.write_bytes(gzip.compress(b"".join(lines)))
    with closing(RecordedPlayback(target)) as playback:
        assert playback.span() == (at(0), at(79))
        for place in (79, 20, 79):
            assert playback.nodes_at(at(place)) == whole[place]


def test_a_tick_that_tells_nonsense_fails_each_time(path, whole, tmp_path):
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    ticks = [number for number, line in enumerate(lines) if line.startswith(b'{"tick"')]
    lines[ticks[80] - 1] = b'{"node":"full","now":{"nowhere":{"a":{"b":1}}}}\n'
    target = tmp_path / "f.rec"
    target.write_bytes(gzip.compress(b"".join(lines)))
    with closing(RecordedPlayback(target)) as playback:
        for _ in range(2):
            with pytest.raises(BrokenInputError, match="line"):
                playback.nodes_at(at(90))
        assert playback.nodes_at(at(20)) == whole[20]


def test_nothing_is_opened_before_somebody_looks(tmp_path):
    playback = RecordedPlayback(tmp_path / "missing.rec")
    playback.close()
    with pytest.raises(BrokenInputError, match="cannot be read"):
        playback.span()


def test_one_without_a_tick_is_refused(tmp_path):
    record(tmp_path / "g.rec", ticks=0)
    with closing(RecordedPlayback(tmp_path / "g.rec")) as playback, pytest.raises(BrokenInputError, match="first tick"):
        playback.span()
