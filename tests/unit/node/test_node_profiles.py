"""What a node tells of a device beyond its load: profiles as the driver of any age has them, nearness, users."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pynvml
import pytest
from fakes.nvml_library import NvmlLibrary, installed

from gpualloc.node import holders, nearness, profiles
from gpualloc.node.nvml import Nvml
from gpualloc.sim.catalog import find
from gpualloc.sim.gpu import GpuModel
from gpualloc.sim.rows import inventory_row

V2_CALLS = ("nvmlDeviceGetGpuInstanceProfileInfoV", "nvmlGpuInstanceGetComputeInstanceProfileInfoV")


def inventory(nvml):
    return nvml.ask(lambda gpu: gpu.inventory(), lambda gpu: gpu.blank_inventory())


def by_name(row):
    return {profile["name"]: profile for profile in row["mig_profiles"]}


@pytest.mark.parametrize("model", ["A100-40GB", "A30-24GB", "H100-80GB", "RTX-PRO-6000-96GB", "T4", "L4", "B300"])
def test_a_real_node_program_tells_of_a_gpu_what_the_simulated_node_tells(model):
    gpu = GpuModel(find(model), "GPU-1", 0)
    if gpu.kind.mig:
        gpu.mig_enabled = gpu.mig_pending = True
        gpu.create_instance(gpu.kind.mig.profiles[0].name)
    with installed(NvmlLibrary([gpu])):
        [row] = inventory(Nvml(10.0))
    expected = inventory_row(gpu, None)
    for told in (row, expected):
        told["mig_profiles"] = by_name(told)
        for name in [name for name in told["unavailable"] if name.startswith("board.")]:
            del told["unavailable"][name]
        for name in ("board", "peers"):
            told.pop(name, None)
        told["settings"].pop("sm_clock_min_mhz")
        told["settings"].pop("sm_clock_max_mhz")
    assert row == expected


@pytest.mark.parametrize("model", ["A100-40GB", "A100-80GB", "A30-24GB", "H100-94GB", "H200-141GB"])
def test_an_older_driver_without_names_gives_the_same_names(model):
    gpu = GpuModel(find(model), "GPU-1", 0)
    with installed(NvmlLibrary([gpu], driver="470.57.02", without=V2_CALLS)):
        [row] = inventory(Nvml(10.0))
    assert by_name(row) == by_name(inventory_row(gpu, None))


def test_profiles_are_asked_for_once_and_only_where_there_is_mig():
    gpus = [GpuModel(find(model), f"GPU-{index}", index) for index, model in enumerate(("A100-40GB", "T4"))]
    with installed(NvmlLibrary(gpus)) as library:
        nvml = Nvml(10.0)
        inventory(nvml)
        once = library.calls["nvmlDeviceGetGpuInstanceProfileInfoV"]
        assert once == pynvml.NVML_GPU_INSTANCE_PROFILE_COUNT + 1
        assert inventory(nvml)[0]["mig_profiles"]
        assert library.calls["nvmlDeviceGetGpuInstanceProfileInfoV"] == once


def test_a_driver_that_names_no_end_of_its_profiles_is_not_asked_for_ever(monkeypatch):
    def never(_device, _index, version):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetGpuInstanceProfileInfo", never)
    assert profiles.of_device(None, 1024) == []


def test_what_cannot_be_read_has_its_reason():
    gpu = GpuModel(find("H100-80GB"), "GPU-1", 0, mig_enabled=True, mig_pending=True)
    without = ("nvmlDeviceGetArchitecture", "nvmlDeviceGetPowerManagementDefaultLimit")
    with installed(NvmlLibrary([gpu], without=without)) as library:
        library.fail("nvmlDeviceGetPersistenceMode", pynvml.NVML_ERROR_NO_PERMISSION)
        library.fail("nvmlDeviceGetGpuInstanceProfileInfoV", pynvml.NVML_ERROR_UNKNOWN)
        [row] = inventory(Nvml(10.0))
    assert row["unavailable"] == {
        "architecture": "not supported",
        "power_limit_default_w": "not supported",
        "settings.compute_mode": "mig",
        "settings.persistence": "no permission",
        "mig_profiles": "failed",
        **dict.fromkeys(("board.serial", "board.vbios_version", "board.inforom_version"), "not supported"),
    }
    assert (row["mig_profiles"], row["architecture"], row["state"]) == ([], None, "ok")


def host_folder(tmp_path, nodes, near, numa_node="1"):
    for number in range(nodes):
        (tmp_path / f"devices/system/node/node{number}").mkdir(parents=True)
    device = tmp_path / "bus/pci/devices/0000:3b:00.0"
    device.mkdir(parents=True)
    (device / "local_cpulist").write_text(near + "\n")
    (device / "numa_node").write_text(numa_node + "\n")
    return str(tmp_path)


@pytest.mark.parametrize(
    ("nodes", "near", "numa_node", "told", "number"),
    [
        (2, "16-31,48-63", "1", "16-31,48-63", 1),
        (1, "0-31", "-1", None, 0),
        (2, "0-63", "-1", None, None),
        (2, "", "1", None, 1),
        (2, "0-3; reboot", "1", None, 1),
        (2, "0-3", "", None, None),
    ],
)
@pytest.mark.parametrize("address", ["00000000:3B:00.0", b"00000000:3B:00.0"])
def test_what_is_near_a_gpu_is_told_for_its_pci_address(tmp_path, nodes, near, numa_node, told, number, address):
    pci = nearness.address(SimpleNamespace(busId=address))
    assert pci == "0000:3b:00.0"
    folder = host_folder(tmp_path, nodes, near, numa_node)
    assert (nearness.cpus(pci, folder), nearness.numa_node(pci, folder)) == (told, number)


@pytest.mark.parametrize("address", ["../../../etc", "", "00000000:3B:00.9"])
def test_an_address_that_is_none_is_not_looked_up(tmp_path, address):
    assert nearness.address(SimpleNamespace(busId=address)) is None
    folder = host_folder(tmp_path, 2, "0-3")
    assert (nearness.cpus(None, folder), nearness.numa_node(None, folder)) == (None, None)


def test_who_has_a_device_file_open_is_found_by_its_descriptors(tmp_path):
    for pid, target in (("70", "/dev/nvidia1"), ("80", "/dev/nvidia10"), ("90", "/dev/nvidia1"), ("x", "/dev/nvidia1")):
        folder = tmp_path / pid / "fd"
        folder.mkdir(parents=True)
        (folder / "0").symlink_to("/dev/null")
        (folder / "9").symlink_to(target)
    (tmp_path / "95").mkdir()
    assert holders.having_open(1, str(tmp_path)) == [70, 90]
    assert holders.having_open(None, str(tmp_path)) == []


def test_a_message_names_a_few_processes_and_counts_the_rest():
    told = holders.named([os.getpid(), *range(4_000_001, 4_000_008)])
    assert told.startswith(f"process {os.getpid()} of ")
    assert told.endswith("process 4000004 of an unknown user (an unknown command), 3 more")
