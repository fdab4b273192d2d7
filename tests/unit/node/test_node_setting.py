"""Settings of a GPU through the real binding over the simulated one: set, read back, put back."""

from __future__ import annotations

from types import SimpleNamespace

import pynvml
import pytest
from fakes.nvml_library import NvmlLibrary, installed

from gpualloc.node.nvml import Nvml
from gpualloc.node.setting import Handler
from gpualloc.node.settings import Remembered
from gpualloc.node.wire import Refused
from gpualloc.sim.catalog import find
from gpualloc.sim.gpu import GpuModel, GpuSettings

UUID = "GPU-1"
CLOCKS = {"sm_clock_min_mhz": 300, "sm_clock_max_mhz": 900}
ALL = {"power_limit_w": 250.0, **CLOCKS, "compute_mode": "exclusive-process", "persistence": True}


def set_step(wanted, before=None):
    return {"kind": "set", "device": UUID, "wanted": wanted, "before": before or {}}


@pytest.fixture
def library():
    model = GpuModel(find("A100-40GB"), UUID, 0)
    with installed(NvmlLibrary([model])) as made:
        yield made


def handler(tmp_path, boot="boot"):
    parts = SimpleNamespace(nvml=Nvml(10.0), state_dir=str(tmp_path / "state"), boot_id=boot)
    return Handler(parts)


def refusal(act):
    with pytest.raises(Refused) as refused:
        act()
    return refused.value.reason, refused.value.message


def test_what_is_wanted_is_set_once_and_read_back(library, tmp_path):
    facts = handler(tmp_path).do(set_step(ALL))
    assert facts["settings"] == ALL
    assert library.gpus[0].settings == GpuSettings(**ALL)
    changed = list(library.changed)
    assert handler(tmp_path).do(set_step(ALL)) == facts
    assert handler(tmp_path).verify(set_step(ALL)) == {"holds": True, **facts}
    assert library.changed == changed
    assert handler(tmp_path).verify(set_step({"power_limit_w": 250.9}))["holds"] is True
    assert handler(tmp_path).verify(set_step({"power_limit_w": 252.0}))["holds"] is False


def test_only_what_differs_is_set(library, tmp_path):
    handler(tmp_path).do(set_step({"power_limit_w": 400.0, "compute_mode": "prohibited"}))
    assert library.changed == ["nvmlDeviceSetComputeMode"]


def test_undo_gives_back_what_was_there_before(library, tmp_path):
    before = {"power_limit_w": 300.0, "sm_clock_min_mhz": 210, "sm_clock_max_mhz": 1200, "persistence": False}
    handler(tmp_path).do(set_step(ALL))
    handler(tmp_path).undo(set_step(ALL, before))
    assert library.gpus[0].settings == GpuSettings(300.0, 210, 1200, "default", False)


def test_undo_of_what_was_not_known_is_what_a_reboot_makes_of_it_and_persistence_stays(library, tmp_path):
    handler(tmp_path).do(set_step(ALL))
    facts = handler(tmp_path).undo(set_step(ALL))
    assert library.gpus[0].settings == GpuSettings(400.0, 0, 0, "default", True)
    assert facts["settings"]["sm_clock_max_mhz"] == 0
    assert library.changed[-1] == "nvmlDeviceResetGpuLockedClocks"


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"power_limit_w": 99.0}, "a power limit of 99 W is not in 100..400 W"),
        ({"power_limit_w": 500.0}, "not in 100..400 W"),
        ({"sm_clock_min_mhz": 900, "sm_clock_max_mhz": 300}, "the lower clock 900 MHz is above the upper one"),
    ],
)
def test_what_is_out_of_range_is_refused_and_nothing_is_set(library, tmp_path, wanted, told):
    for act in (handler(tmp_path).preflight, handler(tmp_path).do):
        reason, message = refusal(lambda act=act: act(set_step({**wanted, "persistence": True})))
        assert (reason, told in message) == ("bad-request", True)
    assert library.changed == []


def test_a_gpu_in_mig_mode_has_no_compute_mode_and_keeps_its_power_limit(library, tmp_path):
    handler(tmp_path).do(set_step({"compute_mode": "prohibited"}))
    library.gpus[0].set_mig_mode(True)
    reason, message = refusal(lambda: handler(tmp_path).do(set_step(ALL)))
    assert (reason, "is in MIG mode" in message) == ("not-supported", True)
    handler(tmp_path).undo(set_step({"compute_mode": "prohibited"}))
    handler(tmp_path).do(set_step({"power_limit_w": 200.0}))
    assert library.gpus[0].power_limit_w == 200


def test_what_was_set_is_put_back_when_a_later_part_fails(library, tmp_path):
    library.fail("nvmlDeviceSetGpuLockedClocks", pynvml.NVML_ERROR_UNKNOWN)
    assert refusal(lambda: handler(tmp_path).do(set_step(ALL)))[0] == "failed"
    assert library.gpus[0].settings == GpuSettings(400.0)
    assert handler(tmp_path).verify(set_step(CLOCKS))["holds"] is False


def test_missing_rights_are_named(library, tmp_path):
    library.privileged = False
    reason, message = refusal(lambda: handler(tmp_path).do(set_step({"power_limit_w": 200.0})))
    assert (reason, "it needs root" in message) == ("not-permitted", True)


def test_locked_clocks_are_known_for_this_boot_only(library, tmp_path):
    handler(tmp_path).do(set_step(CLOCKS))
    assert handler(tmp_path).verify(set_step(CLOCKS))["holds"] is True
    assert handler(tmp_path, "other boot").verify(set_step(CLOCKS))["holds"] is False
    remembered = Remembered(str(tmp_path / "state"), "boot")
    assert remembered.clocks(UUID) == CLOCKS
    assert remembered.clocks("GPU-2") == {}
    remembered.keep(UUID, None)
    assert remembered.clocks(UUID) == {}


@pytest.mark.parametrize(
    "text", ["", "[]", '{"boot_id": "boot", "clocks": {"GPU-1": [1]}}', '{"boot_id": "boot", "clocks": 7}']
)
def test_a_broken_memory_of_clocks_is_none(tmp_path, text):
    (tmp_path / "settings.json").write_text(text)
    assert Remembered(str(tmp_path), "boot").clocks(UUID) == {}


def test_a_model_without_known_power_refuses_a_limit(tmp_path):
    with installed(NvmlLibrary([GpuModel(find("B300"), UUID, 0)])):
        assert refusal(lambda: handler(tmp_path).preflight(set_step({"power_limit_w": 200.0})))[0] == "not-supported"
        assert handler(tmp_path).do(set_step({"persistence": True}))["settings"]["power_limit_w"] is None
