"""The page for Prometheus: every line parses, units are in names, and what is unknown is not there."""

import re
from collections import Counter
from pathlib import Path

import pytest
from fakes import fleet_readings as fleet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.model.desired import Cordon
from gpualloc.model.health import Condition, Event, Severity, Trouble
from gpualloc.ports import WatchFigures
from gpualloc.views import exporter
from gpualloc.views.exporter import FAMILIES, Exposition, Kept, OwnCost
from gpualloc.views.prometheus import MAX_LABEL, label_text

IN_ANY_TIME = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
GOLDEN = Path(__file__).parent / "golden" / "metrics.txt"
DOCUMENT = Path(__file__).parents[3] / "docs" / "exporter.md"
COST = OwnCost("0.1.0", fleet.NOW_S - 100, 12.5, 50_000_000, 0.25)
FIGURES = WatchFigures(2, 0, 1, 1000, 100, 7, 1)
HOT = Condition(Trouble.THROTTLED, Severity.WARNING, "full", fleet.FULL_UUID, "it is hot", None, fleet.NOW_S - 60)
KEPT = Kept([Cordon("full", None, "ann", "why", 0.0)], [HOT, HOT], fleet.NOW_S - 7)
SAMPLE = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\")*",?)*)\})? (-?[0-9][0-9.e+-]*)'
)
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\")*)"')


def page(nodes=fleet.PLAIN_SNAPSHOT.nodes, *, processes=True, simulated=False):
    exposition = Exposition(simulated=simulated, processes=processes)
    return exposition.page(nodes, fleet.NOW_S, COST, FIGURES, KEPT).decode()


def samples(text):
    """By name: labels and value of each sample. Fails where a line is none, or a family is told twice."""
    found, headers = {}, Counter()
    family = None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split()[2]
            headers[family] += 1
        elif line.startswith("# TYPE "):
            assert line.split()[2:] in ([family, "gauge"], [family, "counter"])
        else:
            matched = SAMPLE.fullmatch(line)
            assert matched, line[:300]
            assert matched[1] == family
            found.setdefault(matched[1], []).append((dict(LABEL.findall(matched[2] or "")), float(matched[3])))
    assert set(headers.values()) == {1}
    for name, each in found.items():
        assert len({tuple(sorted(labels.items())) for labels, _ in each}) == len(each), name
    return found


def only(found, name, **labels):
    """The one value with these labels; None when there is none."""
    values = [value for told, value in found.get(name, []) if labels.items() <= told.items()]
    assert len(values) <= 1
    return values[0] if values else None


def test_the_page_is_as_it_was_looked_at():
    assert page() == GOLDEN.read_text(encoding="utf-8")


def test_units_are_those_of_prometheus():
    found = samples(page())
    gpu = {"node": "full", "gpu": "0", "uuid": fleet.FULL_UUID, "pool": "main", "model": "NVIDIA H100 80GB HBM3"}
    assert only(found, "gpualloc_device_memory_used_bytes", **gpu) == 40000 * 2**20
    assert only(found, "gpualloc_device_power_watts", **gpu) == 650.5
    assert only(found, "gpualloc_device_energy_joules_total", **gpu) == 123456.75
    assert only(found, "gpualloc_device_sm_clock_hertz", **gpu) == 1.41e9
    assert only(found, "gpualloc_device_temperature_celsius", **gpu) == 71
    assert only(found, "gpualloc_device_fan_ratio", **gpu) == 0
    assert only(found, "gpualloc_device_throttled", **gpu) == 1
    assert only(found, "gpualloc_device_throttle_reason", **gpu, reason="idle") == 1
    assert only(found, "gpualloc_device_nvlink_errors_total", **gpu) == 4
    assert only(found, "gpualloc_mig_memory_used_bytes", mig=fleet.MIG_UUID, profile="3g.40gb") == 12000 * 2**20
    assert only(found, "gpualloc_node_memory_available_bytes", node="full") == 400_000 * 2**20
    assert only(found, "gpualloc_node_gpus", node="full") == 2
    assert only(found, "gpualloc_node_gpus_expected", node="full") == 3
    assert only(found, "gpualloc_node_reading_age_seconds", node="full") == 2
    assert only(found, "gpualloc_device_claim", workload="w00000001", mig=fleet.MIG_UUID) == 1
    assert only(found, "gpualloc_cordon", node="full") == 1
    assert only(found, "gpualloc_condition", node="full", trouble="throttled", severity="warning") == 1
    assert only(found, "gpualloc_last_sample_timestamp_seconds") == fleet.NOW_S - 7
    assert only(found, "process_cpu_seconds_total") == 12.5


def test_what_is_unknown_is_not_there():
    bare = [
        (name, value)
        for name, each in samples(page()).items()
        for labels, value in each
        if labels.get("uuid") == fleet.BARE_UUID and labels["node"] == "full"
    ]
    assert bare == [
        ("gpualloc_device_state", 1.0),
        ("gpualloc_device_info", 1.0),
    ]


def test_states_are_words():
    found = samples(page())
    assert {labels["node"]: labels["state"] for labels, _ in found["gpualloc_node_state"]} == {
        "down": "unreachable",
        "full": "ok",
        "late": "stale",
    }


@pytest.mark.parametrize("node", ["down", "late"])
def test_of_a_node_that_does_not_answer_no_reading_is_told(node):
    told = {name for name, each in samples(page()).items() for labels, _ in each if labels.get("node") == node}
    standing = {"gpualloc_node_state", "gpualloc_node_info"}
    heard = {"gpualloc_node_last_heard_timestamp_seconds", "gpualloc_node_reading_age_seconds"}
    assert told - {"gpualloc_node_gpus_expected"} == standing | (heard if node == "late" else set())


def test_processes_are_told_when_they_are_asked_for():
    assert not any(name.startswith("gpualloc_process_") for name in samples(page(processes=False)))
    text = page()
    found = samples(text)
    who = {"pid": "4711", "user": "ann", "program": "python", "slurm_job": "4242.0", "pod": "team/train-0"}
    assert only(found, "gpualloc_process_gpu_memory_used_bytes", node="full", **who) == 512 * 2**20
    assert only(found, "gpualloc_process_cpu_utilization_ratio", node="full", **who) == 2.25
    assert "secret" not in text


def test_what_is_simulated_says_so():
    node = replace(fleet.FULL_NODE, spec=replace(fleet.FULL_NODE.spec, transport="recorded"))
    found = samples(page([node], simulated=True))
    assert only(found, "gpualloc_simulated") == 1
    assert only(found, "gpualloc_node_info", node="full", simulated="true", transport="recorded") == 1


def test_a_hostile_node_tells_no_line_of_its_own():
    found = samples(page(fleet.SNAPSHOT.nodes))
    (labels,) = (labels for labels, _ in found["gpualloc_device_info"] if labels["node"] == "evil")
    assert len(labels["model"]) < 16 * MAX_LABEL
    assert all(char.isprintable() for char in labels["model"])
    assert len(page([fleet.EVIL_NODE])) < 1_000_000


def test_what_a_node_tells_twice_is_told_once():
    node = fleet.FULL_NODE
    twice = replace(
        node,
        devices=node.devices * 2,
        processes=node.processes * 2,
        claims=node.claims * 2,
        host=replace(node.host, ports=node.host.ports * 2),
    )
    samples(page([twice]))


@IN_ANY_TIME
@given(st.text(max_size=50))
def test_any_text_can_be_a_label(text):
    line = f"a{label_text((('x', text),))} 1"
    matched = SAMPLE.fullmatch(line)
    assert matched
    assert line.isprintable()


def test_a_label_has_an_end():
    assert len(label_text((("x", "y" * 1_000_000),))) < MAX_LABEL + 10


def test_a_node_that_did_not_change_is_not_written_again(monkeypatch):
    made = []

    def noted(node, *, processes):
        made.append(node.name)
        return block(node, processes=processes)

    block = exporter.node_block
    monkeypatch.setattr(exporter, "node_block", noted)
    exposition = Exposition(simulated=False, processes=False)
    nodes = list(fleet.PLAIN_SNAPSHOT.nodes)
    exposition.page(nodes, fleet.NOW_S, COST)
    nodes[1] = replace(nodes[1], at_s=fleet.NOW_S)
    text = exposition.page(nodes, fleet.NOW_S, COST).decode()
    assert made == ["down", "full", "late", "full"]
    assert only(samples(text), "gpualloc_node_reading_age_seconds", node="full") == 0
    assert 'node="late"' not in exposition.page(nodes[:2], fleet.NOW_S, COST).decode()


def event(key, severity=Severity.ERROR, *, over=False):
    return Event(fleet.NOW_S, Trouble.XID, severity, "full", None, "what", None, key, over=over)


def test_events_are_counted_from_the_beginning_on():
    exposition = Exposition(simulated=False, processes=False)

    def count(*events):
        exposition.events.take(events)
        found = samples(exposition.page((), fleet.NOW_S, COST).decode())
        return only(found, "gpualloc_events_total", trouble="xid", severity="error")

    assert count(replace(event("old"), news=False)) == 0
    assert count(event("new")) == 1
    assert count(event("over", over=True)) == 1
    assert count(event("newer"), event("warns", Severity.WARNING)) == 2
    assert count() == 2


def documented():
    """The table of the document, from the code."""
    rows = [
        f"| `{family.name}` | {family.kind} | {', '.join(f'`{label}`' for label in family.labels)} | {family.help} |"
        for family in FAMILIES
    ]
    return "\n".join(["| metric | type | labels | what |", "| --- | --- | --- | --- |", *rows]) + "\n"


def test_every_metric_is_documented():
    assert documented() in DOCUMENT.read_text(encoding="utf-8")


def test_names_follow_the_conventions():
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    for family in FAMILIES:
        assert re.fullmatch(r"(gpualloc|process)_[a-z0-9_]+", family.name)
        assert family.name.endswith("_total") == (family.kind == "counter")
        assert "\n" not in family.help


def test_samples_have_only_the_labels_of_their_family():
    allowed = {family.name: set(family.labels) for family in FAMILIES}
    for name, each in samples(page(fleet.SNAPSHOT.nodes)).items():
        for labels, _ in each:
            assert set(labels) <= allowed[name]
