"""`gpualloc store`: what it tells, writes and refuses."""

import csv
import io
import json
import sys
from contextlib import closing
from types import ModuleType

import pytest
from fakes import sample_world
from fakes.memory_context import memory_context

from gpualloc.model.sample import METRICS, Sample, SeriesKey, SeriesKind
from gpualloc.store.history import SqliteHistory
from gpualloc.store.history_upkeep import finish
from gpualloc.store.paths import StatePaths

NOW_S = int(sample_world.NOW_S) // 3600 * 3600
GPU = SeriesKey(SeriesKind.DEVICE, "gpu01", "GPU-1")
HOSTILE = SeriesKey(SeriesKind.DEVICE, '=HYPERLINK("http://x","y")', "GPU-\x1b[31m2")
NODE = SeriesKey(SeriesKind.NODE, "gpu01", "")


@pytest.fixture
def sampled(world, tmp_path):
    """A world with two hours of samples of two devices and a node."""
    with closing(SqliteHistory(StatePaths(tmp_path / "state"))) as history:
        for at_s in range(NOW_S - 7200, NOW_S, 60):
            known = {"power_w": 100.5 if at_s % 120 == 0 else None, "temperature_c": 40}
            history.append(
                [Sample(GPU, at_s, known), Sample(HOSTILE, at_s, {}), Sample(NODE, at_s, {"disk_used_mib": 7})]
            )
        world.context = memory_context(history=history, events=NoEvents())
        yield world


class NoEvents:
    def devices_seen(self, node=None):
        return {}


def table_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_stats_fit_the_terminal_and_name_what_there_is(run, sampled):
    ran = run("store", "stats")
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()[4:]] == ["level", "raw", "minute", "hour", "unpacked", "2"]
    assert "2 device, 0 mig-instance, 1 node, 0 workload" in ran.out
    assert max(map(len, ran.out.splitlines()[1:])) <= 80


def test_stats_as_json(run, sampled, tmp_path):
    data = json.loads(run("store", "stats", "--json").out)["data"]
    assert data["series"] == {"device": 2, "mig-instance": 0, "node": 1, "workload": 0}
    assert data["history_bytes"] == (tmp_path / "state" / "history.db").stat().st_size
    assert [level["level"] for level in data["levels"]] == ["raw", "minute", "hour"]


def test_compact_packs_what_is_over(run, sampled):
    ran = run("store", "compact", "--json")
    data = json.loads(ran.out)["data"]
    assert (ran.code, data["whole"]) == (0, True)
    assert data["steps"] > 0
    assert json.loads(run("store", "stats", "--json").out)["data"]["unpacked"]["rows"] == 0
    assert "0 chunks packed" in run("store", "compact").out


def test_a_backup_is_made_and_put_back(run, sampled, tmp_path):
    file = str(tmp_path / "b.tar")
    made = run("store", "backup", file)
    assert (made.code, "history.db" in made.out, "--env" in made.err) == (0, True, True)
    refused = run("store", "restore", file)
    assert (refused.code, "--yes" in refused.err) == (2, True)
    sampled.context.history.close()
    assert run("store", "restore", file, "--yes").code == 0
    data = json.loads(run("store", "stats", "--json").out)["data"]
    assert data["series"]["device"] == 2


def test_export_names_units_and_leaves_unknown_empty(run, sampled):
    ran = run("store", "export", "--metric", "power_w", "--metric", "disk_used_mib", "--since", "1h")
    found = table_of(ran.out)
    assert list(found[0]) == ["at_s", "node", "kind", "key", "power_w", "disk_used_mib", "simulated"]
    mine = [row for row in found if row["key"] == "GPU-1"]
    assert {(int(row["at_s"]) % 120, row["power_w"], row["disk_used_mib"]) for row in mine} == {
        (0, "100.5", ""),
        (60, "", ""),
    }
    assert {row["disk_used_mib"] for row in found if row["kind"] == "node"} == {"7.0"}
    assert {row["simulated"] for row in found} == {"false"}


def test_foreign_names_are_harmless_in_a_spreadsheet(run, sampled):
    ran = run("store", "export", "--metric", "power_w")
    names = {row["node"] for row in table_of(ran.out)}
    assert names == {"gpu01", """'=HYPERLINK("http://x","y")"""}
    assert "\x1b" not in ran.out


def test_export_of_hours_has_all_figures(run, sampled):
    found = table_of(run("store", "export", "--metric", "power_w", "--level", "hour").out)
    mine = [row for row in found if row["key"] == "GPU-1"]
    figures = [[row[f"power_w_{name}"] for name in ("min", "mean", "max", "p95", "known", "unknown")] for row in mine]
    assert figures == [["100.5", "100.5", "100.5", "100.5", "30", "30"]] * 2
    assert [int(row["at_s"]) for row in mine] == [NOW_S - 7200, NOW_S - 3600]


def test_export_to_a_file_says_how_many_rows(run, sampled, tmp_path):
    ran = run("store", "export", "--metric", "power_w", "-o", str(tmp_path / "x.csv"), "--json")
    assert json.loads(ran.out)["data"]["rows"] == len(table_of((tmp_path / "x.csv").read_text())) == 240


def test_all_metrics_are_exported_when_none_is_named(run, sampled):
    (first, *_) = table_of(run("store", "export").out)
    assert set(first) == {"at_s", "node", "kind", "key", "simulated", *METRICS}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "xml"], "csv or parquet"),
        (["--level", "day"], "raw, minute or hour"),
        (["--metric", "power"], "power_w"),
        (["--format", "parquet"], "-o FILE"),
        (["--json"], "-o FILE"),
        (["--node", "gpu0l"], "gpu02"),
    ],
)
def test_what_cannot_be_exported_says_why(run, sampled, arguments, said):
    ran = run("store", "export", *arguments)
    assert ran.code == 2
    assert said in ran.err + ran.out


def test_without_pyarrow_its_package_is_named(run, sampled, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    ran = run("store", "export", "--format", "parquet", "-o", str(tmp_path / "x.parquet"))
    assert ran.code == 1
    assert "gpualloc[parquet]" in ran.err
    assert not (tmp_path / "x.parquet").exists()


def test_parquet_is_written_by_groups(run, sampled, tmp_path, monkeypatch):
    """What pyarrow is given; that it writes it well is its own business."""
    given = []

    class Writer:
        def __init__(self, file, schema):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.write(b"PAR1")

        def write_table(self, table):
            given.append(table)

    arrow, parquet = ModuleType("pyarrow"), ModuleType("pyarrow.parquet")
    arrow.int64, arrow.string, arrow.float64 = (lambda name=name: name for name in ("int64", "string", "float64"))
    arrow.schema, arrow.table = list, lambda columns, schema: (schema, columns)
    parquet.ParquetWriter = Writer
    monkeypatch.setitem(sys.modules, "pyarrow", arrow)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", parquet)
    ran = run("store", "export", "--format", "parquet", "--metric", "power_w", "-o", str(tmp_path / "x.parquet"))
    assert ran.code == 0
    ((schema, columns),) = given
    assert schema == [
        ("at_s", "int64"),
        *((name, "string") for name in ("node", "kind", "key")),
        ("power_w", "float64"),
    ]
    assert [len(column) for column in columns] == [240] * 5
    assert (tmp_path / "x.parquet").read_bytes() == b"PAR1"


def test_exporting_what_is_packed_is_exporting_what_is_not(run, sampled):
    asked = ("store", "export", "--metric", "temperature_c", "--level", "minute")
    before = run(*asked).out
    finish(sampled.context.history._database, NOW_S + 7200)
    assert run(*asked).out == before


def test_history_by_hours_tells_the_band(run, sampled):
    asked = ("history", "--metric", "power_w", "--level", "hour", "--since", "3h")
    ran = run(*asked)
    assert "min 100.5 W, mean 100.5 W, max 100.5 W, 60 of 120 samples unknown" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "\x1b" not in ran.out
    data = json.loads(run(*asked, "--device", "GPU-1", "--json").out)["data"]
    assert (data["level"], data["step_s"]) == ("hour", 3600)
    ((series),) = data["series"]
    figures = {"min": 100.5, "mean": 100.5, "max": 100.5, "p95": 100.5, "known": 30, "unknown": 30}
    assert series["steps"] == [{"at_s": at_s, **figures} for at_s in (NOW_S - 7200, NOW_S - 3600)]
    rows = table_of(run(*asked, "--csv").out)
    assert [row["power_w_p95"] for row in rows if row["key"] == "GPU-1"] == ["100.5", "100.5"]
    assert run("history", "--level", "day").code == 2
