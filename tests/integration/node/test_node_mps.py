"""MPS daemons: one for each device and account, as long as work needs it. The control program is a stand-in."""

import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
from fakes import mps_control

from gpualloc.node import mps, sharing
from gpualloc.node.accounts import Account
from gpualloc.node.wire import Refused

DEVICE = "GPU-11111111-2222-3333-4444-555555555555"
ONE, TWO = "w00000001", "w00000002"


@pytest.fixture
def base(monkeypatch, tmp_path):
    """A short folder for pipes, and the control program on PATH; every daemon ends with the test."""
    folder = Path(tempfile.mkdtemp(prefix="mps"))
    folder.chmod(0o755)
    programs = folder / "bin"
    programs.mkdir()
    mps_control.install(programs)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("GPUALLOC_MPS_DIR", str(folder / "mps"))
    yield folder / "mps"
    for uid in {os.getuid(), *([65534] if os.getuid() == 0 else [])}:
        daemon = mps.Daemon(Account(pwd.getpwuid(uid)), DEVICE)
        daemon.stop(ONE, frozenset())
        daemon.stop(TWO, frozenset())
    shutil.rmtree(folder)


class NoWork:
    def records(self):
        return [{"workload": ONE, "end": None}, {"workload": TWO, "end": None}]


class Parts:
    workloads = NoWork()


def step(kind, workload=ONE, share="mps", devices=(DEVICE,)):
    grants = [
        {"device": device, "share": share, "mig_instance": None, "place": None, "fraction": 0.25, "memory_mib": 4096}
        for device in devices
    ]
    return {"kind": kind, "workload": workload, "grants": grants, "user": None}


def account(uid=None):
    return Account(pwd.getpwuid(os.getuid() if uid is None else uid))


def test_the_daemon_lives_as_long_as_work_needs_it(base):
    handler = sharing.Handler(Parts())
    assert handler.verify(step("mps-start"))["holds"] is False
    (told,) = handler.do(step("mps-start"))["daemons"]
    assert told["version"] == "580.95"
    assert Path(told["pipe_directory"], "environment").read_text() == DEVICE
    assert handler.do(step("mps-start"))["daemons"] == [told]
    assert handler.do(step("mps-start", TWO))["daemons"] == [told]
    assert handler.verify(step("mps-start", TWO))["holds"] is True
    assert handler.undo(step("mps-start")) == {}
    assert handler.verify(step("mps-stop"))["holds"] is True
    assert mps.Daemon(account(), DEVICE).answers()
    handler.do(step("mps-stop", TWO))
    assert not mps.Daemon(account(), DEVICE).answers()
    assert list(base.iterdir()) == []


def test_clients_are_those_that_the_daemon_knows(base):
    handler = sharing.Handler(Parts())
    (told,) = handler.do(step("mps-start"))["daemons"]
    assert told["clients"] == []
    Path(told["pipe_directory"], "client.4711").touch()
    assert handler.verify(step("mps-start"))["daemons"][0]["clients"] == [4711]


def test_a_client_is_told_where_its_daemon_is_and_how_much_it_may_have(base):
    env = sharing.client_environment(step("mps-start")["grants"], account())
    assert env["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] == "25"
    assert env["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] == "0=4096M"
    assert env["CUDA_MPS_PIPE_DIRECTORY"].startswith(str(base))
    assert sharing.client_environment(step("claim", share="exclusive")["grants"], account()) == {}


def test_marks_of_work_that_ended_do_not_keep_a_daemon(base):
    daemon = mps.Daemon(account(), DEVICE)
    daemon.start(ONE)
    daemon.start(TWO)
    daemon.stop(ONE, frozenset({ONE}))
    assert not daemon.answers()


def test_a_daemon_that_was_killed_comes_back(base):
    daemon = mps.Daemon(account(), DEVICE)
    daemon.start(ONE)
    daemon._ask("quit")
    assert not daemon.answers()
    daemon.start(ONE)
    assert daemon.answers()


@pytest.mark.skipif(os.getuid() != 0, reason="only root runs a daemon as somebody else")
def test_the_daemon_runs_as_the_owner_of_the_work_and_only_it_may_enter(base):
    daemon = mps.Daemon(account(65534), DEVICE)
    daemon.start(ONE)
    status = os.stat(daemon.pipes)
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (65534, 0o700)
    assert os.stat(Path(daemon.pipes) / "control").st_uid == 65534
    assert os.stat(daemon.folder + ".users").st_uid == 0


@pytest.mark.skipif(os.getuid() != 0, reason="needs a second account")
def test_a_folder_or_link_of_somebody_else_is_refused(base):
    daemon = mps.Daemon(account(65534), DEVICE)
    base.mkdir()
    os.mkdir(daemon.folder)
    with pytest.raises(Refused, match="belongs to somebody else"):
        daemon.start(ONE)
    os.rmdir(daemon.folder)
    os.symlink("/etc", daemon.folder)
    with pytest.raises(Refused, match="belongs to somebody else"):
        daemon.start(ONE)
    os.unlink(daemon.folder)


def test_a_node_without_the_program_says_so(base, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Refused) as refused:
        sharing.Handler(Parts()).preflight(step("mps-start"))
    assert refused.value.reason == "not-supported"


def test_one_process_reaches_one_daemon(base):
    with pytest.raises(Refused, match="one MPS daemon"):
        sharing.Handler(Parts()).preflight(step("mps-start", devices=(DEVICE, DEVICE[:-1] + "6")))


def test_a_daemon_that_does_not_come_up_leaves_no_mark(base):
    Path(shutil.which(mps.CONTROL)).write_text("#!/bin/sh\necho no device; exit 1\n")
    daemon = mps.Daemon(account(), DEVICE)
    with pytest.raises(Refused, match="no device"):
        daemon.start(ONE)
    assert daemon.users() == frozenset()
