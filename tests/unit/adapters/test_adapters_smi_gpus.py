"""Whatever nvidia-smi prints, the rows that are made of it are ones that the wire knows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.adapters.decode_device import decode_devices
from gpualloc.adapters.fields import Fields
from gpualloc.adapters.shell_talk import HUNG, Told
from gpualloc.adapters.smi_gpus import SmiGpus
from gpualloc.adapters.smi_rows import inventory_row, sample_row
from gpualloc.adapters.smi_table import APPS, BOARD, LOAD, ROWS, Column
from gpualloc.model.inventory import Device, DeviceState
from gpualloc.node.wire import UNAVAILABLE

UUIDS = [f"GPU-00000000-0000-4000-8000-{number:012d}" for number in range(2)]
CELLS = [
    *(
        "[N/A]",
        "[Not Supported]",
        "ERR!",
        "[Unknown Error]",
        "[GPU is lost]",
        "[GPU requires reset]",
        "",
        "-1",
        "0",
        "1",
    ),
    *(
        "99",
        "100",
        "1e5",
        "4294967295",
        "18446744073709551615",
        "12.5",
        "P0",
        "P99",
        "Enabled",
        "Disabled",
        "Yes",
        "No",
    ),
    *(
        "0x4",
        "0xffffffffffffffff",
        "00000000:3B:00.0",
        "Default",
        "Exclusive_Thread",
        "NVIDIA A100",
        "\x1b[31m",
        "漢字",
    ),
]
Asked = Callable[..., list[Told]]


def row(columns: tuple[Column, ...], uuid: str, cell: Callable[[Column], str]) -> str:
    return ", ".join([uuid, *(cell(column) for column in columns[1:])])


def good(column: Column) -> str:
    return {
        "name": "NVIDIA A100",
        "pci.bus_id": "00000000:3B:00.0",
        "pstate": "P0",
        "clocks_event_reasons.active": "0x1",
        "mig.mode.current": "Disabled",
    }.get(column.name, "1")


def asker(tables: dict[str, list[str]], status: str = "0") -> Asked:
    def ask(*words: str) -> list[Told]:
        return [Told(tuple(tables.get(word, [])), status) for word in words]

    return ask


def looked(*asks: Asked, left_s: float = 60.0) -> tuple[SmiGpus, tuple[Device, ...]]:
    gpus = SmiGpus()
    for ask in asks:
        gpus.look(ask, lambda: left_s)
    inventory = {"devices": [inventory_row(gpu) for gpu in gpus.gpus.values()]}
    sample = {"devices": [sample_row(gpu) for gpu in gpus.gpus.values()]}
    return gpus, decode_devices(Fields(inventory, "inventory"), Fields(sample, "sample"))


def tables(cell: Callable[[Column], str]) -> dict[str, list[str]]:
    columns = {"load": LOAD, "board": BOARD, "rows": ROWS}
    found = {word: [row(tuple(each), uuid, cell) for uuid in UUIDS] for word, each in columns.items()}
    return {**found, "apps": [row(tuple(APPS), UUIDS[0], cell)]}


@settings(deadline=None)
@given(st.data())
def test_every_answer_makes_rows_of_the_wire(data):
    told = tables(lambda column: data.draw(st.sampled_from([*CELLS, good(column)])))
    _, devices = looked(asker(told))
    assert {device.uuid for device in devices} == set(UUIDS)
    for device in devices:
        assert set(device.unavailable.values()) <= set(UNAVAILABLE)
        for name in ("memory_used_mib", "gpu_utilization_ratio", "power_w", "temperature_c", "throttles", "fan_ratio"):
            assert (getattr(device, name) is None) == (name in device.unavailable)


@settings(deadline=None)
@given(st.lists(st.text(max_size=80), max_size=6), st.sampled_from(["0", "1", "2", "9", "127", HUNG, "x"]))
def test_no_answer_at_all_breaks_a_look(lines, status):
    ask = asker(
        dict.fromkeys(("load", "load-old", "board", "rows", "apps", "list", "details", "information"), lines), status
    )
    gpus, devices = looked(ask, asker(tables(good)), ask)
    assert gpus.state in ("ok", "hung", "absent", "mismatch", "failed")
    assert all(device.memory_used_mib is None for device in devices)


@pytest.mark.parametrize(("status", "state"), [(HUNG, DeviceState.HUNG), ("9", DeviceState.FAILED)])
def test_no_reading_outlives_the_driver(status, state):
    _, devices = looked(asker(tables(good)), asker({}, status))
    assert [device.state for device in devices] == [state] * 2
    for device in devices:
        assert (device.memory_total_mib, device.memory_used_mib, device.ecc.volatile_corrected) == (1, None, None)
        assert device.unavailable["ecc.volatile_corrected"] == device.unavailable["memory_used_mib"]


def test_what_there_was_no_time_for_is_not_told_from_before():
    gpus, devices = looked(asker(tables(good)), left_s=1.0)
    assert (gpus.uses, devices[0].unavailable["processes"]) == ((), "not yet")
    assert (devices[0].power_w, devices[0].unavailable["power_limit_max_w"]) == (1.0, "not yet")
    gpus = SmiGpus()
    gpus.look(asker(tables(good)), lambda: 60.0)
    assert gpus.uses
    gpus.look(asker(tables(good)), lambda: 1.0)
    assert gpus.uses == ()


def test_a_process_on_a_gpu_that_went_is_forgotten():
    both, one = tables(good), tables(good)
    one["load"] = one["load"][1:]
    gpus, devices = looked(asker(both), asker(one))
    assert ([device.uuid for device in devices], gpus.uses) == ([UUIDS[1]], ())
