"""What a node says of profiles, settings and power of its devices: whole, or refused."""

from __future__ import annotations

import copy

import pytest

from gpualloc.adapters.decode_device import decode_devices
from gpualloc.adapters.fields import Fields, MalformedError
from gpualloc.model.desired import NOTHING_SET, ComputeMode, DeviceSettings
from gpualloc.model.mig import MigProfile, check_layout, parse_layout
from gpualloc.sim.catalog import find
from gpualloc.sim.gpu import GpuModel
from gpualloc.sim.rows import inventory_row

PROFILE = {
    "name": "2g.20gb",
    "id": 14,
    "slices": 2,
    "size": 2,
    "starts": [4, 0, 2],
    "memory_mib": 19968,
    "sm_count": 32,
    "max_count": 3,
    "engines": {"copy": 2, "nvdec": 2, "nvenc": None},
    "media_extension": False,
}
ROW = {
    "uuid": "GPU-1",
    "index": 0,
    "model": "NVIDIA H100 80GB HBM3",
    "memory_total_mib": 81559,
    "mig_instances": [],
    "architecture": "hopper",
    "cpus": "0-15,32-47",
    "mig_profiles": [PROFILE],
    "settings": {
        "power_limit_w": 500.0,
        "sm_clock_min_mhz": None,
        "sm_clock_max_mhz": None,
        "compute_mode": None,
        "persistence": True,
    },
    "power_limit_default_w": 700,
    "power_limit_min_w": 200.0,
    "power_limit_max_w": 700.0,
    "unavailable": {"settings.compute_mode": "mig", "cpus": "failed", "nonsense": "mig"},
}


def decoded(row):
    [device] = decode_devices(Fields({"devices": [row]}, "inventory"), Fields({"devices": []}, "sample"))
    return device


def with_(path, value):
    row = copy.deepcopy(ROW)
    *parents, last = path
    inside = row
    for key in parents:
        inside = inside[key]
    inside[last] = value
    return row


def test_everything_new_comes_through():
    device = decoded(ROW)
    assert (device.architecture, device.cpus) == ("hopper", "0-15,32-47")
    assert device.settings == DeviceSettings(power_limit_w=500.0, persistence=True)
    assert (device.power_limit_default_w, device.power_limit_min_w, device.power_limit_max_w) == (700, 200, 700)
    engines = (("copy", 2), ("nvdec", 2), ("nvenc", None), ("nvjpg", None), ("ofa", None))
    assert device.mig_profiles == (MigProfile("2g.20gb", 14, 2, (0, 2, 4), 19968, 32, 3, engines, False),)
    assert device.unavailable["settings.compute_mode"] == "mig"
    assert "nonsense" not in device.unavailable


def test_a_node_that_tells_none_of_it_is_understood():
    plain = {name: ROW[name] for name in ("uuid", "index", "model", "memory_total_mib", "mig_instances")}
    device = decoded(plain)
    assert (device.mig_profiles, device.settings, device.architecture, device.cpus) == ((), NOTHING_SET, None, None)


def test_a_compute_mode_is_one_of_ours():
    assert decoded(with_(("settings", "compute_mode"), "prohibited")).settings.compute_mode is ComputeMode.PROHIBITED
    with pytest.raises(MalformedError):
        decoded(with_(("settings", "compute_mode"), "whatever"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("architecture",), "Hopper\x1b[31m"),
        (("cpus",), "0-15; rm -rf /"),
        (("cpus",), 3),
        (("mig_profiles",), {}),
        (("mig_profiles",), [PROFILE, PROFILE]),
        (("mig_profiles",), [{**PROFILE, "name": f"1g.{number}gb"} for number in range(65)]),
        (("mig_profiles", 0, "name"), "2g.20gb@0"),
        (("mig_profiles", 0, "name"), "2g.20gb\n"),
        (("mig_profiles", 0, "size"), 0),
        (("mig_profiles", 0, "size"), 1 << 40),
        (("mig_profiles", 0, "starts"), [-1]),
        (("mig_profiles", 0, "starts"), [1023]),
        (("mig_profiles", 0, "starts"), [True]),
        (("mig_profiles", 0, "starts"), [0.0]),
        (("mig_profiles", 0, "starts"), "024"),
        (("mig_profiles", 0, "memory_mib"), None),
        (("mig_profiles", 0, "max_count"), 1 << 20),
        (("mig_profiles", 0, "engines"), None),
        (("mig_profiles", 0, "engines", "copy"), -1),
        (("mig_profiles", 0, "media_extension"), "no"),
        (("settings",), []),
        (("settings", "power_limit_w"), float("nan")),
        (("settings", "persistence"), 1),
        (("settings", "sm_clock_min_mhz"), -5),
        (("power_limit_max_w",), "700"),
    ],
)
def test_nonsense_is_refused(path, value):
    with pytest.raises(MalformedError):
        decoded(with_(path, value))


@pytest.mark.parametrize("model", ["A100-40GB", "A30-24GB", "H100-80GB", "B200-180GB", "RTX-PRO-6000-96GB", "T4", "L4"])
def test_what_a_simulated_gpu_tells_is_understood_and_makes_layouts(model):
    gpu = GpuModel(find(model), "GPU-1", 0)
    device = decoded(inventory_row(gpu, None))
    names = [profile.name for profile in device.mig_profiles]
    assert names == [profile.name for profile in (gpu.kind.mig.profiles if gpu.kind.mig else ())]
    assert device.architecture == gpu.kind.generation
    assert device.settings.power_limit_w == device.power_limit_default_w == gpu.kind.power_limit_w
    for profile in device.mig_profiles:
        check_layout(device.mig_profiles, parse_layout(f"{profile.name}@{profile.starts[0]}"))


def test_parts_that_are_the_same_objects_are_not_decoded_again_and_others_are():
    fixed = Fields({"devices": [ROW]}, "inventory")
    links = [{"index": 0, "up": True, "remote": "switch", "errors": 0}]
    first = {"uuid": "GPU-1", "state": "ok", "nvlinks": links, "ecc": {"enabled": True}, "mig_instances": []}
    known: dict = {}
    [before] = decode_devices(fixed, Fields({"devices": [first]}, "sample"), known)
    later = {**first, "ecc": {"enabled": False}, "activity": {"sm_active_ratio": 0.5}, "power_w": 300.0}
    [after] = decode_devices(fixed, Fields({"devices": [later]}, "sample"), known)
    assert after.nvlinks is before.nvlinks
    assert (after.ecc.enabled, after.activity.sm_active_ratio, after.power_w) == (False, 0.5, 300.0)
    [last] = decode_devices(fixed, Fields({"devices": [{**later, "nvlinks": [*links, *links]}]}, "sample"), known)
    assert len(last.nvlinks) == 2
    assert (last.ecc, last.pcie) == (after.ecc, before.pcie)
    assert last == decode_devices(fixed, Fields({"devices": [{**later, "nvlinks": [*links, *links]}]}, "sample"))[0]
