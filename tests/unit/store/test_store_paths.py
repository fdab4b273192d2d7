"""Where the state lies."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.store.paths import StatePaths, default_state_dir


def test_the_files_of_a_state():
    paths = StatePaths(Path("/s"))
    assert (paths.state_db, paths.history_db, paths.lock) == (
        Path("/s/state.db"),
        Path("/s/history.db"),
        Path("/s/lock"),
    )


def test_a_plain_cluster_name_is_its_folder():
    assert StatePaths(Path("/s")).sim("demo").root == Path("/s/sim/demo")


@pytest.mark.parametrize(
    "name", ["..", ".", "", "/", "a/../../b", "\n", "x" * 300, "Demo", "ünï", "/tmp/my cluster.toml"]
)
def test_any_other_name_becomes_a_safe_folder(name):
    root = StatePaths(Path("/s")).sim(name).root
    assert root.parent == Path("/s/sim")
    assert root.name.isascii()
    assert root.name.isprintable()
    assert len(root.name) < 64


def test_a_file_keeps_a_readable_part():
    assert StatePaths(Path("/s")).sim("/tmp/my cluster.toml").root.name.startswith("my-cluster-toml.")


@given(one=st.text(max_size=20), other=st.text(max_size=20))
def test_two_clusters_never_share_a_folder(one, other):
    paths = StatePaths(Path("/s"))
    assert (paths.sim(one) == paths.sim(other)) == (one == other)


def test_the_variable_moves_the_state():
    assert default_state_dir({"GPUALLOC_STATE_DIR": "/elsewhere"}) == Path("/elsewhere")
    assert default_state_dir({"GPUALLOC_STATE_DIR": "here"}) == Path.cwd() / "here"


def test_else_the_user_state_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_state_dir({"GPUALLOC_STATE_DIR": ""}) == tmp_path / "gpualloc"
