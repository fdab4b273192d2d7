"""`gpualloc assess`: its options, its answers, and that nothing is changed by it."""

import hashlib
import json
import os
import subprocess
import sys
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fakes import sample_world
from fakes.memory_context import MemoryJournal, memory_context

from gpualloc.model.sample import Sample, SeriesKey, SeriesKind
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths

NOW_S = int(sample_world.NOW_S)
UUIDS = [device.uuid for node in sample_world.SNAPSHOT.nodes for device in node.devices]


@pytest.fixture
def sampled(world, tmp_path):
    """A world that was sampled for six hours, with processes of hostile names on it."""
    with closing(SqliteHistory(StatePaths(tmp_path / "state"))) as history:
        for node in sample_world.SNAPSHOT.nodes:
            for device in node.devices:
                key = SeriesKey(SeriesKind.DEVICE, node.name, device.uuid)
                values = {"gpu_utilization_ratio": 0.01, "gpu_memory_used_mib": 40_000, "gpu_memory_total_mib": 81_559}
                history.append([Sample(key, at_s, values) for at_s in range(NOW_S - 6 * 3600, NOW_S, 60)])
        world.context = memory_context(history=history)
        yield world


def test_without_samples_it_says_how_to_begin(run):
    ran = run("assess")
    assert ran.code in (0, 3)
    assert "nothing can be told" in ran.out
    assert "gpualloc sample --every" in ran.out.replace("\n", " ")


def test_an_evening_is_told_of(run, sampled):
    ran = run("assess")
    assert "where the time went" in ran.out
    assert "held idle" in ran.out
    assert "what gpualloc could have saved" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80
    assert all(char.isprintable() or char == "\n" for char in ran.out)


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_it_fits_the_terminal(run, sampled, monkeypatch, columns):
    sampled.context = hostile(sampled)
    monkeypatch.setenv("COLUMNS", str(columns))
    ran = run("assess")
    assert max(map(len, ran.out.splitlines())) <= max(columns, 66)
    assert all(char.isprintable() or char == "\n" for char in ran.out)


def test_json_is_whole(run, sampled):
    ran = run("assess", "--days", "1", "--json")
    document = json.loads(ran.out)
    assert document["schema"] == "gpualloc.assess/1"
    data = document["data"]
    assert set(data) == {
        "simulated", "at_s", "asked_s", "from_s", "to_s", "tick_s", "days_seen", "devices", "time", "nodes", "timeline",
        "waits", "holders", "owners", "right_sizes", "savings", "at_most_gpu_h", "unknown",
    }  # fmt: skip
    time = data["time"]
    parts = [time[name] for name in ("used_h", "held_idle_h", "free_h", "unknown_h")]
    assert sum(parts) == pytest.approx(time["all_h"])
    assert (data["asked_s"], data["tick_s"], data["days_seen"]) == (86_400, 60, 1)
    assert [saving["lever"] for saving in data["savings"]] == [
        "suspend", "right-size", "share", "consolidate", "off", "clocks",
    ]  # fmt: skip
    assert all(saving["a_week"] is None and saving["assumes"] for saving in data["savings"])
    assert time["energy"] == {"known_h": 0.0, "kwh": None, "held_idle_kwh": None, "free_kwh": None}
    assert data["unknown"]


@pytest.mark.parametrize("days", ["0", "-1", "367", "nan", "inf", "x", "1e9"])
def test_a_time_without_meaning_is_refused(run, sampled, days):
    ran = run("assess", f"--days={days}")
    assert (ran.code, ran.out) == (2, "")
    assert "--days" in ran.err


@pytest.mark.parametrize(("days", "tick_s"), [("0.5", 60), ("1", 60), ("14", 300), ("366", 900)])
def test_any_time_may_be_asked_for(run, sampled, days, tick_s):
    data = json.loads(run("assess", "--days", days, "--json").out)["data"]
    assert data["tick_s"] == tick_s
    assert data["to_s"] - data["from_s"] == pytest.approx(6 * 3600, abs=tick_s)


class Page(HTMLParser):
    """Every tag is closed in its turn, and nothing of what is shown became a tag."""

    def __init__(self):
        super().__init__()
        self.open = []
        self.tags = set()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "onerror", "onload")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page_of(path):
    page = Page()
    page.feed(Path(path).read_text())
    page.close()
    assert page.open == []
    assert page.tags <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "div", "b", "span", "svg", "rect", "line",
        "polygon", "text", "table", "thead", "tbody", "tr", "th", "td", "ul", "li",
    }  # fmt: skip
    assert page.addresses == []
    return Path(path).read_text()


def hostile(world):
    """Owners and names that would be markup, on devices that were sampled."""
    work = sample_world.WORKLOADS[1]
    from msgspec.structs import replace

    from gpualloc.model.allocation import Allocation, Grant, Share
    from gpualloc.model.workload import WorkloadState

    bad = "<script>alert(1)</script>&\"'\x1b[31m"
    held = replace(
        work,
        name=bad,
        owner=bad,
        state=WorkloadState.RUNNING,
        started_at_s=sample_world.NOW_S - 5 * 3600,
        ended_at_s=None,
        allocation=Allocation(work.id, "gpu01", (Grant(UUIDS[0], Share.EXCLUSIVE),)),
    )
    return replace(world.context, journal=MemoryJournal(workloads=(held,), audit=()))


def test_the_page_is_well_formed_and_names_stay_text(run, sampled, tmp_path):
    sampled.context = hostile(sampled)
    ran = run("assess", "--html", str(tmp_path / "report.html"))
    text = page_of(tmp_path / "report.html")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#x27;\\x1b[31m" in text
    assert "\x1b" not in text + ran.out
    assert "http" not in text.replace("http-equiv", "")


def test_a_page_without_samples_is_a_page(run, tmp_path):
    assert run("assess", "--html", str(tmp_path / "report.html")).code in (0, 3)
    assert "gpualloc sample --every" in page_of(tmp_path / "report.html")


def test_a_page_that_cannot_be_written_is_told_before_anything_is_read(run, sampled, tmp_path):
    ran = run("assess", "--html", str(tmp_path / "none" / "report.html"))
    assert (ran.code, ran.out) == (1, "")
    assert "cannot be written" in ran.err


def digest(folder):
    """What lies in a folder, byte for byte."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def called(tmp_path):
    """Call the real command on a simulated cluster with a state of its own."""

    def call(*arguments):
        env = {key: text for key, text in os.environ.items() if not key.startswith("GPUALLOC_")}
        env |= {"GPUALLOC_STATE_DIR": str(tmp_path / "state"), "GPUALLOC_SIM_SPEED": "0.001"}
        command = [sys.executable, "-m", "gpualloc", "--sim", "demo", *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)

    return call


def test_nothing_is_changed(called, tmp_path):
    assert called("sample").returncode == 0
    assert called("submit", "--gpus", "1", "--", "sleep", "60").returncode == 0
    assert called("rebalance").returncode == 0
    called("assess")
    before = digest(tmp_path / "state")
    ran = called("assess", "--html", str(tmp_path / "page.html"))
    assert ran.returncode == 0, ran.stderr
    assert "simulated" in ran.stdout
    assert digest(tmp_path / "state") == before
    assert 'class="simulated"' in (tmp_path / "page.html").read_text()
