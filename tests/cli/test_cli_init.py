"""`gpualloc init`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpualloc.config.load import load
from gpualloc.model.inventory import Device, Node, NodeSpec, NodeState


@pytest.fixture
def home(world, tmp_path, monkeypatch):
    """An account with an ssh configuration, on a machine with one GPU."""
    device = Device("GPU-1", 0, "NVIDIA L4", 23034)
    spec = NodeSpec("head", "default", "local")
    world.local_node = lambda: Node(spec, NodeState.OK, 0.0, devices=(device,), other_controllers=("slurmd",))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host gpu01 gpu02\n")
    return tmp_path


def test_it_writes_a_file_that_is_right(run, home):
    ran = run("init")
    file = home / ".config" / "gpualloc" / "config.toml"
    assert (ran.code, ran.out) == (0, f"wrote {file}\n")
    text = file.read_text()
    assert "1 × NVIDIA L4" in text
    assert "slurmd was found" in text
    assert '#nodes = "gpu[01-02]"' in text
    assert load(file, {}, {}, home / "cache").config.nodes[0].transport == "local"
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


def test_it_never_writes_over_a_file_unasked(run, home):
    file = home / "mine.toml"
    file.write_text("# mine\n")
    ran = run("init", "--output", str(file))
    assert ran.code == 2
    assert "is there already" in ran.err
    assert file.read_text() == "# mine\n"
    assert run("init", "--output", str(file), "--force").code == 0
    assert "[pools.default]" in file.read_text()


def test_a_folder_that_cannot_be_written(run, home):
    (home / "file").write_text("")
    ran = run("init", "--output", str(home / "file" / "config.toml"), "--json")
    assert ran.code == 2
    assert json.loads(ran.out)["errors"][0]["code"] == "config"


def test_a_link_that_leads_nowhere_is_not_followed(run, home):
    link = home / "link.toml"
    link.symlink_to(Path("/nonexistent/config.toml"))
    assert run("init", "--output", str(link), "--force").code == 0
    assert not link.is_symlink()
