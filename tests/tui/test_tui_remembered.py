"""What the dashboard remembers between runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.tui.remembered import (
    MAX_BYTES,
    MAX_FILTERS,
    ListLook,
    Memory,
    Remembered,
    UnusableError,
    decoded,
    encoded,
)
from gpualloc.wiring import Options, remembered_file

CHOSEN = Remembered(
    theme="light",
    view="devices",
    heat="memory",
    lists={
        "devices": ListLook(("node", "util"), (("util", True), ("node", False))),
        "processes": ListLook(gathered="user"),
        "users": ListLook(),
    },
    filters={"hot": "temp>80 model:h100", "mine": "user:ann"},
)
NAMES = st.text("abcdefghij-_ é", min_size=1, max_size=12)
LOOKS = st.builds(
    ListLook,
    columns=st.none() | st.lists(NAMES, min_size=1, max_size=5).map(tuple),
    sort=st.lists(st.tuples(NAMES, st.booleans()), max_size=3).map(tuple),
    gathered=st.none() | NAMES,
)
ANY = st.builds(
    Remembered,
    theme=st.none() | NAMES,
    view=st.none() | NAMES,
    heat=st.none() | NAMES,
    lists=st.dictionaries(NAMES, LOOKS, max_size=4),
    filters=st.dictionaries(NAMES, NAMES, max_size=4),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=10,
)


@given(ANY)
def test_what_is_written_is_read_again(remembered: Remembered) -> None:
    assert decoded(encoded(remembered)) == remembered


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(text: bytes) -> None:
    with pytest.raises(UnusableError):
        decoded(text)


@given(st.dictionaries(st.sampled_from(["theme", "view", "heat", "lists", "filters", "other"]), JSON))
def test_wrong_types_are_left_out_and_the_rest_is_used(document: dict[str, object]) -> None:
    found = decoded(json.dumps({**document, "format": 1}).encode())
    assert decoded(encoded(found)) == found


def test_the_file_is_private_and_the_next_run_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "top.json"
    memory = Memory(path)
    assert memory.remembered == Remembered()
    memory.keep(CHOSEN)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["top.json"]
    again = Memory(path)
    assert (again.remembered, again.take_notice()) == (CHOSEN, None)


def test_nothing_is_written_before_something_was_chosen(tmp_path: Path) -> None:
    path = tmp_path / "top.json"
    memory = Memory(path)
    memory.keep(Remembered())
    assert not path.exists()
    memory.keep(CHOSEN)
    path.unlink()
    memory.keep(replace(CHOSEN))
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "no JSON"),
        (b'{"format": 1, "theme": "li', "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 50_000, "no JSON"),
        (b"[]", "not written by gpualloc"),
        (b'{"theme": "light"}', "not written by gpualloc"),
        (b'{"format": true}', "not written by gpualloc"),
        (b'{"format": 2, "theme": "light"}', "format 2, of another version"),
        (b" " * (MAX_BYTES + 1), "larger than 64 KiB"),
    ],
    ids=["empty", "cut", "binary", "deep", "list", "foreign", "bool", "newer", "large"],
)
def test_a_file_that_cannot_be_used_is_put_aside_and_told_once(tmp_path: Path, text: bytes, why: str) -> None:
    path, aside = tmp_path / "top.json", tmp_path / "top.json.aside"
    path.write_bytes(text)
    memory = Memory(path)
    assert memory.remembered == Remembered()
    notice = memory.take_notice()
    assert notice is not None
    assert why in notice
    assert str(aside) in notice
    assert memory.take_notice() is None
    assert aside.read_bytes() == text
    memory.keep(CHOSEN)
    assert Memory(path).remembered == CHOSEN
    assert aside.read_bytes() == text


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_what_is_no_file_does_not_hold_it_up(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "top.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere").write_bytes(encoded(CHOSEN))
    memory = Memory(path)
    assert memory.remembered == Remembered()
    assert memory.take_notice() is not None
    memory.keep(CHOSEN)
    assert Memory(path).remembered == CHOSEN


def test_a_file_of_another_account_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "top.json"
    Memory(path).keep(CHOSEN)
    before = path.read_bytes()
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    memory = Memory(path)
    assert memory.remembered == Remembered()
    assert "it belongs to another account" in (memory.take_notice() or "")
    memory.keep(Remembered(theme="mono"))
    assert (path.read_bytes(), memory.remembered.theme) == (before, "mono")


def test_where_nothing_can_be_written_it_is_done_without_and_said_once(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "state" / "top.json")
    # A plain file in place of the folder stops root too, whom modes do not.
    (tmp_path / "state").write_text("in the way")
    assert memory.take_notice() is None
    memory.keep(CHOSEN)
    assert "top.json cannot be written" in (memory.take_notice() or "")
    memory.keep(Remembered(theme="mono"))
    assert (memory.remembered.theme, memory.take_notice()) == ("mono", None)


def test_a_file_that_can_be_neither_read_nor_moved_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    memory = Memory(tmp_path / "state" / "top.json")
    assert "not be put aside" in (memory.take_notice() or "")
    memory.keep(CHOSEN)
    assert memory.take_notice() is None
    assert (tmp_path / "state").read_text() == "in the way"


def test_without_a_file_it_lasts_as_long_as_the_run() -> None:
    memory = Memory(None)
    memory.keep(CHOSEN)
    assert (memory.remembered, memory.take_notice()) == (CHOSEN, None)


def test_more_than_is_read_again_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "top.json"
    memory = Memory(path)
    memory.keep(CHOSEN)
    memory.keep(replace(CHOSEN, filters={str(number): "util>1" for number in range(MAX_FILTERS + 1)}))
    assert memory.take_notice() == "settings are not remembered: there are too many of them"
    assert Memory(path).remembered == CHOSEN


def test_simulated_clusters_share_it_with_the_real_one(tmp_path: Path) -> None:
    real = remembered_file(Options(state_dir=tmp_path))
    assert real == tmp_path / "top.json"
    assert remembered_file(Options(state_dir=tmp_path, sim="demo")) == real
