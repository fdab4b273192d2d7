"""What doctor asks of this machine."""

from __future__ import annotations

import sys

import pytest

from gpualloc.adapters.probe import NvmlLibrary, nvml_library


def distribution(folder, name: str, version: str, files: list[str]) -> None:
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    for file in files:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text("")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    return tmp_path


def test_nvidia_ml_py_of_this_installation_is_in_order():
    found = nvml_library()
    assert found.usable
    assert found.version
    assert found.reason is None


def test_nothing_installed(installed):
    assert nvml_library() == NvmlLibrary(None, (), usable=False)
    assert nvml_library().reason == "nvidia-ml-py is missing"


def test_the_impostor_alone(installed):
    distribution(installed, "pynvml", "11.5.0", ["pynvml/__init__.py"])
    found = nvml_library()
    assert found == NvmlLibrary(None, ("pynvml 11.5.0",), usable=False)


def test_the_impostor_in_front_of_the_real_one(installed):
    distribution(installed, "pynvml", "11.5.0", ["pynvml/__init__.py"])
    distribution(installed, "nvidia-ml-py", "12.560.30", ["pynvml.py"])
    found = nvml_library()
    assert found == NvmlLibrary("12.560.30", ("pynvml 11.5.0",), usable=False)
    assert found.reason == "the module pynvml is not the one of nvidia-ml-py"
