"""Who may change a world is known before anything is opened, and nothing is made to find it out."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal
from gpualloc.wiring import Options, may_not_write, open_context

AS_NOBODY = """
import os, sys
from pathlib import Path
from gpualloc.wiring import Options, may_not_write
import gpualloc.store.permission
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(may_not_write(Options(state_dir=Path(sys.argv[1]))))
"""


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch):
    for name in ("GPUALLOC_SIM", "GPUALLOC_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def common_folder():
    """A folder that every account can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def state(tmp_path):
    """A state folder of this account with a state in it."""
    folder = tmp_path / "state"
    SqliteJournal(StatePaths(folder)).close()
    return folder


def everything(folder):
    return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))


@pytest.mark.parametrize("sim", [None, "demo"])
def test_a_state_that_can_be_made_may_be_changed_and_is_not_made_by_asking(tmp_path, sim):
    assert may_not_write(Options(state_dir=tmp_path / "a" / "b", sim=sim)) is None
    assert list(tmp_path.iterdir()) == []


def test_a_state_of_this_account_may_be_changed(state):
    before = everything(state)
    assert may_not_write(Options(state_dir=state)) is None
    assert everything(state) == before


@pytest.mark.root
@pytest.mark.parametrize("name", ["state.db", "lock"])
def test_not_even_root_changes_the_state_of_another_account(state, name):
    (state / name).touch()
    os.chown(state / name, 65534, 65534)
    said = may_not_write(Options(state_dir=state))
    assert said == f"the state in {state} cannot be changed: it belongs to nobody, and this is root"
    os.chown(state / name, 54321, 54321)
    assert "it belongs to 54321" in may_not_write(Options(state_dir=state))


@pytest.mark.root
@pytest.mark.parametrize(
    ("folder_mode", "file_owner", "said"),
    [
        (0o755, 0, "may not be written by nobody"),
        (0o700, 0, "may not be written by nobody"),
        (0o777, 0, "it belongs to root, and this is nobody"),
        (0o777, 65534, "state.db may not be written by nobody"),
    ],
)
def test_what_the_account_lacks_is_said(common_folder, folder_mode, file_owner, said):
    folder = common_folder / "state"
    folder.mkdir()
    (folder / "state.db").touch(0o400)
    os.chown(folder / "state.db", file_owner, file_owner)
    folder.chmod(folder_mode)
    told = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, folder], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert said in told
    assert stat.S_IMODE(folder.stat().st_mode) == folder_mode


def test_what_is_no_folder_is_said(tmp_path):
    (tmp_path / "file").touch()
    assert "file is not a folder" in may_not_write(Options(state_dir=tmp_path / "file"))


def test_a_recording_cannot_be_changed(tmp_path):
    said = may_not_write(Options(state_dir=tmp_path, sim=str(tmp_path / "night.rec")))
    assert said == f"{tmp_path / 'night.rec'} is a recording, and what was cannot be changed"


def test_the_simulated_world_of_the_environment_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUALLOC_SIM", "FILE.rec")
    assert "is a recording" in may_not_write(Options(state_dir=tmp_path))


def test_it_agrees_with_what_happens(state):
    with open_context(Options(state_dir=state, sim="demo")) as ctx, ctx.journal.write("test"):
        assert may_not_write(Options(state_dir=state, sim="demo")) is None
    assert Path(state / "sim" / "demo" / "state.db").exists()
