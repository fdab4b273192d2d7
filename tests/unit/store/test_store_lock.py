"""The apply lock names its holder and is freed by any end of the holder."""

import json
import os
import signal
import subprocess
import sys

import pytest

from gpualloc.errors import LockedError, StateError
from gpualloc.store.lock import exclusive_lock

HOLDER = """
import sys, time
from pathlib import Path
from gpualloc.store.lock import exclusive_lock
with exclusive_lock(Path(sys.argv[1]), "rebalance", 0):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(paths):
    """Another process that holds the lock until its stdin closes or it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, paths.lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_holder_is_named(paths, holder):
    with (
        pytest.raises(
            LockedError, match=rf"process {holder.pid} of \w+ since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d \(rebalance\)"
        ) as caught,
        exclusive_lock(paths.lock, "apply", 0.0),
    ):
        pass
    assert caught.value.exit_code == 7


def test_a_killed_holder_does_not_hold(paths, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with exclusive_lock(paths.lock, "apply", 0.0):
        assert json.loads(paths.lock.read_text())["pid"] == os.getpid()


def test_waiting_ends_when_the_holder_is_done(paths, holder):
    holder.stdin.close()
    with exclusive_lock(paths.lock, "apply", 60.0):
        assert json.loads(paths.lock.read_text())["purpose"] == "apply"


def test_a_child_does_not_keep_the_lock(paths):
    with exclusive_lock(paths.lock, "apply", 0.0):
        child = subprocess.Popen(
            [sys.executable, "-c", "print('here', flush=True); input()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            close_fds=False,
        )
        assert child.stdout.readline() == b"here\n"
    with child:
        with exclusive_lock(paths.lock, "apply", 0.0):
            pass
        child.communicate(b"\n")


def test_the_record_goes_when_the_lock_is_freed(paths):
    with pytest.raises(RuntimeError), exclusive_lock(paths.lock, "a rather long purpose", 0.0):
        raise RuntimeError
    assert paths.lock.read_bytes() == b""
    assert paths.lock.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "record", [b"", b"{", b"[]", b'{"pid": 1}', b'{"pid":1,"user":"a","since_s":1e300,"purpose":"x"}']
)
def test_a_holder_without_a_sound_record_is_still_respected(paths, holder, record):
    paths.lock.write_bytes(record)
    with pytest.raises(LockedError, match="another gpualloc"), exclusive_lock(paths.lock, "apply", 0.0):
        pass


def test_a_planted_link_is_not_followed(paths, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    paths.root.mkdir()
    paths.lock.symlink_to(victim)
    with pytest.raises(StateError), exclusive_lock(paths.lock, "apply", 0.0):
        pass
    assert victim.read_text() == "precious"
