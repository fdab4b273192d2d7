"""The node program in one file, and where nvidia-ml-py is found."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile

import pytest

import gpualloc
from gpualloc.adapters import archive as archive_module
from gpualloc.adapters.archive import node_archive
from gpualloc.adapters.nvml_file import nvml_file


def names_in(data: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.namelist()


def test_the_archive_holds_the_node_program_nvml_and_the_version(tmp_path):
    names = names_in(node_archive(tmp_path).data)
    assert {"gpualloc/__init__.py", "gpualloc/node/__init__.py", "gpualloc/node/wire.py", "pynvml.py"} <= set(names)
    assert all(name.startswith(("gpualloc/__init__", "gpualloc/node/", "pynvml")) for name in names)


def test_equal_sources_give_equal_archives_built_or_cached(tmp_path):
    built, again, elsewhere = (node_archive(tmp_path / name) for name in ("a", "a", "b"))
    assert built == again == elsewhere
    assert len(list((tmp_path / "a").iterdir())) == 1


def test_changed_sources_give_another_archive_and_the_old_one_goes(tmp_path, monkeypatch):
    source = tmp_path / "pynvml.py"
    source.write_text("old = 1\n")
    monkeypatch.setattr(archive_module, "nvml_file", lambda: source)
    old = node_archive(tmp_path / "cache")
    source.write_text("new = 22\n")
    new = node_archive(tmp_path / "cache")
    assert old.digest != new.digest
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_without_a_cache_that_can_be_written_it_is_built_each_time(tmp_path):
    (tmp_path / "file").write_text("")
    assert node_archive(tmp_path / "file" / "cache") == node_archive(tmp_path / "cache")


def test_what_is_in_it_runs_alone(tmp_path):
    with zipfile.ZipFile(io.BytesIO(node_archive(tmp_path).data)) as archive:
        archive.extractall(tmp_path)
    script = "import sys; sys.path.append(sys.argv[1]); import gpualloc.node.wire, pynvml; print(gpualloc.__version__)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == gpualloc.__version__


def test_nvidia_ml_py_is_found_without_being_imported():
    script = (
        "import sys; from gpualloc.adapters.nvml_file import nvml_file; print(nvml_file(), 'pynvml' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    path, imported = done.stdout.split()
    assert os.path.basename(path) == "pynvml.py"
    assert imported == "False"


@pytest.mark.parametrize("kind", ["package", "nothing"])
def test_another_package_of_that_name_is_not_taken(tmp_path, monkeypatch, kind):
    if kind == "package":
        (tmp_path / "pynvml").mkdir()
        (tmp_path / "pynvml" / "__init__.py").write_text("")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    assert nvml_file() is None
