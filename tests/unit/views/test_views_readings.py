"""Every reading comes out of every door, unknown ones with their reason, and no text does harm."""

import csv
import io
import json
from pathlib import Path

import pytest
from fakes import fleet_readings as fleet
from msgspec import structs

from gpualloc.model.inventory import Device, HostReading, Process
from gpualloc.views.look import Look
from gpualloc.views.nodes import nodes_text
from gpualloc.views.nodes_csv import nodes_csv
from gpualloc.views.nodes_data import nodes_data
from gpualloc.views.processes import processes_csv, processes_data, processes_on, processes_text
from gpualloc.views.text import cells

GOLDEN = Path(__file__).parent / "golden"
FOUND = processes_on(fleet.SNAPSHOT)
PLAIN_FOUND = processes_on(fleet.PLAIN_SNAPSHOT)
CSVS = {
    "nodes": nodes_csv(fleet.PLAIN_SNAPSHOT),
    "processes": processes_csv(PLAIN_FOUND),
}
TEXTS = {
    "nodes-readings": lambda look: nodes_text(fleet.PLAIN_SNAPSHOT, (), look),
    "processes": lambda look: processes_text(fleet.PLAIN_SNAPSHOT, PLAIN_FOUND, look, simulated=False),
}
EVIL_TEXTS = {
    "nodes": lambda look: nodes_text(fleet.SNAPSHOT, (), look),
    "processes": lambda look: processes_text(fleet.SNAPSHOT, FOUND, look, simulated=True),
    "nodes-csv": lambda _: nodes_csv(fleet.SNAPSHOT),
    "processes-csv": lambda _: processes_csv(FOUND),
}


def rows(text):
    return list(csv.DictReader(io.StringIO(text), strict=True))


@pytest.mark.parametrize("name", CSVS)
def test_csv_is_as_it_was_looked_at(name):
    assert CSVS[name] + "\n" == (GOLDEN / f"{name}.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("name", TEXTS)
def test_text_is_as_it_was_looked_at(name, width):
    assert TEXTS[name](Look(width)) + "\n" == (GOLDEN / f"{name}-{width}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TEXTS)
def test_tables_fit_80_columns(name):
    tables = [line for line in TEXTS[name](Look(80)).splitlines() if "driver 570" not in line]
    assert max(map(cells, tables)) <= 80


@pytest.mark.parametrize("name", EVIL_TEXTS)
def test_nothing_shown_steers_the_terminal(name):
    text = EVIL_TEXTS[name](Look(120))
    assert all(char.isprintable() or char == "\n" for char in text)


def test_json_has_everything_that_is_read():
    nodes = {node["name"]: node for node in nodes_data(fleet.SNAPSHOT)["nodes"]}
    full = nodes["full"]["devices"][0]
    told_elsewhere = {"mig_profiles"}
    assert set(Device.__struct_fields__) - told_elsewhere <= set(full)
    assert set(nodes["full"]["host"]) == set(HostReading.__struct_fields__)
    assert full["throttles"] == ["thermal slowdown", "idle"]
    assert full["ecc"]["remap_pending"] is True
    assert (full["pcie"]["width"], full["pcie"]["width_max"]) == (8, 16)
    assert full["nvlinks"][1] == {"index": 1, "up": False, "remote": None, "errors": 4}
    assert full["mig_instances"][0]["activity"]["sm_active_ratio"] == 0.5
    (process,) = full["processes"]
    assert set(Process.__struct_fields__) - {"device"} == set(process)
    assert (process["pod"], process["slurm_job"]) == ("team/train-0", "4242.0")


def test_unknown_is_null_with_its_reason():
    bare = nodes_data(fleet.SNAPSHOT)["nodes"][2]["devices"][1]
    assert (bare["memory_total_mib"], bare["energy_j"], bare["throttles"]) == (None, None, None)
    assert bare["unavailable"]["ecc.enabled"] == "not supported"
    json.dumps(nodes_data(fleet.SNAPSHOT), allow_nan=False)


def test_csv_has_numbers_or_nothing():
    full, bare = (row for row in rows(nodes_csv(fleet.SNAPSHOT)) if row["node"] == "full")
    assert (full["power_w"], full["energy_j"], full["processes"]) == ("650.5", "123456.75", "1")
    assert (bare["power_w"], bare["energy_j"], bare["processes"]) == ("", "", "")
    assert "ecc.enabled: not supported" in bare["unavailable"]


def test_a_node_without_devices_has_its_row():
    (down,) = (row for row in rows(nodes_csv(fleet.SNAPSHOT)) if row["node"] == "down")
    assert (down["node_state"], down["node_reason"], down["uuid"]) == ("unreachable", "connection refused", "")


@pytest.mark.parametrize("text", [nodes_csv(fleet.SNAPSHOT), processes_csv(FOUND)], ids=["nodes", "processes"])
def test_no_cell_of_a_hostile_node_is_a_formula_or_endless(text):
    evil = [row for row in rows(text) if row["node"] == "evil"]
    assert evil
    texts = [cell for row in evil for cell in row.values() if cell and not cell.lstrip("-").replace(".", "").isdigit()]
    assert all(cell[0] not in "=+-@\t\r" for cell in texts)
    assert max(map(len, texts)) < 20_000


def test_what_is_not_as_it_should_be_is_told_below_the_table():
    text = nodes_text(fleet.PLAIN_SNAPSHOT, (), Look(120))
    assert "gpu 0: clocks held down: thermal slowdown" in text
    assert "gpu 0: PCIe runs with 8 of 16 lanes" in text
    assert "gpu 0: NVLink 1 down" in text
    assert "gpu 0: a memory row waits for a reset to be replaced" in text
    assert "2 of 3 GPUs" in text


def test_a_stale_node_shows_what_it_told_last_and_when():
    lines = nodes_text(fleet.PLAIN_SNAPSHOT, (), Look(120)).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("late"))
    assert "stale, silent for 60 s, last heard 1m00s ago, 2 of 3 GPUs" in lines[at]
    assert any("H100" in line for line in lines[at:])


def test_a_limited_node_says_what_is_not_seen():
    said = "read through nvidia-smi: no processes"
    node = structs.replace(fleet.FULL_NODE, limited=said)
    text = nodes_text(structs.replace(fleet.SNAPSHOT, nodes=(node,)), (), Look(120))
    assert f"only looked at: {said}" in text


def test_processes_are_sorted_by_memory_and_chosen_by_user():
    used = [one.process.gpu_memory_used_mib for one in FOUND]
    known = [mib for mib in used if mib is not None]
    assert used == sorted(known, reverse=True) + [None] * (len(used) - len(known))
    assert {one.process.user for one in processes_on(fleet.SNAPSHOT, "ann")} == {"ann"}
    assert processes_on(fleet.SNAPSHOT, "nobody") == ()


def test_whose_processes_are_not_known_is_told():
    data = processes_data(fleet.PLAIN_SNAPSHOT, PLAIN_FOUND, simulated=False)
    assert {"node": "full", "device": fleet.BARE_UUID, "reason": "hung"} in data["unseen"]
    assert {"node": "down", "device": None, "reason": "unreachable"} in data["unseen"]
    first = data["processes"][0]
    assert (first["gpu"], first["mig_profile"], first["container"]) == (0, "3g.40gb", "0123456789ab")
