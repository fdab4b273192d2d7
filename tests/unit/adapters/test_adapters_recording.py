"""What is recorded is played as it was; what is no recording, or a damaged one, says so and takes no room."""

import gzip
import json
import random
import resource
import stat
import tracemalloc
import zlib

import pytest
from fakes import fleet_readings as fleet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.adapters import recorded_file, recorded_nodes
from gpualloc.adapters.recorded_nodes import Recording
from gpualloc.adapters.recording import WHOLE_EVERY_TICKS, Recorder
from gpualloc.adapters.row_patch import UnfitPatchError, patch_of, patched
from gpualloc.errors import BrokenInputError, GpuallocError, UsageError

IN_ANY_TIME = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "=", "0"]), inner),
    max_leaves=12,
)
NODES = (fleet.DOWN_NODE, fleet.FULL_NODE, fleet.STALE_NODE)
HEADER = {
    "gpualloc_recording": 1, "version": "0", "began_at_s": 1.0, "every_s": 10.0, "commands": True,
    "specs": [{"name": "n1", "pool": "p", "transport": "ssh"}],
}  # fmt: skip


@IN_ANY_TIME
@given(PLAIN, PLAIN)
def test_a_patch_makes_the_one_from_the_other(before, after):
    if before != after:
        travelled = json.loads(json.dumps(patch_of(before, after)))
        assert patched(before, travelled) == after


@pytest.mark.parametrize(
    ("before", "patch"), [({"a": 1}, {"b": 1}), ([1], {"1": 2}), ([1], {"x": 2}), (1, {"a": 1}), ("a", {"0": "b"})]
)
def test_a_patch_of_something_else_is_refused(before, patch):
    with pytest.raises(UnfitPatchError):
        patched(before, patch)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.rec"


def recorder(path, nodes=NODES, *, commands=True):
    specs = [node.spec for node in nodes]
    return Recorder(path, specs, began_s=fleet.NOW_S, every_s=10.0, commands=commands)


def changed(node, number):
    """The node as it might be some ticks later."""
    devices = tuple(replace(device, power_w=100.0 + number, temperature_c=30 + number % 40) for device in node.devices)
    processes = node.processes if number % 3 else node.processes[:1]
    reason = f"reason {number}" if number % 2 else None
    return replace(node, at_s=fleet.NOW_S + number, devices=devices, processes=processes, reason=reason)


def write(path, ticks, **options):
    """Record so many ticks; returns the nodes at each and the size of the file after each."""
    made, sizes = [], []
    recording = recorder(path, **options)
    nodes = {node.name: node for node in NODES}
    chance = random.Random(7)
    for number in range(ticks):
        told = [changed(node, number) for node in NODES if number == 0 or chance.random() < 0.7]
        nodes |= {node.name: node for node in told}
        recording.tick(fleet.NOW_S + number, told)
        made.append(dict(nodes))
        sizes.append(path.stat().st_size)
    recording.close()
    return made, sizes


def recorded(node):
    return replace(node, spec=replace(node.spec, transport="recorded"))


def test_every_tick_is_played_as_it_was(path):
    made, _ = write(path, WHOLE_EVERY_TICKS * 2 + 3)
    recording = Recording(path)
    for number, nodes in enumerate(made):
        assert recording.next_s == fleet.NOW_S + number
        recording.play()
        for name, node in nodes.items():
            assert recording.node(name) == recorded(node)
    assert recording.next_s is None
    assert recording.play() == frozenset()
    recording.close()


def test_the_file_is_private_and_never_written_over(path):
    write(path, 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(UsageError, match="is there already"):
        recorder(path)
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(GpuallocError, match="cannot be written: No such file"):
        recorder(tmp_path / "no" / "a.rec")


def test_a_disk_that_takes_no_more_is_an_error_and_what_is_there_can_be_played(path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    recording = recorder(path)
    recording.tick(fleet.NOW_S, NODES)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, hard))
    try:
        with pytest.raises(GpuallocError, match="cannot be written: File too large"):
            recording.tick(fleet.NOW_S + 1, [changed(node, 1) for node in NODES])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    played = Recording(path)
    played.play()
    assert played.node("full") == recorded(fleet.FULL_NODE)
    assert played.next_s is None
    played.close()


def test_command_lines_are_left_out_when_asked(path):
    write(path, 2, commands=False)
    text = gzip.decompress(path.read_bytes()).decode()
    assert "train.py" not in text
    assert '"user":"ann"' in text
    recording = Recording(path)
    assert recording.header.commands is False
    recording.close()


def test_an_unchanged_node_takes_no_line(path):
    recording = recorder(path)
    for number in range(5):
        recording.tick(fleet.NOW_S + number, NODES)
    recording.close()
    lines = gzip.decompress(path.read_bytes()).splitlines()
    assert len(lines) == 1 + len(NODES) + 5


def test_a_recording_that_was_killed_is_played_up_to_its_last_tick(path, tmp_path):
    made, sizes = write(path, 8)
    data = path.read_bytes()
    cut = tmp_path / "cut.rec"
    for whole, size in enumerate(sizes, start=1):
        cut.write_bytes(data[: min(size + 5, len(data))])
        recording = Recording(cut)
        while recording.next_s is not None:
            recording.play()
        assert recording.node("full") == recorded(made[whole - 1]["full"])
        recording.close()


@pytest.mark.parametrize("size", [0, 1, 2, 9, 10, 11, 40, 200])
def test_a_beginning_of_a_recording_is_none(path, tmp_path, size):
    write(path, 1)
    cut = tmp_path / "cut.rec"
    cut.write_bytes(path.read_bytes()[:size])
    with pytest.raises(BrokenInputError):
        Recording(cut)


def test_a_damaged_recording_is_never_played_as_something_else(path, tmp_path):
    made, _ = write(path, 6)
    data = path.read_bytes()
    chance = random.Random(3)
    damaged = tmp_path / "damaged.rec"
    refused = 0
    for _ in range(60):
        spoiled = bytearray(data)
        spoiled[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        damaged.write_bytes(bytes(spoiled))
        try:
            recording = Recording(damaged)
            while recording.next_s is not None:
                recording.play()
            recording.node("full")
        except BrokenInputError:
            refused += 1
    assert refused > 40
    assert made


def packed(path, *lines):
    path.write_bytes(gzip.compress("".join(line + "\n" for line in lines).encode()))
    return path


FOREIGN = {
    "empty": [""],
    "no JSON": ["hello"],
    "not ours": ['{"a": 1}'],
    "a list": ["[1]"],
    "deep": ["[" * 100_000],
    "no version": [json.dumps({**HEADER, "gpualloc_recording": "1"})],
    "no specs": [json.dumps({**HEADER, "specs": None})],
    "spec of nothing": [json.dumps({**HEADER, "specs": [{}]})],
    "twice the same": [json.dumps({**HEADER, "specs": HEADER["specs"] * 2})],
    "no name": [json.dumps({**HEADER, "specs": [{**HEADER["specs"][0], "name": ""}]})],
    "a name of 1 MB": [json.dumps({**HEADER, "specs": [{**HEADER["specs"][0], "name": "n" * 1_000_000}]})],
    "no period": [json.dumps({**HEADER, "every_s": 0})],
    "no time": [json.dumps({**HEADER, "began_at_s": -1})],
    "no tick": [json.dumps(HEADER)],
    "a tick of nothing": [json.dumps(HEADER), '{"tick":null}'],
    "a tick of infinity": [json.dumps(HEADER), '{"tick":1e999}'],
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_recording_is_refused(path, name):
    with pytest.raises(BrokenInputError, match=r"no recording|ends before its first tick"):
        Recording(packed(path, *FOREIGN[name]))


@pytest.mark.parametrize(
    "row",
    [
        {"node": "other", "is": {}},
        {"node": ["n1"], "is": {}},
        {"node": "n1", "now": {}},
        {"node": "n1"},
        {},
    ],
)
def test_a_row_that_makes_no_sense_is_refused(path, row):
    recording = Recording(packed(path, json.dumps(HEADER), json.dumps(row), '{"tick":1}'))
    with pytest.raises(BrokenInputError, match="line 2"):
        recording.play()
    recording.close()


@pytest.mark.parametrize("plain", [None, [], {}, {"spec": 1}, "x" * 100, {"spec": {}, "state": "ok", "at_s": "now"}])
def test_a_node_that_makes_no_sense_is_refused(path, plain):
    row = json.dumps({"node": "n1", "is": plain})
    recording = Recording(packed(path, json.dumps(HEADER), row, '{"tick":1}'))
    recording.play()
    with pytest.raises(BrokenInputError, match="line 2"):
        recording.node("n1")
    recording.close()


def test_a_newer_format_is_refused(path):
    with pytest.raises(BrokenInputError, match="written by a newer gpualloc"):
        Recording(packed(path, json.dumps({**HEADER, "gpualloc_recording": 2, "new": 1})))


def test_other_files_are_refused(tmp_path):
    plain = tmp_path / "plain.rec"
    plain.write_text(json.dumps(HEADER))
    with pytest.raises(BrokenInputError, match="not compressed"):
        Recording(plain)
    with pytest.raises(BrokenInputError, match="cannot be read: No such file"):
        Recording(tmp_path / "none.rec")
    with pytest.raises(BrokenInputError, match="cannot be read: Is a directory"):
        Recording(tmp_path)


def test_texts_of_a_recording_are_cut(path):
    evil = replace(fleet.EVIL_NODE, hostname="h" * 1_000_000)
    recording = recorder(path, [evil])
    recording.tick(fleet.NOW_S, [evil])
    recording.close()
    played = Recording(path)
    played.play()
    assert played.node("evil").hostname == "h" * 4096
    played.close()


@pytest.mark.parametrize(
    ("written", "read"), [('"\\ud800x"', "?x"), ('"' + "y" * 5000 + '"', "y" * 4096), ('"\\u00e9"', "é")]
)
def test_what_is_no_text_is_none_afterwards(path, written, read):
    node = Recording(packed(path, json.dumps({**HEADER, "version": "V"}).replace('"V"', written), '{"tick":1}'))
    assert node.header.version == read
    node.close()


def bomb(path, piece, times, *before):
    """A file that unpacks to `times` pieces, without ever holding them."""
    packer = zlib.compressobj(9, wbits=31)
    with path.open("wb") as file:
        file.write(packer.compress("".join(line + "\n" for line in before).encode()))
        for _ in range(times):
            file.write(packer.compress(piece))
        file.write(packer.flush())


@pytest.mark.parametrize(
    ("piece", "before"),
    [
        (b" " * (1 << 20), ()),
        (b" " * (1 << 20), (json.dumps(HEADER),)),
        (b"\n" * (1 << 20), (json.dumps(HEADER),)),
        (b'{"node":"n1","is":{}}\n' * 50_000, (json.dumps(HEADER),)),
    ],
    ids=["one line", "one line behind the first", "empty lines", "one tick"],
)
def test_a_bomb_takes_no_room(path, monkeypatch, piece, before):
    monkeypatch.setattr(recorded_file, "MAX_LINE_BYTES", 1 << 20)
    monkeypatch.setattr(recorded_file, "MAX_TICK_BYTES", 2 << 20)
    bomb(path, piece, 32, *before)
    assert path.stat().st_size < 1 << 18
    tracemalloc.start()
    try:
        with pytest.raises(BrokenInputError):
            Recording(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 << 20


def test_what_is_known_of_nodes_has_a_bound(path, monkeypatch):
    monkeypatch.setattr(recorded_nodes, "MAX_KNOWN_BYTES", 1 << 20)
    row = json.dumps({"node": "n1", "is": {"x": "y" * (1 << 20)}})
    recording = Recording(packed(path, json.dumps(HEADER), row, '{"tick":1}'))
    with pytest.raises(BrokenInputError, match="more than 1 MiB"):
        recording.play()
    recording.close()
