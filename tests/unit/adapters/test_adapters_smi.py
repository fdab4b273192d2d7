"""What nvidia-smi prints, and what is made of it: values, reasons, GPUs that cannot be opened, XML that is hostile."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpualloc.adapters import shell_talk
from gpualloc.adapters.smi_cells import Missing, bus, number, performance_state, throttles
from gpualloc.adapters.smi_table import APPS, BOARD, LOAD, OLD_BOARD, OLD_LOAD, ROWS, THROTTLE_LOAD, read_table
from gpualloc.adapters.smi_xml import BadXmlError, read_details, read_uuids

GPU = "GPU-5d5ba0d6-4e3a-4a7e-b1a0-6d1c3a2f0e11"
OTHER = "GPU-5d5ba0d6-4e3a-4a7e-b1a0-6d1c3a2f0e12"
GOOD = (
    f"{GPU}, 0, NVIDIA A100-SXM4-40GB, 00000000:3B:00.0, 550.54.15, 40960, 512, 37, 12, 101.52, 400.00, 41, 1410, "
    "1215, [N/A], P0, 38, 0x0000000000000004"
)


def with_cell(name: str, cell: str) -> str:
    cells = GOOD.split(", ")
    cells[[column.name for column in LOAD].index(name)] = cell
    return ", ".join(cells)


def test_a_row_has_the_values_and_names_of_the_wire():
    (row,) = read_table([GOOD], LOAD).rows
    assert row.uuid == GPU
    assert row.values == {
        "index": 0,
        "model": "NVIDIA A100-SXM4-40GB",
        "board.pci_bus_id": "0000:3b:00.0",
        "driver_version": "550.54.15",
        "memory_total_mib": 40960,
        "memory_used_mib": 512,
        "gpu_utilization_ratio": pytest.approx(0.37),
        "memory_utilization_ratio": pytest.approx(0.12),
        "power_w": 101.52,
        "power_limit_w": 400.0,
        "temperature_c": 41,
        "sm_clock_mhz": 1410,
        "memory_clock_mhz": 1215,
        "performance_state": 0,
        "memory_temperature_c": 38,
        "throttles": ["power cap"],
    }
    assert row.missing == {"fan_ratio": "not supported"}
    assert (row.state, row.reason) == ("ok", None)


@pytest.mark.parametrize(
    ("cell", "reason", "state"),
    [
        ("[N/A]", "not supported", "ok"),
        ("N/A", "not supported", "ok"),
        ("[Not Supported]", "not supported", "ok"),
        ("[Requested functionality has been deprecated]", "not supported", "ok"),
        ("[Insufficient Permissions]", "no permission", "ok"),
        ("[Unknown Error]", "failed", "ok"),
        ("ERR!", "failed", "ok"),
        ("", "failed", "ok"),
        ("[GPU is lost]", "lost", "GPU lost"),
        ("[GPU requires reset]", "failed", "needs reset"),
        ("4294967295", "implausible", "ok"),
        ("-1", "implausible", "ok"),
        ("nan", "failed", "ok"),
        ("1e9", "failed", "ok"),
    ],
)
def test_what_is_no_value_is_a_reason(cell, reason, state):
    (row,) = read_table([with_cell("utilization.gpu", cell)], LOAD).rows
    assert "gpu_utilization_ratio" not in row.values
    assert row.missing["gpu_utilization_ratio"] == reason
    assert row.state == state
    assert row.values["power_w"] == 101.52


@pytest.mark.parametrize("line", [GOOD + ", 1", GOOD.rpartition(",")[0], GPU])
def test_another_number_of_columns_says_nothing_of_that_gpu_and_leaves_the_others(line):
    rows = {row.uuid: row for row in read_table([line.replace(GPU, OTHER), GOOD], LOAD).rows}
    assert rows[OTHER].state == "failed"
    assert "columns" in (rows[OTHER].reason or "")
    assert not rows[OTHER].values
    assert rows[GPU].state == "ok"


@pytest.mark.parametrize(
    ("line", "index", "address", "state"),
    [
        ("Unable to determine the device handle for GPU3: 0000:5F:00.0: Unknown Error", 3, "0000:5f:00.0", "GPU lost"),
        ("Unable to determine the device handle for GPU 0000:04:00.0: Unknown Error", None, "0000:04:00.0", "GPU lost"),
        ("Unable to determine the device handle for GPU0000:25:00.0: Unknown Error", None, "0000:25:00.0", "GPU lost"),
        ("Unable to determine the device handle for GPU2: Unknown Error", 2, None, "GPU lost"),
        (
            "Unable to determine the device handle for GPU 00000000:02:00.0: GPU is lost.  Reboot the system",
            None,
            "0000:02:00.0",
            "GPU lost",
        ),
        (
            "Unable to determine the device handle for GPU 0000:02:00.0: GPU requires reset",
            None,
            "0000:02:00.0",
            "needs reset",
        ),
        ("Unable to determine the device handle for GPU 0000:02:00.0: Not Found", None, "0000:02:00.0", "failed"),
    ],
)
def test_a_gpu_that_cannot_be_opened_is_told_by_index_or_address(line, index, address, state):
    table = read_table([line, GOOD], LOAD)
    (unheld,) = table.unheld
    assert (unheld.index, unheld.bus, unheld.state) == (index, address, state)
    assert len(table.rows) == 1


def test_other_lines_are_words():
    table = read_table(["NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", "x"], LOAD)
    assert table.rows == ()
    assert "couldn't communicate" in (table.words or "")


def test_the_columns_are_those_that_the_shell_program_asks_for():
    source = Path(shell_talk.__file__).with_name("shell_node.sh").read_text()
    asked: dict[str, str] = {}
    for name, text in re.findall(
        r"^(load|more_load|throttle_load|old_load|board|old_board|rows)=(\S+)$", source, re.MULTILINE
    ):
        asked[name] = re.sub(r"\$(\w+)", lambda match: asked[match[1]], text)
    for name, columns in {
        "old_load": OLD_LOAD,
        "load": LOAD,
        "throttle_load": THROTTLE_LOAD,
        "old_board": OLD_BOARD,
        "board": BOARD,
        "rows": ROWS,
    }.items():
        assert asked[name].split(",") == [column.name for column in columns]
    assert "--query-compute-apps=" + ",".join(column.name for column in APPS) in source


@settings(deadline=None)
@given(st.lists(st.text(alphabet="GPU-0123456789abc,[]N/A. :\x1b\u202e", max_size=80), max_size=8))
@example([f"{GPU}, " + "9" * 400])
def test_no_text_breaks_a_table(lines):
    table = read_table(lines, LOAD)
    for row in table.rows:
        assert set(row.values) | set(row.missing) == {column.field for column in LOAD[1:]}


@pytest.mark.parametrize(
    ("bits", "names"),
    [
        ("0x0000000000000000", []),
        ("0x0000000000000001", ["idle"]),
        ("0x00000000000000C8", ["hardware slowdown", "hardware thermal slowdown", "power brake"]),
        ("0x0000000000010000", ["another reason"]),
    ],
)
def test_throttle_reasons_are_the_bits_of_the_driver(bits, names):
    assert throttles(bits) == names


def test_addresses_and_performance_states():
    assert bus("0001AB00:3B:00.1") == "1ab00:3b:00.1"
    assert performance_state("P12") == 12
    for read in (bus, throttles, performance_state, number(0, 1)):
        with pytest.raises(Missing):
            read("[N/A]")


XML = f"""<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log><gpu id="00000000:07:00.0"><uuid>{GPU}</uuid>
<mig_devices>
<mig_device><index>0</index><gpu_instance_id>1</gpu_instance_id><compute_instance_id>0</compute_instance_id>
<fb_memory_usage><total>20096 MiB</total><reserved>0 MiB</reserved><used>107 MiB</used></fb_memory_usage></mig_device>
<mig_device><index>1</index><gpu_instance_id>5</gpu_instance_id><compute_instance_id>0</compute_instance_id>
<fb_memory_usage><total>N/A</total><used>N/A</used></fb_memory_usage></mig_device>
</mig_devices>
<processes><process_info><gpu_instance_id>5</gpu_instance_id><compute_instance_id>0</compute_instance_id>
<pid>4242</pid></process_info><process_info><gpu_instance_id>N/A</gpu_instance_id>
<compute_instance_id>N/A</compute_instance_id><pid>4243</pid></process_info></processes>
</gpu></nvidia_smi_log>"""


def test_instances_and_places_of_the_xml():
    details = read_details(XML.encode())[GPU]
    assert [(each.index, each.gpu_instance, each.memory_used_mib) for each in details.instances] == [
        (0, 1, 107),
        (1, 5, None),
    ]
    assert details.places == {4242: (5, 0)}


def test_no_instances_are_none():
    text = f"<nvidia_smi_log><gpu><uuid>{GPU}</uuid><mig_devices>None</mig_devices></gpu></nvidia_smi_log>"
    assert read_details(text.encode())[GPU].instances == ()


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;&b;">]><nvidia_smi_log>&c;</nvidia_smi_log>',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><nvidia_smi_log>&b;</nvidia_smi_log>',
        '<!DOCTYPE a [<!ENTITY % b SYSTEM "file:///etc/passwd"> %b;]><nvidia_smi_log/>',
        "<!DOCTYPE a [<!ELEMENT a ANY>]><nvidia_smi_log/>",
        "<a>" * 100 + "</a>" * 100,
        "<nvidia_smi_log>" + "<a/>" * 200_001 + "</nvidia_smi_log>",
        "<nvidia_smi_log>&unknown;</nvidia_smi_log>",
        "<nvidia_smi_log>",
        "",
        "\x00",
    ],
)
def test_xml_that_is_not_nvidia_smis_is_refused(text):
    with pytest.raises(BadXmlError):
        read_details(text.encode())


def test_xml_longer_than_the_wire_allows_is_refused():
    with pytest.raises(BadXmlError, match="longer than"):
        read_details(b"<nvidia_smi_log>" + b" " * (8 << 20))


def test_uuids_of_the_list():
    lines = [
        f"GPU 0: NVIDIA A100-SXM4-40GB (UUID: {GPU})",
        "  MIG 1g.5gb      Device  0: (UUID: MIG-aaaa-1)",
        "  MIG 1g.5gb+me   Device  1: (UUID: MIG-GPU-5d5b/3/0)",
        f"GPU 1: NVIDIA (odd) name (UUID: {OTHER})",
        "  MIG 2g.10gb     Device  0: (UUID: MIG-bbbb-1)",
        "rubbish",
    ]
    assert read_uuids(lines) == {
        (GPU, 0): ("MIG-aaaa-1", "1g.5gb"),
        (GPU, 1): ("MIG-GPU-5d5b/3/0", "1g.5gb+me"),
        (OTHER, 0): ("MIG-bbbb-1", "2g.10gb"),
    }
