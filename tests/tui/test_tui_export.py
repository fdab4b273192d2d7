"""Lists as files: what is written can be read back, and nothing is left of what could not be."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from gpualloc.errors import GpuallocError, UsageError
from gpualloc.tui.export import as_csv, as_json, copied, write_export
from gpualloc.tui.fields import Field, Unit, Value
from gpualloc.tui.listing import Listing
from gpualloc.tui.rows import Moment

AT = Moment(50.0, 1_790_000_000.0, 2.0)


class Thing(Struct, frozen=True):
    name: str = "a"
    users: tuple[str, ...] | None = ("ann", "bob")
    ratio: Value = 0.25
    since_s: Value = 1_789_999_940.0


THING = Thing()
THINGS: Listing[Thing] = Listing(
    "things",
    (
        Field("name", "NAME", "", lambda row, _: row.name),
        Field("users", "USERS", "", lambda row, _: row.users),
        Field("util", "UTIL", "", lambda row, _: row.ratio, Unit.RATIO, shown=False),
        Field("since", "SINCE", "", lambda row, _: row.since_s, Unit.EPOCH),
    ),
    key=lambda row: row.name,
)


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_units_in_its_heading_and_bare_numbers() -> None:
    [row] = read_csv(as_csv(THINGS, [Thing()], AT, simulated=True))
    assert row == {
        "simulated": "true",
        "name": "a",
        "users": "ann bob",
        "util (ratio)": "0.25",
        "since (epoch s)": "2026-09-21T14:12:20Z",
    }


def test_json_has_units_and_values_as_they_are() -> None:
    told = json.loads(as_json(THINGS, [Thing()], AT, simulated=False))
    assert told["units"] == {"util": "ratio", "since": "epoch s"}
    assert (told["simulated"], told["list"], told["at_s"]) == (False, "things", AT.now_s)
    assert told["rows"] == [{"name": "a", "users": ["ann", "bob"], "util": 0.25, "since": "2026-09-21T14:12:20Z"}]


def test_an_unknown_is_empty_or_null_and_never_nought() -> None:
    unknown = Thing(users=None, ratio=None, since_s=None)
    [row] = read_csv(as_csv(THINGS, [unknown], AT, simulated=False))
    assert (row["users"], row["util (ratio)"], row["since (epoch s)"]) == ("", "", "")
    [told] = json.loads(as_json(THINGS, [unknown], AT, simulated=False))["rows"]
    assert (told["users"], told["util"], told["since"]) == (None, None, None)
    assert json.loads(copied(THINGS, unknown, AT)) == told


@given(st.lists(st.text(), max_size=5))
def test_any_text_can_be_read_back(names: list[str]) -> None:
    rows = [Thing(name) for name in names]
    told = json.loads(as_json(THINGS, rows, AT, simulated=False))
    assert [row["name"] for row in told["rows"]] == names
    text = as_csv(THINGS, rows, AT, simulated=False)
    found = read_csv(text)
    assert len(found) == len(names)
    assert text.endswith("\n")
    for row, name in zip(found, names, strict=True):
        assert row["name"].isprintable()
        if name.isprintable() and not name.startswith(tuple("=+-@＝＋－＠")) and "\\" not in name:
            assert row["name"] == name


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "＝1+1"])
def test_text_is_no_formula(name: str) -> None:
    [row] = read_csv(as_csv(THINGS, [Thing(name)], AT, simulated=False))
    assert row["name"] == f"'{name}"


def test_a_moment_outside_the_calendar_is_written_as_a_number() -> None:
    assert json.loads(copied(THINGS, Thing(since_s=4e18), AT))["since"] == 4e18


def write(path: Path | str, rows: Any = (THING,), picture: str = "<svg/>") -> str:
    return write_export(str(path), THINGS, rows, AT, picture, simulated=False)


def test_the_end_of_the_name_chooses_the_format(tmp_path: Path) -> None:
    assert write(tmp_path / "a.csv") == f"1 rows written to {tmp_path / 'a.csv'}"
    assert write(tmp_path / "a.svg").startswith("picture written")
    write(tmp_path / "a.json")
    assert read_csv((tmp_path / "a.csv").read_text())[0]["name"] == "a"
    assert json.loads((tmp_path / "a.json").read_text())["rows"][0]["name"] == "a"
    assert (tmp_path / "a.svg").read_text() == "<svg/>"


@pytest.mark.parametrize("name", ["", "list", "list.txt", "csv", "~", "."])
def test_a_name_that_ends_otherwise_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no format"):
        write(name)
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="home"):
        write("~no-such-account-here/list.csv")


def test_a_file_that_exists_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("mine")
    with pytest.raises(GpuallocError, match="exists already"):
        write(path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("name", ["gone/a.csv", "file/a.csv", "x" * 300 + ".csv", "a\0.csv"])
def test_where_nothing_can_be_written_nothing_is_left(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(GpuallocError, match="cannot be written"):
        write(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
