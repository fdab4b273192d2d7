"""A real Prometheus scrapes the exporter of a simulated cluster and answers queries with the right values."""

import json
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed (tests/system-packages.sh)"
)
DOCUMENT = Path(__file__).parents[3] / "docs" / "exporter.md"
CONFIG = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: gpualloc
    static_configs: [{{targets: ["{target}"]}}]
"""


def read(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


def until(found):
    """What `found` returns once that is not empty."""
    deadline = time.monotonic() + 100
    while True:
        try:
            result = found()
        except OSError:
            result = None
        if result:
            return result
        assert time.monotonic() < deadline
        time.sleep(0.1)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def prometheus(tmp_path):
    """Start a Prometheus that scrapes a target; returns a function that queries it."""
    started = []

    def prometheus(target):
        config = tmp_path / "prometheus.yml"
        config.write_text(CONFIG.format(target=target))
        here = f"127.0.0.1:{free_port()}"
        command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"]
        with (tmp_path / "prometheus.log").open("w") as log:
            started.append(
                subprocess.Popen([*command, f"--web.listen-address={here}"], stdout=log, stderr=log, cwd=tmp_path)
            )

        def query(expression):
            asked = urllib.parse.urlencode({"query": expression})
            answer = json.loads(read(f"http://{here}/api/v1/query?{asked}"))
            assert answer["status"] == "success"
            return [(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]]

        return query, lambda: json.loads(read(f"http://{here}/api/v1/targets"))["data"]["activeTargets"]

    yield prometheus
    for process in started:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def test_promtool_finds_nothing_wrong_with_the_page(exporter):
    process, where = exporter("--every", "1s", "--processes")
    until(lambda: "gpualloc_node_state" in read(f"http://{where}/metrics"))
    page = read(f"http://{where}/metrics")
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert 'gpualloc_node_info{node="birch01",pool="simulated",transport="simulated",simulated="true"' in page
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


@pytest.mark.parametrize(("number", "what"), [(0, "config"), (1, "rules")])
def test_what_the_document_shows_is_accepted(tmp_path, number, what):
    shown = tmp_path / "shown.yml"
    shown.write_text(re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)[number])
    done = subprocess.run(
        ["promtool", "check", what, str(shown)], capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "SUCCESS" in done.stdout


def test_prometheus_reads_the_fleet(sim, exporter, prometheus):
    _, where = exporter("--every", "1s", GPUALLOC_SIM_SPEED="1")
    query, targets = prometheus(where)
    watts = until(lambda: query("gpualloc_device_power_watts"))
    nodes = {node["name"]: node for node in json.loads(sim.run("nodes", "--json").stdout)["data"]["nodes"]}
    known = {
        device["uuid"]: (name, device)
        for name, node in nodes.items()
        for device in node["devices"]
        if device["power_w"] is not None
    }
    assert {labels["uuid"] for labels, _ in watts} == set(known)
    for labels, value in watts:
        name, device = known[labels["uuid"]]
        assert (labels["node"], labels["gpu"], labels["model"]) == (name, str(device["index"]), device["model"])
        assert 0 < value <= device["power_limit_w"]
    totals = {labels["uuid"]: value for labels, value in query("gpualloc_device_memory_total_bytes")}
    assert totals == {
        device["uuid"]: device["memory_total_mib"] * 2**20 for node in nodes.values() for device in node["devices"]
    }
    ((labels, value),) = query('gpualloc_device_state{state!="ok"}')
    assert (labels["node"], labels["gpu"], labels["state"], value) == ("pine01", "3", "needs reset", 1)
    assert query("gpualloc_simulated == 1")
    assert query('sum(gpualloc_events_total{trouble="xid"})')[0][1] == 0
    (target,) = targets()
    assert (target["health"], target["lastError"]) == ("up", "")
    (wrong,) = query("sum(scrape_samples_scraped) - sum(scrape_samples_post_metric_relabeling)")
    assert wrong[1] == 0
